//! How long packets of one source are on their way: arrival against capture. The clocks of both ends are
//! not compared, so a transit means something only next to another one.

use std::collections::VecDeque;
use std::time::Instant;

use crate::packet::CaptureTime;

/// How many packets' transits are remembered: 5 s of 20 ms.
const TRANSITS_MAX: usize = 256;

/// Of those, the share whose lateness is left out of the spread, one in so many: what waiting for them would
/// cost all others is worse than losing them.
const UNCOVERED_ONE_IN: usize = 50;

/// See the [module](self). All times are relative to the first packet's and in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Transit {
    clock: Option<Clock>,
    ring: VecDeque<f64>,
    least_ms: f64,
    spread_ms: f64,
    jitter_ms: f64,
}

/// Where the source's clock stands against ours.
#[derive(Debug)]
struct Clock {
    /// When the first packet arrived.
    origin: Instant,
    /// The latest packet's capture time.
    capture_time: CaptureTime,
    /// The same, relative to the first packet's.
    capture_ms: f64,
}

impl Transit {
    /// Notes a packet and returns its capture time.
    pub(crate) fn measure(&mut self, capture_time: CaptureTime, now: Instant) -> f64 {
        let clock = self.clock.get_or_insert(Clock { origin: now, capture_time, capture_ms: 0.0 });
        // From packet to packet rather than from the first, which would be ambiguous after 12 hours.
        clock.capture_ms += f64::from(capture_time.ticks_since(clock.capture_time)) / 48.0;
        clock.capture_time = capture_time;
        let (capture_ms, transit_ms) = (clock.capture_ms, ms_between(clock.origin, now) - clock.capture_ms);
        if let Some(last) = self.ring.back() {
            self.jitter_ms += ((transit_ms - last).abs() - self.jitter_ms) / 16.0;
        }
        self.put(transit_ms);
        capture_ms
    }

    /// How many packets are remembered.
    pub(crate) fn len(&self) -> usize {
        self.ring.len()
    }

    /// How long after the quickest packet's arrival a frame of that capture time is played if that is now.
    pub(crate) fn delay_ms(&self, capture_ms: f64, now: Instant) -> f64 {
        let Some(clock) = &self.clock else { return 0.0 };
        ms_between(clock.origin, now) - capture_ms - self.least_ms
    }

    /// How much later than the quickest nearly all packets came.
    pub(crate) fn spread_ms(&self) -> f64 {
        self.spread_ms
    }

    /// Mean deviation from packet to packet (RFC 3550, section 6.4.1).
    pub(crate) fn jitter_ms(&self) -> f64 {
        self.jitter_ms
    }

    fn put(&mut self, transit_ms: f64) {
        if self.ring.len() == TRANSITS_MAX {
            self.ring.pop_front();
        }
        self.ring.push_back(transit_ms);
        let mut sorted = [0.0; TRANSITS_MAX];
        let sorted = &mut sorted[..self.ring.len()];
        sorted.iter_mut().zip(&self.ring).for_each(|(to, from)| *to = *from);
        self.least_ms = sorted.iter().copied().fold(f64::INFINITY, f64::min);
        let covered = sorted.len() - 1 - sorted.len() / UNCOVERED_ONE_IN;
        let (_, &mut most_ms, _) = sorted.select_nth_unstable_by(covered, f64::total_cmp);
        self.spread_ms = most_ms - self.least_ms;
    }
}

fn ms_between(from: Instant, to: Instant) -> f64 {
    to.saturating_duration_since(from).as_secs_f64() * 1_000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn start() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an Instant to count from; nothing waits")]
        Instant::now()
    }

    #[test]
    fn the_spread_leaves_the_worst_out() {
        let (start, mut transit) = (start(), Transit::default());
        for at in 0..200_u32 {
            let late_ms = if at % 100 == 50 { 300 } else { at % 4 * 10 };
            let now = start + Duration::from_millis(u64::from(at * 20 + late_ms));
            let capture_ms = transit.measure(CaptureTime(960 * at), now);
            assert_eq!(capture_ms, f64::from(at) * 20.0);
            assert!((transit.delay_ms(capture_ms, now) - f64::from(late_ms)).abs() < 1e-6);
        }
        assert!((transit.spread_ms() - 30.0).abs() < 1e-6, "{}", transit.spread_ms());
        assert!(transit.jitter_ms() > 5.0);
    }

    #[test]
    fn a_longer_path_is_forgotten_to_have_been_shorter() {
        let (start, mut transit) = (start(), Transit::default());
        for at in 0..600_u32 {
            let way_ms = if at < 200 { 20 } else { 100 };
            let now = start + Duration::from_millis(u64::from(at * 20 + way_ms));
            transit.measure(CaptureTime((960 * at).wrapping_sub(9_600)), now);
            let expected = if (205..450).contains(&at) { 80.0 } else { 0.0 };
            let settled = !(200..205).contains(&at) && !(450..460).contains(&at);
            assert!(!settled || (transit.spread_ms() - expected).abs() < 1e-6, "{at}");
        }
    }
}
