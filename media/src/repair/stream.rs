//! One source in one tree, as it comes by one link: what is missing of it.

use std::time::{Duration, Instant};

/// Lost packets that a stream waits for at once.
pub(super) const MISSING_MAX: usize = 32;

/// A gap that is longer was an outage, and asking for all of it would be too late for most, packets.
const GAP_MAX: u64 = 17;

/// How long after its gap was seen a packet is still of use: what a listener's buffer may grow by for it.
const PATIENCE: Duration = Duration::from_millis(60);

/// How often a packet is asked for.
const TRIES_MAX: u8 = 2;

/// What a second request waits for beyond the first one's answer.
const SLACK: Duration = Duration::from_millis(5);

/// An answer that takes longer is none.
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// How long the time to an answer is believed: one that has become longer is noticed by no request, for none is made.
const ANSWER_LIFE: Duration = Duration::from_secs(10);

/// How often loss is reported, and how long a report counts for twice that.
pub(super) const REPORT_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Stream<L> {
    /// `None`: this node's own.
    pub(super) came_by: Option<L>,
    pub(super) heard_at: Instant,
    next: u64,
    missing: Vec<Missing>,
    /// From a request to what it asked for, and when that was measured.
    answer: Option<(Duration, Instant)>,
    report_at: Instant,
    /// In this interval.
    expected: u64,
    lost: u64,
    /// Percent, smoothed.
    loss: f64,
    /// The worst below, and when it was reported.
    below: Option<(u8, Instant)>,
    /// It was said last that nothing is lost.
    said_clean: bool,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    counter: u64,
    seen_at: Instant,
    ask_at: Instant,
    tries: u8,
    /// It can no longer be in time; when it comes all the same, that tells how long an answer takes.
    given_up: bool,
}

impl<L> Stream<L> {
    pub(super) fn new(came_by: Option<L>, next: u64, now: Instant) -> Self {
        Self {
            came_by,
            heard_at: now,
            next,
            missing: Vec::with_capacity(MISSING_MAX),
            answer: None,
            report_at: now + REPORT_INTERVAL,
            expected: 0,
            lost: 0,
            loss: 0.0,
            below: None,
            said_clean: false,
        }
    }

    /// Notes that a packet has come, and which are missing before it; `true` if it had been asked for.
    pub(super) fn on_counter(&mut self, counter: u64, now: Instant) -> bool {
        self.heard_at = now;
        if counter < self.next {
            let Some(at) = self.missing.iter().position(|missing| missing.counter == counter) else {
                return false;
            };
            let missing = self.missing.swap_remove(at);
            if missing.tries == 1 || missing.tries > 1 && self.answer.is_none() {
                self.answer = Some((now.saturating_duration_since(missing.seen_at), now));
            }
            return missing.tries > 0 && !missing.given_up;
        }
        let gap = counter - self.next;
        if gap <= GAP_MAX {
            self.expected += gap + 1;
            let room = MISSING_MAX.saturating_sub(self.missing.len());
            self.lost += gap.saturating_sub(room as u64);
            let missing = |counter| Missing { counter, seen_at: now, ask_at: now, tries: 0, given_up: false };
            self.missing.extend((self.next..counter).take(room).map(missing));
        }
        self.next = counter + 1;
        false
    }

    /// What is to be asked for by now: the first counter, and a bit for each of the sixteen behind it. What can no longer be
    /// in time is given up.
    pub(super) fn ask(&mut self, now: Instant) -> Option<(u64, u16)> {
        if self.missing.is_empty() {
            return None;
        }
        let known = self.answer.filter(|(_, at)| now.saturating_duration_since(*at) < ANSWER_LIFE);
        let answer = known.map_or(Duration::ZERO, |(answer, _)| answer);
        let again = known.map_or(PATIENCE / 2, |(answer, _)| answer + SLACK);
        let mut asked: Option<(u64, u16)> = None;
        let lost = &mut self.lost;
        self.missing.retain_mut(|missing| {
            if missing.given_up {
                return now < missing.seen_at + ANSWER_MAX;
            }
            if now < missing.ask_at {
                return true;
            }
            if missing.tries >= TRIES_MAX || now + answer > missing.seen_at + PATIENCE {
                *lost += 1;
                missing.given_up = true;
                return missing.tries > 0;
            }
            match &mut asked {
                None => asked = Some((missing.counter, 0)),
                Some((first, bits)) => match missing.counter.checked_sub(*first) {
                    Some(behind @ 1..=16) => *bits |= 1 << (behind - 1),
                    _ => return true,
                },
            }
            missing.tries += 1;
            missing.ask_at = now + again;
            true
        });
        asked
    }

    /// The share that is lost, percent, here or at the worst below, when that is to be told: every [`REPORT_INTERVAL`] while
    /// something is lost, and once when nothing is.
    pub(super) fn report(&mut self, now: Instant) -> Option<u8> {
        if now < self.report_at {
            return None;
        }
        self.report_at = now + REPORT_INTERVAL;
        // More loss counts at once, less by and by.
        if self.expected > 0 {
            let percent = 100.0 * self.lost as f64 / self.expected as f64;
            self.loss = if percent > self.loss { percent } else { self.loss + (percent - self.loss) / 4.0 };
        }
        (self.expected, self.lost) = (0, 0);
        let own = self.loss.round().clamp(0.0, 100.0) as u8;
        let told = self.below(now).map_or(own, |worst| worst.max(own));
        // The worst child says so again within the next interval, or is no longer the worst.
        self.below = self.below.map(|(worst, at)| (worst - worst.div_ceil(8).min(worst), at));
        // Once said, and from then on silence says the same.
        let was_clean = std::mem::replace(&mut self.said_clean, told == 0);
        (told > 0 || !was_clean).then_some(told)
    }

    /// Somebody below has told of its loss.
    pub(super) fn on_report(&mut self, percent: u8, now: Instant) {
        let worst = self.below(now).map_or(percent, |worst| worst.max(percent));
        self.below = Some((worst.min(100), now));
    }

    /// The share that is lost below; `None` if nobody has said anything. Who has fallen silent since loses nothing.
    pub(super) fn loss_below(&self, now: Instant) -> Option<u8> {
        self.below.map(|_| self.below(now).unwrap_or(0))
    }

    /// The worst that was reported from below, while that is news.
    fn below(&self, now: Instant) -> Option<u8> {
        let (worst, at) = self.below?;
        (now.saturating_duration_since(at) < 2 * REPORT_INTERVAL).then_some(worst)
    }

    #[cfg(test)]
    pub(super) fn missing(&self) -> usize {
        self.missing.len()
    }
}
