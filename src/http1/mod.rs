//! HTTP/1.1 heads and body framing, parsed strictly; never does I/O.
