//! What became of objects in the data overlay: each holds a number that its owner raises, and readers should find no older
//! one than was confirmed before they asked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;

use crate::identity::Identity;
use crate::pool::records::{Event, Object, Reference, key_of};

/// All objects, those of owners that are gone too.
#[derive(Default)]
pub(super) struct Objects {
    /// Objects that have been confirmed once.
    confirmed: Vec<Known>,
    owned: BTreeMap<u32, Owned>,
    under_way: BTreeMap<(u32, u32), Wait>,
    pub(super) reads: u64,
    pub(super) lost: u64,
    pub(super) stale: u64,
}

struct Known {
    reference: Reference,
    number: u64,
}

struct Owned {
    owner: Arc<Identity>,
    number: u64,
    known: Option<usize>,
}

enum Wait {
    /// For this number to be kept.
    Write(u64),
    /// For an object whose number was at least this one.
    Read(u64),
}

/// Objects outlive their owners by this much: longer than any simulation of theirs.
const LIFETIME: Duration = Duration::from_secs(7_200);

impl Objects {
    /// True while one has not ended.
    pub(super) fn are_under_way(&self) -> bool {
        !self.under_way.is_empty()
    }

    /// What the node at `slot` says next.
    pub(super) fn next(&mut self, slot: u32, random: &mut StdRng) -> Object {
        let new = || Owned { owner: Arc::new(Identity::from_seed(random.random())), number: 0, known: None };
        let owned = self.owned.entry(slot).or_insert_with(new);
        owned.number += 1;
        let payload = owned.number.to_be_bytes().to_vec();
        Object { owner: owned.owner.clone(), name: Vec::new(), payload, lifetime: LIFETIME }
    }

    pub(super) fn on_write(&mut self, slot: u32, ticket: u32) {
        let number = self.owned.get(&slot).map_or(0, |owned| owned.number);
        self.under_way.insert((slot, ticket), Wait::Write(number));
    }

    /// Any object, by its key alone.
    pub(super) fn draw(&self, random: &mut StdRng) -> Option<(usize, Reference)> {
        let count = self.confirmed.len();
        let at = (count > 0).then(|| random.random_range(0..count))?;
        Some((at, Reference { host: None, ..self.confirmed[at].reference }))
    }

    pub(super) fn on_read(&mut self, slot: u32, ticket: u32, object: usize) {
        self.under_way.insert((slot, ticket), Wait::Read(self.confirmed[object].number));
    }

    pub(super) fn on_event(&mut self, slot: u32, event: &Event) {
        let (ticket, found) = match event {
            Event::Referenced(ticket, _) | Event::Deleted(ticket) | Event::Failed(ticket) => (*ticket, None),
            Event::Dereferenced(ticket, _, record) => (*ticket, record.as_ref()),
        };
        match (self.under_way.remove(&(slot, ticket)), event) {
            (Some(Wait::Write(number)), Event::Referenced(_, reference)) => {
                let Some(owned) = self.owned.get_mut(&slot) else { return };
                if key_of(&owned.owner.node_id(), &[]) != reference.key {
                    return;
                }
                match owned.known {
                    Some(at) => self.confirmed[at].number = self.confirmed[at].number.max(number),
                    None => {
                        owned.known = Some(self.confirmed.len());
                        self.confirmed.push(Known { reference: *reference, number });
                    }
                }
            }
            (Some(Wait::Read(at_least)), _) => {
                self.reads += 1;
                let number =
                    found.and_then(|record| record.payload()?.try_into().ok()).map(u64::from_be_bytes);
                self.lost += u64::from(number.is_none());
                self.stale += u64::from(number.is_some_and(|number| number < at_least));
            }
            _ => {}
        }
    }

    /// The node at `slot` is gone; its object stays.
    pub(super) fn on_gone(&mut self, slot: u32) {
        self.owned.remove(&slot);
        let gone: Vec<(u32, u32)> =
            self.under_way.range((slot, 0)..=(slot, u32::MAX)).map(|(key, _)| *key).collect();
        for key in gone {
            self.under_way.remove(&key);
        }
    }
}
