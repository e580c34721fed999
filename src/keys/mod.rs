//! The life of a key, and leases of it.

mod lease;

pub use lease::{Lease, lease};
