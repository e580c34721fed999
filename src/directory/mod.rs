//! The in-memory snapshot that requests are judged by.
