//! The one integration binary: black-box tests by topic, and `layering`, which reads the source itself.

mod layering;
mod store;
mod support;
