use super::*;
use std::sync::mpsc;

/// What a queue has to write now.
fn next(queue: &Queue) -> (String, u64) {
    let (batch, untold) = queue.take();
    (String::from_utf8(batch).expect("text"), untold)
}

#[test]
fn lines_come_out_in_their_order() {
    let queue = Queue::new();
    queue.put(b"one\n");
    queue.put(b"two\nthree\n");
    assert_eq!(next(&queue), ("one\ntwo\nthree\n".to_owned(), 0));
}

#[test]
fn a_full_queue_loses_what_comes_and_tells_how_much() {
    let queue = Queue::new();
    queue.put(&vec![b'x'; MOST]);
    queue.put(b"lost\n");
    queue.put(b"lost\nlost\n");
    let (batch, untold) = queue.take();
    assert_eq!((batch.len(), untold), (MOST, 3));
    queue.put(b"kept\n");
    queue.wrote(b"");
    assert_eq!(next(&queue), ("kept\n".to_owned(), 0));
    assert_eq!(queue.lost.load(Ordering::Relaxed), 3);
}

#[test]
fn what_was_lost_is_told_once_stderr_takes_lines_again() {
    let queue = Queue::new();
    queue.put(b"one\ntwo\n");
    queue.take();
    queue.wrote(b"o\n");
    assert!(queue.state().is_idle(), "a stderr that is gone is not told of its own lines for ever");
    queue.put(b"three\n");
    assert_eq!(next(&queue), ("three\n".to_owned(), 0));
    queue.wrote(b"");
    assert_eq!(next(&queue), (String::new(), 1));
}

/// Takes a few bytes at a time, and stumbles.
#[derive(Default)]
struct Stumbling {
    told: Vec<u8>,
    tries: usize,
}

impl Write for Stumbling {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tries += 1;
        match self.tries % 3 {
            0 => Err(ErrorKind::Interrupted.into()),
            1 => Err(ErrorKind::WouldBlock.into()),
            _ => {
                self.told.extend_from_slice(&bytes[..bytes.len().min(4)]);
                Ok(bytes.len().min(4))
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_stderr_that_stumbles_gets_every_byte() {
    let mut out = Stumbling::default();
    assert!(write(&mut out, b"one\ntwo\nthree\n").is_empty());
    assert_eq!(out.told, b"one\ntwo\nthree\n");
}

/// Takes what it is sent only once it may.
struct Held(mpsc::Receiver<()>);

impl Write for Held {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.recv().map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn the_end_waits_for_the_last_line_and_not_for_ever() {
    static QUEUE: Queue = Queue::new();
    let (go, held) = mpsc::channel();
    QUEUE.carried.store(true, Ordering::Release);
    thread::spawn(move || QUEUE.carry(&mut Held(held)));
    QUEUE.put(b"last\n");
    QUEUE.finish(Duration::from_millis(20));
    assert!(!QUEUE.state().is_idle() || QUEUE.state().writing);
    go.send(()).expect("it is waited for");
    QUEUE.finish(Duration::from_mins(1));
    assert!(QUEUE.state().is_idle() && !QUEUE.state().writing);
}
