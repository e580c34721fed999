//! Rates of requests and ceilings on memory, of teams and of the whole broker.

mod budget;
mod rate;

pub use budget::{Budget, Share};
pub use rate::Rates;
