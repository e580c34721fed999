//! A slab that grows by pages: what is in it never moves, and its growth leaves no holes in the heap, as those of one piece
//! that doubles are. An empty page gives its room back.

use slab::Slab;

/// Places of a page: some 10 KiB, a fraction of what the smallest growth of a large table would be.
const PAGE: usize = 128;

/// Values by the number that each is given.
#[derive(Debug)]
pub(super) struct Pages<T> {
    pages: Vec<Slab<T>>,
    /// No page before this one has room.
    roomy: usize,
}

impl<T> Default for Pages<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), roomy: 0 }
    }
}

impl<T> Pages<T> {
    /// Values in it.
    pub(super) fn len(&self) -> usize {
        self.pages.iter().map(Slab::len).sum()
    }

    /// The number that the next value is given.
    pub(super) fn vacant_key(&mut self) -> usize {
        while self.pages.get(self.roomy).is_some_and(|page| page.len() == PAGE) {
            self.roomy += 1;
        }
        self.roomy * PAGE + self.pages.get(self.roomy).map_or(0, Slab::vacant_key)
    }

    /// Takes a value under [`Pages::vacant_key`].
    pub(super) fn insert(&mut self, value: T) {
        let page = self.vacant_key() / PAGE;
        if page == self.pages.len() {
            self.pages.push(Slab::new());
        }
        let page = &mut self.pages[page];
        if page.capacity() == 0 {
            page.reserve_exact(PAGE);
        }
        page.insert(value);
    }

    /// Gives the value of this number up, if there is one.
    pub(super) fn try_remove(&mut self, key: usize) -> Option<T> {
        let (at, within) = (key / PAGE, key % PAGE);
        let removed = self.pages.get_mut(at)?.try_remove(within)?;
        self.roomy = self.roomy.min(at);
        Some(removed)
    }

    /// Drops the values that `keep` does not want, and the room of empty pages.
    pub(super) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        for page in &mut self.pages {
            page.retain(|_, value| keep(value));
            if page.is_empty() && page.capacity() > 0 {
                *page = Slab::new();
            }
        }
        self.roomy = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_given_anew_and_empty_pages_have_no_room() {
        let mut pages = Pages::default();
        for number in 0..3 * PAGE {
            assert_eq!(pages.vacant_key(), number);
            pages.insert(number);
        }
        // Places that became free come first, in whichever page.
        for free in [PAGE + 7, 3] {
            assert_eq!(pages.try_remove(free), Some(free));
            assert_eq!((pages.try_remove(free), pages.vacant_key()), (None, free));
        }
        pages.insert(3);
        assert_eq!((pages.vacant_key(), pages.len()), (PAGE + 7, 3 * PAGE - 1));
        pages.retain(|number| *number >= 2 * PAGE);
        assert_eq!((pages.vacant_key(), pages.len()), (0, PAGE));
        let room = |pages: &Pages<usize>| pages.pages.iter().map(Slab::capacity).sum::<usize>();
        assert_eq!(room(&pages), PAGE);
        pages.insert(0);
        assert_eq!((pages.try_remove(0), room(&pages)), (Some(0), 2 * PAGE));
        assert_eq!(pages.try_remove(3 * PAGE), None);
    }
}
