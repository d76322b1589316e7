//! When the plan is looked at again though nothing asks for it: soon after each change, and then at growing intervals. Where
//! members come and go all the time, a change that comes after the other cannot put that off for ever: a plan that one of them
//! asks for is then made as carefully as in a review.

use std::time::{Duration, Instant};

/// After a joiner has had time to measure the others, the plan is looked at again.
const SETTLE: Duration = Duration::from_secs(2);
/// Sooner, if what the plan comes to is not all measured: the first pings over the links in question, and a long round trip.
const SETTLE_GUESS: Duration = Duration::from_millis(600);
/// And then at twice the interval each time, up to this.
const LONGEST: Duration = Duration::from_secs(15);
/// While one change follows the other, a plan is made carefully so often: longer than what lies between two reviews in calm, so
/// that a death, which is to move little, is planned around as quickly as ever.
const OVERDUE: Duration = Duration::from_secs(20);

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Reviews {
    at: Instant,
    /// From that one to the next.
    wait: Duration,
    /// When a plan was last made as carefully as in a review.
    last: Instant,
}

impl Reviews {
    pub(super) fn new(now: Instant) -> Self {
        Self { at: now, wait: SETTLE, last: now }
    }

    /// When the next one is due.
    pub(super) fn due_at(&self) -> Instant {
        self.at
    }

    /// Begins one, if it is due.
    pub(super) fn begin(&mut self, now: Instant) -> bool {
        let due = self.at <= now;
        if due {
            self.at = now + self.wait;
            self.wait = (self.wait * 2).min(LONGEST);
        }
        due
    }

    /// The next one is wanted at once.
    pub(super) fn hurry(&mut self, now: Instant) {
        self.at = now;
    }

    /// A plan is made: whether as carefully as in a review.
    pub(super) fn is_careful(&mut self, is_review: bool, now: Instant) -> bool {
        let careful = is_review || now >= self.last + OVERDUE;
        if careful {
            self.last = now;
        }
        careful
    }

    /// A change has been carried out; what it comes to may be known soon.
    pub(super) fn on_change(&mut self, is_known_soon: bool, now: Instant) {
        let settled = now + if is_known_soon { SETTLE_GUESS } else { SETTLE };
        self.wait = 2 * SETTLE;
        self.at = settled.min(now.max(self.last + OVERDUE));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::origin;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn calm_is_looked_at_ever_less_often() {
        let start = origin();
        let mut reviews = Reviews::new(start);
        reviews.on_change(false, start);
        let at = |s: u32| start + SECOND * s;
        let begun = (0..60).filter(|s| reviews.begin(at(*s)) && reviews.is_careful(true, at(*s)));
        let begun: Vec<u32> = begun.collect();
        assert_eq!(begun, [2, 6, 14, 29, 44, 59]);
        reviews.on_change(true, at(60));
        assert_eq!(reviews.due_at(), at(60) + SETTLE_GUESS);
    }

    #[test]
    fn one_who_joins_every_second_does_not_put_it_off_for_ever() {
        let start = origin();
        let mut reviews = Reviews::new(start);
        let careful = (1..=60).filter(|s| {
            let now = start + SECOND * *s;
            let careful = reviews.is_careful(false, now);
            reviews.on_change(false, now);
            careful
        });
        assert_eq!(careful.count(), 3);
    }
}
