//! Request lines that hyper would refuse before anybody sees them: Twilio's older documents spell `?DateSent>=2026-12-01`,
//! and a raw `<`, `>` or `"` is no part of a URL. They are read as `%3C`, `%3E` and `%22`.

use bytes::Bytes;
use percent_encoding::{AsciiSet, percent_encode};
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncBufRead, AsyncRead, ReadBuf};

/// A connection's reading side. A request is read leniently if its whole line is there at once, as the first thing.
#[derive(Debug)]
pub struct Lenient<R> {
    read: R,
    ahead: Bytes,
}

impl<R> Lenient<R> {
    /// Nothing has been read yet.
    pub const fn new(read: R) -> Self {
        Self { read, ahead: Bytes::new() }
    }
}

impl<R: AsyncBufRead + Unpin> AsyncRead for Lenient<R> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            let chunk = ready!(Pin::new(&mut self.read).poll_fill_buf(cx))?;
            let (length, ahead) = (chunk.len(), escaped(chunk));
            Pin::new(&mut self.read).consume(length);
            self.ahead = ahead;
        }
        let most = out.remaining().min(self.ahead.len());
        out.put_slice(&self.ahead.split_to(most));
        Poll::Ready(Ok(()))
    }
}

/// What a URL can't hold (bytes beyond ASCII are written so as well, which says the same).
const RAW: &AsciiSet = &AsciiSet::EMPTY.add(b'<').add(b'>').add(b'"');

/// The bytes; where they begin with a request line, its query is made whole.
fn escaped(bytes: &[u8]) -> Bytes {
    let end = bytes.iter().position(|b| *b == b'\n').unwrap_or_default();
    let line = &bytes[..end];
    match line.iter().position(|b| *b == b'?').filter(|_| line.ends_with(b" HTTP/1.1\r")) {
        None => Bytes::copy_from_slice(bytes),
        Some(at) => {
            let query = percent_encode(&line[at..], RAW).to_string();
            [&bytes[..at], query.as_bytes(), &bytes[end..]].concat().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt as _;

    #[test]
    fn only_the_query_of_a_whole_request_line_is_made_whole() {
        let is = |bytes: &str, read: &str| assert_eq!(escaped(bytes.as_bytes()), read.as_bytes());
        is("GET /M?A>=1&B<=\"2 HTTP/1.1\r\nX: <y>\r\n\r\n<", "GET /M?A%3E=1&B%3C=%222 HTTP/1.1\r\nX: <y>\r\n\r\n<");
        for same in
            ["", "GET /<M HTTP/1.1\r\n\r\n", "GET /M?A>=1 HT", "A=?>\r\nB=<", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"]
        {
            is(same, same);
        }
    }

    #[test]
    fn a_small_buffer_gets_it_all() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without drivers");
        let read = runtime.block_on(async {
            let mut lenient = Lenient::new(&b"GET /M?>>>>>> HTTP/1.1\r\n\r\n"[..]);
            let mut small = [0; 7];
            let mut read = Vec::new();
            while let count @ 1.. = lenient.read(&mut small).await.expect("bytes in memory") {
                read.extend_from_slice(&small[..count]);
            }
            read
        });
        assert_eq!(String::from_utf8_lossy(&read), "GET /M?%3E%3E%3E%3E%3E%3E HTTP/1.1\r\n\r\n");
    }
}
