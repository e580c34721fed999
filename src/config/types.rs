//! What the rest of the program sees: checked values only.

mod audit;

pub use audit::{Audit, AuditMode, Durability, Ship, ShipTo};

use super::fault::Fault;
use super::origin::Origin;
use crate::ids::{AccountSid, KeySid, TeamId};
use crate::secret::Secret;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

/// The whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// `[listen]`
    pub listen: Listen,
    /// `[tls]`
    pub tls: Option<Tls>,
    /// `[intercept]`
    pub intercept: Option<Intercept>,
    /// `[upstream]`
    pub upstream: Upstream,
    /// `[store]`; `None` when teams are declared in the file.
    pub store: Option<Store>,
    /// `[admin]`
    pub admin: Option<Admin>,
    /// `[audit]`
    pub audit: Audit,
    /// `[limits]`
    pub limits: Limits,
    /// `[[jwt]]`
    pub jwt: Vec<Jwt>,
    /// `[[certificate]]`
    pub certificates: Vec<Certificate>,
    /// `[[peer]]`
    pub peers: Vec<Peer>,
    /// `[[team]]`
    pub teams: Vec<Team>,
    /// What is allowed but unwise, for whoever starts the program to print.
    pub warnings: Vec<Fault>,
    /// Files whose content was read into this value, the config file itself first: a change of one asks for a reload.
    pub sources: Vec<PathBuf>,
}

impl Config {
    /// What a running broker keeps of it: not the teams, which its directory has by then (unless a store is beside them,
    /// whose teams yield to those of the file), nor what was said of the file.
    #[must_use]
    pub fn kept(&self) -> Self {
        Self {
            listen: self.listen.clone(),
            tls: self.tls.clone(),
            intercept: self.intercept.clone(),
            upstream: self.upstream.clone(),
            store: self.store.clone(),
            admin: self.admin.clone(),
            audit: self.audit.clone(),
            limits: self.limits.clone(),
            jwt: self.jwt.clone(),
            certificates: self.certificates.clone(),
            peers: self.peers.clone(),
            teams: if self.store.is_some() { self.teams.clone() } else { Vec::new() },
            warnings: Vec::new(),
            sources: Vec::new(),
        }
    }
}

/// `[listen]`: where callers and operators connect.
#[derive(Clone, Debug)]
pub struct Listen {
    /// Plain HTTP for callers; also answers CONNECT and absolute-form.
    pub proxy: Option<SocketAddr>,
    /// HTTPS for callers.
    pub tls: Option<SocketAddr>,
    /// Unix socket for callers.
    pub unix: Option<PathBuf>,
    /// Unix socket for the admin API: its peer is the proof, root or the broker's own user.
    pub admin_unix: Option<PathBuf>,
    /// Admin API, health and metrics.
    pub admin: Option<SocketAddr>,
}

/// `[tls]`: the certificate of `listen.tls`. Files are re-read when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM chain.
    pub cert: PathBuf,
    /// PEM private key.
    pub key: PathBuf,
    /// PEM roots for client certificates; `None`: no client certificates.
    pub client_ca: Option<PathBuf>,
    /// PEM revocation lists of `client_ca` and of every CA below it; with them, a certificate that no current list
    /// covers is refused.
    pub client_crl: Option<PathBuf>,
    /// Whether a connection without a client certificate is refused (`client_cert = "required"`).
    pub client_cert_required: bool,
}

/// `[intercept]`: the private CA whose leaves answer for `*.twilio.com`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Intercept {
    /// PEM certificate of the CA.
    pub ca_cert: PathBuf,
    /// PEM key of the CA.
    pub ca_key: PathBuf,
    /// Whether a CONNECT without a proof opens its tunnel, and each request inside brings its own (`proof = "inside"`).
    pub proof_inside: bool,
}

/// What names files to look into, of a config that may have faults: a table that has one is absent.
#[derive(Clone, Copy, Debug)]
pub struct Named<'c> {
    /// `[tls]`
    pub tls: Option<&'c Tls>,
    /// `[intercept]`
    pub intercept: Option<&'c Intercept>,
    /// `upstream.ca`
    pub upstream_ca: Option<&'c Path>,
    /// `[[jwt]]`
    pub jwt: &'c [Jwt],
}

