//! A budget of bytes a second that any thread may draw on without waiting: the generic cell rate algorithm (ITU-T I.371), in
//! one atomic word.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// See the [module](self).
#[derive(Debug)]
pub struct Budget {
    since: Instant,
    /// Bits a second.
    rate_bps: AtomicU64,
    /// When all that was drawn has been earned, nanoseconds since `since`.
    even_ns: AtomicU64,
    /// Draws that found it nearly spent.
    pressed: AtomicU64,
}

impl Budget {
    /// A budget of this rate, unused so far.
    #[must_use]
    pub fn new(rate_bps: u64, now: Instant) -> Self {
        Self {
            since: now,
            rate_bps: AtomicU64::new(rate_bps),
            even_ns: AtomicU64::new(0),
            pressed: AtomicU64::new(0),
        }
    }

    /// Changes the rate from now on.
    pub fn set_rate(&self, rate_bps: u64) {
        self.rate_bps.store(rate_bps, Ordering::Relaxed);
    }

    /// Draws `bytes`, unless that would take the budget ahead of its rate by more than [`AHEAD_MAX`]: whether it was drawn.
    pub fn draw(&self, bytes: usize, now: Instant) -> bool {
        self.draw_up_to(bytes, AHEAD_MAX, now)
    }

    /// The same for a media packet: one without the priority bit leaves the last part of the budget to those with it.
    pub fn draw_media(&self, bytes: usize, packet: &[u8], now: Instant) -> bool {
        let ahead = if alm_media::peek_priority(packet) == Some(false) { AHEAD_USUAL } else { AHEAD_MAX };
        self.draw_up_to(bytes, ahead, now)
    }

    /// How often the budget has been found nearly spent.
    #[must_use]
    pub fn pressed(&self) -> u64 {
        self.pressed.load(Ordering::Relaxed)
    }

    fn draw_up_to(&self, bytes: usize, ahead: Duration, now: Instant) -> bool {
        let rate = self.rate_bps.load(Ordering::Relaxed).max(1);
        let cost = (bytes as u64 * 8).saturating_mul(1_000_000_000) / rate;
        let now = now.saturating_duration_since(self.since).as_nanos() as u64;
        let limit = now + ahead.as_nanos() as u64;
        let drawn = self.even_ns.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |even| {
            let even = even.max(now).saturating_add(cost);
            (even <= limit).then_some(even)
        });
        if drawn.is_err() || drawn.is_ok_and(|even| even > now + AHEAD_PRESSED.as_nanos() as u64) {
            self.pressed.fetch_add(1, Ordering::Relaxed);
        }
        drawn.is_ok()
    }
}

/// What may be sent ahead of the rate, and so wait behind it in a queue somewhere: 100 ms of audio, after which it is better
/// lost.
const AHEAD_MAX: Duration = Duration::from_millis(100);
/// And for packets without the priority bit: a few frames of the loudest voices always find room.
const AHEAD_USUAL: Duration = Duration::from_millis(75);
/// From there on the budget is nearly spent: more than the packets of a frame of twenty voices that come at once.
const AHEAD_PRESSED: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::origin;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn the_rate_is_kept_and_never_more_than_100_ms_are_ahead() {
        let start = origin();
        // 1,000 bytes take a millisecond.
        let budget = Budget::new(8_000_000, start);
        let drawn = |now| (0..1_000).take_while(|_| budget.draw(1_000, now)).count();
        assert_eq!(drawn(start), 100);
        assert_eq!(drawn(start + 10 * MS), 10);
        assert_eq!(drawn(start + 10_000 * MS), 100, "what is not used is not saved up");
        budget.set_rate(80_000_000);
        assert_eq!(drawn(start + 10_010 * MS), 100, "ten times faster");
        assert!(!budget.draw(usize::MAX / 16, start + 20_000 * MS), "no size overflows");
    }

    #[test]
    fn others_are_dropped_before_the_loudest_and_pressure_is_seen_before_that() {
        let start = origin();
        let budget = Budget::new(8_000_000, start);
        let [usual, loudest] = [0x80, 0x81].map(|first| {
            let mut packet = vec![0; 100];
            packet[0] = first;
            packet
        });
        let drawn =
            |packet: &[u8]| (0..1_000).take_while(|_| budget.draw_media(1_000, packet, start)).count();
        (0..50).for_each(|_| assert!(budget.draw(1_000, start)));
        assert_eq!(budget.pressed(), 0);
        assert_eq!(drawn(&usual), 25);
        assert!(budget.pressed() > 0);
        assert_eq!(drawn(&loudest), 25);
    }
}
