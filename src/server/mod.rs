//! Listeners, connections, drain: a runtime per core, each with its own listener socket, upstream pool and audit buffer.

mod accept;
mod core;
mod files;
mod h1;
mod h1_caller;
mod h2;
mod h2_caller;
mod handshakes;
mod rest;
mod restart;
mod shared;
mod start;
mod start_error;
mod tls;
mod upkeep;
mod worker;

pub use start::{Addresses, Plan, Server};
pub use start_error::StartError;
