//! Round trips to one peer, and its clock, from pings that it answers.
//!
//! A ping carries a nonce, a pong the nonce and the peer's clock. The lowest bit of a nonce says whether anybody waits for the
//! answer: most come to nodes that have nothing else to do, and are not to wake them. The round trip of a link is the median of the last
//! few; the clock offset is taken from the fastest of them, whose error is at most half its round trip (as in NTP,
//! RFC 5905, section 10).

use std::collections::VecDeque;
use std::ops::RangeBounds;
use std::time::{Duration, Instant};

/// Samples that a link remembers.
const SAMPLES: usize = 16;
/// Samples of which the fastest tells the peer's clock: fewer than the pings that a new link begins with, since one may be lost.
const CLOCK_SAMPLES: usize = 3;
/// Pings that may be unanswered at once; the oldest are forgotten.
const OUTSTANDING_MAX: usize = 8;

/// The first byte of a ping and of a pong; the swarm's messages begin with their version, 1.
pub(super) const PING: u8 = 0x08;
pub(super) const PONG: u8 = 0x09;

/// The bit of a nonce.
const AWAITED: u32 = 1;

/// What is known of one link's time.
#[derive(Debug, Default)]
pub(super) struct RoundTrips {
    outstanding: VecDeque<(u32, Instant)>,
    samples: VecDeque<Sample>,
}

#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    round_trip: Duration,
    /// The peer's clock minus ours, microseconds.
    clock_offset_us: i64,
}

/// A nonce, by chance.
pub(super) fn nonce(chance: u32, is_awaited: bool) -> u32 {
    if is_awaited { chance | AWAITED } else { chance & !AWAITED }
}

/// What can be done with a datagram where it arrives, by whoever does not know the links.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum AtOnce {
    /// It is a ping, and this is the pong.
    Answer([u8; 13]),
    /// It is a pong that nobody waits for.
    Later,
}

/// What can be done with a datagram at once, by a clock that has run for so long; `None` for all that is to be looked at.
pub(crate) fn at_once(datagram: &[u8], clock: Duration) -> Option<AtOnce> {
    match *datagram.first()? {
        PING => pong_to(datagram, clock.as_micros() as u64).map(AtOnce::Answer),
        PONG => parse_pong(datagram).filter(|(nonce, _)| nonce & AWAITED == 0).map(|_| AtOnce::Later),
        _ => None,
    }
}

/// A ping datagram.
pub(super) fn ping(nonce: u32) -> [u8; 5] {
    let mut bytes = [PING; 5];
    bytes[1..].copy_from_slice(&nonce.to_be_bytes());
    bytes
}

/// The answer to a ping; `None` if it is not one.
pub(super) fn pong_to(ping: &[u8], clock_us: u64) -> Option<[u8; 13]> {
    let nonce: [u8; 4] = ping.strip_prefix(&[PING])?.try_into().ok()?;
    let mut bytes = [PONG; 13];
    bytes[1..5].copy_from_slice(&nonce);
    bytes[5..].copy_from_slice(&clock_us.to_be_bytes());
    Some(bytes)
}

impl RoundTrips {
    /// A ping is on its way.
    pub(super) fn on_ping(&mut self, nonce: u32, now: Instant) {
        if self.outstanding.len() == OUTSTANDING_MAX {
            self.outstanding.pop_front();
        }
        self.outstanding.push_back((nonce, now));
    }

    /// A pong has come back at `at`, our clock then being `clock_us`. `false` when it answers no ping of ours.
    pub(super) fn on_pong(&mut self, bytes: &[u8], at: Instant, clock_us: u64) -> bool {
        let Some((nonce, theirs)) = parse_pong(bytes) else { return false };
        let Some(found) = self.outstanding.iter().position(|(n, _)| *n == nonce) else { return false };
        let Some((_, sent)) = self.outstanding.remove(found) else { return false };
        let round_trip = at.saturating_duration_since(sent);
        let half_us = round_trip.as_micros() as i64 / 2;
        let clock_offset_us = (theirs as i64).wrapping_add(half_us).wrapping_sub(clock_us as i64);
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(Sample { at, round_trip, clock_offset_us });
        true
    }

