//! What a writer, a core or an admin asks of the warden.

use super::batch::Batch;
use std::sync::mpsc::SyncSender;
use tokio::sync::oneshot;

/// What the warden is asked.
#[derive(Debug)]
pub(super) enum Job {
    /// The trail can't be written, or its file was moved.
    Recover,
    /// The file is too big.
    Rotate,
    /// Write this record of the trail's own.
    Record(Batch, oneshot::Sender<bool>),
    /// Write the trail's last record.
    Close(SyncSender<bool>),
}
