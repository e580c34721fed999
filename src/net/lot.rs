//! Idle connections, without a task and without the event loop's books: a place in a table, and an epoll of their own.
//!
//! A task, its future and what the runtime keeps of a socket are some KiB; a place here is less than 200 bytes. It costs a
//! few calls into the kernel to come and to go, so that only what has been silent for a while should come.

use super::pages::Pages;
use super::stream::Stream;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use std::cell::RefCell;
use std::io;
use std::os::fd::OwnedFd;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Connections that are woken at once: each then takes the room of one that is busy, and most that wake have ended.
const AT_ONCE: usize = 64;

/// The idle connections of one core, and what is kept of each.
#[derive(Debug)]
pub struct Lot<T> {
    epoll: AsyncFd<OwnedFd>,
    places: RefCell<Pages<Place<T>>>,
}

#[derive(Debug)]
struct Place<T> {
    stream: Stream,
    kept: T,
    /// Last tick of its rest.
    until: u64,
}

impl<T> Lot<T> {
    /// An empty one, watched by the runtime that this is called in.
    ///
    /// # Errors
    /// The operating system's.
    #[expect(
        deprecated,
        reason = "its successor is unsafe for types that may close their descriptor; an OwnedFd does not"
    )]
    pub fn new() -> io::Result<Self> {
        let epoll = AsyncFd::with_interest(epoll::create(CreateFlags::CLOEXEC)?, Interest::READABLE)?;
        Ok(Self { epoll, places: RefCell::default() })
    }

    /// Connections in it.
    pub fn count(&self) -> usize {
        self.places.borrow().len()
    }

    /// Takes a connection, until something comes on it or a [`Lot::sweep`] after the tick `until`.
    ///
    /// # Errors
    /// The operating system's; the connection is closed.
    pub fn park(&self, stream: Stream, kept: T, until: u64) -> io::Result<()> {
        let stream = stream.rest()?;
        let mut places = self.places.borrow_mut();
        let socket = stream.socket().ok_or(io::ErrorKind::NotConnected)?;
        let data = EventData::new_u64(places.vacant_key() as u64);
        epoll::add(self.epoll.get_ref(), socket, data, EventFlags::IN | EventFlags::RDHUP)?;
        places.insert(Place { stream, kept, until });
        Ok(())
    }

    /// Waits until something comes on a connection, and gives up those on which something did.
    ///
    /// # Errors
    /// The operating system's.
    pub async fn stirred(&self) -> io::Result<Vec<(Stream, T)>> {
        loop {
            let mut ready = self.epoll.readable().await?;
            let woken = self.woken()?;
            if !woken.is_empty() {
                return Ok(woken);
            }
            ready.clear_ready();
        }
    }

    /// Gives up connections on which something has come, a number of them at once.
    ///
    /// # Errors
    /// The operating system's.
    pub fn woken(&self) -> io::Result<Vec<(Stream, T)>> {
        let mut events: Vec<Event> = Vec::with_capacity(AT_ONCE);
        match epoll::wait(self.epoll.get_ref(), spare_capacity(&mut events), Some(&Timespec::default())) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut places = self.places.borrow_mut();
        let mut woken = Vec::with_capacity(events.len());
        for event in events {
            let place = usize::try_from(event.data.u64()).ok().and_then(|key| places.try_remove(key));
            let Some(Place { stream, kept, .. }) = place else { continue };
            // One that can't be had back is closed, and the others are served.
            match self.leave(stream) {
                Ok(stream) => woken.push((stream, kept)),
                Err(error) => tracing::warn!(%error, "a connection at rest was closed"),
            }
        }
        Ok(woken)
    }

    fn leave(&self, stream: Stream) -> io::Result<Stream> {
        let socket = stream.socket().ok_or(io::ErrorKind::NotConnected)?;
        epoll::delete(self.epoll.get_ref(), socket)?;
        stream.rouse()
    }

    /// Closes connections whose rest has lasted too long.
    pub fn sweep(&self, now: u64) {
        self.places.borrow_mut().retain(|place| now <= place.until);
    }

    /// Closes all of them.
    pub fn clear(&self) {
        drop(self.places.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use tokio::io::AsyncReadExt;
    use tokio::net::UnixStream;

    #[tokio::test]
    async fn a_connection_rests_until_something_comes_or_its_time_is_over() {
        let lot = Lot::new().expect("an epoll");
        let mut far = Vec::new();
        for number in 0..3 {
            let (near, other) = std::os::unix::net::UnixStream::pair().expect("a pair");
            near.set_nonblocking(true).expect("an option");
            let near = Stream::Unix(UnixStream::from_std(near).expect("a stream"));
            lot.park(near, number, 7 + number).expect("a place");
            far.push(other);
        }
        assert!(lot.woken().expect("an epoll").is_empty());
        far[1].write_all(b"hello").expect("bytes go out");
        let mut woken = lot.stirred().await.expect("an epoll");
        let (mut stream, number) = woken.pop().expect("one");
        assert!((number, woken.len(), lot.count()) == (1, 0, 2));
        let mut bytes = [0; 5];
        stream.read_exact(&mut bytes).await.expect("bytes");
        assert_eq!(&bytes, b"hello");
        // It may come back, and its place may have been another's.
        lot.park(stream, 4, 11).expect("a place");
        drop(far.remove(1));
        assert_eq!(lot.stirred().await.expect("an epoll").len(), 1, "an end is something");
        lot.sweep(8);
        assert_eq!(lot.count(), 1);
        lot.clear();
        assert_eq!(lot.count(), 0);
    }
}
