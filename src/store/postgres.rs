//! The shared database: one connection for statements, made anew when it is lost, and one that listens for changes.
//!
//! TLS is spoken where the connection string asks for it (`sslmode=require`, `verify-ca` or `verify-full`): the
//! server's certificate is then always verified, name included, against the system's roots and `sslrootcert`.

use super::error::{Result, StoreError};
use super::value::{Row, Value};
use super::watch::Signal;
use crate::secret::Secret;
use crate::tls::upstream::client_config;
use std::error::Error as _;
use std::future::poll_fn;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{Mutex, OwnedMutexGuard};
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres::error::SqlState;
use tokio_postgres::tls::MakeTlsConnect;
use tokio_postgres::types::ToSql;
use tokio_postgres::{AsyncMessage, Client, Connection, NoTls, Socket};
use tokio_postgres_rustls::MakeRustlsConnect;

/// How long a connect may take.
const CONNECT: Duration = Duration::from_secs(5);

/// How long an answer may take before the connection counts as lost. The server cancels a statement earlier (see
/// [`SESSION`]), so only a dead peer gets here.
const ANSWER: Duration = Duration::from_secs(20);

/// What every connection begins with: our own schema, and ceilings so that nothing waits for ever.
const SESSION: &str = "SET search_path TO sidekey; SET statement_timeout = '15s'; SET lock_timeout = '10s';
SET idle_in_transaction_session_timeout = '30s'";

/// The channel of NOTIFY.
pub(super) const CHANNEL: &str = "sidekey_changes";

/// Advisory lock of every write: it makes the ids of changes grow in the order of commits.
pub(super) const WRITE_LOCK: i64 = 0x0073_6964_656b_6579;

/// Advisory lock of the one replica that changes keys.
const KEYS_LOCK: i64 = WRITE_LOCK + 1;

/// Where the database is, and the connection to it.
pub(super) struct Postgres {
    target: Arc<Target>,
    client: Arc<Mutex<Option<Client>>>,
}

/// What a connection needs to know.
struct Target {
    config: tokio_postgres::Config,
    tls: Option<MakeRustlsConnect>,
}

impl Postgres {
    /// Reads the connection string; connects nowhere yet.
    pub(super) fn new(url: &Secret) -> Result<Self> {
        let target = Arc::new(Target::read(url)?);
        Ok(Self { target, client: Arc::default() })
    }

    /// The connection, made if there is none. It is the holder's alone.
    pub(super) async fn session(&self) -> Result<OwnedMutexGuard<Option<Client>>> {
        let mut guard = Arc::clone(&self.client).lock_owned().await;
        if guard.as_ref().is_none_or(Client::is_closed) {
            *guard = None;
            *guard = Some(self.target.connect(None).await?);
        }
        Ok(guard)
    }

