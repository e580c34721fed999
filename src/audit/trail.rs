//! The trail of one process: opened once, closed once.

use super::chain::{Head, ROOT};
use super::control::{Control, Mended, TrailId, Why};
use super::health::{Counts, Health, PATIENCE, State, Trouble};
use super::inbox::Inbox;
use super::job::{Job, MOST_JOBS};
use super::lane::{Lane, Scribe};
use super::mend::{begin, blank, lock, lock_all, write_last};
use super::place::{Place, identify};
use super::private::Private;
use super::recorder::Recorder;
use super::resume::{Resumed, resume, resume_after};
use super::rotate;
use super::scribe;
use super::shared::{Hand, Shared};
use super::ship::Shipping;
use super::slot::Slot;
use super::waiters::AuditUnavailable;
use super::warden;
use crate::clock::Clock;
use crate::config::{Audit, AuditMode};
use crate::secret::random;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;
use tokio::sync::oneshot;

/// The trail of this process; cheap to clone.
#[derive(Clone, Debug)]
pub struct Trail(Way);

/// How records get into the file.
#[derive(Clone, Debug)]
enum Way {
    /// This process writes it.
    Own(Arc<Shared>),
    /// The broker takes them from its inbox; `None`: the trail is no file.
    Inbox(Option<Arc<Inbox>>),
}

/// How long a start waits for another process to let go of the file: one that is being replaced ends within it.
const LOCK_PATIENCE: Duration = Duration::from_secs(3);

impl Trail {
    /// Opens the trail for `cores` recorders, going on where the last run stopped.
    ///
    /// # Errors
    /// The file can't be written, or another process writes it; a key that can't be read or made; a place to ship to that can't
    /// be used.
    pub fn open(config: &Audit, cores: usize, clock: Clock) -> io::Result<Self> {
        let place = Place::new(config.file.as_deref())?;
        let mut first = open_and_lock(&place, &clock)?;
        let (past, why, mended) = match &place {
            Place::Stream(_) => (None, Why::New, Mended::default()),
            Place::File { path, .. } => find_past(path, &first, &clock)?,
        };
        if !place.holds(identify(&first)?.0)? {
            // It held no trail.
            first = open_and_lock(&place, &clock)?;
        }
        // The trail's own writer keeps this descriptor: with the lock let go, another broker could write meanwhile.
        let mut first = Some(first);
        let trail = past.as_ref().map_or_else(new_trail_id, |past| Ok(past.trail))?;
        let mut control = Control::new(trail, config.signing_key.as_ref())?;
        let mut heads = past.map(|past| past.heads).unwrap_or_default();
        let stream = matches!(place, Place::Stream(_)).then(Arc::<AtomicU64>::default);
        let slots = (0..=cores)
            .map(|n| {
                let writer = u64::try_from(n).map_err(io::Error::other)?;
                let head = heads.remove(&writer).unwrap_or_else(|| Head::new(writer, ROOT));
                let file = first.take().map_or_else(|| place.open(), Ok)?;
                Ok(Mutex::new(Slot::new(head, file, stream.clone())?))
            })
            .collect::<io::Result<Box<[_]>>>()?;
        control.retired = heads.into_values().collect();
        let (jobs, asked) = mpsc::sync_channel(MOST_JOBS);
        let shared = Arc::new(Shared {
            mode: config.mode,
            durability: config.durability,
            place,
            health: Health::default(),
            lanes: slots.iter().map(|_| Lane::default()).collect(),
            slots,
            began: clock.instant(),
            at_work: <[AtomicU64; 2]>::default(),
            clock,
            scribe: Scribe::default(),
            control: Mutex::new(control),
            private: Private::new(config)?,
            shipping: Shipping::start(config)?,
            jobs,
            turn: Mutex::default(),
            max_size: config.max_size,
            rotation_due: AtomicBool::new(false),
            recovery_due: AtomicBool::new(false),
            closed: Arc::default(),
        });
        let begun = begin(&shared, &mut lock_all(&shared).ok_or(io::ErrorKind::TimedOut)?, why, &mended);
        if let Err(fault) = begun {
            begin_later(&shared, fault)?;
        }
        warden::start(&shared, asked, config.retention, config.max_age)?;
        scribe::start(&shared)?;
        Ok(Self(Way::Own(shared)))
    }

