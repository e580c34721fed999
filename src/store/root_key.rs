//! Where the root key comes from: a file or the environment; a file is made only together with a new embedded store.

use super::error::{Result, StoreError};
use super::seal::{KEY_LEN, RootKey};
use crate::config;
use crate::secret::random;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use zeroize::Zeroizing;

/// Reads the root key; never makes one.
pub(super) fn read(from: &config::RootKey) -> Result<RootKey> {
    match from {
        config::RootKey::Value(value) => decode(value.expose(), "store.root_key (environment)"),
        config::RootKey::File(path) => read_file(path),
    }
}

/// Reads the root key of a store that is still to be made, and that makes its file too.
pub(super) fn read_if_there(from: &config::RootKey) -> Result<()> {
    match from {
        config::RootKey::File(path) if !path.exists() => Ok(()),
        _ => read(from).map(drop),
    }
}

/// Reads the root key, making the file (mode 0600) if there is none: only for a store that doesn't exist yet.
pub(super) fn read_or_make(from: &config::RootKey) -> Result<RootKey> {
    let config::RootKey::File(path) = from else { return read(from) };
    match make(path) {
        Ok(()) => tracing::warn!("made the root key {}: keep a copy of it apart", path.display()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => return Err(StoreError::RootKey(format!("{} can't be made: {error}", path.display()))),
    }
    read_file(path)
}

/// Names where the root key is looked for.
pub(super) fn name(from: &config::RootKey) -> String {
    match from {
        config::RootKey::File(path) => format!("file {}", path.display()),
        config::RootKey::Value(_) => "the environment variable of store.root_key".to_owned(),
    }
}

fn read_file(path: &Path) -> Result<RootKey> {
    let text = std::fs::read(path).map(Zeroizing::new).map_err(|error| {
        let hint = if error.kind() == ErrorKind::NotFound {
            "; it is never made anew for a store that exists: restore it from your copy. For a new PostgreSQL store make it \
             once (openssl rand -base64 32 > FILE; chmod 600 FILE) and give every replica that same file"
        } else {
            ""
        };
        StoreError::RootKey(format!("{}: {error}{hint}", path.display()))
    })?;
    let open = std::fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0);
    if open {
        tracing::warn!(path = %path.display(), "the root key can be read by others; chmod 600 it");
    }
    decode(&text, &path.display().to_string())
}

fn decode(text: &[u8], name: &str) -> Result<RootKey> {
    let bytes = STANDARD.decode(text.trim_ascii()).map(Zeroizing::new).ok();
    let key = bytes.and_then(|bytes| <[u8; KEY_LEN]>::try_from(bytes.as_slice()).ok().map(Zeroizing::new));
    key.map(RootKey::new).ok_or_else(|| {
        StoreError::RootKey(format!("{name} does not hold 32 bytes of base64 (as `openssl rand -base64 32` prints)"))
    })
}

/// Writes a new key beside `path` and links it into place, so that nobody ever reads half a key or replaces one.
fn make(path: &Path) -> std::io::Result<()> {
    if path.symlink_metadata().is_ok() {
        return Err(ErrorKind::AlreadyExists.into());
    }
    let bytes = random::<KEY_LEN>();
    let text = Zeroizing::new(format!("{}\n", STANDARD.encode(*bytes)));
    let mut draft = path.as_os_str().to_owned();
    draft.push(format!(".{}.new", std::process::id()));
    let draft = Path::new(&draft);
    let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(draft)?;
    let placed =
        file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| std::fs::hard_link(draft, path));
    let _ = std::fs::remove_file(draft);
    placed
}
