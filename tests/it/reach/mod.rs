//! How callers reach the broker: tunnels, TLS, certificates, JWTs, socket peers; each from outside, over real sockets.

mod cancels;
mod certificates;
mod connect;
mod jwt;
mod listener;
mod pairs;
mod pieces;
mod streams;
pub mod wire;
pub mod world;
