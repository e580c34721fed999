//! Pooled outbound HTTP: where each Twilio host is reached, and connections to it, per core.
//!
//! A [`Pool`] belongs to one core and is touched by no other, so it needs no lock. [`Pool::route`] finds where a host is
//! reached, [`Route::idle_lane`] and [`Route::new_lane`] hand out connections, and [`Lane`] carries one request at a time
//! over HTTP/1.1 or HTTP/2. [`Pool::tend`] opens connections before requests need them.

mod bundle;
mod connect;
pub mod control;
mod h1;
mod h2;
mod h2_head;
mod lane;
mod multiplex;
mod pool;
mod warm;

pub use connect::{Connector, DialError};
pub use lane::{Lane, LaneError};
pub use pool::{Pool, Route};
