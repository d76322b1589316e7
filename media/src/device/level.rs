//! How full a ring between two clocks is kept: as empty as it can be without running out.
//!
//! What counts is the least that is left in it within a second, after a block of the card's has been taken and with threads
//! that wake late; less than the margin is too little, more is delay. The ring is brought there by the resampler, a
//! little faster or slower than the nominal rate, which absorbs clocks that drift apart as well and cannot be heard; only
//! what a stall has left behind is dropped. A ring that runs out has a larger margin from then on, and gives it back when a
//! minute shows that it was not needed.

use crate::SAMPLE_RATE;

/// What is left in a ring at its emptiest when all goes well, in milliseconds.
const MARGIN_MS: f64 = 5.0;

/// By how much, and to how many times itself, the margin grows when a ring runs out, whichever is more.
const GROWTH_MS: f64 = 5.0;
const GROWTH: f64 = 1.5;

/// What the margin grows to, in milliseconds.
const MARGIN_MS_MAX: f64 = 150.0;

/// The margin shrinks by so much at a time, in milliseconds.
const SHRINK_MS: f64 = 2.5;

/// How long the least level is looked for, in milliseconds.
const WATCH_MS: f64 = 1_000.0;

/// So long without running out, in milliseconds, and a margin that was not needed shrinks.
const CALM_MS: f64 = 60_000.0;

/// A difference is made up for in so many milliseconds if the resampler may go that fast.
const GLIDE_MS: f64 = 2_000.0;

/// The most that the resampler deviates by: a twelfth of a semitone.
pub(super) const HASTE_MAX: f64 = 0.005;

/// A ring fuller than need be by more, in milliseconds, has that dropped: it would take the resampler long.
const SURPLUS_MS: f64 = 40.0;

/// Watches how full a ring stays.
#[derive(Debug)]
pub(super) struct Level {
    per_ms: f64,
    margin_ms: f64,
    least: usize,
    watched_ms: f64,
    calm_ms: f64,
    /// By how much the level has been below the margin at worst in all that calm, in milliseconds.
    needed_ms: f64,
}

/// What is to be done about a level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Correction {
    /// Samples too many.
    pub(super) surplus: usize,
    /// How much faster than nominal the ring is to be emptied, or filled more slowly: -[`HASTE_MAX`] to [`HASTE_MAX`].
    pub(super) haste: f64,
}

impl Level {
    /// Of a ring of samples at that rate.
    pub(super) fn new(rate: u32) -> Self {
        Self {
            per_ms: f64::from(rate) / 1_000.0,
            margin_ms: MARGIN_MS,
            least: usize::MAX,
            watched_ms: 0.0,
            calm_ms: 0.0,
            needed_ms: 0.0,
        }
    }

    /// Samples that are to be left when a block has been taken.
    pub(super) fn margin(&self) -> usize {
        (self.margin_ms * self.per_ms) as usize
    }

    /// The ring ran out.
    pub(super) fn grow(&mut self) {
        self.margin_ms = (self.margin_ms + GROWTH_MS).max(self.margin_ms * GROWTH).min(MARGIN_MS_MAX);
        (self.least, self.watched_ms, self.calm_ms, self.needed_ms) = (usize::MAX, 0.0, 0.0, 0.0);
    }

    /// Notes what is left, once for each frame of so many samples at 48 kHz. Once a second there is something to be done.
    pub(super) fn watch(&mut self, left: usize, frame: usize) -> Option<Correction> {
        self.least = self.least.min(left);
        self.watched_ms += frame as f64 * 1_000.0 / f64::from(SAMPLE_RATE);
        if self.watched_ms < WATCH_MS {
            return None;
        }
        let over_ms = std::mem::replace(&mut self.least, usize::MAX) as f64 / self.per_ms - self.margin_ms;
        self.calm_ms += std::mem::take(&mut self.watched_ms);
        self.needed_ms = self.needed_ms.max(-over_ms);
        if self.calm_ms >= CALM_MS {
            let unneeded_ms = self.margin_ms - MARGIN_MS - self.needed_ms;
            self.margin_ms -= unneeded_ms.clamp(0.0, SHRINK_MS);
            (self.calm_ms, self.needed_ms) = (0.0, 0.0);
        }
        let surplus = if over_ms > SURPLUS_MS { (over_ms * self.per_ms) as usize } else { 0 };
        let haste = if surplus > 0 { 0.0 } else { (over_ms / GLIDE_MS).clamp(-HASTE_MAX, HASTE_MAX) };
        Some(Correction { surplus, haste })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of a ring that is left with so many milliseconds at its emptiest.
    fn second(level: &mut Level, left_ms: f64) -> Correction {
        let told: Vec<_> = (0..200).filter_map(|_| level.watch((left_ms * 48.0) as usize, 240)).collect();
        assert_eq!(told.len(), 1);
        told[0]
    }

    #[test]
    fn a_little_is_made_up_for_by_the_rate_and_much_is_dropped() {
        let level = &mut Level::new(48_000);
        assert_eq!(second(level, MARGIN_MS), Correction { surplus: 0, haste: 0.0 });
        let deep = second(level, MARGIN_MS + 5.0);
        assert!(deep.surplus == 0 && (deep.haste - 0.0025).abs() < 1e-9, "{deep:?}");
        assert!(second(level, MARGIN_MS - 2.0).haste < 0.0);
        assert_eq!(second(level, MARGIN_MS + 39.0).haste, HASTE_MAX);
        assert_eq!(second(level, MARGIN_MS + 50.0), Correction { surplus: 2_400, haste: 0.0 });
    }

    #[test]
    fn a_margin_that_has_grown_is_taken_back_where_it_is_not_needed() {
        let level = &mut Level::new(48_000);
        (0..3).for_each(|_| level.grow());
        let grown = level.margin_ms;
        assert_eq!(grown, 22.5);
        (0..59).for_each(|_| _ = second(level, grown));
        assert_eq!(level.margin_ms, grown);
        // Needed once in a minute, and almost all of it.
        let _ = second(level, 5.0);
        assert_eq!(level.margin_ms, grown);
        for _ in 0..60 * 8 {
            let left_ms = level.margin_ms;
            let _ = second(level, left_ms);
        }
        assert_eq!(level.margin_ms, MARGIN_MS);
        (0..100).for_each(|_| level.grow());
        assert_eq!(level.margin_ms, MARGIN_MS_MAX);
    }
}
