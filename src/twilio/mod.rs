//! What is known of the Twilio API: hosts, operations, management resources, canonical paths, error bodies, links.
//!
//! Facts and pure functions only: nothing here awaits, does I/O or knows a caller. The sources are the OpenAPI files
//! that Twilio publishes (version 2.6.7) and Twilio's docs; each table says which.

pub mod accounts;
pub mod address;
pub mod error_body;
pub mod host;
pub mod links;
pub mod management;
pub mod method;
pub mod operations;
pub mod path;
pub mod render;

pub use address::{Address, AddressFault, Mode};
pub use error_body::{ErrorBody, Format, error_body};
pub use host::{Authority, Host, Product};
pub use management::Class;
pub use method::Method;
pub use operations::{Match, Operation};
pub use path::{CanonicalPath, PathFault, Segment};
