//! Proof → caller.

pub mod certificate;
mod json;
pub mod jwks;
pub mod jwt;
#[cfg(test)]
mod testing;
pub mod token;

pub use token::Token;
