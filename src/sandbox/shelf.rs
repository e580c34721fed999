//! An ordered collection with names: what every list of the sandbox is kept in.
//!
//! Rows stand by place, and the newest place is the highest. A place is given at creation, or again at each update where
//! a list is sorted by `DateUpdated`.

use super::sid::Sid;
use std::collections::{BTreeMap, HashMap, VecDeque};

/// Most rows kept in one collection; the oldest goes first. A load test may create messages for hours: at about 1 KiB a
/// row this is 100 MiB, and no list is read that deep.
pub const MAX_ROWS: usize = 100_000;

/// Page tokens remembered for one collection.
const MAX_TOKENS: usize = 10_000;

/// Where a page begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cursor {
    /// So many rows from the newest.
    Skip(usize),
    /// After the row that a `PA` token names.
    After(Sid),
    /// Before the row that a `PB` token names.
    Before(Sid),
}

/// One collection.
#[derive(Debug)]
pub struct Shelf<T> {
    rows: BTreeMap<u64, (Sid, T)>,
    places: HashMap<Sid, u64>,
    /// Where the row of an issued page token stood then: a page follows on even if the row has gone or moved since.
    tokens: HashMap<Sid, u64>,
    issued: VecDeque<Sid>,
}

impl<T> Default for Shelf<T> {
    fn default() -> Self {
        let (rows, places) = (BTreeMap::new(), HashMap::new());
        Self { rows, places, tokens: HashMap::new(), issued: VecDeque::new() }
    }
}

impl<T> Shelf<T> {
    /// Puts a row in at a place that no other row has. The row that had to go for it comes back.
    pub fn insert(&mut self, place: u64, sid: Sid, row: T) -> Option<(Sid, T)> {
        self.rows.insert(place, (sid, row));
        self.places.insert(sid, place);
        if self.rows.len() <= MAX_ROWS {
            return None;
        }
        let (_, oldest) = self.rows.pop_first()?;
        self.places.remove(&oldest.0);
        Some(oldest)
    }

    /// The row of this name.
    pub fn get(&self, sid: &Sid) -> Option<&T> {
        self.rows.get(self.places.get(sid)?).map(|(_, row)| row)
    }

    /// The row of this name, to change it where it stands.
    pub fn get_mut(&mut self, sid: &Sid) -> Option<&mut T> {
        self.rows.get_mut(self.places.get(sid)?).map(|(_, row)| row)
    }

    /// Moves a row to a new place.
    pub fn move_to(&mut self, place: u64, sid: &Sid) {
        if let Some(old) = self.places.get_mut(sid)
            && let Some(row) = self.rows.remove(old)
        {
            *old = place;
            self.rows.insert(place, row);
        }
    }

    /// Takes a row out.
    pub fn remove(&mut self, sid: &Sid) -> Option<T> {
        let place = self.places.remove(sid)?;
        self.rows.remove(&place).map(|(_, row)| row)
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// All rows, the newest first.
    pub fn newest_first(&self) -> impl Iterator<Item = &T> {
        self.rows.values().rev().map(|(_, row)| row)
    }

    /// At most `size` of the rows that `keep` keeps, the newest first, and whether more follow. `None` for a cursor whose
    /// row was never here.
    pub fn page(&self, cursor: Cursor, size: usize, keep: impl Fn(&T) -> bool) -> Option<(Vec<&(Sid, T)>, bool)> {
        let place = |sid: &Sid| self.tokens.get(sid).or_else(|| self.places.get(sid)).copied();
        let wanted = |row: &&(Sid, T)| keep(&row.1);
        let mut rows: Vec<_> = match cursor {
            Cursor::Skip(count) => self.rows.values().rev().filter(wanted).skip(count).take(size + 1).collect(),
            Cursor::After(sid) => {
                self.rows.range(..place(&sid)?).rev().map(|(_, row)| row).filter(wanted).take(size + 1).collect()
            }
            Cursor::Before(sid) => {
                let newer = self.rows.range(place(&sid)? + 1..).map(|(_, row)| row).filter(wanted);
                let mut rows: Vec<_> = newer.take(size).collect();
                rows.reverse();
                return Some((rows, true));
            }
        };
        let more = rows.len() > size;
        rows.truncate(size);
        Some((rows, more))
    }

    /// Remembers where a row stands whose name goes out in a page token.
    pub fn issue_token(&mut self, sid: Sid) {
        let Some(place) = self.places.get(&sid) else { return };
        if self.tokens.insert(sid, *place).is_none() {
            self.issued.push_back(sid);
            if self.issued.len() > MAX_TOKENS
                && let Some(oldest) = self.issued.pop_front()
            {
                self.tokens.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shelf(count: u64) -> (Shelf<u64>, Vec<Sid>) {
        let mut shelf = Shelf::default();
        let sids: Vec<Sid> = (0..count).map(|_| Sid::fresh("SK")).collect();
        for (place, sid) in (0..).zip(&sids) {
            shelf.insert(place, *sid, place);
        }
        (shelf, sids)
    }

    fn page(shelf: &Shelf<u64>, cursor: Cursor) -> Option<(Vec<u64>, bool)> {
        shelf.page(cursor, 2, |_| true).map(|(rows, more)| (rows.iter().map(|(_, row)| *row).collect(), more))
    }

    #[test]
    fn pages_follow_each_other() {
        let (shelf, sids) = shelf(5);
        assert_eq!(page(&shelf, Cursor::Skip(0)), Some((vec![4, 3], true)));
        assert_eq!(page(&shelf, Cursor::After(sids[3])), Some((vec![2, 1], true)));
        assert_eq!(page(&shelf, Cursor::After(sids[1])), Some((vec![0], false)));
        assert_eq!(page(&shelf, Cursor::Before(sids[2])), Some((vec![4, 3], true)));
        assert_eq!(page(&shelf, Cursor::After(Sid::fresh("SK"))), None);
    }

    #[test]
    fn a_token_outlives_its_rows_removal_and_move() {
        let (mut shelf, sids) = shelf(5);
        shelf.issue_token(sids[3]);
        shelf.remove(&sids[4]);
        shelf.remove(&sids[3]);
        assert_eq!(page(&shelf, Cursor::After(sids[3])), Some((vec![2, 1], true)));
        shelf.issue_token(sids[1]);
        shelf.move_to(9, &sids[1]);
        assert_eq!(page(&shelf, Cursor::After(sids[1])), Some((vec![0], false)));
        assert_eq!(page(&shelf, Cursor::Skip(0)), Some((vec![1, 2], true)));
    }
}
