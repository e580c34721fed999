//! Follows every chain through the lines of a trail.

use super::{End, How, Verdict, is_signed};
use crate::audit::chain::{Head, Hex, Link, ROOT, digest_of};
use crate::audit::resume::head;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt;

/// What is wrong with a line.
#[derive(Debug)]
pub(super) enum Fail {
    /// This is known from the lines before it.
    Certain(How, String),
    /// A number was skipped: what lies ahead tells why.
    Gap(Box<Suspect>),
}

/// One line of one chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    writer: u64,
    seq: u64,
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "record {} of writer {}", self.seq, self.writer)
    }
}

/// A line that came where another one should.
#[derive(Debug)]
pub(super) struct Suspect {
    pub(super) found: Record,
    /// Where it came.
    pub(super) line: u64,
    /// The chain as far as it goes.
    head: Head,
}

impl Suspect {
    pub(super) fn missing(&self) -> Record {
        Record { writer: self.head.writer, seq: self.head.seq + 1 }
    }

    /// Whether this line is the one that should have come.
    pub(super) fn is_expected(&self, line: &[u8]) -> bool {
        let missing = self.missing();
        Link::parse(line).is_some_and(|link| {
            link.writer == missing.writer && link.seq == missing.seq && link.prev == self.head.digest
        })
    }

    /// Whether this line says that it is the one that came.
    pub(super) fn is_found(&self, line: &[u8]) -> bool {
        Link::parse(line).is_some_and(|link| link.writer == self.found.writer && link.seq == self.found.seq)
    }
}

/// The number of the record that begins a file; `None` if it does not begin with one.
pub(super) fn opening_number(line: &[u8]) -> Option<u64> {
    let link = Link::parse(line.strip_suffix(b"\n")?)?;
    (link.writer == 0 && memmem::find(line, b",\"phase\":\"open\"").is_some()).then_some(link.seq)
}

