//! How long packets of one source are on their way: arrival against capture. The clocks of both ends are
//! not compared, so a transit means something only next to another one.
//!
//! What a buffer should cover is read from two memories. The long one, ten seconds, knows what a path does now and
//! then; a stall that lets go stands in it once and not with each of its packets, unless stalls are what the path does.
//! The short one, a few packets, sees a queue build up before the long one has noticed. A queue that has stood for a second
//! or longer and is gone, because another program has had its way with the line, is no longer what the path does: then all
//! before its end is forgotten.

use std::collections::VecDeque;
use std::time::Instant;

use crate::packet::CaptureTime;

/// How much of the past is remembered, in slots: 10 s. On recorded lines more of it hides what the path has begun to do.
const SLOTS_MAX: usize = 500;

/// What stands in the memory as one: the latest of the packets that were captured within that time, ms.
const SLOT_MS: f64 = 20.0;

/// The share of slots that is to be covered: three in a thousand late are not heard as a fault.
const COVERED: f64 = 0.997;

/// The share that is covered whatever it costs.
const COVERED_SURELY: f64 = 0.99;

/// What covering the rest may cost at most, ms: a third of a frame of the usual length.
const REST_MS_MAX: f64 = 6.0;

/// What most packets keep to.
const USUAL: f64 = 0.9;

/// A packet that comes so much later than what is covered was held up, and those behind it with it, ms.
const STALL_MS: f64 = 100.0;

/// A queue stands when that many slots in a row say so: 1 s.
const STANDS: usize = 50;

/// It is gone when that many say so: half a second.
const GONE: usize = 25;

/// How much lower the path must be then, and how even, ms.
const STOOD_MS: f64 = 100.0;

/// How much later than the quickest another copy of a packet may come and still be one to wait for, ms: two ways across the
/// world. Who sends old packets again deepens no buffer beyond that.
const AGAIN_MS_MAX: f64 = 250.0;

/// How many of the latest packets the short memory holds.
const RECENT_MAX: usize = 8;

/// How many of these in a row must be late for it to count.
const SUSTAINED: usize = 3;

/// See the [module](self). All times are relative to the first packet's and in milliseconds.
#[derive(Debug, Default)]
pub(crate) struct Transit {
    clock: Option<Clock>,
    /// Transits by age.
    slots: VecDeque<f64>,
    /// The same by size.
    sorted: Vec<f64>,
    /// Capture time at which the newest slot begins.
    slot_ms: f64,
    recent: VecDeque<f64>,
    stall: Option<Stall>,
    /// Slots since the first packet.
    count: u64,
    covered_ms: f64,
    jitter_ms: f64,
    last_ms: Option<f64>,
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

/// A time in which nothing came, and then all at once.
#[derive(Debug)]
struct Stall {
    /// What was captured up to then was held up.
    until_ms: f64,
    /// When it was, in slots.
    at: u64,
    /// Another one came within memory: they count in full.
    again: bool,
}

impl Transit {
    /// Notes a packet and returns its capture time.
    pub(crate) fn measure(&mut self, capture_time: CaptureTime, now: Instant) -> f64 {
        let clock = self.clock.get_or_insert(Clock { origin: now, capture_time, capture_ms: 0.0 });
        // From packet to packet rather than from the first, which would be ambiguous after 12 hours.
        clock.capture_ms += f64::from(capture_time.ticks_since(clock.capture_time)) / 48.0;
        clock.capture_time = capture_time;
        let (capture_ms, transit_ms) = (clock.capture_ms, ms_between(clock.origin, now) - clock.capture_ms);
        if let Some(last) = self.last_ms.replace(transit_ms) {
            self.jitter_ms += ((transit_ms - last).abs() - self.jitter_ms) / 16.0;
        }
        if !self.is_held_up(capture_ms, transit_ms) {
            self.put(capture_ms, transit_ms);
            if self.recent.len() == RECENT_MAX {
                self.recent.pop_front();
            }
            self.recent.push_back(transit_ms);
        }
        capture_ms
    }

