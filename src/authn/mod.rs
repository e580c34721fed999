//! Proof → caller.
