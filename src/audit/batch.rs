//! The records of one turn, rendered but for what only the chain knows (`seq`, `prev`), and who waits for them.

use super::waiters::NOBODY;

/// Records that go out with one write.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Rendered lines without their end, back to back.
    bytes: Vec<u8>,
    lines: Vec<Line>,
}

#[derive(Clone, Copy, Debug)]
struct Line {
    end: usize,
    kind: Kind,
    place: usize,
}

/// What a line tells, and so what becomes of it when it can't be written now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// About to go upstream. Refused and dropped when the audit is required.
    Intent,
    /// What became of a request that went upstream. Kept back until it can be written.
    Outcome,
    /// A request that sidekey refused. Kept back too, but a flood of them can't push outcomes out.
    Refusal,
}

impl Kind {
    /// Bytes of lines of this kind that a core keeps back while the trail can't be written. Outcomes are bounded by
    /// the requests in flight (8 MiB holds about 12,000); refusals are bounded by nothing but the callers' patience.
    pub(super) const fn ceiling(self) -> usize {
        match self {
            Self::Outcome => 8 << 20,
            Self::Intent | Self::Refusal => 1 << 20,
        }
    }
}

impl Batch {
    /// Where a line is rendered; [`Batch::seal`] ends it.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Ends the line that was rendered into [`Batch::buffer`]; `place` is where someone waits for it.
    pub(super) fn seal(&mut self, kind: Kind, place: usize) {
        self.lines.push(Line { end: self.bytes.len(), kind, place });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// Bytes held.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The lines, in order.
    pub(super) fn lines(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.each().map(|(_, line)| line)
    }

    /// The places where someone waits.
    pub(super) fn places(&self) -> impl Iterator<Item = usize> + '_ {
        self.lines.iter().map(|line| line.place).filter(|&place| place != NOBODY)
    }

    /// How many intents have someone waiting for them.
    pub(super) fn intents_waiting(&self) -> usize {
        self.lines.iter().filter(|line| line.kind == Kind::Intent && line.place != NOBODY).count()
    }

    /// Takes the lines of another batch after its own.
    pub(super) fn append(&mut self, later: &mut Self) {
        let from = self.bytes.len();
        self.bytes.append(&mut later.bytes);
        self.lines.extend(later.lines.drain(..).map(|line| Line { end: line.end + from, ..line }));
    }

    /// Moves the lines that tell what has happened to `backlog`, within their ceilings; the rest is dropped. Intents
    /// move too if `intents` (their requests have passed). Gives how many lines were lost by a ceiling.
    pub(super) fn hold_back(&mut self, backlog: &mut Self, intents: bool) -> usize {
        let mut lost = 0;
        for (kind, line) in self.each() {
            if kind == Kind::Intent && !intents {
                continue;
            }
            if backlog.bytes.len() + line.len() > kind.ceiling() {
                lost += 1;
                continue;
            }
            backlog.bytes.extend_from_slice(line);
            backlog.seal(kind, NOBODY);
        }
        self.clear();
        lost
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.lines.clear();
    }

    fn each(&self) -> impl ExactSizeIterator<Item = (Kind, &[u8])> {
        let mut from = 0;
        self.lines.iter().map(move |line| {
            let text = &self.bytes[from..line.end];
            from = line.end;
            (line.kind, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(lines: &[(Kind, &[u8])]) -> Batch {
        let mut batch = Batch::default();
        for (kind, line) in lines {
            batch.buffer().extend_from_slice(line);
            batch.seal(*kind, NOBODY);
        }
        batch
    }

    #[test]
    fn what_has_happened_is_held_back_and_intents_are_not() {
        let lines: [(Kind, &[u8]); 3] = [(Kind::Intent, b"i"), (Kind::Outcome, b"oo"), (Kind::Refusal, b"rrr")];
        let mut backlog = Batch::default();
        assert_eq!(batch(&lines).hold_back(&mut backlog, false), 0);
        assert_eq!(backlog.lines().collect::<Vec<_>>(), [&b"oo"[..], b"rrr"]);
        assert_eq!(batch(&lines).hold_back(&mut backlog, true), 0);
        assert_eq!(backlog.len(), 11);
    }

    #[test]
    fn refusals_give_way_to_outcomes() {
        let mut backlog = batch(&[(Kind::Outcome, &vec![b'x'; Kind::Refusal.ceiling()])]);
        assert_eq!(batch(&[(Kind::Refusal, b"r"), (Kind::Outcome, b"o")]).hold_back(&mut backlog, false), 1);
        assert_eq!(backlog.lines().count(), 2);
    }
}