    /// Notes another copy of a packet, which says how late the slower one of two ways is.
    pub(crate) fn measure_again(&mut self, capture_time: CaptureTime, now: Instant) {
        let Some(clock) = &self.clock else { return };
        let capture_ms = clock.capture_ms + f64::from(capture_time.ticks_since(clock.capture_time)) / 48.0;
        let transit_ms = ms_between(clock.origin, now) - capture_ms;
        let newest = self.slots.back().copied();
        if let Some(known) = newest.filter(|known| *known < transit_ms)
            && transit_ms - self.least_ms() <= AGAIN_MS_MAX
        {
            self.slots.pop_back();
            self.forget(known);
            self.remember(transit_ms);
        }
    }

    /// How many slots are remembered.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// How long after the quickest packet's arrival a frame of that capture time is played if that is now.
    pub(crate) fn delay_ms(&self, capture_ms: f64, now: Instant) -> f64 {
        let Some(clock) = &self.clock else { return 0.0 };
        ms_between(clock.origin, now) - capture_ms - self.least_ms()
    }

    /// How much later than the quickest packet one comes that is to be waited for.
    pub(crate) fn spread_ms(&self) -> f64 {
        self.covered_ms.max(self.building_up_ms()) - self.least_ms()
    }

    /// How much later than the quickest most packets come at the latest.
    pub(crate) fn usual_ms(&self) -> f64 {
        if self.sorted.is_empty() { 0.0 } else { self.quantile(USUAL) - self.least_ms() }
    }

    /// Mean deviation from packet to packet (RFC 3550, section 6.4.1).
    pub(crate) fn jitter_ms(&self) -> f64 {
        self.jitter_ms
    }

    fn least_ms(&self) -> f64 {
        self.sorted.first().copied().unwrap_or(0.0)
    }

    /// Where a queue that grows will be some packets on: what the last ones all exceeded, and what the short memory
    /// spans, its most extreme packet left out.
    fn building_up_ms(&self) -> f64 {
        if self.recent.len() < RECENT_MAX {
            return f64::NEG_INFINITY;
        }
        let (mut least, mut most, mut second) = (f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY);
        for &transit in &self.recent {
            least = least.min(transit);
            (most, second) = if transit > most { (transit, most) } else { (most, second.max(transit)) };
        }
        let sustained = self.recent.iter().rev().take(SUSTAINED).copied().fold(f64::INFINITY, f64::min);
        sustained + second - least
    }

    /// Whether a packet was held up with the one before it, which stands for both.
    fn is_held_up(&mut self, capture_ms: f64, transit_ms: f64) -> bool {
        if let Some(stall) = &self.stall
            && capture_ms <= stall.until_ms
        {
            return !stall.again;
        }
        let over_ms = transit_ms - self.covered_ms;
        if self.slots.len() >= RECENT_MAX && over_ms > STALL_MS {
            let again = self.stall.as_ref().is_some_and(|last| self.count - last.at < SLOTS_MAX as u64);
            self.stall = Some(Stall { until_ms: capture_ms + over_ms, at: self.count, again });
        }
        false
    }

    fn put(&mut self, capture_ms: f64, transit_ms: f64) {
        let same_slot = (0.0..SLOT_MS).contains(&(capture_ms - self.slot_ms + SLOT_ROUNDING_MS));
        let latest = self.slots.back().copied().filter(|_| same_slot);
        let transit_ms = match latest {
            Some(known) if known >= transit_ms => return,
            Some(known) => {
                self.slots.pop_back();
                self.forget(known);
                transit_ms
            }
            None => {
                self.slot_ms = capture_ms;
                self.count += 1;
                transit_ms
            }
        };
        if self.slots.len() == SLOTS_MAX
            && let Some(oldest) = self.slots.pop_front()
        {
            self.forget(oldest);
        }
        self.remember(transit_ms);
        if latest.is_none() && self.count.is_multiple_of(GONE as u64 / 5) {
            self.forget_what_stood();
        }
    }

    /// Forgets all but the last half a second if the path has been lower and even in it than it was for a second before.
    fn forget_what_stood(&mut self) {
        let Some(before) = self.slots.len().checked_sub(GONE) else { return };
        let (mut least, mut most) = (f64::INFINITY, f64::NEG_INFINITY);
        for &transit in self.slots.range(before..) {
            (least, most) = (least.min(transit), most.max(transit));
        }
        if most - least > STOOD_MS || self.covered_ms <= most + STOOD_MS {
            return;
        }
        let mut high = 0;
        let stood = self.slots.range(..before).any(|transit| {
            high = if *transit > most + STOOD_MS { high + 1 } else { 0 };
            high == STANDS
        });
        if stood {
            self.slots.drain(..before);
            self.sorted = self.slots.iter().copied().collect();
            self.sorted.sort_by(f64::total_cmp);
            self.cover();
        }
    }

