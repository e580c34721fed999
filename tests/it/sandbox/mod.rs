//! The Twilio-compatible upstream, over the wire.

mod accounts;
mod control;
mod formats;
mod keys;
mod messages;
mod products;
mod restricted;
mod transport;
