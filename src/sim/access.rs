//! Access lines: what a pair of packets meets on its way through two homes. Each line carries one packet after the other; now
//! and then another household's packet is in between, and no clock is exact.
//!
//! Only what measures lines goes through here. The rest is small and rare, and its time on the line is part of the recorded
//! latencies.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

use crate::pool::Moment;
use crate::pool::bandwidth::PACKET_BYTES;

/// An access line, kbit/s.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Line {
    /// From the home.
    pub up: f64,
    /// To it.
    pub down: f64,
}

/// A home's line, and until when it is taken.
#[derive(Clone, Copy)]
pub(super) struct Access {
    pub(super) line: Line,
    up_free: Moment,
    down_free: Moment,
}

/// One packet in so many finds another one, as large as they get, before it on a line: a line in use a tenth of the time.
const MEETS: u32 = 10;
const OTHER_BYTES: f64 = 1_500.0;
/// What a stamp is late by, mean of an exponential, microseconds: interrupts and schedulers.
const LATE_US: f64 = 20.0;

impl Access {
    /// One of the lines on record; nothing if none is known.
    pub(super) fn draw(recorded: &[Line], random: &mut StdRng) -> Option<Self> {
        let line = *recorded.choose(random)?;
        Some(Self { line, up_free: Moment::ZERO, down_free: Moment::ZERO })
    }

    /// A packet wants to leave the home now: when it is out.
    pub(super) fn out(&mut self, now: Moment, random: &mut StdRng) -> Moment {
        pass(&mut self.up_free, self.line.up, now, random)
    }

    /// A packet wants into the home now: when it is stamped there.
    pub(super) fn arrive(&mut self, now: Moment, random: &mut StdRng) -> Moment {
        let there = pass(&mut self.down_free, self.line.down, now, random);
        let late_us = -LATE_US * (1.0 - random.random::<f64>()).ln();
        there + Duration::from_micros(late_us as u64)
    }
}

fn pass(free: &mut Moment, kbit_s: f64, now: Moment, random: &mut StdRng) -> Moment {
    let others = if random.random_ratio(1, MEETS) { OTHER_BYTES } else { 0.0 };
    let bits = (PACKET_BYTES as f64 + others) * 8.0;
    *free = now.max(*free) + Duration::from_secs_f64(bits / (kbit_s.max(1.0) * 1e3));
    *free
}
