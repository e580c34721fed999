//! rustls settings and reload.
