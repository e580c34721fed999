//! Where the trail is written: a named file, or a stream (stdout, a pipe).

use super::rotate::folder;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Statx, StatxFlags};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Which file this is, whatever it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

/// Where the trail is written.
#[derive(Debug)]
pub(super) enum Place {
    /// A regular file under this name.
    File {
        /// As configured.
        path: PathBuf,
        /// The same for system calls, made once.
        name: CString,
    },
    /// Something without positions.
    Stream(Option<PathBuf>),
}

impl Place {
    /// Looks at what the path names. `None` is stdout.
    pub(super) fn new(path: Option<&Path>) -> io::Result<Self> {
        let Some(path) = path else { return Ok(Self::Stream(None)) };
        let name = CString::new(path.as_os_str().as_bytes())?;
        match rustix::fs::statat(CWD, &name, AtFlags::empty()) {
            Ok(found) if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile => {
                Ok(Self::Stream(Some(path.to_owned())))
            }
            _ => Ok(Self::File { path: path.to_owned(), name }),
        }
    }

    /// Opens it for one writer; a file is made if it is not there, readable by its owner alone.
    pub(super) fn open(&self) -> io::Result<File> {
        let mode = Mode::RUSR | Mode::WUSR;
        let flags = OFlags::APPEND | OFlags::CLOEXEC;
        match self {
            Self::File { name, .. } => {
                // A FIFO in its place must neither be waited for nor be taken for the trail, and `/dev/null` not either.
                let flags = flags | OFlags::CREATE | OFlags::WRONLY | OFlags::NONBLOCK;
                let file = File::from(rustix::fs::openat(CWD, name, flags, mode)?);
                if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("not a regular file any more")) }
            }
            Self::Stream(None) => Ok(io::stdout().as_fd().try_clone_to_owned()?.into()),
            // A FIFO opened for both does not block until someone reads.
            Self::Stream(Some(path)) => Ok(rustix::fs::openat(CWD, path, flags | OFlags::RDWR, mode)?.into()),
        }
    }

    /// Whether the name still leads to this file. True of a stream.
    pub(super) fn holds(&self, identity: Identity) -> io::Result<bool> {
        match self {
            Self::Stream(_) => Ok(true),
            Self::File { name, .. } => match rustix::fs::statx(CWD, name, AtFlags::empty(), WHICH) {
                Ok(found) => Ok(of(&found) == identity),
                Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(false),
                Err(fault) => Err(fault.into()),
            },
        }
    }

    /// Waits until the name itself is on disk.
    pub(super) fn sync_folder(&self) -> io::Result<()> {
        let Self::File { path, .. } = self else { return Ok(()) };
        File::open(folder(path))?.sync_all()
    }
}

/// Which file is open, and whether any name leads to it.
pub(super) fn identify(file: &File) -> io::Result<(Identity, bool)> {
    let found = rustix::fs::statx(file, c"", AtFlags::EMPTY_PATH, WHICH)?;
    Ok((of(&found), found.stx_nlink > 0))
}

/// Not the times: asking for them makes the kernel give the next write a time of its own, and each write of a busy trail
/// would then change the inode as well.
const WHICH: StatxFlags = StatxFlags::INO.union(StatxFlags::NLINK);

fn of(found: &Statx) -> Identity {
    let device = u64::from(found.stx_dev_major) << 32 | u64::from(found.stx_dev_minor);
    Identity { device, inode: found.stx_ino }
}
