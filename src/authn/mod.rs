//! Proof → caller.

pub mod token;

pub use token::Token;
