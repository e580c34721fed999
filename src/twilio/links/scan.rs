//! Where in a JSON text a link's value stands, byte by byte, across any cut. No tree, no copy; knows names and nesting
//! and nothing else, so a text that is no JSON merely passes.

use super::{holds_links, is_link};

/// Deepest nesting that is followed; what lies below passes.
const MAX_DEPTH: usize = 64;

/// Longest member name that is kept; every name that matters is shorter.
const MAX_NAME: usize = 32;

/// What the next bytes are. Lengths are at least 1.
pub(super) enum Step {
    /// So many bytes pass.
    Pass(usize),
    /// So many bytes belong to a link's text.
    Link(usize),
    /// The quote that ends a link.
    LinkEnd,
}

impl Step {
    pub(super) const fn len(&self) -> usize {
        match self {
            Self::Pass(len) | Self::Link(len) => *len,
            Self::LinkEnd => 1,
        }
    }
}

/// One object or array that is open.
#[derive(Clone, Copy, Debug, Default)]
struct Level {
    object: bool,
    /// Every string below is a link.
    links: bool,
    /// The object is `meta`.
    meta: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Between,
    Name,
    Text,
    Link,
}

/// Follows a JSON text.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    state: State,
    /// The last byte was a backslash that escapes the next one.
    escaped: bool,
    levels: Vec<Level>,
    /// How many levels are open above those that are kept.
    too_deep: usize,
    /// In an object: a name comes next, not a value.
    name_next: bool,
    name: Vec<u8>,
}

impl Scanner {
    /// What `bytes` (not empty) begin with.
    pub(super) fn step(&mut self, bytes: &[u8]) -> Step {
        match self.state {
            State::Between => Step::Pass(self.between(bytes)),
            State::Name | State::Text | State::Link => self.string(bytes),
        }
    }

    /// The link that is being read is too long: the rest of it passes.
    pub(super) fn forget_link(&mut self) {
        self.state = State::Text;
    }

    /// Reads up to and with the next quote that opens a string.
    fn between(&mut self, bytes: &[u8]) -> usize {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'{' => self.open(true),
                b'[' => self.open(false),
                b'}' | b']' => self.close(),
                b',' => self.name_next = self.level().object,
                b':' => self.name_next = false,
                b'"' => {
                    self.state = self.opened();
                    return at + 1;
                }
                _ => {}
            }
        }
        bytes.len()
    }

    /// Reads a string's inside, up to its closing quote; the quote itself is a step of its own.
    fn string(&mut self, bytes: &[u8]) -> Step {
        if !self.escaped && bytes[0] == b'"' {
            let link = self.state == State::Link;
            self.state = State::Between;
            return if link { Step::LinkEnd } else { Step::Pass(1) };
        }
        let mut at = 0;
        while at < bytes.len() {
            if self.escaped {
                self.escaped = false;
                at += 1;
                continue;
            }
            at += memchr::memchr2(b'"', b'\\', &bytes[at..]).unwrap_or(bytes.len() - at);
            match bytes.get(at) {
                Some(b'\\') => {
                    self.escaped = true;
                    at += 1;
                }
                _ => break,
            }
        }
        if self.state == State::Name {
            // One byte more than the ceiling tells a long name from one that fits.
            let room = (MAX_NAME + 1).saturating_sub(self.name.len()).min(at);
            self.name.extend_from_slice(&bytes[..room]);
        }
        if self.state == State::Link { Step::Link(at) } else { Step::Pass(at) }
    }

    /// What kind of string a quote opens here.
    fn opened(&mut self) -> State {
        let level = self.level();
        if self.too_deep > 0 {
            State::Text
        } else if level.object && self.name_next {
            self.name.clear();
            State::Name
        } else if is_link(if level.object { &self.name } else { b"" }, level.links, level.meta) {
            State::Link
        } else {
            State::Text
        }
    }

    fn open(&mut self, object: bool) {
        if self.levels.len() == MAX_DEPTH {
            self.too_deep += 1;
            return;
        }
        let above = self.level();
        let links = above.links || above.object && holds_links(&self.name);
        let meta = above.object && self.name == b"meta";
        self.levels.push(Level { object, links, meta });
        self.name_next = object;
        self.name.clear();
    }

    fn close(&mut self) {
        if self.too_deep > 0 {
            self.too_deep -= 1;
        } else {
            self.levels.pop();
        }
        self.name_next = false;
        self.name.clear();
    }

    fn level(&self) -> Level {
        self.levels.last().copied().unwrap_or_default()
    }
}
