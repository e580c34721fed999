//! The log's way to stderr. A pipe that nobody reads and a disk that hangs hold up whoever writes to them, so a broker's
//! lines are written by a thread of their own. They wait in a queue with an end: what comes when it is full is lost,
//! counted, and told as soon as stderr takes lines again.
//!
//! `tracing-appender` does less: it keeps a slot for each line that could wait, bounds their number and not their bytes, tells
//! nobody in the log what it lost, and at an end that finds it full it writes to stdout, where a trail may go.

use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes that wait at most, but for the end of the line that comes last; as much again may be on its way. Some 5,000 lines.
const MOST: usize = 1 << 20;

/// How long to wait before a stderr that was made not to block is tried again.
const RETRY: Duration = Duration::from_millis(10);

/// The process has one stderr.
static LOG: Queue = Queue::new();

/// From here on nobody waits for stderr.
///
/// # Errors
/// There is no thread to be had.
pub fn start() -> io::Result<()> {
    thread::Builder::new().name("log".to_owned()).spawn(|| LOG.carry(&mut io::stderr()))?;
    LOG.carried.store(true, Ordering::Release);
    Ok(())
}

/// Writes whole lines, each with its line break.
pub fn say(lines: &str) {
    put(lines.as_bytes());
}

/// Waits until all lines are written, but no longer than this.
pub fn finish(patience: Duration) {
    LOG.finish(patience);
}

/// Lines lost since the start.
pub fn lost() -> u64 {
    LOG.lost.load(Ordering::Relaxed)
}

/// Where `tracing` writes: each write is one or more whole lines.
#[derive(Debug)]
pub struct Lines;

fn put(lines: &[u8]) {
    if LOG.carried.load(Ordering::Acquire) {
        LOG.put(lines);
    } else {
        // Nobody is left to tell if stderr is gone.
        let _ = io::stderr().write_all(lines);
    }
}

impl Write for Lines {
    fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
        put(lines);
        Ok(lines.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Lines between those who log and the thread that writes.
struct Queue {
    state: Mutex<State>,
    /// There is something to write.
    more: Condvar,
    /// All is written.
    idle: Condvar,
    /// Lines lost since the start.
    lost: AtomicU64,
    /// Whether there is a thread that writes.
    carried: AtomicBool,
}

struct State {
    waiting: Vec<u8>,
    /// Lines lost that nobody has been told of.
    untold: u64,
    /// Whether a batch is being written.
    writing: bool,
    /// Whether the last batch could not be written: what was lost is told once one can.
    failing: bool,
}

impl State {
    fn is_idle(&self) -> bool {
        self.waiting.is_empty() && (self.untold == 0 || self.failing)
    }
}

impl Queue {
    const fn new() -> Self {
        Self {
            state: Mutex::new(State { waiting: Vec::new(), untold: 0, writing: false, failing: false }),
            more: Condvar::new(),
            idle: Condvar::new(),
            lost: AtomicU64::new(0),
            carried: AtomicBool::new(false),
        }
    }

    /// Adds lines; those that find the queue full are lost.
    fn put(&self, lines: &[u8]) {
        let mut state = self.state();
        if state.waiting.len() >= MOST {
            self.lose(&mut state, lines);
            return;
        }
        let first = state.waiting.is_empty();
        state.waiting.extend_from_slice(lines);
        drop(state);
        if first {
            self.more.notify_one();
        }
    }

    /// Writes what comes, for ever.
    fn carry(&self, out: &mut impl Write) {
        loop {
            let (batch, untold) = self.take();
            if untold > 0 {
                // The queue has just been emptied: this stands where they are missing.
                tracing::error!(lost = untold, "lines of the log were lost: stderr did not take them in time");
            }
            let rest = write(out, &batch);
            self.wrote(rest);
        }
    }

    /// Waits for what is to be written, and how many lines were lost behind it.
    fn take(&self) -> (Vec<u8>, u64) {
        let state = self.state();
        let mut state = self.more.wait_while(state, |state| state.is_idle()).unwrap_or_else(PoisonError::into_inner);
        state.writing = true;
        let untold = if state.failing { 0 } else { std::mem::take(&mut state.untold) };
        (std::mem::take(&mut state.waiting), untold)
    }

    /// Of the batch, this could not be written.
    fn wrote(&self, rest: &[u8]) {
        let mut state = self.state();
        state.writing = false;
        state.failing = !rest.is_empty();
        self.lose(&mut state, rest);
        drop(state);
        self.idle.notify_all();
    }

    fn lose(&self, state: &mut State, lines: &[u8]) {
        let count = memchr::memchr_iter(b'\n', lines).count() as u64;
        state.untold += count;
        self.lost.fetch_add(count, Ordering::Relaxed);
    }

    fn finish(&self, patience: Duration) {
        if !self.carried.load(Ordering::Acquire) {
            return;
        }
        let busy = |state: &mut State| state.writing || !state.is_idle();
        // Whoever ends can do no more for them.
        let _ = self.idle.wait_timeout_while(self.state(), patience, busy);
    }

    /// A state is whole at every instant, so a panicked holder's poison means nothing.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes all of it, or gives back what could not be written.
fn write<'b>(out: &mut impl Write, mut rest: &'b [u8]) -> &'b [u8] {
    while !rest.is_empty() {
        match out.write(rest) {
            Ok(0) => break,
            Ok(count) => rest = &rest[count..],
            Err(fault) if fault.kind() == ErrorKind::Interrupted => {}
            Err(fault) if fault.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY),
            Err(_) => break,
        }
    }
    rest
}

#[cfg(test)]
mod tests;
