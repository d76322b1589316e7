//! What packets that do not open may cost: a stated number of attempts a second and hop.
//!
//! A packet under an unknown key id costs one look-up. Who has seen a key id can make a node try to open what it forges;
//! beyond the limit only packets from the peer's own address are tried, and the media goes on.

use std::time::{Duration, Instant};

/// See the [module](self).
#[derive(Debug)]
pub(super) struct ForgeryLimit {
    began: Instant,
    failed: u32,
}

impl ForgeryLimit {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, failed: 0 }
    }

    /// Whether a packet may be tried; `at_home`: it comes from the peer's address.
    pub(super) fn allows(&self, at_home: bool, now: Instant) -> bool {
        at_home || self.failed < FORGERIES_MAX || self.is_over(now)
    }

    /// A packet did not open.
    pub(super) fn note(&mut self, now: Instant) {
        if self.is_over(now) {
            *self = Self::new(now);
        }
        self.failed = self.failed.saturating_add(1);
    }

    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.began) >= WINDOW
    }
}

const WINDOW: Duration = Duration::from_secs(1);
/// Attempts a second and hop: each costs about a microsecond, so a thousandth of a core.
const FORGERIES_MAX: u32 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::origin;

    #[test]
    fn strangers_are_tried_so_often_and_the_peer_always() {
        let start = origin();
        let mut limit = ForgeryLimit::new(start);
        for _ in 0..FORGERIES_MAX {
            assert!(limit.allows(false, start));
            limit.note(start);
        }
        assert!(!limit.allows(false, start));
        assert!(limit.allows(true, start));
        assert!(limit.allows(false, start + WINDOW));
        limit.note(start + WINDOW);
        assert!(limit.allows(false, start + WINDOW), "counted anew");
    }
}
