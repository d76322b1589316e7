//! What nodes are made to do: look keys up, ask for helpers, read objects and change their own.

use std::time::Duration;

use rand::RngExt;
use rand::seq::IndexedRandom;

use super::queries;
use super::run::{Happening, Run, SECOND};
use crate::identity::Position;
use crate::pool::somo::Region;

/// Of so many that read an object one changes its own instead.
const READS_A_WRITE: u32 = 5;

impl Run<'_> {
    pub(super) fn look_up(&mut self) {
        let key = Position(self.random.random());
        let (now, careful) = (self.now, self.among_liars());
        if let Some(slot) = self.census.listed().choose(&mut self.random).copied()
            && let place = &mut self.slots[slot as usize]
            && place.malice.is_none()
            && let Some(node) = &mut place.node
            && let Some(request) =
                if careful { node.lookup_carefully(key, now) } else { node.lookup(key, now) }
        {
            self.lookups.start(slot, request, key, self.now);
            self.drain(slot);
        }
        let wait = self.session(Duration::from_secs_f64(1.0 / self.scenario.lookups_per_s));
        if self.watching.is_some_and(|from| self.now + wait < from + self.scenario.duration) {
            self.queue.push(self.now + wait, Happening::Lookup);
        }
    }

    /// An honest node asks for helpers near it.
    pub(super) fn query(&mut self) {
        let now = self.now;
        if let Some(slot) = self.census.listed().choose(&mut self.random).copied()
            && let place = &mut self.slots[slot as usize]
            && place.malice.is_none()
            && let Some(node) = &mut place.node
            && let Some(number) = node.ask(Region::WHOLE, queries::question(node.ring().me().place), now)
        {
            self.queries.start(slot, number);
            self.drain(slot);
        }
        if self.watching.is_some_and(|from| now + SECOND < from + self.scenario.duration) {
            self.queue.push(now + SECOND, Happening::Query);
        }
    }

    pub(super) fn read(&mut self) {
        let Some(slot) = self.census.listed().choose(&mut self.random).copied() else { return };
        if self.random.random_ratio(1, READS_A_WRITE) {
            self.write(slot);
        } else if let Some((object, reference)) = self.objects.draw(&mut self.random)
            && let place = &mut self.slots[slot as usize]
            && place.malice.is_none()
            && let Some(node) = &mut place.node
            && let Some(ticket) = node.deref(reference, self.now)
        {
            self.objects.on_read(slot, ticket, object);
            self.drain(slot);
        }
        let wait = self.session(Duration::from_secs_f64(1.0 / self.scenario.reads_per_s));
        if self.watching.is_some_and(|from| self.now + wait < from + self.scenario.duration) {
            self.queue.push(self.now + wait, Happening::Read);
        }
    }

    /// The node changes its object, or makes it.
    pub(super) fn write(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        if place.malice.is_none()
            && let Some(node) = &mut place.node
            && let Ok(ticket) = node.set_ref(self.objects.next(slot, &mut self.random), None, self.now)
        {
            self.objects.on_write(slot, ticket);
            self.drain(slot);
        }
    }
}
