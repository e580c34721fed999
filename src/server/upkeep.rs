//! A thread that looks at the files of TLS once a second, so that no request waits for a disk.

use super::shared::Shared;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// Time between two looks.
const INTERVAL: Duration = Duration::from_secs(1);

/// Starts the thread; it ends with the server that publishes `shared`.
pub fn start(mut shared: watch::Receiver<Shared>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let run = move || {
        runtime.block_on(async move {
            loop {
                tokio::select! {
                    () = tokio::time::sleep(INTERVAL) => {
                        let tls = Arc::clone(&shared.borrow().tls);
                        tls.poll();
                    }
                    changed = shared.changed() => if changed.is_err() { return },
                }
            }
        });
    };
    std::thread::Builder::new().name("certificates".to_owned()).spawn(run).map(drop)
}
