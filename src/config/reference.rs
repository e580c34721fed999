//! Secret references, `env:NAME` and `file:PATH`, and how they are read.

use super::raw::{Entry, Wrong};
use crate::secret::Secret;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Largest secret file, in bytes: Twilio's secrets are 32 characters; keys and connection strings fit many times over.
const MAX_SECRET: u64 = 64 << 10;

const NO_FILE: &str = "no such file";

const MEND: &str = "write \"env:NAME\" or \"file:PATH\"";

/// A reference, not followed yet.
pub(super) enum Reference<'a> {
    Env(&'a str),
    File(PathBuf, &'a str),
}

/// Tells a reference from a literal. A literal is refused and never repeated.
pub(super) fn reference<'a>(entry: &Entry<'a, '_>) -> Result<Reference<'a>, Wrong> {
    let text = entry.text(MEND)?;
    match text.split_once(':') {
        Some(("env", name)) if is_name(name) => Ok(Reference::Env(name)),
        Some(("env", _)) => Err(Wrong::new("`env:` is not followed by a variable's name", MEND)),
        Some(("file", path)) if !path.is_empty() && !path.contains('\0') => {
            Ok(Reference::File(entry.gather.path(path), path))
        }
        Some(("file", _)) => Err(Wrong::new("`file:` is not followed by a path", MEND)),
        _ => Err(Wrong::new(
            "is a literal secret",
            format!("{MEND}, and replace the secret: whoever could read this file has seen it"),
        )),
    }
}

/// Follows a reference to text that can stand in a header, and boxes it.
pub(super) fn secret(entry: &Entry<'_, '_>) -> Result<Secret, Wrong> {
    text(entry).map(|text| boxed(&text))
}

/// Boxes text that was followed and looked at; the caller's copy wipes itself.
pub(super) fn boxed(text: &str) -> Secret {
    Secret::new(text.as_bytes())
}

/// Follows a reference to text that can stand in a header: not empty, UTF-8, no control characters.
pub(super) fn text(entry: &Entry<'_, '_>) -> Result<Zeroizing<String>, Wrong> {
    let bytes = follow(entry)?;
    let text = std::str::from_utf8(&bytes).map_err(|_| Wrong::new("what it refers to is not UTF-8 text", RAW))?;
    if text.is_empty() {
        return Err(Wrong::new("what it refers to is empty", RAW));
    }
    if text.chars().any(char::is_control) {
        return Err(Wrong::new("what it refers to holds a line break or another control character", RAW));
    }
    if text.trim().len() != text.len() {
        return Err(Wrong::new("what it refers to begins or ends with a blank", RAW));
    }
    Ok(Zeroizing::new(text.to_owned()))
}

const RAW: &str = "store the secret alone, as one line of text without quotes or blanks";

/// Follows a reference to 32 bytes in base64 and decodes them.
pub(super) fn key_bytes(entry: &Entry<'_, '_>) -> Result<Secret, Wrong> {
    decode_key(&text(entry)?)
}

/// Decodes 32 bytes of base64.
pub(super) fn decode_key(text: &str) -> Result<Secret, Wrong> {
    let bytes = STANDARD.decode(text).map(Zeroizing::new);
    match bytes {
        Ok(bytes) if bytes.len() == 32 => Ok(Secret::new(bytes.as_slice())),
        _ => Err(Wrong::new("what it refers to is not 32 bytes in base64", "make one with `openssl rand -base64 32`")),
    }
}

/// Reads a text file of at most `max` bytes; what is wrong with it in words otherwise.
pub(super) fn read_text(path: &Path, max: u64) -> Result<String, String> {
    let (bytes, _) = read_file(path, max)?;
    std::str::from_utf8(&bytes).map(str::to_owned).map_err(|_| "it is not UTF-8 text".to_owned())
}

fn follow(entry: &Entry<'_, '_>) -> Result<Zeroizing<Vec<u8>>, Wrong> {
    match reference(entry)? {
        Reference::Env(name) => match entry.gather.environment.var(name) {
            Some(value) => Ok(Zeroizing::new(value.into_encoded_bytes())),
            None => Err(Wrong::new(format!("{} is not set", variable(name)), "set it where sidekey is started")),
        },
        Reference::File(path, spelled) => {
            let (mut bytes, mode) = read_file(&path, MAX_SECRET).map_err(|what| {
                let absent = what == NO_FILE;
                let mend = if absent { "make it, with the secret alone in it" } else { "make it readable to sidekey" };
                Wrong::new(format!("{} can't be read: {what}", file(spelled, &path)), mend)
            })?;
            warn_if_open(entry, &file(spelled, &path), mode);
            entry.gather.sources.borrow_mut().push(path);
            // Editors and `echo` end a file with a line break; it is not part of the secret.
            let end =
                bytes.strip_suffix(b"\n").map_or(bytes.len(), |rest| rest.strip_suffix(b"\r").unwrap_or(rest).len());
            bytes.truncate(end);
            Ok(bytes)
        }
    }
}

/// Warns of a secret file that others can read, or that its group can write.
pub(super) fn warn_if_open(entry: &Entry<'_, '_>, file: &str, mode: u32) {
    if mode & 0o027 != 0 {
        entry.warn(Wrong::new(format!("{file} is open to others (mode {:03o})", mode & 0o777), "chmod 600 it"));
    }
}

/// Reads a regular file of at most `max` bytes, and its mode.
fn read_file(path: &Path, max: u64) -> Result<(Zeroizing<Vec<u8>>, u32), String> {
    // NONBLOCK: opening a FIFO that nobody writes to would wait for ever.
    let file = rustix::fs::open(path, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())
        .map(File::from)
        .map_err(|error| words(&error.into()))?;
    let facts = file.metadata().map_err(|error| words(&error))?;
    if !facts.is_file() {
        return Err("it is not a regular file".to_owned());
    }
    if facts.len() > max {
        return Err(format!("it is larger than {max} bytes"));
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(facts.len()).unwrap_or(0) + 1));
    file.take(max).read_to_end(&mut bytes).map_err(|error| words(&error))?;
    Ok((bytes, facts.permissions().mode()))
}

/// An I/O error in plain words.
pub(super) fn words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => NO_FILE.to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

/// Whether `name` can be a variable's name.
fn is_name(name: &str) -> bool {
    let first = name.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    first && name.len() <= 128 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A variable in words. One that is not in capitals may be a secret that somebody put after `env:`, and isn't repeated.
fn variable(name: &str) -> String {
    let capitals = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
    if capitals { format!("the variable {name}") } else { "the variable named here".to_owned() }
}

/// A file in words. One spelled without a slash or a dot may be a secret that somebody put after `file:`.
fn file(spelled: &str, path: &Path) -> String {
    if spelled.contains(['/', '.']) { format!("{}", path.display()) } else { "the file named here".to_owned() }
}
