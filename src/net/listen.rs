//! Listener sockets.

use socket2::{Domain, Protocol, Socket, Type};
use std::fs::Permissions;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

/// Connections that wait to be accepted. Bursts of short connections need room; the kernel caps it at `somaxconn`.
const BACKLOG: i32 = 4096;

/// Who may connect to a socket whose callers prove themselves: anybody. Whom the kernel names is told apart behind it.
pub const FOR_ALL: u32 = 0o666;

/// Who may connect to a socket that is its owner's.
pub const FOR_OWNER: u32 = 0o600;

/// Binds one listener socket per core to the same address; the kernel spreads connections over them.
///
/// # Errors
/// The operating system's, from the first socket that fails.
pub fn bind_tcp(address: SocketAddr, cores: usize) -> io::Result<Vec<std::net::TcpListener>> {
    // SO_REUSEPORT would let a second broker, started by mistake, take half of the connections in silence.
    drop(socket_at(address, false)?);
    let mut address = address;
    let mut sockets = Vec::with_capacity(cores);
    for _ in 0..cores.max(1) {
        let socket = socket_at(address, true)?;
        socket.listen(BACKLOG)?;
        let listener = std::net::TcpListener::from(socket);
        // Port 0 is chosen once; the other cores share it.
        address = listener.local_addr()?;
        sockets.push(listener);
    }
    Ok(sockets)
}

/// A socket bound to `address`.
fn socket_at(address: SocketAddr, shared: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(shared)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Binds a Unix socket that those may connect to whom `mode` lets write it, whatever the umask is. A stale socket file of a
/// process that is gone is replaced; a live one is not.
///
/// # Errors
/// `AddrInUse` if somebody listens there, otherwise the operating system's.
pub fn bind_unix(path: &Path, mode: u32) -> io::Result<std::os::unix::net::UnixListener> {
    if std::os::unix::net::UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, format!("{}: somebody listens there", path.display())));
    }
    match std::fs::symlink_metadata(path) {
        Ok(found) if found.file_type().is_socket() => std::fs::remove_file(path)?,
        _ => {}
    }
    let listener = std::os::unix::net::UnixListener::bind(path)?;
    std::fs::set_permissions(path, Permissions::from_mode(mode))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// What to do where a file is not to be had.
pub const FILE_DENIED: &str = "give it and its folder to the user that sidekey runs as";

/// What to do where a port is not to be had.
pub const PORT_DENIED: &str = "a port below 1024 needs CAP_NET_BIND_SERVICE";

/// Why a file or an address can't be had, and what to do; `denied` where the system forbids it.
pub fn with_mend(error: &io::Error, denied: &str) -> String {
    let mend = match error.kind() {
        io::ErrorKind::AddrInUse => "another process has it: end that one, or choose another in the config",
        io::ErrorKind::AddrNotAvailable => "this machine has no such address",
        io::ErrorKind::NotFound => "make its folder",
        io::ErrorKind::PermissionDenied => denied,
        _ => return error.to_string(),
    };
    format!("{error}; {mend}")
}
