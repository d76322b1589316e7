//! The replay window of a hop (RFC 4303, section 3.4.3, with the counter's 48 bits all on the wire).

/// Which counters have been seen: the newest, and [`WIDTH`] of those before it.
#[derive(Clone, Debug, Default)]
pub(super) struct ReplayWindow {
    /// One more than the newest counter; zero before the first.
    next: u64,
    /// A ring of bits, by counter.
    seen: [u64; WORDS],
}

/// How a counter stands to those seen before.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Freshness {
    /// Newer than all.
    Newest,
    /// Late, but not seen.
    Late,
    /// Seen, or too old to say.
    Stale,
}

impl ReplayWindow {
    /// What `counter` would be; changes nothing, so that a forgery has no effect.
    pub(super) fn judge(&self, counter: u64) -> Freshness {
        if counter >= self.next {
            return Freshness::Newest;
        }
        let seen = self.seen[word(counter)] & bit(counter) != 0;
        if seen || counter + WIDTH < self.next { Freshness::Stale } else { Freshness::Late }
    }

    /// Notes a counter whose packet has been proved.
    pub(super) fn note(&mut self, counter: u64) {
        if counter >= self.next {
            if counter - self.next >= WIDTH {
                self.seen = [0; WORDS];
            } else {
                for skipped in self.next..=counter {
                    self.seen[word(skipped)] &= !bit(skipped);
                }
            }
            self.next = counter + 1;
        }
        self.seen[word(counter)] |= bit(counter);
    }
}

fn word(counter: u64) -> usize {
    (counter / 64) as usize % WORDS
}

fn bit(counter: u64) -> u64 {
    1 << (counter % 64)
}

const WORDS: usize = 4;
/// How far packets may overtake each other and still be taken: a quarter of a second of twenty talkers.
const WIDTH: u64 = 64 * WORDS as u64;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn once_only_and_not_too_late() {
        let mut window = ReplayWindow::default();
        assert_eq!(window.judge(5), Freshness::Newest);
        window.note(5);
        assert_eq!(window.judge(5), Freshness::Stale);
        assert_eq!(window.judge(4), Freshness::Late);
        window.note(5 + WIDTH - 1);
        assert_eq!(window.judge(5), Freshness::Stale, "still remembered");
        assert_eq!(window.judge(6), Freshness::Late);
        window.note(1 << 47);
        assert_eq!(window.judge(6), Freshness::Stale, "too old");
    }

    proptest! {
        /// Against a set that forgets nothing.
        #[test]
        fn nothing_is_taken_twice_and_little_is_refused(steps in vec(-300_i64..300, 1..500)) {
            let (mut window, mut taken, mut newest) = (ReplayWindow::default(), BTreeSet::new(), 1_000_u64);
            window.note(newest);
            taken.insert(newest);
            for step in steps {
                let counter = newest.saturating_add_signed(step);
                let verdict = window.judge(counter);
                if verdict == Freshness::Stale {
                    prop_assert!(taken.contains(&counter) || counter + WIDTH <= newest);
                } else {
                    prop_assert!(taken.insert(counter));
                    prop_assert_eq!(verdict == Freshness::Newest, counter > newest);
                    window.note(counter);
                    newest = newest.max(counter);
                }
            }
        }
    }
}
