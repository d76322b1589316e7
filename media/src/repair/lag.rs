//! How much later a stream's packets come than the quickest of them did lately: the wait on their way, without a clock in
//! common (as LEDBAT finds a queue, RFC 6817, section 3.2: by the lowest delay of the last while).

use std::time::{Duration, Instant};

use crate::SAMPLE_RATE;
use crate::packet::CaptureTime;

/// How long a lowest delay is remembered, at least; at most twice that.
const FLOOR_LIFE: Duration = Duration::from_secs(15);

#[derive(Debug)]
pub(super) struct Lag {
    pub(super) heard_at: Instant,
    /// The first packet: when it came and when it was captured.
    first: (Instant, CaptureTime),
    /// The lowest delays beyond the first packet's, microseconds: of this while, and of the one before.
    floor_us: i64,
    floor_before_us: i64,
    turns_at: Instant,
    /// The lowest since it was last asked for.
    lowest_us: Option<i64>,
}

impl Lag {
    pub(super) fn new(captured: CaptureTime, now: Instant) -> Self {
        Self {
            heard_at: now,
            first: (now, captured),
            floor_us: 0,
            floor_before_us: 0,
            turns_at: now + FLOOR_LIFE,
            lowest_us: None,
        }
    }

    /// A packet has come.
    pub(super) fn note(&mut self, captured: CaptureTime, now: Instant) {
        self.heard_at = now;
        let (began, first) = self.first;
        let sent_us = i64::from(captured.ticks_since(first)) * 1_000_000 / i64::from(SAMPLE_RATE);
        let delay_us = now.saturating_duration_since(began).as_micros() as i64 - sent_us;
        if now >= self.turns_at {
            (self.floor_before_us, self.floor_us) = (self.floor_us, delay_us);
            self.turns_at = now + FLOOR_LIFE;
        }
        self.floor_us = self.floor_us.min(delay_us);
        self.lowest_us = Some(self.lowest_us.map_or(delay_us, |lowest| lowest.min(delay_us)));
    }

    /// By how much the quickest packet since the last call was late; `None` if none came.
    pub(super) fn take(&mut self) -> Option<Duration> {
        let lowest_us = self.lowest_us.take()?;
        let floor_us = self.floor_us.min(self.floor_before_us);
        Some(Duration::from_micros(u64::try_from(lowest_us - floor_us).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::origin;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_waits_is_late_and_after_a_while_it_is_the_rule() {
        let start = origin();
        // The clock of the source wraps meanwhile.
        let first = CaptureTime(u32::MAX - 48_000);
        let mut lag = Lag::new(first, start);
        let mut hear = |frame: u32, late: Duration| {
            lag.note(first.plus(frame * 960), start + frame * 20 * MS + late);
            lag.take()
        };
        assert_eq!(hear(0, 3 * MS), Some(3 * MS));
        assert_eq!(hear(1, Duration::ZERO), Some(Duration::ZERO));
        assert_eq!(hear(200, 80 * MS), Some(80 * MS));
        assert!((300..2_000).map(|frame| hear(frame, 80 * MS)).last() == Some(Some(Duration::ZERO)));
    }
}
