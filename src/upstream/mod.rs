//! Pooled outbound HTTP.
