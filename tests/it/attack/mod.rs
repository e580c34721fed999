//! `sidekey serve` under attack: hostile callers and a hostile upstream, both written byte by byte.
//!
//! Verdicts: a request is refused and nothing of it reaches the upstream; or the upstream sees one normal form of it.
//! No secret is in anything that a caller, the log or the audit sees, and each answer has exactly one outcome: the
//! fixture's end holds both for every test here.

#![allow(clippy::format_collect, reason = "tests write for the reader; a text built twice costs nothing here")]

mod again;
mod audit;
mod bodies;
mod early;
mod fixture;
mod framing;
mod h2;
mod h2_floods;
mod headers;
mod held;
mod leaks;
mod long;
mod operations;
mod paths;
mod rate;
mod rest;
mod slow;
mod spelled;
mod tls;
mod trailers;
mod upstream;
