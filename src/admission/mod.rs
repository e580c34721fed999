//! Slots, buckets and ceilings.

mod budget;
mod rate;

pub use budget::{Budget, Share};
pub use rate::Rates;
