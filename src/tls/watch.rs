//! Values read from files, read again when the files change, swapped whole.
//!
//! A replacement that can't be used keeps the old value and is reported once. Nothing here starts a task: whoever owns
//! a [`Watched`] calls [`Watched::poll`] about once a second, away from the threads that serve requests, since it does
//! blocking reads when a file has changed (and only `stat` when none has).

use super::Error;
use crate::config::Stamp;
use arc_swap::ArcSwap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

/// What a [`Watched::poll`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reload {
    /// Nothing new, or a fault that was already reported.
    Unchanged,
    /// The new value is in place.
    Replaced,
    /// The files changed and can't be used; the old value stays.
    Refused(Error),
}

/// A value read from files, and re-read when they change.
pub struct Watched<T> {
    /// Reads the files.
    load: Box<dyn Fn() -> Result<T, Error> + Send + Sync>,
    /// Whose change means a new read.
    paths: Vec<PathBuf>,
    /// What readers see.
    current: ArcSwap<T>,
    /// What the last read saw.
    seen: Mutex<Seen>,
}

/// The state of the last read.
struct Seen {
    /// Taken before the read, so that a write during it shows as a change afterwards.
    stamps: Vec<Option<Stamp>>,
    /// Why the last read failed; it is tried again at every poll, for the files may be half-written.
    fault: Option<Error>,
}

impl<T> Watched<T> {
    /// Reads the value for the first time; a fault here is final.
    ///
    /// # Errors
    /// What `load` says.
    pub fn open(
        paths: Vec<PathBuf>,
        load: impl Fn() -> Result<T, Error> + Send + Sync + 'static,
    ) -> Result<Self, Error> {
        let stamps = paths.iter().map(|path| Stamp::of(path)).collect();
        let current = ArcSwap::from_pointee(load()?);
        Ok(Self { load: Box::new(load), paths, current, seen: Mutex::new(Seen { stamps, fault: None }) })
    }

    /// The value now.
    pub fn current(&self) -> Arc<T> {
        self.current.load_full()
    }

    /// Reads the files again if they changed.
    pub fn poll(&self) -> Reload {
        let stamps: Vec<_> = self.paths.iter().map(|path| Stamp::of(path)).collect();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.fault.is_none() && seen.stamps == stamps {
            return Reload::Unchanged;
        }
        seen.stamps = stamps;
        match (self.load)() {
            Ok(value) => {
                self.current.store(Arc::new(value));
                seen.fault = None;
                Reload::Replaced
            }
            Err(fault) if seen.fault.as_ref() == Some(&fault) => Reload::Unchanged,
            Err(fault) => {
                seen.fault = Some(fault.clone());
                Reload::Refused(fault)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    /// A watched number in a file.
    fn watched(path: &Path) -> Result<Watched<u32>, Error> {
        let file = path.to_owned();
        Watched::open(vec![path.to_owned()], move || {
            let text = std::fs::read_to_string(&file).map_err(|e| Error::of(&file, e.to_string()))?;
            text.trim().parse().map_err(|_| Error::of(&file, "not a number"))
        })
    }

    #[test]
    fn a_bad_replacement_keeps_the_old_and_is_reported_once() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let path = dir.path().join("n");
        assert!(watched(&path).is_err(), "a first read that fails is final");
        std::fs::write(&path, "1").expect("writable");
        let number = watched(&path).expect("readable");
        assert_eq!(number.poll(), Reload::Unchanged);
        std::fs::write(&path, "22x").expect("writable");
        assert_eq!(number.poll(), Reload::Refused(Error::of(&path, "not a number")));
        assert_eq!(number.poll(), Reload::Unchanged);
        assert_eq!(*number.current(), 1);
        std::fs::remove_file(&path).expect("there");
        assert!(matches!(number.poll(), Reload::Refused(_)), "another fault is news");
        assert_eq!(*number.current(), 1);
        std::fs::write(&path, "333").expect("writable");
        assert_eq!(number.poll(), Reload::Replaced);
        assert_eq!(*number.current(), 333);
    }

    #[test]
    fn a_symlink_swap_is_a_change() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        // As Kubernetes lays out a projected volume: n -> ..data/n, ..data -> ..1
        for (version, text) in [("..1", "1"), ("..2", "2")] {
            std::fs::create_dir(dir.path().join(version)).expect("new");
            std::fs::write(dir.path().join(version).join("n"), text).expect("writable");
        }
        let link = |to: &str, at: &str| std::os::unix::fs::symlink(to, dir.path().join(at)).expect("new");
        link("..1", "..data");
        link("..data/n", "n");
        let number = watched(&dir.path().join("n")).expect("readable");
        link("..2", "..tmp");
        std::fs::rename(dir.path().join("..tmp"), dir.path().join("..data")).expect("atomic");
        assert_eq!(number.poll(), Reload::Replaced);
        assert_eq!(*number.current(), 2);
    }
}
