use super::*;
use crate::audit::Trail;
use crate::audit::tests::{admin, config};
use crate::clock::Clock;
use crate::config::Origin;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};

/// Leaves `count` admin records in a trail that ships, and closes it.
fn leave(config: &Audit, from: u32, count: u32) {
    let trail = Trail::open(config, 1, Clock::system()).expect("opens");
    for n in from..from + count {
        admin(&trail, "number", &n.to_string());
    }
    trail.close();
}

fn shipping(file: &Path, to: ShipTo) -> Audit {
    let ship =
        Ship { name: format!("{to:?}"), to, ca: None, authorization: Some(crate::secret::Secret::new(*b"Bearer x")) };
    Audit { ship: vec![ship], ..config(file) }
}

fn numbers(messages: &[String]) -> Vec<u32> {
    let record = |text: &String| serde_json::from_str::<Value>(&text[text.find('{')?..]).ok();
    let number = |record: Value| record["subject"].as_str().and_then(|subject| subject.parse().ok());
    messages.iter().filter_map(record).filter_map(number).collect()
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a throwaway folder");
    let file = folder.path().join("audit.jsonl");
    (folder, file)
}

#[test]
fn syslog_by_datagram() {
    let (folder, file) = place();
    let udp = UdpSocket::bind("127.0.0.1:0").expect("bound");
    let unix = UnixDatagram::bind(folder.path().join("log")).expect("bound");
    let port = udp.local_addr().expect("bound").port();
    for (to, receive) in [
        (
            ShipTo::SyslogUdp("127.0.0.1".into(), port),
            &(|buffer: &mut [u8]| udp.recv(buffer)) as &dyn Fn(&mut [u8]) -> io::Result<usize>,
        ),
        (ShipTo::SyslogUnix(folder.path().join("log")), &|buffer: &mut [u8]| unix.recv(buffer)),
    ] {
        leave(&shipping(&file, to), 0, 3);
        let mut messages = Vec::new();
        while !messages.last().is_some_and(|text: &String| text.contains("\"phase\":\"close\"")) {
            let mut buffer = [0; 8192];
            let length = receive(&mut buffer).expect("a message");
            messages.push(String::from_utf8_lossy(&buffer[..length]).into_owned());
        }
        assert_eq!(numbers(&messages), [0, 1, 2]);
        let head = messages[1].split(" - {").next().expect("a head");
        assert!(head.starts_with("<110>1 20") && head.ends_with(" admin"), "{head}");
        std::fs::remove_file(&file).expect("removed");
    }
}

/// Takes counted messages on a port, one connection after the other.
fn syslog_server(listener: TcpListener) -> Receiver<String> {
    let (sender, messages) = channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            let mut length = Vec::new();
            while stream.read_until(b' ', &mut length).is_ok_and(|n| n > 0) {
                let count = String::from_utf8_lossy(&length).trim().parse().expect("a length");
                let mut message = vec![0; count];
                stream.read_exact(&mut message).expect("a message");
                drop(sender.send(String::from_utf8_lossy(&message).into_owned()));
                length.clear();
            }
        }
    });
    messages
}

fn until_close(messages: &Receiver<String>) -> Vec<String> {
    let mut all = Vec::new();
    while !all.last().is_some_and(|text: &String| text.contains("\"phase\":\"close\"")) {
        all.push(messages.recv_timeout(Duration::from_mins(1)).expect("a message"));
    }
    all
}

#[test]
fn an_absent_place_loses_nothing_through_restarts_and_rotations() {
    let (_folder, file) = place();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let to = ShipTo::SyslogTcp("127.0.0.1".into(), port, false);
    // Nobody listens; files are rotated, and past their retention at once.
    let retention = Some(Duration::from_millis(1));
    let config = Audit { max_size: 4096, retention, ..shipping(&file, to) };
    leave(&config, 0, 60);
    leave(&config, 60, 60);
    let messages = syslog_server(TcpListener::bind(("127.0.0.1", port)).expect("bound"));
    leave(&config, 120, 1);
    let mut all = until_close(&messages);
    while !all.iter().any(|text| text.contains("\"subject\":\"120\"")) {
        all.extend(until_close(&messages));
    }
    let mut seen = numbers(&all);
    seen.dedup();
    assert_eq!(seen, (0..=120).collect::<Vec<_>>());
}

#[test]
fn files_that_somebody_renames_are_copied_all_the_same() {
    let (_folder, file) = place();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("bound").port();
    drop(listener);
    let config = shipping(&file, ShipTo::SyslogTcp("127.0.0.1".into(), port, false));
    for run in 0..4 {
        leave(&config, 10 * run, 10);
        std::fs::rename(&file, file.with_extension(format!("jsonl.{run}"))).expect("renamed");
    }
    let messages = syslog_server(TcpListener::bind(("127.0.0.1", port)).expect("bound"));
    leave(&config, 40, 1);
    let mut all = until_close(&messages);
    while !all.iter().any(|text| text.contains("\"subject\":\"40\"")) {
        all.extend(until_close(&messages));
    }
    let mut seen = numbers(&all);
    seen.dedup();
    assert_eq!(seen, (0..=40).collect::<Vec<_>>());
}

