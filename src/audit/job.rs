//! What a writer, a core or an admin asks of the warden.

use super::batch::Batch;
use std::sync::mpsc::SyncSender;
use tokio::sync::oneshot;

/// Jobs that may wait for the warden: more than the admin API has connections, so that all wait for a slow disk alike. What
/// finds no room is refused, as it is when the disk hangs.
pub(super) const MOST_JOBS: usize = 128;

/// What the warden is asked.
#[derive(Debug)]
pub(super) enum Job {
    /// Look at once what is due.
    Look,
    /// Write this record of the trail's own.
    Record(Batch, oneshot::Sender<bool>),
    /// Write the trail's last record.
    Close(SyncSender<bool>),
}
