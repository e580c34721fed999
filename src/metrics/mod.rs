//! Counters whose labels are closed sets.