    /// The median of the last round trips.
    pub(super) fn round_trip(&self) -> Option<Duration> {
        let mut sorted: Vec<Duration> = self.samples.iter().map(|s| s.round_trip).collect();
        sorted.sort_unstable();
        sorted.get(sorted.len().checked_sub(1)? / 2).copied()
    }

    /// The round trips that were completed within a time, the fastest first.
    pub(super) fn within(&self, time: &impl RangeBounds<Instant>) -> Vec<Duration> {
        let within = self.samples.iter().filter(|sample| time.contains(&sample.at));
        let mut sorted: Vec<Duration> = within.map(|sample| sample.round_trip).collect();
        sorted.sort_unstable();
        sorted
    }

    /// The peer's clock minus ours, microseconds. A first sample alone is not believed: if its ping had to wait, the clock would be
    /// wrong by half of that.
    pub(super) fn clock_offset_us(&self) -> Option<i64> {
        if self.samples.len() < CLOCK_SAMPLES {
            return None;
        }
        self.samples.iter().min_by_key(|s| s.round_trip).map(|s| s.clock_offset_us)
    }

    /// How many round trips have been measured, up to the number remembered.
    pub(super) fn samples(&self) -> usize {
        self.samples.len()
    }
}

fn parse_pong(bytes: &[u8]) -> Option<(u32, u64)> {
    let (nonce, clock) = bytes.strip_prefix(&[PONG])?.split_first_chunk::<4>()?;
    Some((u32::from_be_bytes(*nonce), u64::from_be_bytes(clock.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::origin;

    #[test]
    fn a_round_trip_is_the_median_and_the_clock_comes_from_the_fastest() {
        let start = origin();
        let mut link = RoundTrips::default();
        // The peer's clock is ours plus 5 s; one way out takes 10 ms, back 10 ms plus a queue.
        for (i, queue_ms) in [30u64, 0, 50, 20, 40].into_iter().enumerate() {
            let (nonce, sent) = (i as u32, start + Duration::from_secs(i as u64));
            link.on_ping(nonce, sent);
            let our_us = i as u64 * 1_000_000;
            let pong = pong_to(&ping(nonce), our_us + 10_000 + 5_000_000).unwrap();
            let took = Duration::from_millis(20 + queue_ms);
            assert!(link.on_pong(&pong, sent + took, our_us + took.as_micros() as u64));
            assert_eq!(link.clock_offset_us().is_some(), i >= 2, "the first one had to wait");
        }
        assert_eq!(link.round_trip(), Some(Duration::from_millis(50)));
        assert_eq!(link.clock_offset_us(), Some(5_000_000));
        assert_eq!(link.samples(), 5);
        let late = link.within(&(start + Duration::from_secs(2)..));
        assert_eq!(late, [40, 60, 70].map(Duration::from_millis));
    }

    #[test]
    fn who_asks_says_whether_the_answer_may_wait() {
        let clock = Duration::from_millis(7);
        for (awaited, chance) in [(true, 6), (false, 7)] {
            let ping = ping(nonce(chance, awaited));
            let pong = pong_to(&ping, 7_000).unwrap();
            assert_eq!(at_once(&ping, clock), Some(AtOnce::Answer(pong)));
            assert_eq!(at_once(&pong, clock), (!awaited).then_some(AtOnce::Later));
            assert_eq!(at_once(&pong[..12], clock), None);
        }
        assert_eq!(at_once(&[], clock), None);
    }

    #[test]
    fn what_answers_nothing_is_not_believed() {
        let start = origin();
        let mut link = RoundTrips::default();
        link.on_ping(1, start);
        let pong = pong_to(&ping(1), 0).unwrap();
        assert!(!link.on_pong(&pong_to(&ping(2), 0).unwrap(), start, 0), "another nonce");
        assert!(!link.on_pong(&pong[..9], start, 0), "cut short");
        assert!(link.on_pong(&pong, start, 0));
        assert!(!link.on_pong(&pong, start, 0), "a second time");
        assert_eq!(pong_to(&pong, 0), None, "a pong is no ping");
    }
}