    /// In the newest slot.
    fn remember(&mut self, transit_ms: f64) {
        self.slots.push_back(transit_ms);
        let at = self.sorted.partition_point(|known| *known < transit_ms);
        self.sorted.insert(at, transit_ms);
        self.cover();
    }

    fn cover(&mut self) {
        self.covered_ms = self.quantile(COVERED).min(self.quantile(COVERED_SURELY) + REST_MS_MAX);
    }

    /// Of at least one slot.
    fn quantile(&self, share: f64) -> f64 {
        let rank = (share * self.sorted.len() as f64).ceil() as usize;
        self.sorted[rank.clamp(1, self.sorted.len()) - 1]
    }

    fn forget(&mut self, transit_ms: f64) {
        let at = self.sorted.partition_point(|known| *known < transit_ms);
        self.sorted.remove(at);
    }
}

/// Capture times are sums of whole ticks: a slot's end is met but for rounding.
const SLOT_ROUNDING_MS: f64 = 0.01;

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

    /// Packets of 20 ms, the nth late by that much; what is covered after each.
    fn spreads(packets: u32, late_ms: impl Fn(u32) -> u64) -> Vec<f64> {
        let (start, mut transit) = (start(), Transit::default());
        (0..packets)
            .map(|at| {
                let now = start + Duration::from_millis(1_000 + u64::from(at) * 20 + late_ms(at));
                let capture_ms = transit.measure(CaptureTime((960 * at).wrapping_sub(9_600)), now);
                assert_eq!(capture_ms, f64::from(at) * 20.0);
                transit.spread_ms()
            })
            .collect()
    }

    #[test]
    fn the_spread_leaves_out_what_is_rare_and_late() {
        let spreads = spreads(1_000, |at| if at % 600 == 350 { 90 } else { u64::from(at) % 4 * 10 });
        assert!((spreads[999] - 40.0).abs() < 1e-6, "{}", spreads[999]);
    }

    #[test]
    fn a_stall_counts_once_and_stalls_count_in_full() {
        let stall = |at: u32, from: u32| {
            if (from..from + 25).contains(&at) { u64::from(from + 25 - at) * 20 } else { 0 }
        };
        let once = spreads(1_400, |at| stall(at, 700));
        assert!(once[1_399] < 20.0, "{}", once[1_399]);
        let often = spreads(1_400, |at| stall(at, 100 + (at.saturating_sub(100)) / 200 * 200));
        assert!(often[1_399] > 300.0, "{}", often[1_399]);
    }

    #[test]
    fn a_queue_that_builds_up_is_seen_at_once() {
        let spreads = spreads(560, |at| u64::from(at.saturating_sub(500)) * 6);
        for (at, spread) in spreads.iter().enumerate().skip(510).take(49) {
            assert!(*spread >= (at as f64 - 500.0) * 6.0, "{at}: {spread}");
        }
    }

    #[test]
    fn a_queue_that_stood_and_is_gone_is_forgotten_within_two_seconds() {
        // Another program fills a queue of a second within a second, and takes 40 s for what it does.
        let queue = |at: u32| match at {
            ..500 => 0,
            500..550 => u64::from(at - 500) * 20,
            550..2_500 => 800 + u64::from(at % 10) * 20,
            2_500..2_550 => u64::from(2_550 - at) * 18,
            _ => 0,
        };
        let spreads = spreads(2_700, queue);
        assert!(spreads[2_000] >= 180.0, "{}", spreads[2_000]);
        assert!(spreads[2_620] < 120.0, "{}", spreads[2_620]);
    }

    #[test]
    fn a_longer_path_is_forgotten_to_have_been_shorter() {
        let spreads = spreads(2_100, |at| if at < 200 { 20 } else { 100 });
        assert!(spreads[..200].iter().all(|spread| spread.abs() < 1e-6));
        assert!((spreads[300] - 80.0).abs() < 1e-6, "{}", spreads[300]);
        assert!(spreads[2_000].abs() < 1e-6, "{}", spreads[2_000]);
    }
}
