//! The records of one turn, rendered but for what only the chain knows (`seq`, `prev`), and who waits for them.

/// Records that go out with one write.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// Rendered lines without their end, back to back.
    bytes: Vec<u8>,
    lines: Vec<Line>,
    /// How many intents have someone waiting for them.
    waiting: usize,
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

/// How the writing of a batch went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Appended {
    /// In the trail.
    Kept,
    /// The warden is at work on the slot; try again when it wakes you.
    Busy,
    /// Written to a file that no name leads to any more; write it again when the warden has opened another.
    Removed,
    /// Written, but the disk did not confirm it.
    Unsynced,
    /// Not written.
    Failed,
}

/// A place in a batch that stands for nobody.
pub(super) const NOBODY: usize = usize::MAX;

/// Bytes of room that an empty batch keeps.
pub(super) const MOST_ROOM: usize = 1 << 20;

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
        self.waiting += usize::from(kind == Kind::Intent && place != NOBODY);
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
        self.waiting
    }

    /// Takes the lines of another batch after its own.
    pub(super) fn append(&mut self, later: &mut Self) {
        let from = self.bytes.len();
        self.bytes.append(&mut later.bytes);
        self.lines.extend(later.lines.drain(..).map(|line| Line { end: line.end + from, ..line }));
        self.waiting += std::mem::take(&mut later.waiting);
    }

    /// Moves the lines that tell what has happened to `backlog`, within their ceilings; the rest is dropped. Intents
    /// move too if their requests have passed: nobody waited for them, or `passed`. Gives how many lines were lost by a
    /// ceiling.
    pub(super) fn hold_back(&mut self, backlog: &mut Self, passed: bool) -> usize {
        let mut lost = 0;
        for (Line { kind, place, .. }, line) in self.each() {
            if kind == Kind::Intent && place != NOBODY && !passed {
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

    /// Empties it. Its room stays, unless it has grown beyond what most batches need.
    pub(super) fn clear(&mut self) {
        if self.bytes.capacity() > MOST_ROOM {
            *self = Self::default();
        }
        self.bytes.clear();
        self.lines.clear();
        self.waiting = 0;
    }

    fn each(&self) -> impl ExactSizeIterator<Item = (Line, &[u8])> {
        let mut from = 0;
        self.lines.iter().map(move |line| {
            let text = &self.bytes[from..line.end];
            from = line.end;
            (*line, text)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(lines: &[(Kind, &[u8])]) -> Batch {
        let mut batch = Batch::default();
        for (place, (kind, line)) in lines.iter().enumerate() {
            batch.buffer().extend_from_slice(line);
            batch.seal(*kind, place);
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
    fn an_intent_that_nobody_waited_for_has_happened() {
        let mut batch = batch(&[(Kind::Intent, b"i")]);
        batch.buffer().extend_from_slice(b"ii");
        batch.seal(Kind::Intent, NOBODY);
        assert_eq!(batch.intents_waiting(), 1);
        let mut backlog = Batch::default();
        assert_eq!(batch.hold_back(&mut backlog, false), 0);
        assert_eq!(backlog.lines().collect::<Vec<_>>(), [b"ii"]);
        assert_eq!((batch.intents_waiting(), backlog.intents_waiting()), (0, 0));
    }

    #[test]
    fn refusals_give_way_to_outcomes() {
        let mut backlog = batch(&[(Kind::Outcome, &vec![b'x'; Kind::Refusal.ceiling()])]);
        assert_eq!(batch(&[(Kind::Refusal, b"r"), (Kind::Outcome, b"o")]).hold_back(&mut backlog, false), 1);
        assert_eq!(backlog.lines().count(), 2);
    }
}
