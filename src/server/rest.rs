//! Connections at rest: woken when something comes, closed when it takes too long.

use super::core::{Core, Resting};
use super::h1;
use crate::net::Stream;
use std::rc::Rc;
use std::time::Duration;

/// Time between two looks for those that have rested too long.
const LOOK: Duration = Duration::from_secs(1);

/// A pause when the operating system does not say what has come: asking again at once would only spin.
const PAUSE: Duration = Duration::from_millis(50);

/// Wakes and closes for ever.
pub async fn tend(core: Rc<Core>) {
    let mut looks = tokio::time::interval(LOOK);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            woken = core.lot.stirred() => {
                if let Err(error) = woken.map(wake) {
                    tracing::warn!(%error, "connections at rest could not be watched");
                    tokio::time::sleep(PAUSE).await;
                }
                // Those that woke to their end give back their room before the next ones wake.
                tokio::task::yield_now().await;
            }
            _ = looks.tick() => core.lot.sweep(core.watchdog.now()),
        }
    }
}

/// Ends all rest: what has come is served, the broker stops for all others.
pub fn end(core: &Core) {
    while let Ok(woken) = core.lot.woken()
        && !woken.is_empty()
    {
        wake(woken);
    }
    core.lot.clear();
}

/// Serves connections on which something has come.
fn wake(woken: Vec<(Stream, Resting)>) {
    for (stream, resting) in woken {
        let (connection, counted) = resting.wake();
        tokio::task::spawn_local(h1::serve(counted, stream, connection));
    }
}
