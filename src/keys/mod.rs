//! The life of a key, and leases of it.
//!
//! [`lease()`] is all that a request sees. [`Life`] changes keys; [`Feed`] carries what the store knows into the directory;
//! [`Keeper`] runs both beside a broker. [`access_token`] signs with a team's key what no team could sign.

pub mod access_token;
mod changes;
mod error;
mod feed;
mod health;
mod keeper;
mod keyless;
mod lease;
mod life;
mod reconcile;
mod recover;
mod replace;
mod upstream_answer;
mod upstream_keys;
pub mod view;

pub use error::LifeError;
pub use feed::Feed;
pub use health::{Backlog, Health};
pub use keeper::Keeper;
pub use lease::{Lease, lease, signing_key};
pub use life::{DEFAULT_GRACE, LONGEST_DRAIN, Life};
pub use reconcile::Reconciled;
pub use upstream_keys::{KeysError, Listed, is_secret};
