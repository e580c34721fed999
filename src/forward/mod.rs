//! Streams both bodies; scrubs the answer.
