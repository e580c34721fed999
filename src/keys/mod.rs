//! The life of a key, and leases of it.
