//! A node's access line, upwards: all that it sends waits for one bottleneck, in one drop-tail queue, with what another
//! program there sends.
//!
//! That program is one bulk transfer by TCP as CUBIC has it (RFC 9438), as a fluid: it fills the queue at twice the line's
//! rate, takes its window back to [`KEPT`] when the queue overflows, and grows back to that point in [`GROWS_FOR`].

use std::time::{Duration, Instant};

/// What the line carries.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Uplink {
    /// Bit/s.
    pub rate_bps: u64,
    /// What may wait, as time at that rate; more is dropped.
    pub queue: Duration,
}

/// The multiplicative decrease (RFC 9438, section 4.6).
const KEPT: f64 = 0.7;
/// From one overflow to the next, seconds: CUBIC's K (section 4.2) for some 80 packets in flight, 1 s of 1 Mbit/s.
const GROWS_FOR: f64 = 4.0;
/// How the queue grows, seconds a second: in slow start, after an overflow, and on the way back.
const STARTS: f64 = 1.0;
const YIELDS: f64 = -1.0;

/// A line and what waits for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    uplink: Uplink,
    /// What waits, seconds.
    waiting: f64,
    at: Instant,
    /// How the queue grows by what the other program sends, where one does.
    other: Option<f64>,
}

impl Line {
    pub(super) fn new(uplink: Uplink, now: Instant) -> Self {
        Self { uplink, waiting: 0.0, at: now, other: None }
    }

    /// The other program begins, or ends.
    pub(super) fn set_filled(&mut self, filled: bool, now: Instant) {
        self.advance(now);
        self.other = filled.then_some(STARTS);
    }

    /// When a packet that is sent now has left; `None` if it is dropped.
    pub(super) fn send(&mut self, size: usize, now: Instant) -> Option<Instant> {
        self.advance(now);
        let takes = size as f64 * 8.0 / self.uplink.rate_bps.max(1) as f64;
        if self.waiting + takes > self.uplink.queue.as_secs_f64().max(takes) {
            return None;
        }
        self.waiting += takes;
        Some(now + Duration::from_secs_f64(self.waiting))
    }

    fn advance(&mut self, now: Instant) {
        let mut left = now.saturating_duration_since(self.at).as_secs_f64();
        self.at = now;
        let full = self.uplink.queue.as_secs_f64();
        while left > 0.0 {
            let Some(growth) = self.other else {
                self.waiting = (self.waiting - left).max(0.0);
                return;
            };
            let turns_at = if growth > 0.0 { full } else { full * KEPT };
            let until = ((turns_at - self.waiting) / growth).max(0.0);
            if until > left {
                self.waiting += growth * left;
                return;
            }
            (self.waiting, left) = (turns_at, left - until);
            self.other = Some(if growth > 0.0 { YIELDS } else { full * (1.0 - KEPT) / GROWS_FOR });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::origin;

    const MS: Duration = Duration::from_millis(1);
    const MBIT: Uplink = Uplink { rate_bps: 1_000_000, queue: Duration::from_secs(1) };

    #[test]
    fn packets_leave_at_the_lines_rate_and_what_finds_no_room_is_dropped() {
        let start = origin();
        let mut line = Line::new(Uplink { queue: 3 * MS, ..MBIT }, start);
        let left = |line: &mut Line, at| line.send(125, at).map(|at| (at - start).as_millis());
        assert_eq!([(); 4].map(|()| left(&mut line, start)), [Some(1), Some(2), Some(3), None]);
        assert_eq!(left(&mut line, start + 2 * MS), Some(4));
        assert_eq!(left(&mut line, start + 9 * MS), Some(10));
    }

    #[test]
    fn another_program_keeps_the_queue_full_to_two_thirds_and_loses_its_share_when_it_ends() {
        let start = origin();
        let mut line = Line::new(MBIT, start);
        line.set_filled(true, start);
        let waits_ms = |line: &mut Line, ms: u32| {
            let now = start + MS * ms;
            line.send(1, now).map(|left| (left - now).as_millis())
        };
        assert_eq!(waits_ms(&mut line, 500), Some(500));
        let later: Vec<_> = (20..300).filter_map(|tick| waits_ms(&mut line, tick * 100)).collect();
        assert!(later.iter().all(|ms| (690..=1_000).contains(ms)), "{later:?}");
        assert!(later.len() >= 270, "few are dropped: {}", later.len());
        line.set_filled(false, start + MS * 30_000);
        assert_eq!(waits_ms(&mut line, 31_100), Some(0));
    }
}
