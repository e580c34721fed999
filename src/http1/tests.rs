use super::*;
use proptest::prelude::*;

fn framing(head: &str) -> Result<Framing, String> {
    parse_request(head.as_bytes(), |head, _| request_framing(head).map_err(|e| e.0.to_owned()))
        .map_err(|e| format!("{e:?}"))?
        .ok_or("partial")?
}

fn with(fields: &str) -> Result<Framing, String> {
    framing(&format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"))
}

#[test]
fn one_reading_of_a_length() {
    assert_eq!(with("Content-Length: 5\r\n"), Ok(Framing::Length(5)));
    assert_eq!(with(""), Ok(Framing::Length(0)));
    assert_eq!(with("Transfer-Encoding: Chunked\r\n"), Ok(Framing::Chunked));
    for bad in ["+5", "-1", "0x5", "5_0", "5, 5", "", "99999999999999999999", "5 5"] {
        assert!(with(&format!("Content-Length: {bad}\r\n")).is_err(), "{bad}");
    }
    for bad in ["gzip, chunked", ",chunked", "xchunked", "chunked, chunked", "chunked;q=1", "identity"] {
        assert!(with(&format!("Transfer-Encoding: {bad}\r\n")).is_err(), "{bad}");
    }
    assert!(with("Content-Length: 5\r\nContent-Length: 5\r\n").is_err());
    assert!(with("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n").is_err());
    assert!(with("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n").is_err());
    assert!(with("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n").is_err());
    assert!(framing("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
}

#[test]
fn heads_that_differ_between_parsers_are_refused() {
    for bad in [
        "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\nHost: a\n\n",
        "GET / HTTP/1.1\r\nHost: a\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\n: a\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\u{e9}\r\n\r\n",
        "GET / HTTP/1.1\r\nA: b\0\r\n\r\n",
        "GET / HTTP/2.0\r\nA: b\r\n\r\n",
        "GET  / HTTP/1.1\r\nA: b\r\n\r\n",
        "GET / HTTP/1.1 \r\nA: b\r\n\r\n",
    ] {
        assert!(parse_request(bad.as_bytes(), |_, _| ()).is_err(), "{bad:?}");
    }
}

#[test]
fn a_status_has_three_digits_and_begins_at_100() {
    for (status, good) in [("100", true), ("999", true), ("099", false), ("000", false), ("20", false), ("2000", false)]
    {
        let head = format!("HTTP/1.1 {status} x\r\n\r\n");
        assert_eq!(matches!(parse_answer(head.as_bytes(), |_, _| ()), Ok(Some(()))), good, "{status}");
    }
}

/// Decodes `wire`, handed over in pieces of `step` bytes.
fn decode(framing: Framing, wire: &[u8], step: usize) -> Result<(Vec<u8>, usize, bool), BodyError> {
    let (mut body, mut out, mut buffer, mut used) = (Body::new(framing), Vec::new(), Vec::new(), 0);
    for piece in wire.chunks(step.max(1)) {
        buffer.extend_from_slice(piece);
        loop {
            match body.look(&buffer)? {
                Progress::Data { skip, data } => {
                    out.extend_from_slice(&buffer[skip..skip + data]);
                    buffer.drain(..skip + data);
                    used += skip + data;
                }
                Progress::NeedMore { skip } => {
                    buffer.drain(..skip);
                    used += skip;
                    break;
                }
                Progress::End { skip } => return Ok((out, used + skip, true)),
            }
        }
    }
    Ok((out, used, false))
}

#[test]
fn chunks_are_read_strictly() {
    let ok = decode(Framing::Chunked, b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\nGET", 3).expect("well framed");
    assert_eq!(ok, (b"hello".to_vec(), 25, true));
    for bad in [
        &b"5\nhello\r\n0\r\n\r\n"[..],
        b"5\r\nhello0\r\n\r\n",
        b"5\r\nhello\n0\r\n\r\n",
        b"5 \r\nhello\r\n0\r\n\r\n",
        b"5;\r\nhello\r\n0\r\n\r\n",
        b" 5\r\nhello\r\n0\r\n\r\n",
        b"+5\r\nhello\r\n0\r\n\r\n",
        b"0x5\r\nhello\r\n0\r\n\r\n",
        b"FFFFFFFFFFFFFFFFF\r\nhello",
        b"5\r\nhello\r\n0\r\nbad trailer\r\n\r\n",
        b"5\r\nhello\r\n0\r\n: x\r\n\r\n",
    ] {
        assert!(decode(Framing::Chunked, bad, bad.len()).is_err(), "{:?}", String::from_utf8_lossy(bad));
    }
}

proptest! {
    #[test]
    fn nothing_panics(bytes: Vec<u8>, step in 1_usize..9) {
        let _ = parse_request(&bytes, |head, _| request_framing(head).is_ok());
        let _ = parse_answer(&bytes, |head, _| answer_framing(head, false).is_ok());
        let _ = decode(Framing::Chunked, &bytes, step);
    }

    #[test]
    fn pieces_never_change_a_body(chunks in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..6), step in 1_usize..50) {
        let mut wire = Vec::new();
        for chunk in &chunks {
            wire.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            wire.extend_from_slice(chunk);
            wire.extend_from_slice(b"\r\n");
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        let decoded = decode(Framing::Chunked, &wire, step).expect("well framed");
        prop_assert_eq!(decoded, (chunks.concat(), wire.len(), true));
    }
}
