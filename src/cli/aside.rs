//! What takes a lot of memory for a moment, in a part of the heap that is given back.

use super::Failure;
use std::hint::black_box;
use std::io;
use std::thread;

/// Has something made by a thread of its own, shows it to `take`, and drops it.
///
/// glibc gives each thread a part of the heap, of which it can return the free end. So what is made of a large file, with
/// all that it took to make it, leaves no holes between what stays, which is made by `take`. This must come before other
/// threads are started: the part of a thread that has ended goes to the next one that begins.
///
/// # Errors
/// Those of `make` and `take`, and the operating system's.
pub(super) fn aside<T: Send, R>(
    make: impl FnOnce() -> Result<T, Failure> + Send,
    take: impl FnOnce(&T) -> R,
) -> Result<R, Failure> {
    let made = apart(make)??;
    let taken = take(&made);
    apart(move || drop(made))?;
    // Twice: at first, what a thread keeps of itself lies behind what others have left.
    apart(give_back)?;
    apart(give_back)?;
    Ok(taken)
}

/// Waits for a thread that does this. What it has freed and kept for itself is free for all when it has ended.
fn apart<T: Send>(work: impl FnOnce() -> T + Send) -> io::Result<T> {
    thread::scope(|scope| {
        let thread = thread::Builder::new().name("aside".to_owned()).spawn_scoped(scope, work)?;
        thread.join().map_err(|_| io::Error::other("a thread panicked"))
    })
}

/// Has glibc return the free end of this thread's part of the heap.
///
/// It looks at it where 64 KiB or more become free at once, and returns it if there is more than twice the largest piece that
/// was ever asked of the kernel directly (those of 128 KiB or more: 2 MiB for a config of 200 KiB). So more than that is
/// taken, in pieces that come from here, and freed. Nothing is written to them: they take addresses, and hardly any
/// memory. With another C library all this does nothing.
fn give_back() {
    const PIECE: usize = 96 * 1024;
    const PIECES: usize = 160;
    let pieces: Vec<Vec<u8>> = (0..PIECES).map(|_| Vec::with_capacity(PIECE)).collect();
    drop(black_box(pieces));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_comes_back_and_so_does_a_failure() {
        let length = aside(|| Ok("text".to_owned()), String::len);
        assert!(matches!(length, Ok(4)));
        let failed = aside(|| Err::<String, _>(Failure::failed("no file")), String::len);
        assert!(matches!(failed, Err(Failure::Failed(why)) if why == "no file"));
        let panicked = aside(|| Ok([0; 3].iter().position(|byte| *byte == 1).expect("there is none")), |_| ());
        assert!(matches!(panicked, Err(Failure::Failed(_))));
    }
}