/// `[upstream]`: where Twilio is reached, and as whom.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// The account that keys and default pins belong to.
    pub account_sid: AccountSid,
    /// Where `api.twilio.com` is reached.
    pub url: Origin,
    /// Extra roots for upstream TLS, PEM.
    pub ca: Option<PathBuf>,
    /// Ceiling on a TCP and TLS connect.
    pub connect_timeout: Duration,
    /// Ceiling on the wait for an answer's head.
    pub response_timeout: Duration,
    /// Where other hosts are reached, by their own (lower-case) name.
    pub hosts: BTreeMap<String, Origin>,
    /// What master teams and key management use.
    pub master: Option<Master>,
}

/// The host that nearly every caller wants: `[upstream] url` says where it is reached.
pub const API_HOST: &str = "api.twilio.com";

impl Upstream {
    /// The account in which a team of this kind acts where a request names none: that of its credential. A master's is
    /// `[upstream.master]`; of a Main key nobody says whose it is, so it is taken for one of `account_sid`.
    pub fn acting(&self, kind: Kind) -> AccountSid {
        let master = self.master.as_ref().filter(|_| kind == Kind::Master);
        master.and_then(|master| AccountSid::parse(&master.username)).unwrap_or(self.account_sid)
    }

    /// Where `host` is reached. `product` is the host without region and edge: a regional host of a product that is sent
    /// elsewhere goes there too, so that a sandbox is never left by choosing a region.
    pub fn origin(&self, host: &str, product: &str) -> Origin {
        if let Some(origin) = self.hosts.get(host).or_else(|| self.hosts.get(product)) {
            return origin.clone();
        }
        let itself = |host: &str| Origin { tls: true, host: host.to_owned(), port: 443 };
        if host == API_HOST || (product == API_HOST && self.url != itself(API_HOST)) {
            self.url.clone()
        } else {
            itself(host)
        }
    }
}

/// `[upstream.master]`: AC + auth token, or a Main key.
#[derive(Clone, Debug)]
pub struct Master {
    /// `AC…` or `SK…`.
    pub username: String,
    /// Auth token or key secret.
    pub password: Secret,
}

/// `[store]`: where teams, tokens and keys live.
#[derive(Clone, Debug)]
pub struct Store {
    /// Which database.
    pub url: StoreUrl,
    /// Where the root key is: a file that a new SQLite store may create, or bytes already read from the environment.
    pub root_key: RootKey,
    /// How long a broker that lost its store keeps serving what it knows; after that it denies.
    pub max_staleness: Duration,
    /// Rotation of every team's key, unless the team has its own; `None`: only by command.
    pub rotate_every: Option<Duration>,
}

/// Which database.
#[derive(Clone, Debug)]
pub enum StoreUrl {
    /// A file.
    Sqlite(PathBuf),
    /// A connection string; it may hold a password.
    Postgres(Secret),
}

/// Where the root key is.
#[derive(Clone, Debug)]
pub enum RootKey {
    /// A file of base64; made with a new SQLite store, never for a store that exists.
    File(PathBuf),
    /// Base64 read from the environment.
    Value(Secret),
}

/// `[admin]`
#[derive(Clone, Debug)]
pub struct Admin {
    /// Bearer token of the admin API.
    pub token: Secret,
}

