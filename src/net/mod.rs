//! Sockets as one type, buffers lent per core, deadlines without a timer for each, listeners, idle connections.

mod buffers;
mod cork;
mod h2;
mod listen;
mod lot;
mod pages;
mod stream;
mod watch;

pub use buffers::{Buffers, SIZE as BUFFER_SIZE};
pub use cork::{Cork, Corked, cork};
pub use h2::{Outflow, Pulse, wordless};
pub use listen::{FILE_DENIED, FOR_ALL, FOR_OWNER, PORT_DENIED, bind_tcp, bind_unix, with_mend};
pub use lot::Lot;
pub use stream::{Stream, poll_read_buf};
pub use watch::{Expired, Wait, Watch, Watchdog};
