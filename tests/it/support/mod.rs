//! What the tests share.

pub mod command;
pub mod raw;
pub mod source;
pub mod upstream;