/// `[limits]`: ceilings, each documented with its unit and reason where its default is set.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of one request body.
    pub max_body: u64,
    /// Bytes of all request bodies that are held in memory together, because they are read before they are sent.
    pub max_body_memory: u64,
    /// Bytes of one request head.
    pub max_head: usize,
    /// Caller connections, all listeners together.
    pub max_connections: usize,
    /// How long a caller may take to send a request head, from its first byte.
    pub head_timeout: Duration,
    /// How long a caller connection may idle between requests.
    pub idle_timeout: Duration,
    /// How long one read or write of a body may stall.
    pub body_timeout: Duration,
    /// Idle upstream connections kept per core and origin.
    pub upstream_idle: usize,
    /// How long an idle upstream connection is kept.
    pub upstream_idle_timeout: Duration,
    /// How long a stopping broker lets requests finish.
    pub drain_timeout: Duration,
    /// Requests that one team may send upstream in a second, on all cores together; `None`: as many as it likes.
    pub team_rate: Option<NonZeroU32>,
    /// Runtimes, one per core; `0`: as many as the machine has.
    pub cores: usize,
}

/// `[[jwt]]`: JWTs as proofs.
#[derive(Clone, Debug)]
pub struct Jwt {
    /// `iss`, exactly.
    pub issuer: String,
    /// `aud`, exactly one of the token's.
    pub audience: String,
    /// Where the key set is.
    pub jwks: Jwks,
    /// Extra roots for `jwks_url`, PEM: Kubernetes' API server has a private CA.
    pub jwks_ca: Option<PathBuf>,
    /// File whose text is sent to `jwks_url` as a bearer token, read at each fetch since Kubernetes renews it.
    pub jwks_token_file: Option<PathBuf>,
    /// Accepted algorithms, asymmetric only.
    pub algorithms: Vec<String>,
    /// Claim that names the team.
    pub team_claim: Option<String>,
    /// Team by `sub`.
    pub subjects: BTreeMap<String, TeamId>,
    /// Clock skew that is forgiven.
    pub leeway: Duration,
    /// How old a key set may be.
    pub max_age: Duration,
}

/// Where a key set is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Jwks {
    /// Fetched and refreshed in the background.
    Url(String),
    /// Read, and re-read when it changes.
    File(PathBuf),
}

/// `[[certificate]]`: client certificates as proofs.
#[derive(Clone, Debug)]
pub struct Certificate {
    /// URI or DNS name; one trailing `*` allowed.
    pub san: String,
    /// Whose callers these are.
    pub team: TeamId,
}

/// `[[peer]]`: processes that connect to `listen.unix`, proven by the kernel.
#[derive(Clone, Debug)]
pub struct Peer {
    /// User id of the process.
    pub uid: u32,
    /// Whose caller it is.
    pub team: TeamId,
}

/// What a team may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Everything but management resources.
    Standard,
    /// Everything, with `[upstream.master]`.
    Master,
}

/// A team's own policy, on top of its kind. Names are operations as `explain` prints them (`api:Messages:create`); a
/// trailing `*` matches any rest.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TeamPolicy {
    /// Credential operations that are closed by default and open to this team. Never opens a core management resource.
    pub open: Vec<String>,
    /// If not empty, only these operations are allowed.
    pub allow: Vec<String>,
    /// Operations refused whatever `allow` says.
    pub deny: Vec<String>,
}

impl TeamPolicy {
    /// The policy to be shared. Teams without one of their own all share one: one place in memory, which stays in the cache.
    pub fn into_shared(self) -> Arc<Self> {
        static NONE: LazyLock<Arc<TeamPolicy>> = LazyLock::new(Arc::default);
        if self == **NONE { Arc::clone(&NONE) } else { Arc::new(self) }
    }
}

/// `[[team]]`: a team declared in the file.
#[derive(Clone, Debug)]
pub struct Team {
    /// Its name.
    pub name: TeamId,
    /// Standard or master.
    pub kind: Kind,
    /// The accounts it is pinned to; empty: `upstream.account_sid` for a standard team, no pin for a master team.
    pub accounts: Vec<AccountSid>,
    /// SHA-256 of its tokens.
    pub token_sha256: Vec<[u8; 32]>,
    /// Its key.
    pub key: Option<TeamKey>,
    /// Its own policy.
    pub policy: TeamPolicy,
}

/// A key declared in the file.
#[derive(Clone, Debug)]
pub struct TeamKey {
    /// The key's SID.
    pub sid: KeySid,
    /// Its secret.
    pub secret: Secret,
}