#[test]
fn a_piece_of_a_line_that_is_taken_off_again_is_not_copied() {
    let (folder, file) = place();
    leave(&config(&file), 0, 1);
    let mut source = Source::new(file.clone(), folder.path().join("cursor"), Arc::default());
    assert!(source.lines().expect("readable").ends_with(b"\n"));
    source.advance();
    let length = std::fs::metadata(&file).expect("there").len();
    let mut out = std::fs::OpenOptions::new().append(true).open(&file).expect("opens");
    out.write_all(b"{\"ts\":\"torn").expect("written");
    assert_eq!(source.lines().expect("readable"), b"");
    out.set_len(length).expect("taken off");
    out.write_all(b"{\"ts\":\"another, and longer\"}\n").expect("written");
    assert_eq!(source.lines().expect("readable"), b"{\"ts\":\"another, and longer\"}\n");
}

#[test]
fn whole_lines_that_are_taken_off_again_cost_no_record() {
    let (folder, file) = place();
    leave(&config(&file), 0, 1);
    let mut source = Source::new(file.clone(), folder.path().join("cursor"), Arc::default());
    let first = source.lines().expect("readable").to_vec();
    source.advance();
    let length = std::fs::metadata(&file).expect("there").len();
    let mut out = std::fs::OpenOptions::new().append(true).open(&file).expect("opens");
    out.write_all(b"{\"ts\":\"whole\"}\n{\"ts\":\"torn").expect("written");
    assert_eq!(source.lines().expect("readable"), b"{\"ts\":\"whole\"}\n");
    source.advance();
    out.set_len(length).expect("taken off");
    out.write_all(b"{\"ts\":\"another, and longer than both together\"}\n").expect("written");
    let again = [&first[..], b"{\"ts\":\"another, and longer than both together\"}\n"].concat();
    assert_eq!(source.lines().expect("readable"), again, "what was handed over comes again, and nothing is missing");
}

#[test]
fn a_syslog_server_that_closes_between_batches_misses_nothing() {
    let (_folder, file) = place();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let port = listener.local_addr().expect("bound").port();
    let (sender, heard) = channel();
    thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            // A greeting, which is not the end and does not hide it; one burst, and the end.
            let _ = stream.write_all(b"x");
            stream.set_read_timeout(Some(Duration::from_millis(300))).expect("set");
            let mut all = Vec::new();
            let _ = stream.read_to_end(&mut all);
            drop(sender.send(String::from_utf8_lossy(&all).into_owned()));
        }
    });
    let trail = Trail::open(&shipping(&file, ShipTo::SyslogTcp("127.0.0.1".into(), port, false)), 1, Clock::system());
    let trail = trail.expect("opens");
    let mut all = String::new();
    for n in 0..4 {
        admin(&trail, "number", &n.to_string());
        while !all.contains(&format!("\"subject\":\"{n}\"")) {
            all += &heard.recv_timeout(Duration::from_secs(10)).unwrap_or_else(|_| panic!("{n} was lost: {all}"));
        }
    }
    trail.close();
}

#[test]
fn a_collector_gets_log_records_and_is_asked_again() {
    let (_folder, file) = place();
    let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
    let origin = Origin::parse(&format!("http://{}", listener.local_addr().expect("bound"))).expect("an origin");
    let (sender, requests) = channel();
    thread::spawn(move || {
        for (n, stream) in listener.incoming().flatten().enumerate() {
            let mut stream = BufReader::new(stream);
            let (mut head, mut length) = (String::new(), 0);
            while !head.ends_with("\r\n\r\n") {
                let mut line = String::new();
                stream.read_line(&mut line).expect("a line");
                length =
                    line.strip_prefix("Content-Length: ").map_or(length, |rest| rest.trim().parse().expect("a length"));
                head.push_str(&line);
            }
            let mut body = vec![0; length];
            stream.read_exact(&mut body).expect("a body");
            // The first one is not taken.
            let status = if n == 0 { "503 Service Unavailable" } else { "200 OK" };
            write!(stream.get_mut(), "HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n{{}}").expect("answered");
            if n > 0 {
                drop(sender.send((head, serde_json::from_slice::<Value>(&body).expect("JSON"))));
            }
        }
    });
    leave(&shipping(&file, ShipTo::Otlp(origin, "/v1/logs".into())), 0, 2);
    let mut records = Vec::new();
    while !records
        .iter()
        .any(|record: &Value| record["body"]["stringValue"].as_str().is_some_and(|b| b.contains("close")))
    {
        let (head, body) = requests.recv_timeout(Duration::from_mins(1)).expect("a request");
        assert!(head.starts_with("POST /v1/logs HTTP/1.1\r\n") && head.contains("\r\nAuthorization: Bearer x\r\n"));
        records.extend(body["resourceLogs"][0]["scopeLogs"][0]["logRecords"].as_array().expect("records").clone());
    }
    let bodies: Vec<_> = records.iter().filter_map(|r| r["body"]["stringValue"].as_str().map(str::to_owned)).collect();
    assert_eq!(numbers(&bodies), [0, 1]);
    let attributes = records[1]["attributes"].to_string();
    assert!(attributes.contains(r#"{"key":"sidekey.action","value":{"stringValue":"number"}}"#), "{attributes}");
    assert!(records[1]["timeUnixNano"].as_str().is_some_and(|nanos| nanos.len() == 19));
}
