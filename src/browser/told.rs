//! What a member who is in by a browser is told in words: who comes and goes, what is written, and what went wrong. It is a
//! member's own view from its first moment in, so that it holds nothing of before.

use std::collections::VecDeque;

use crate::event::Event;
use crate::face::Conference;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Told {
    conference: Conference,
}

impl Told {
    /// Takes up what has happened; false if there is nothing new to read.
    pub(super) fn note(&mut self, event: &Event) -> bool {
        let before = self.count();
        // Of figures that come every second there is nothing to read.
        if !matches!(event, Event::Link(_) | Event::Place { .. } | Event::Coordinate { .. }) {
            self.conference.apply(event);
        }
        self.count() > before
    }

    /// How many lines there have been, those that are forgotten included.
    pub(super) fn count(&self) -> u64 {
        self.conference.told
    }

    /// The lines that are left, the newest last.
    pub(super) fn lines(&self) -> &VecDeque<String> {
        &self.conference.news
    }
}