    /// Starts the task that raises `changed` at every notification and at every new connection. It ends with `alive`.
    pub(super) fn listen(&self, changed: Signal, alive: std::sync::Weak<()>) {
        let target = Arc::clone(&self.target);
        tokio::spawn(async move {
            let mut deaf = false;
            while alive.strong_count() > 0 {
                if let Err(error) = listen_once(&target, &changed, &alive, &mut deaf).await
                    && !std::mem::replace(&mut deaf, true)
                {
                    tracing::warn!(%error, "no notifications from the store; polling goes on");
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        });
    }

    /// Takes the lock of key changes on a connection of its own; `None` if another process has it. The server frees it
    /// when the connection ends, however the holder dies.
    pub(super) async fn keys_lock(&self) -> Result<Option<Client>> {
        let client = self.target.connect(None).await?;
        let rows = query(
            &client,
            "SELECT CASE WHEN pg_try_advisory_lock($1) THEN 1::bigint ELSE 0 END",
            &[Value::Int(KEYS_LOCK)],
        )
        .await?;
        let taken = rows.first().map_or(Ok(0), |row| row.int(0))? == 1;
        Ok(taken.then_some(client))
    }
}

async fn listen_once(target: &Target, changed: &Signal, alive: &std::sync::Weak<()>, deaf: &mut bool) -> Result<()> {
    let client = target.connect(Some(changed.clone())).await?;
    // A standby takes none.
    client.batch_execute(&format!("LISTEN {CHANNEL}")).await.map_err(|error| explain(&error))?;
    if std::mem::take(deaf) {
        tracing::info!("notifications from the store are heard again");
    }
    // What happened while nobody listened.
    changed.raise();
    while alive.strong_count() > 0 && !client.is_closed() {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Ok(())
}

impl Target {
    fn read(url: &Secret) -> Result<Self> {
        let text = url.expose_str().ok_or_else(|| StoreError::Unreachable("store.url is not text".to_owned()))?;
        let (plain, wish) = TlsWish::take(text);
        if let Some(odd) = wish.odd {
            return Err(StoreError::Unreachable(format!(
                "store.url: sslmode={odd:?} is none of {}",
                [TlsWish::PLAIN.as_slice(), &TlsWish::TLS].concat().join(", ")
            )));
        }
        let mut config: tokio_postgres::Config = plain.parse().map_err(|error: tokio_postgres::Error| {
            let why = error.source().map_or_else(|| error.to_string(), ToString::to_string);
            StoreError::Unreachable(format!("store.url is no connection string: {why}"))
        })?;
        config.connect_timeout(CONNECT).tcp_user_timeout(ANSWER).application_name("sidekey");
        config.ssl_mode(if wish.tls { SslMode::Require } else { SslMode::Disable });
        let tls = if wish.tls { Some(MakeRustlsConnect::new(wish.settings()?)) } else { None };
        Ok(Self { config, tls })
    }

    async fn connect(&self, on_notice: Option<Signal>) -> Result<Client> {
        let connect = async {
            match &self.tls {
                Some(tls) => self.connect_over(tls.clone(), on_notice).await,
                None => self.connect_over(NoTls, on_notice).await,
            }
        };
        // The driver's own ceiling covers one address and not the login.
        tokio::time::timeout(2 * CONNECT, connect)
            .await
            .map_err(|_| StoreError::Unreachable("the database did not answer in time".to_owned()))
            .flatten()
            .map_err(|error| self.placed(error))
    }

    /// Says of an error where the database was looked for; never who logs in, nor how.
    fn placed(&self, error: StoreError) -> StoreError {
        let StoreError::Unreachable(why) = error else { return error };
        let hosts = self.config.get_hosts().iter().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(folder) => folder.display().to_string(),
        });
        let ports = self.config.get_ports().iter().map(ToString::to_string);
        let (hosts, ports) = (hosts.collect::<Vec<_>>().join(","), ports.collect::<Vec<_>>().join(","));
        let port = if ports.is_empty() { "5432" } else { &ports };
        StoreError::Unreachable(format!("{hosts} port {port}: {why}; mend store.url, or see to the database"))
    }

    async fn connect_over<T>(&self, tls: T, on_notice: Option<Signal>) -> Result<Client>
    where
        T: MakeTlsConnect<Socket>,
        T::Stream: Send + Unpin + 'static,
    {
        let (client, connection) = self.config.connect(tls).await.map_err(|error| explain(&error))?;
        tokio::spawn(drive(connection, on_notice));
        client.batch_execute(SESSION).await.map_err(|error| explain(&error))?;
        Ok(client)
    }
}

/// Moves the bytes of one connection until it ends, and raises `on_notice` at every notification.
async fn drive<S>(mut connection: Connection<Socket, S>, on_notice: Option<Signal>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
        if let (AsyncMessage::Notification(_), Some(notify)) = (message, &on_notice) {
            notify.raise();
        }
    }
}

/// What a connection string says about TLS, taken out of it: the driver knows neither `verify-full` nor `sslrootcert`.
#[derive(Debug, PartialEq)]
struct TlsWish {
    tls: bool,
    roots: Option<String>,
    /// A mode that there is not: taken for none, a slip of the pen would send everything in clear.
    odd: Option<String>,
}

impl TlsWish {
    /// Modes without TLS; with `allow` and `prefer` it was up to the server.
    const PLAIN: [&str; 3] = ["disable", "allow", "prefer"];
    /// Modes with it: the certificate is always verified.
    const TLS: [&str; 3] = ["require", "verify-ca", "verify-full"];

    /// Splits the string into what the driver reads and the wish.
    fn take(url: &str) -> (String, Self) {
        let mut wish = Self { tls: false, roots: None, odd: None };
        let Some((base, query)) = url.split_once('?').filter(|_| url.contains("://")) else {
            let words: Vec<&str> = url.split(' ').filter(|word| !wish.note(word)).collect();
            let plain = if url.contains("://") { url.to_owned() } else { words.join(" ") };
            return (plain, wish);
        };
        let rest: Vec<&str> = query.split('&').filter(|pair| !wish.note(pair)).collect();
        (format!("{base}?{}", rest.join("&")), wish)
    }

    /// Reads one `name=value`; true if it was ours.
    fn note(&mut self, pair: &str) -> bool {
        match pair.split_once('=') {
            Some(("sslmode", mode)) => {
                self.tls = Self::TLS.contains(&mode);
                self.odd = (!self.tls && !Self::PLAIN.contains(&mode)).then(|| mode.to_owned());
            }
            Some(("sslrootcert", path)) => {
                self.roots = Some(percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned());
            }
            _ => return false,
        }
        true
    }

