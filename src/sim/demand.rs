//! What nodes are made to do: look keys up, ask for helpers, read objects and change their own.

use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;

use super::queries;
use super::run::{Happening, Run, SECOND};
use crate::identity::Position;
use crate::pool::somo::Region;
use crate::pool::swarm::SwarmNode;

/// Of so many that read an object one changes its own instead.
const READS_A_WRITE: u32 = 5;

impl Run<'_> {
    pub(super) fn look_up(&mut self) {
        let key = Position(self.random.random());
        let (now, careful) = (self.now, self.among_liars());
        let look_up = |node: &mut SwarmNode| {
            if careful { node.lookup_carefully(key, now) } else { node.lookup(key, now) }
        };
        if let Some(slot) = self.census.listed().choose(&mut self.random).copied()
            && self.is_honest(slot)
            && let Some(request) = self.with(slot, look_up).flatten()
        {
            self.lookups.start(slot, request, key, now);
        }
        let wait = self.session(Duration::from_secs_f64(1.0 / self.scenario.lookups_per_s));
        if self.goes_on(wait) {
            self.queue.push(self.now + wait, Happening::Lookup);
        }
    }

    /// An honest node asks for helpers near it.
    pub(super) fn query(&mut self) {
        let now = self.now;
        let ask =
            |node: &mut SwarmNode| node.ask(Region::WHOLE, queries::question(node.ring().me().place), now);
        if let Some(slot) = self.census.listed().choose(&mut self.random).copied()
            && self.is_honest(slot)
            && let Some(number) = self.with(slot, ask).flatten()
        {
            self.queries.start(slot, number);
        }
        if self.goes_on(SECOND) {
            self.queue.push(now + SECOND, Happening::Query);
        }
    }

    pub(super) fn read(&mut self) {
        let now = self.now;
        let Some(slot) = self.census.listed().choose(&mut self.random).copied() else { return };
        if self.random.random_ratio(1, READS_A_WRITE) {
            self.write(slot);
        } else if let Some((object, reference)) = self.objects.draw(&mut self.random)
            && self.is_honest(slot)
            && let Some(ticket) = self.with(slot, |node| node.deref(reference, now)).flatten()
        {
            self.objects.on_read(slot, ticket, object);
        }
        let wait = self.session(Duration::from_secs_f64(1.0 / self.scenario.reads_per_s));
        if self.goes_on(wait) {
            self.queue.push(self.now + wait, Happening::Read);
        }
    }

    /// True while the pool is watched, and in that time from now.
    fn goes_on(&self, wait: Duration) -> bool {
        self.seen().watching.is_some_and(|from| self.now + wait < from + self.scenario.duration)
    }

    /// The node changes its object, or makes it.
    pub(super) fn write(&mut self, slot: u32) {
        if !self.is_honest(slot) {
            return;
        }
        let (now, object) = (self.now, self.objects.next(slot, &mut self.random));
        if let Some(Ok(ticket)) = self.with(slot, |node| node.set_ref(object, None, now)) {
            self.objects.on_write(slot, ticket);
        }
    }
}
