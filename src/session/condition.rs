//! In which condition the way from a node is, by what is measured on that link alone: packets that its other end has
//! numbered and that did not come, and round trips that have grown.
//!
//! A way is bad from [`LOSS_BAD`] on, or once it has become slower by [`SLOW_BAD`]; it is good again when for a while next to
//! nothing is lost and it is nearly as fast as it was (hysteresis, as in RON, section 5.2.4 of the paper).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Between two looks at the ways.
pub(super) const LOOK: Duration = Duration::from_millis(200);
/// The same while nothing is the matter, if something else says when.
pub(super) const CALM_LOOK: Duration = Duration::from_secs(1);
/// Looks that are judged together.
const LOOKS: usize = 5;
/// More is lost than what is asked for again can make good.
const LOSS_BAD: f64 = 0.08;
/// It is lost in as many of these looks: one burst is no bad way.
const LOSSY_LOOKS: usize = 3;
/// Fewer packets say nothing of loss.
const PACKETS_MIN: u64 = 20;
/// A way that has become slower by so much, one way, is bad.
pub(super) const SLOW_BAD: Duration = Duration::from_millis(50);
/// Less is lost on a good way.
const LOSS_GOOD: f64 = 0.02;
/// And it is slower than it was by no more than this, round trip.
const SLOW_GOOD: Duration = Duration::from_millis(25);

/// Counts of packets on one way.
#[derive(Debug, Default)]
pub(super) struct Counted {
    /// How many have come and how many are lost since the connection began.
    now: (u64, u64),
    /// The same at the last looks, the newest last.
    looks: VecDeque<(Instant, u64, u64)>,
}

impl Counted {
    /// What the link has counted by now.
    pub(super) fn note(&mut self, came: u64, lost: u64) {
        if came < self.now.0 {
            // Another connection.
            self.looks.clear();
        }
        self.now = (came, lost);
    }

    /// It is time for a look; looks before `since` do not matter any more.
    pub(super) fn look(&mut self, since: Instant, now: Instant) {
        while self.looks.len() > LOOKS && self.looks.get(1).is_some_and(|(at, ..)| *at <= since) {
            self.looks.pop_front();
        }
        let (came, lost) = self.now;
        self.looks.push_back((now, came, lost));
    }

    /// The share that was lost of what came by the last looks, if that is enough to say so.
    pub(super) fn loss(&self) -> Option<f64> {
        let first = self.looks.len().checked_sub(LOOKS)?;
        self.loss_from(first)
    }

    /// The same since then.
    pub(super) fn loss_since(&self, since: Instant) -> Option<f64> {
        let first = self.looks.iter().position(|(at, ..)| *at >= since)?;
        self.loss_from(first)
    }

    /// Packets are lost all the time.
    pub(super) fn is_lossy(&self) -> bool {
        let recent = self.looks.iter().skip(self.looks.len().saturating_sub(LOOKS));
        let lost: Vec<u64> = recent.map(|(_, _, lost)| *lost).collect();
        let lossy = lost.windows(2).filter(|pair| pair[1] > pair[0]).count();
        lossy >= LOSSY_LOOKS && self.loss().is_some_and(|loss| loss >= LOSS_BAD)
    }

    /// Nothing was lost between the last looks.
    pub(super) fn is_whole(&self) -> bool {
        let mut recent = self.looks.iter().rev().take(LOOKS).map(|(_, _, lost)| lost);
        recent.next().is_none_or(|newest| recent.all(|lost| lost == newest))
    }

    fn loss_from(&self, first: usize) -> Option<f64> {
        let ((_, came_before, lost_before), (_, came, lost)) = (self.looks.get(first)?, self.looks.back()?);
        let (came, lost) = (came - came_before, lost.saturating_sub(*lost_before));
        (came + lost >= PACKETS_MIN).then(|| lost as f64 / (came + lost) as f64)
    }
}

/// True for a way whose round trips, the fastest first, are all longer than the fastest one before, by enough.
pub(super) fn has_slowed(before: &[Duration], now: &[Duration]) -> bool {
    matches!((before.first(), now), (Some(before), [now, _, ..]) if *now >= *before + SLOW_BAD)
}

/// True for a way that has lost so little, and whose round trips, the fastest first, are so short again.
pub(super) fn is_good(loss: Option<f64>, before: Option<Duration>, now: &[Duration]) -> bool {
    let fast =
        now.get(now.len() / 2).is_some_and(|now| before.is_none_or(|before| *now <= before + SLOW_GOOD));
    fast && loss.is_some_and(|loss| loss <= LOSS_GOOD)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::origin;

    const MS: Duration = Duration::from_millis(1);

    /// The first look at which a way is bad on which of ten packets a look so many are lost.
    fn noticed(lost_at: impl Fn(u32) -> u64) -> Option<u32> {
        let (start, mut counted, mut lost) = (origin(), Counted::default(), 0);
        (0..50).find(|look| {
            lost += lost_at(*look);
            counted.note(u64::from(*look) * 10 - lost.min(u64::from(*look) * 10), lost);
            counted.look(start, start + LOOK * *look);
            counted.is_lossy()
        })
    }

    #[test]
    fn steady_loss_is_noticed_within_a_second_and_one_burst_is_not() {
        assert_eq!(noticed(|look| if look >= 10 { 2 } else { 0 }), Some(12));
        assert_eq!(noticed(|look| u64::from(look >= 10)), Some(13));
        assert_eq!(noticed(|look| if look == 10 { 9 } else { 0 }), None);
        assert_eq!(noticed(|look| u64::from(look.is_multiple_of(3))), None, "3 %");
    }

    #[test]
    fn a_way_is_slow_when_all_its_round_trips_are_and_good_when_most_are_short() {
        let ms = |all: &[u32]| all.iter().map(|ms| *ms * MS).collect::<Vec<_>>();
        assert!(has_slowed(&ms(&[40, 45]), &ms(&[95, 130])));
        assert!(!has_slowed(&ms(&[40, 45]), &ms(&[50, 130])), "one was fast");
        assert!(!has_slowed(&ms(&[40, 45]), &ms(&[95])), "one may be chance");
        assert!(is_good(Some(0.01), Some(40 * MS), &ms(&[42, 50, 300])));
        assert!(!is_good(Some(0.01), Some(40 * MS), &ms(&[42, 90, 300])));
        assert!(!is_good(Some(0.05), Some(40 * MS), &ms(&[42, 50])) && !is_good(None, None, &ms(&[42])));
    }
}