    fn settings(&self) -> Result<rustls::ClientConfig> {
        let settings = client_config(self.roots.as_deref().map(Path::new), &[])
            .map_err(|error| StoreError::Unreachable(format!("store.url: sslrootcert: {error}")))?;
        Ok(rustls::ClientConfig::clone(&settings))
    }
}

/// Runs a statement that answers rows.
pub(super) async fn query(client: &Client, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
    let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|value| value as _).collect();
    let rows = in_time(client.query(sql, &params)).await?;
    rows.iter()
        .map(|row| {
            let values = (0..row.len()).map(|at| row.try_get(at)).collect::<std::result::Result<_, _>>();
            values.map(Row).map_err(|error| explain(&error))
        })
        .collect()
}

/// Runs a statement that answers how many rows it changed.
pub(super) async fn execute(client: &Client, sql: &str, params: &[Value]) -> Result<u64> {
    let params: Vec<&(dyn ToSql + Sync)> = params.iter().map(|value| value as _).collect();
    in_time(client.execute(sql, &params)).await
}

/// Runs several statements.
pub(super) async fn batch(client: &Client, sql: &str) -> Result<()> {
    in_time(client.batch_execute(sql)).await
}

async fn in_time<T>(answer: impl Future<Output = std::result::Result<T, tokio_postgres::Error>>) -> Result<T> {
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(outcome) => outcome.map_err(|error| explain(&error)),
        Err(_) => Err(StoreError::Unreachable("the database did not answer in time".to_owned())),
    }
}

/// What a role needs, for one that lacks some of it.
const RIGHTS: &str = "make the role of store.url the owner of schema sidekey and its tables (of a new store: CREATE SCHEMA sidekey \
    AUTHORIZATION …), or grant it USAGE on the schema and SELECT, INSERT, UPDATE and DELETE on all its tables";

/// The store is there, and the role may not look into its schema.
pub(super) fn no_usage() -> StoreError {
    StoreError::Unreachable(format!("permission denied for schema sidekey; {RIGHTS}"))
}

/// Turns the server's codes into words for an operator.
fn explain(error: &tokio_postgres::Error) -> StoreError {
    let Some(answer) = error.as_db_error() else {
        let why = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
        return StoreError::Unreachable(format!("{error}{why}"));
    };
    let text = format!("{} ({})", answer.message(), answer.code().code());
    match *answer.code() {
        // Its own words name who logs in.
        SqlState::INVALID_PASSWORD | SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
            StoreError::Unreachable(format!("the database refuses the login ({})", answer.code().code()))
        }
        SqlState::READ_ONLY_SQL_TRANSACTION => StoreError::ReadOnly(text),
        SqlState::INSUFFICIENT_PRIVILEGE => StoreError::ReadOnly(format!("{text}; {RIGHTS}")),
        SqlState::DISK_FULL => StoreError::Full(text),
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => StoreError::Corrupt(text),
        SqlState::LOCK_NOT_AVAILABLE | SqlState::QUERY_CANCELED => StoreError::Busy(text),
        _ if ["08", "28", "3D", "53", "57"].iter().any(|class| answer.code().code().starts_with(class)) => {
            StoreError::Unreachable(text)
        }
        _ => StoreError::Database(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_wishes_are_taken_out_of_the_string() {
        let url = "postgres://u:p@h/db?sslmode=verify-full&sslrootcert=/etc/a%20b.pem&keepalives=1";
        let (plain, wish) = TlsWish::take(url);
        assert_eq!(plain, "postgres://u:p@h/db?keepalives=1");
        assert_eq!(wish, TlsWish { tls: true, roots: Some("/etc/a b.pem".to_owned()), odd: None });
        let (plain, wish) = TlsWish::take("host=h user=u sslmode=disable");
        assert_eq!((plain.as_str(), wish.tls), ("host=h user=u", false));
        assert_eq!(TlsWish::take("postgres://h/db").0, "postgres://h/db");
    }

    #[tokio::test]
    async fn a_server_that_can_not_be_reached_is_named_without_its_login() {
        let store = Postgres::new(&Secret::from("postgres://u:hunter2@127.0.0.1:1/db".to_owned())).expect("a string");
        let text = store.session().await.err().map_or_else(String::new, |error| error.to_string());
        assert!(text.contains("127.0.0.1 port 1: ") && text.contains("; mend store.url"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_bad_string_is_refused_without_its_password() {
        let error = Postgres::new(&Secret::from("postgres://u:hunter2@h:notaport/db".to_owned())).err();
        let text = error.map_or_else(String::new, |error| error.to_string());
        assert!(text.contains("store.url"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }
}