    /// The trail of a broker that may be running, for a process that only leaves records with [`Trail::admin_record`]. The
    /// broker writes them within a second, or when it starts. Of a trail on stdout nothing can be left for.
    pub fn visit(config: &Audit, clock: Clock) -> Self {
        let file = config.file.as_deref().filter(|file| !file.exists() || file.is_file());
        Self(Way::Inbox(file.map(|file| Arc::new(Inbox::new(file, clock)))))
    }

    /// The recorder of core number `core`, from 0; one per core, taken inside the core's local runtime.
    ///
    /// # Panics
    /// If `core` is not below the number of cores that the trail was opened for, or the trail is visited.
    pub fn recorder(&self, core: usize) -> Recorder {
        let shared = self.own().filter(|shared| core + 1 < shared.slots.len());
        let shared = shared.expect("the trail was opened for this core: its opener counts them");
        Recorder::start(shared.clone(), core + 1)
    }

    /// Whether records can be kept now.
    pub fn healthy(&self) -> bool {
        self.trouble().is_none()
    }

    /// Why records can't be kept now, for `/readyz`.
    pub fn trouble(&self) -> Option<Trouble> {
        let shared = self.own()?;
        match shared.health.state() {
            State::Down(trouble) => Some(trouble),
            State::Up | State::Mending => shared.is_stuck(&[Hand::Scribe, Hand::Warden]).then_some(Trouble::Stuck),
        }
    }

    /// Whether nothing may be done now that must be recorded: records are required, and can't be kept.
    pub fn forbids(&self) -> bool {
        self.requires() && !self.healthy()
    }

    /// Whether records are required, of the trail that this process writes.
    pub fn requires(&self) -> bool {
        self.own().is_some_and(|shared| shared.mode == AuditMode::Required)
    }

    /// What was written and what was not, since the process began.
    pub fn counts(&self) -> Counts {
        self.own().map(|shared| shared.health.counts()).unwrap_or_default()
    }

    /// Records an admin action or a step in a key's life; resolves when it is kept, or after two seconds when the disk
    /// hangs. Of a visited trail the actor is the command, and the disk is waited for here. Needs a runtime with timers.
    ///
    /// # Errors
    /// It is not known to be kept.
    pub async fn admin_record(
        &self,
        actor: &str,
        action: &str,
        subject: &str,
        result: &str,
    ) -> Result<(), AuditUnavailable> {
        let shared = match &self.0 {
            Way::Own(shared) => shared,
            Way::Inbox(None) => return Ok(()),
            Way::Inbox(Some(inbox)) => {
                return inbox.leave(action, subject, result).map_err(|fault| {
                    tracing::error!(%fault, "nothing can be left for the audit trail");
                    AuditUnavailable
                });
            }
        };
        // Known already: whoever asks again does not wait again.
        if self.trouble().is_some() {
            return Err(AuditUnavailable);
        }
        let fields = [("actor", actor), ("action", action), ("subject", subject), ("result", result)];
        let batch = shared.control().admin(shared.clock.unix_micros(), &fields);
        let (reply, answer) = oneshot::channel();
        shared.ask(Job::Record(batch, reply));
        match tokio::time::timeout(PATIENCE, answer).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false) | Err(_)) | Err(_) => Err(AuditUnavailable),
        }
    }

    /// Writes the closing record, after every recorder is gone; a disk that hangs holds this up for a few seconds and no
    /// longer. A trail that is dropped closes too, but a process that exits at once may be faster.
    pub fn close(&self) {
        if let Some(shared) = self.own() {
            shared.close();
        }
    }

    fn own(&self) -> Option<&Arc<Shared>> {
        match &self.0 {
            Way::Own(shared) => Some(shared),
            Way::Inbox(_) => None,
        }
    }
}

