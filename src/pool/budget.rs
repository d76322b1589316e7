//! What others may have a node do for them: so much at once, and so much again with time, each for itself.

use std::time::Duration;

use super::moment::Moment;
use crate::identity::Position;

/// Budgets of those who have asked lately.
#[derive(Debug)]
pub(super) struct Budgets {
    /// What anybody may ask at once.
    burst: u16,
    /// After which one more may be asked.
    refill: Duration,
    spent: Vec<Spent>,
    /// What was refused.
    refused: u64,
}

#[derive(Debug)]
struct Spent {
    by: Position,
    /// When all of it will be forgiven.
    until: Moment,
}

/// Those who are remembered at once. When more ask, whoever has spent least makes room: who asks for much is not forgotten.
const SENDERS_MAX: usize = 128;

impl Budgets {
    pub(super) fn new(burst: u16, refill: Duration) -> Self {
        Self { burst, refill, spent: Vec::new(), refused: 0 }
    }

    /// One more thing for `by`: false if that is too much.
    pub(super) fn spend(&mut self, by: Position, now: Moment) -> bool {
        let at = match self.spent.iter().position(|spent| spent.by == by) {
            Some(at) => at,
            None => {
                self.spent.retain(|spent| spent.until > now);
                if self.spent.len() == SENDERS_MAX
                    && let Some(least) = (0..SENDERS_MAX).min_by_key(|at| self.spent[*at].until)
                {
                    self.spent.swap_remove(least);
                }
                self.spent.push(Spent { by, until: now });
                self.spent.len() - 1
            }
        };
        let until = self.spent[at].until.max(now) + self.refill;
        let granted = until.since(now) <= self.refill * u32::from(self.burst);
        if granted {
            self.spent[at].until = until;
        }
        self.refused += u64::from(!granted);
        granted
    }

    /// How often it was too much.
    pub(super) fn refused(&self) -> u64 {
        self.refused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_and_gets_it_back_with_time() {
        let mut budgets = Budgets::new(3, Duration::from_secs(10));
        let at = |s| Moment::ZERO + Duration::from_secs(s);
        let mut granted = |by, s| budgets.spend(Position(by), at(s));
        assert_eq!([0, 0, 0, 0].map(|s| granted(1, s)), [true, true, true, false]);
        assert!(granted(2, 0), "another one's is its own");
        assert_eq!([5, 10, 11].map(|s| granted(1, s)), [false, true, false]);
        assert_eq!([90; 4].map(|s| granted(1, s)), [true, true, true, false]);
        for stranger in 0..1_000 {
            granted(100 + stranger, 90);
        }
        assert!(!granted(1, 90), "a crowd does not wash it away");
        assert!(budgets.spent.len() <= SENDERS_MAX && budgets.refused() == 5);
    }
}
