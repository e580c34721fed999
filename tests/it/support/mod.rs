//! What the tests share.

pub mod command;
pub mod frames;
pub mod postgres;
pub mod raw;
pub mod source;
pub mod talk;
pub mod upstream;
pub mod wire;
pub mod world;
