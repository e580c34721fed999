//! Teams, tokens and keys with their whole life: by command, beside brokers, through crashes.

mod again;
mod brokers;
mod commands;
mod crash;
mod failover;
mod hang;
mod life;
mod lost;
mod race;
mod reload;
mod tokens;
