//! What a link has counted of the datagrams of one way.

use std::time::{Duration, Instant};

use alm::net::Heard;

/// See the [module](self).
#[derive(Default)]
pub struct Counted {
    came: u64,
    pub lost: u64,
    last: Option<Instant>,
    /// The longest time between two since that was told.
    longest: Duration,
    is_news: bool,
}

impl Counted {
    /// One has come.
    pub fn on_came(&mut self, now: Instant) {
        let before = self.last.replace(now);
        self.longest = self.longest.max(before.map_or(Duration::ZERO, |last| now - last));
        (self.came, self.is_news) = (self.came + 1, true);
    }

    /// What is told of it, if more has come since the last time.
    pub fn news(&mut self) -> Option<Heard> {
        let at = self.last.filter(|_| std::mem::take(&mut self.is_news))?;
        let longest = std::mem::take(&mut self.longest);
        Some(Heard { at, longest, rhythm: None, came: self.came, lost: self.lost })
    }
}
