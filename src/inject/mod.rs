//! Request + lease → what is sent upstream.