#[cfg(test)]
impl Trail {
    pub(super) fn shared(&self) -> &Arc<Shared> {
        self.own().expect("opened here")
    }
}

impl Shared {
    fn close(&self) {
        if self.closed.swap(true, Ordering::SeqCst) {
            return;
        }
        let (reply, answer) = mpsc::sync_channel(1);
        self.ask(Job::Close(reply));
        // What is down already need not be waited for.
        let written = self.health.state() == State::Up && answer.recv_timeout(PATIENCE) == Ok(true);
        self.end(written);
    }

    fn end(&self, written: bool) {
        if !written {
            tracing::warn!("the audit trail could not be closed with its last record");
        }
        self.shipping.end(|| self.clock.instant());
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if !self.closed.swap(true, Ordering::SeqCst) {
            // The warden has no trail any more.
            self.end(write_last(self));
        }
        self.scribe.wake();
    }
}

/// A file that takes no record now may take some later: a broker that starts on a full disk does what one does whose disk
/// became full. Whatever else is wrong is the start's to tell.
fn begin_later(shared: &Shared, fault: io::Error) -> io::Result<()> {
    let trouble = Trouble::of(&fault);
    if trouble != Trouble::Full {
        return Err(fault);
    }
    tracing::error!(%fault, "the audit trail can't be begun");
    shared.fault(trouble);
    Ok(())
}

/// Opens the file and locks it against other processes. One that was rotated away while this waited is let go.
fn open_and_lock(place: &Place, clock: &Clock) -> io::Result<File> {
    loop {
        let file = place.open()?;
        if matches!(place, Place::Stream(_)) {
            return Ok(file);
        }
        lock(&file, clock, LOCK_PATIENCE)?;
        if place.holds(identify(&file)?.0)? {
            return Ok(file);
        }
    }
}

/// Finds the chains to go on with: in the file, or in the one that was rotated before it.
fn find_past(path: &Path, file: &File, clock: &Clock) -> io::Result<(Option<Resumed>, Why, Mended)> {
    let nothing = Mended::default();
    if file.metadata()?.len() > 0 {
        // Opened for appending: reading needs another descriptor.
        let length = file.metadata()?.len();
        if let Some(past) = resume(&File::open(path)?)? {
            let cut = length - past.whole;
            if cut > 0 {
                file.set_len(past.whole)?;
                tracing::warn!(bytes = cut, "mended a torn last line of the audit file");
            }
            for &(from, length) in &past.torn {
                blank(path, from, length)?;
            }
            let mended = Mended { cut, blanked: past.torn.clone() };
            return Ok((Some(past), Why::Restart, mended));
        }
        let aside = rotate::with_suffix(&rotate::rotated_name(path, clock.unix_micros()), ".foreign");
        tracing::warn!(aside = %aside.display(), "the audit file holds no trail: it is set aside");
        fs::rename(path, aside)?;
    }
    Ok(match past_of_missing(path)? {
        Some((past, why)) => (Some(past), why, nothing),
        None => (None, Why::New, nothing),
    })
}

/// Where the chains stand of a trail whose file is not there: it was rotated, or somebody has renamed it since. Of two, the one
/// that came further.
fn past_of_missing(path: &Path) -> io::Result<Option<(Resumed, Why)>> {
    let rotated = rotate::rotated(path)?.pop().map(|file| (file, Why::Rotated));
    let renamed = rotate::renamed(path)?.map(|file| (file, Why::Renamed));
    let mut pasts = Vec::new();
    for (file, why) in rotated.into_iter().chain(renamed) {
        pasts.extend(resume_after(rotate::open(&file)?)?.map(|past| (past, why)));
    }
    Ok(pasts.into_iter().max_by_key(|(past, _)| past.heads.get(&0).map(|head| head.seq)))
}

fn new_trail_id() -> io::Result<TrailId> {
    let mut id = [0; 32];
    hex::encode_to_slice(*random::<16>(), &mut id).map_err(io::Error::other)?;
    Ok(id)
}
