//! The one integration binary: black-box tests by topic, and `layering`, which reads the source itself.

mod admin;
mod admin_changes;
mod attack;
mod audit;
mod cli;
mod cli_changes;
mod config;
mod demo;
mod keys;
mod layering;
mod log;
mod reach;
mod sandbox;
mod serve;
mod store;
mod support;
mod warm;
