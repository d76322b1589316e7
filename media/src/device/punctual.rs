//! Whether a loudspeaker's callback comes before all that it has given is played: a sound server does not say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::SAMPLE_RATE;

/// A callback's end and the conference's, of a card that holds so much.
pub(super) fn punctuality(held: Duration) -> (Punctuality, Starvation) {
    let late = Arc::new(AtomicU64::new(0));
    (Punctuality { held, late: late.clone() }, Starvation { late, seen: 0, lately: 0, samples: 0 })
}

/// The callback's end.
pub(super) struct Punctuality {
    held: Duration,
    late: Arc<AtomicU64>,
}

impl Punctuality {
    /// The callback comes again after so long.
    pub(super) fn on_callback(&mut self, pause: Duration) {
        if pause > self.held {
            self.late.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The conference's end: tells a machine that is too busy for a card's blocks from one that was so once.
pub(super) struct Starvation {
    late: Arc<AtomicU64>,
    seen: u64,
    lately: u32,
    /// Since it was late last.
    samples: usize,
}

impl Starvation {
    /// So many samples, at 48 kHz, have passed: whether the callback has been too late too often. Said once.
    pub(super) fn is_told(&mut self, samples: usize) -> bool {
        let late = self.late.load(Ordering::Relaxed);
        if late == std::mem::replace(&mut self.seen, late) {
            self.samples = self.samples.saturating_add(samples);
            return false;
        }
        let again = std::mem::take(&mut self.samples) < STARVED_SAMPLES;
        self.lately = if again { self.lately + 1 } else { 1 };
        self.lately == STARVED_MAX
    }
}

/// So often is too often, where each time comes this soon, samples, after the one before: 20 s.
const STARVED_MAX: u32 = 3;
const STARVED_SAMPLES: usize = 20 * SAMPLE_RATE as usize;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_is_starved_when_its_callback_is_late_again_and_again() {
        let (mut punctuality, mut starvation) = punctuality(Duration::from_millis(20));
        let mut after = |ms: u64| {
            punctuality.on_callback(Duration::from_millis(ms));
            starvation.is_told(ms as usize * 48)
        };
        assert!(![10, 12, 20, 25, 10, 30, 10].map(&mut after).contains(&true), "late twice");
        assert!((0..3_000).all(|_| !after(10)), "long forgotten");
        assert_eq!([25, 10, 25, 10, 25, 25].map(&mut after), [false, false, false, false, true, false]);
    }
}
