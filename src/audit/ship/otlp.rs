//! OpenTelemetry logs: OTLP over HTTP, in JSON (OTLP specification 1.x). A collector's 2xx is the receipt.

use super::Sink;
use super::wire::{Address, Stream};
use crate::secret::Secret;
use serde_json::{Value, json};
use std::io::{self, Write};

/// A collector.
pub(super) struct Otlp {
    address: Address,
    path: String,
    authorization: Option<Secret>,
}

impl Otlp {
    pub(super) fn new(address: Address, path: &str, authorization: Option<Secret>) -> Self {
        Self { address, path: path.to_owned(), authorization }
    }

    fn head(&self, length: usize) -> Vec<u8> {
        let Address { host, port, .. } = &self.address;
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        let mut head = format!(
            "POST {} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n",
            self.path
        )
        .into_bytes();
        if let Some(authorization) = &self.authorization {
            head.extend_from_slice(b"Authorization: ");
            head.extend_from_slice(authorization.expose());
            head.extend_from_slice(b"\r\n");
        }
        head.extend_from_slice(b"\r\n");
        head
    }
}

impl Sink for Otlp {
    fn send(&mut self, lines: &[u8]) -> io::Result<()> {
        let body = request(lines).to_string();
        let mut stream = self.address.connect()?;
        stream.write_all(&self.head(body.len()))?;
        stream.write_all(body.as_bytes())?;
        stream.flush()?;
        match status(&mut *stream)? {
            200..=299 => Ok(()),
            status => Err(io::Error::other(format!("the collector answered {status}"))),
        }
    }
}

/// The status of an answer; its body does not matter.
fn status(stream: &mut dyn Stream) -> io::Result<u16> {
    let mut head = Vec::new();
    let mut block = [0; 512];
    while !head.windows(2).any(|end| end == b"\r\n") && head.len() < 4096 {
        match stream.read(&mut block)? {
            0 => break,
            n => head.extend_from_slice(&block[..n]),
        }
    }
    let text = String::from_utf8_lossy(&head);
    let status = text.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)).and_then(|status| status.parse().ok());
    status.ok_or_else(|| io::Error::other("the collector did not answer in HTTP"))
}

/// `ExportLogsServiceRequest` in JSON.
fn request(lines: &[u8]) -> Value {
    let lines = lines.split(|&b| b == b'\n').filter(|line| !line.is_empty());
    let records: Vec<Value> = lines.map(record).collect();
    json!({"resourceLogs": [{
        "resource": {"attributes": [
            attribute("service.name", &json!("sidekey")),
            attribute("service.version", &json!(env!("CARGO_PKG_VERSION"))),
        ]},
        "scopeLogs": [{"scope": {"name": "sidekey.audit"}, "logRecords": records}],
    }]})
}

/// One log record: the line as its body, its fields as attributes.
fn record(line: &[u8]) -> Value {
    let body = json!({"stringValue": String::from_utf8_lossy(line)});
    let value: Value = serde_json::from_slice(line).unwrap_or_default();
    let time = value["ts"].as_str().and_then(|ts| ts.parse::<jiff::Timestamp>().ok());
    // Severity numbers of the OpenTelemetry log data model: 9 INFO, 10 INFO2 for a refusal.
    let (number, text) = if value["decision"] == "deny" { (10, "INFO2") } else { (9, "INFO") };
    let fields = value.as_object().into_iter().flatten();
    let told = fields.filter(|(name, value)| !(value.is_null() || value.is_array() || CHAIN.contains(&name.as_str())));
    json!({
        "timeUnixNano": time.map_or_else(|| "0".to_owned(), |time| time.as_nanosecond().to_string()),
        "severityNumber": number,
        "severityText": text,
        "body": body,
        "attributes": told.map(|(name, value)| attribute(&format!("sidekey.{name}"), value)).collect::<Vec<_>>(),
    })
}

/// Fields that the body tells well enough.
const CHAIN: [&str; 6] = ["ts", "at", "prev", "sum", "key", "sig"];

fn attribute(key: &str, value: &Value) -> Value {
    // 64-bit integers are text in OTLP's JSON.
    let value = match value.as_u64() {
        Some(number) => json!({"intValue": number.to_string()}),
        None => json!({"stringValue": value.as_str().unwrap_or_default()}),
    };
    json!({"key": key, "value": value})
}
