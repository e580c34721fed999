//! sidekey: an authenticating reverse proxy and credential broker for the Twilio REST API.
//!
//! No service holds a Twilio credential. A *caller* presents a *proof*; sidekey finds its *team*, decides what it may
//! do, puts the team's *key* into Basic auth, forwards to the *upstream* and keeps an *audit record*.
//!
//! ```text
//!  server          broker  (outer: id, clock, audit guard, error → response)
//!  accept ─ tls ─▶ ┌────────────────────── inner: early returns only ───────────────────────────────────┐
//!                  │ authn ──▶ twilio ──▶ policy ──▶ admission ──▶ keys ──▶ inject ──▶ forward ──▶ answer │
//!                  │ Caller    Operation  Grant     rate, body     Lease    Outbound   upstream          │
//!                  └───┬─────────┬──────────┬──────────┬────────────┬────────────────────┬───────────────┘
//!                      401      400/403    403      413/429/503    503                502/504
//!  audit guard: opened at the left edge, closed exactly once at any exit, a caller that hangs up included
//! ```
//!
//! # Ranks
//! A module imports only from strictly lower ranks; `tests/it/layering.rs` reads `src/` and holds that.
//!
//! | rank | module | owns |
//! |---|---|---|
//! | 0 | [`ids`] | newtypes safe to log |
//! | 0 | [`secret`] | bytes that cannot print, serialise or linger; one greppable exit |
//! | 0 | [`clock`] | wall and monotonic time |
//! | 0 | [`log`] | lines for stderr, which nobody waits for |
//! | 0 | [`headers`] · [`net`] | which fields end at this hop · sockets, buffers, deadlines |
//! | 1 | [`config`] | text → values that cannot be wrong; all faults at once |
//! | 1 | [`error`] | every way a request ends without an upstream answer: one exhaustive table |
//! | 1 | [`http1`] | HTTP/1.1 heads and body framing, parsed strictly; never does I/O |
//! | 2 | [`twilio`] | what is known of the API: hosts, operations, management resources, paths, error bodies |
//! | 2 | [`metrics`] · [`tls`] · [`admission`] | closed label sets · rustls settings and reload · rates and ceilings |
//! | 3 | [`audit`] · [`upstream`] · [`store`] | one guard per request · pooled outbound HTTP · SQLite or PostgreSQL, sealed |
//! | 4 | [`directory`] | the in-memory snapshot: token digest → caller, team → policy and key |
//! | 5 | [`authn`] | proof → `Caller` |
//! | 6 | [`policy`] | `Caller` + `Operation` → `Grant` or a reason; pure |
//! | 7 | [`keys`] | `Grant` → `Lease`; create, rotate, revoke, reconcile; access tokens |
//! | 8 | [`inject`] · [`forward`] | request + `Lease` → `Outbound` · both bodies streamed, the answer scrubbed |
//! | 9 | [`broker`] | the straight line above, tunnels, and what `/.sidekey/` answers |
//! | 10 | [`server`] · [`admin`] · [`sandbox`] | listeners and drain · admin API · the Twilio-compatible upstream |
//! | 11 | [`cli`] | commands |
//!
//! # What never happens
//! Held by `tests/it/layering.rs`:
//! - an import that goes upward, or sideways between modules;
//! - policy, twilio and http1 wait for something;
//! - secret bytes leave their box but in the modules and files that are listed there;
//! - the time is read but in [`clock`].
//!
//! Held by types and lints:
//! - a stage is skipped: a `Lease` comes of a `Grant`, an `Outbound` of a `Lease`, and each has a private constructor;
//! - a lock or a map's guard lives across an await;
//! - a status is chosen but in [`error`], for any answer of the broker's own on the request path;
//! - a caller's text becomes a metric's label.
//!
//! Held by the tests of each place:
//! - a request leaves without its record, or an answer without its outcome, unless `audit.mode` says so;
//! - a queue, a cache, a body or a retry without a bound;
//! - a default without its unit and its reason ([`config::defaults`]).

pub mod clock;
pub mod headers;
pub mod ids;
pub mod log;
pub mod net;
pub mod secret;

pub mod config;
pub mod error;
pub mod http1;

pub mod admission;
pub mod metrics;
pub mod tls;
pub mod twilio;

pub mod audit;
pub mod store;
pub mod upstream;

pub mod directory;

pub mod authn;

pub mod policy;

pub mod keys;

pub mod forward;
pub mod inject;

pub mod broker;

pub mod admin;
pub mod sandbox;
pub mod server;

pub mod cli;
