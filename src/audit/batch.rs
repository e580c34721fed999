//! The records of one turn, rendered but for what only the chain knows (`seq`, `prev`), and who waits for them.

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
    waiter: usize,
}

/// What becomes of a line that can't be written now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Its request is refused, or passes uncounted for: the line is dropped.
    Intent,
    /// It tells what has happened: kept for the next write.
    Fact,
}

impl Batch {
    /// Where a line is rendered; [`Batch::seal`] ends it.
    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Ends the line that was rendered into [`Batch::buffer`].
    pub(super) fn seal(&mut self, kind: Kind, waiter: usize) {
        self.lines.push(Line { end: self.bytes.len(), kind, waiter });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// The lines, in order.
    pub(super) fn lines(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = 0;
        self.lines.iter().map(move |line| {
            let text = &self.bytes[from..line.end];
            from = line.end;
            text
        })
    }

    /// Who waits, in order, and for which kind of line.
    pub(super) fn waiters(&self) -> impl Iterator<Item = (Kind, usize)> + '_ {
        self.lines.iter().map(|line| (line.kind, line.waiter))
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.lines.clear();
    }
}