/// The state of all chains after the lines so far.
pub(super) struct Walk<'a> {
    /// One of these must sign; empty: any or none.
    keys: &'a [String],
    trail: Option<String>,
    chains: BTreeMap<u64, Head>,
    /// What the first line of a new chain must name.
    root: Hex,
    first_of_file: bool,
    /// Something is not where it says, seen at this line; what kind shows at the next record with heads.
    displaced: Option<(u64, String)>,
    /// Blank lines: where, how long, which. A later record must own up to them.
    blanks: Vec<(u64, u64, u64)>,
    verdict: Verdict,
    signers: Vec<Option<String>>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(keys: &'a [String]) -> Self {
        Self {
            keys,
            trail: None,
            chains: BTreeMap::new(),
            root: ROOT,
            first_of_file: true,
            displaced: None,
            blanks: Vec::new(),
            verdict: Verdict::default(),
            signers: Vec::new(),
        }
    }

    pub(super) fn begin_file(&mut self) {
        self.first_of_file = true;
        for chain in self.chains.values_mut() {
            chain.end = 0;
        }
    }

    /// Checks one line, given without its newline.
    pub(super) fn line(&mut self, text: &[u8], offset: u64, number: u64) -> Result<(), (u64, Fail)> {
        if !text.is_empty() && text.iter().all(|&b| b == b' ') {
            self.blanks.push((offset, len(text) + 1, number));
            return Ok(());
        }
        self.record(text, offset, number).map_err(|fail| (self.displaced.take().map_or(number, |(at, _)| at), fail))
    }

    /// What only shows when a file is through.
    pub(super) fn end_file(&mut self) -> Result<(), (u64, Fail)> {
        if let Some((number, detail)) = self.displaced.take() {
            return Err((number, Fail::Certain(How::Reordered, detail)));
        }
        match self.blanks.first() {
            Some(&(_, _, number)) => {
                Err((number, Fail::Certain(How::Edited, "blanked, and no record says why".into())))
            }
            None if self.first_of_file => Err((1, Fail::Certain(How::Cut, "the file is empty".into()))),
            None => Ok(()),
        }
    }

    pub(super) fn verdict(self) -> Verdict {
        let mut signed_by = self.signers.iter().cloned().collect::<Option<Vec<String>>>().unwrap_or_default();
        signed_by.dedup();
        Verdict { writers: self.chains.len(), signed_by, ..self.verdict }
    }

    fn record(&mut self, text: &[u8], offset: u64, number: u64) -> Result<(), Fail> {
        let link = Link::parse(text).filter(|_| text.starts_with(b"{\"ts\":\""));
        let link = link.ok_or_else(|| edited("it is no record"))?;
        let digest = digest_of(link.covered);
        if !digest.starts_with(link.sum) {
            return Err(edited("its sum does not fit it"));
        }
        let value: Option<Value> = if link.writer == 0 { serde_json::from_slice(text).ok() } else { None };
        let value = value.unwrap_or_default();
        if std::mem::take(&mut self.first_of_file) {
            self.begin(&value, &link)?;
        }
        self.follow(&link, offset, number)?;
        self.control(&value, &link)?;
        let end = offset + len(text) + 1;
        self.chains.insert(link.writer, Head { writer: link.writer, seq: link.seq, digest, end });
        if value["phase"] == "open" {
            self.root = digest;
        }
        self.verdict.records += 1;
        self.verdict.end = if value["phase"] == "close" { End::Closed } else { End::Open };
        Ok(())
    }

    /// The first line of a file: the chains that it names go on here.
    fn begin(&mut self, value: &Value, link: &Link<'_>) -> Result<(), Fail> {
        if value["phase"] != "open" || link.writer != 0 {
            return Err(Fail::Certain(How::Cut, "the file does not begin with its opening record".into()));
        }
        if self.trail.is_none() {
            let heads = value["heads"].as_array().into_iter().flatten().filter_map(head);
            self.chains = heads.map(|head| (head.writer, head)).collect();
            self.trail = value["trail"].as_str().map(str::to_owned);
        }
        Ok(())
    }

    /// Number, link and place.
    fn follow(&mut self, link: &Link<'_>, offset: u64, number: u64) -> Result<(), Fail> {
        let fresh = Head::new(link.writer, if link.writer == 0 { ROOT } else { self.root });
        let head = self.chains.get(&link.writer).copied().unwrap_or(fresh);
        let found = Record { writer: link.writer, seq: link.seq };
        if link.seq <= head.seq {
            return Err(Fail::Certain(How::Spliced, format!("{found} stands here a second time")));
        }
        if link.seq > head.seq + 1 {
            return Err(Fail::Gap(Box::new(Suspect { found, line: number, head })));
        }
        if link.prev != head.digest {
            return Err(Fail::Certain(How::Spliced, format!("{found} does not follow the record before it")));
        }
        let (said, is) = link.at.map_or((offset, head.end), |at| (at, head.end));
        if said != is && self.displaced.is_none() {
            let detail = format!("the record before {found} ended at byte {said}, and is found ending at byte {is}");
            self.displaced = Some((number, detail));
        }
        Ok(())
    }

    /// The trail's own records.
    fn control(&mut self, value: &Value, link: &Link<'_>) -> Result<(), Fail> {
        if value["blanked"].is_array() {
            let claimed: Vec<(u64, u64)> = serde_json::from_value(value["blanked"].clone()).unwrap_or_default();
            self.blanks.retain(|(from, length, _)| !claimed.contains(&(*from, *length)));
        }
        self.verdict.unsigned += 1;
        if !value["heads"].is_array() {
            // What should be signed must not pass by leaving out what the signature is for.
            let anchors = ["open", "checkpoint", "close"].iter().any(|phase| value["phase"] == *phase);
            return if anchors { Err(edited("it does not say where the chains stand")) } else { Ok(()) };
        }
        if value["trail"].as_str() != self.trail.as_deref() {
            return Err(Fail::Certain(How::Spliced, "it is of another trail".into()));
        }
        if value["mended_bytes"].is_u64() {
            self.verdict.mended += 1;
        }
        self.signature(value, link)?;
        self.heads(value)
    }

    /// Compares where the chains stand with where the record says that they stand.
    fn heads(&mut self, value: &Value) -> Result<(), Fail> {
        let said: BTreeMap<u64, Head> =
            value["heads"].as_array().into_iter().flatten().filter_map(head).map(|head| (head.writer, head)).collect();
        for (writer, said) in &said {
            let is = self.chains.get(writer).copied().unwrap_or(Head::new(*writer, self.root));
            if is.seq < said.seq {
                let detail = format!("record {} of writer {writer} is missing before this checkpoint", said.seq);
                return Err(Fail::Certain(How::Removed, detail));
            }
            if (is.seq, is.digest) != (said.seq, said.digest) {
                let detail = format!("record {} of writer {writer} was written after this checkpoint", is.seq);
                return Err(Fail::Certain(How::Reordered, detail));
            }
            if is.end != said.end && self.displaced.is_none() {
                let detail =
                    format!("writer {writer} ended at byte {}, and is found ending at byte {}", said.end, is.end);
                return Err(Fail::Certain(How::Reordered, detail));
            }
        }
        if let Some(writer) = self.chains.keys().find(|writer| !said.contains_key(writer)) {
            return Err(Fail::Certain(How::Spliced, format!("this checkpoint knows no writer {writer}")));
        }
        match &self.displaced {
            Some((_, detail)) => Err(Fail::Certain(How::Reordered, detail.clone())),
            None => Ok(()),
        }
    }

    fn signature(&mut self, value: &Value, link: &Link<'_>) -> Result<(), Fail> {
        let (key, signature) = (value["key"].as_str(), value["sig"].as_str());
        if !self.keys.is_empty() && !key.is_some_and(|key| self.keys.iter().any(|known| known == key)) {
            return Err(edited("it is not signed with the given key"));
        }
        if let (Some(key), Some(signature)) = (key, signature) {
            let body = memmem::rfind(link.covered, b",\"key\":\"").map_or(link.covered, |at| &link.covered[..at]);
            if !is_signed(body, key, &STANDARD.decode(signature).unwrap_or_default()) {
                return Err(edited("its signature does not hold"));
            }
            self.verdict.unsigned = 0;
        }
        self.signers.push(key.map(str::to_owned));
        Ok(())
    }
}

fn edited(detail: &str) -> Fail {
    Fail::Certain(How::Edited, detail.to_owned())
}

fn len(text: &[u8]) -> u64 {
    u64::try_from(text.len()).unwrap_or(u64::MAX)
}
