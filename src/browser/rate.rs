//! How much somebody may ask for in a time: so much in a row, and then at a steady pace.

use tokio::time::Instant;

/// See the [module](self).
#[derive(Default)]
pub(super) struct Rate {
    /// Taken and not yet forgiven.
    taken: f64,
    at: Option<Instant>,
}

impl Rate {
    /// Whether there is one more to be had.
    pub(super) fn grants(&mut self, now: Instant) -> bool {
        let passed = self.at.replace(now).map_or(0.0, |before| (now - before).as_secs_f64());
        self.taken = (self.taken - passed * PER_SECOND).max(0.0);
        let granted = self.taken + 1.0 <= AT_ONCE;
        if granted {
            self.taken += 1.0;
        }
        granted
    }
}

/// Offers taken up in a row, and then in each second: a page that is loaded again makes two. Nobody writes faster either.
const AT_ONCE: f64 = 16.0;
const PER_SECOND: f64 = 2.0;

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn a_flood_is_cut_to_a_rate() {
        let (mut rate, start) = (Rate::default(), Instant::now());
        let granted = |rate: &mut Rate, now| (0..100).filter(|_| rate.grants(now)).count();
        assert_eq!(granted(&mut rate, start), 16);
        assert_eq!(granted(&mut rate, start + Duration::from_secs(3)), 6);
    }
}
