//! The session's clock: the task manager's, as every member estimates it. Media carries its capture time in it.

use std::time::{Duration, Instant};

/// Maps this node's time to the session's. Ticks are samples of 48 kHz and wrap after a day, as RTP's do (RFC 3550).
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct SessionClock {
    started: Instant,
    offset_us: i64,
}

impl SessionClock {
    /// The clock of a node that started at `started` and whose manager's clock is ahead of its own by `offset_us`.
    #[must_use]
    pub fn new(started: Instant, offset_us: i64) -> Self {
        Self { started, offset_us }
    }

    /// The session's time, microseconds.
    #[must_use]
    pub fn micros(&self, now: Instant) -> i64 {
        (now.saturating_duration_since(self.started).as_micros() as i64).wrapping_add(self.offset_us)
    }

    /// The session's time in ticks of 1/48,000 s, wrapped to 32 bits.
    #[must_use]
    pub fn ticks(&self, now: Instant) -> u32 {
        (i128::from(self.micros(now)) * 48 / 1_000) as u32
    }

    /// The session's clock minus the node's own, microseconds.
    #[must_use]
    pub fn offset_us(&self) -> i64 {
        self.offset_us
    }

    /// How far apart two estimates are.
    #[must_use]
    pub fn distance(&self, other: &Self) -> Duration {
        Duration::from_micros(self.offset_us.abs_diff(other.offset_us))
    }
}
