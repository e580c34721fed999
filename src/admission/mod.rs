//! Slots, buckets and ceilings.

mod budget;

pub use budget::{Budget, Share};
