//! An iterative lookup: the origin asks one node after the other for nodes nearer to the key, and no peer works for a
//! stranger (PNRP's way). More round trips than a packet that is passed on; nobody on the way can misuse it.

use std::time::Duration;

use super::forward::{Lookup, Way, apart};
use super::message::RingMessage;
use super::{Event, RingNode};
use crate::identity::Position;
use crate::pool::moment::Moment;
use crate::pool::peer::Peer;

/// Where a walk stands.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// The nearest known to the key first.
    known: Vec<(Peer, bool)>,
    asked: u8,
}

/// Nodes that a walk keeps in mind.
const KNOWN_MAX: usize = 24;
/// Nodes that it asks before it gives up.
const ASKED_MAX: u8 = 48;
/// How long a node may take to answer before the next is asked.
const STEP_WITHIN: Duration = Duration::from_millis(800);

impl RingNode {
    /// As [`lookup`](Self::lookup), step by step: every node on the way is asked by this one itself.
    pub fn lookup_iteratively(&mut self, key: Position, now: Moment) -> Option<u32> {
        let request = self.begin_lookup(key, Way::Walk(Box::default()), now)?;
        let known: Vec<Peer> = self.table.peers().chain(self.leaves()).collect();
        if self.zone().is_some_and(|zone| zone.contains(key)) {
            let (origin, hops) = (self.me, 0);
            self.events.push_back(Event::Delivered { key, origin, request, hops });
            self.on_found(origin, request, hops);
        } else if let Some(at) = self.lookups.iter().position(|lookup| lookup.request == request) {
            self.lookups[at].learn(&known);
            self.walk_on(at, now);
        }
        self.wake = self.next_wake();
        Some(request)
    }

    pub(super) fn on_steps(&mut self, from: Peer, request: u32, root: bool, peers: &[Peer], now: Moment) {
        let Some(at) = self.lookups.iter().position(|lookup| lookup.request == request) else { return };
        let lookup = &mut self.lookups[at];
        let walk = match &lookup.way {
            Way::Passed => return,
            Way::Walk(walk) => walk,
            Way::Careful(_) => return self.on_survey_steps(from, request, root, peers, now),
        };
        // Only who was asked may answer.
        if !walk.known.iter().any(|(peer, asked)| *asked && peer.position == from.position) {
            return;
        }
        if root {
            let hops = walk.asked;
            self.on_found(from, request, hops);
        } else {
            let me = self.me.position;
            let others: Vec<Peer> = peers.iter().copied().filter(|peer| peer.position != me).collect();
            lookup.learn(&others);
            self.walk_on(at, now);
        }
    }

    /// Asks the nearest node that was not asked yet. False when there is none: the lookup is over.
    pub(super) fn walk_on(&mut self, at: usize, now: Moment) -> bool {
        let lookup = &mut self.lookups[at];
        let (request, key) = (lookup.request, lookup.key);
        let Way::Walk(walk) = &mut lookup.way else { return true };
        let next = Some(walk).filter(|walk| walk.asked < ASKED_MAX).and_then(|walk| {
            let next = walk.known.iter_mut().find(|(_, asked)| !asked)?;
            next.1 = true;
            walk.asked += 1;
            Some(next.0)
        });
        match next {
            Some(to) => {
                lookup.deadline = now + STEP_WITHIN;
                self.send(to, RingMessage::Step { request, key }, now);
                true
            }
            None => {
                self.lookups.swap_remove(at);
                self.events.push_back(Event::LookupFailed { request });
                false
            }
        }
    }
}

impl Lookup {
    fn learn(&mut self, peers: &[Peer]) {
        let key = self.key;
        let Way::Walk(walk) = &mut self.way else { return };
        let way = |position: Position| (apart(position, key), position);
        for peer in peers {
            if let Err(at) =
                walk.known.binary_search_by_key(&way(peer.position), |(peer, _)| way(peer.position))
            {
                walk.known.insert(at, (*peer, false));
            }
        }
        walk.known.truncate(KNOWN_MAX);
    }
}
