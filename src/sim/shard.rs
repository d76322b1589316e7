//! A part of the pool's nodes. What they send to those of other parts is there no sooner than the least distance between two nodes
//! later, so that for as long each part can be simulated without hearing of the others: a conservative window (Chandy and
//! Misra, "Distributed simulation", IEEE Transactions on Software Engineering, 1979).
//!
//! There are as many parts however many threads simulate them, each has chance of its own, and what comes from others is taken in
//! part by part: the outcome does not depend on threads.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::Scenario;
use super::access::Access;
use super::count::Traffic;
use super::distance::Distances;
use super::queue::{Queue, Store};
use crate::identity::Position;
use crate::pool::ring::Malice;
use crate::pool::swarm::{Event, Input, SwarmMessage, SwarmNode, betray, forge};
use crate::pool::{Moment, Peer};

/// Into so many parts a pool falls, and so many threads can simulate it.
pub(super) const SHARDS: usize = 8;

/// What all parts see, and what changes between windows alone.
pub(super) struct World<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) distances: &'a Distances,
    /// When watching began.
    pub(super) watching: Option<Moment>,
    pub(super) parted: bool,
    /// By slot: who is on the smaller side of a parted network, and who lies.
    pub(super) cut_off: Vec<bool>,
    pub(super) malice: Vec<Option<Malice>>,
    /// Those of them that live.
    pub(super) liars: BTreeMap<Position, Peer>,
}

impl World<'_> {
    pub(super) fn is_watched(&self, at: Moment) -> bool {
        self.watching.is_some_and(|from| from <= at && at < from + self.scenario.duration)
    }
}

/// A node, or the place of one.
pub(super) struct Slot {
    pub(super) node: Option<Box<SwarmNode>>,
    pub(super) access: Option<Access>,
    /// When its earliest wake-up in the queue is, and when it wants to be woken.
    scheduled: Moment,
    due: Moment,
}

/// What a node has made known.
pub(super) struct Note {
    pub(super) at: Moment,
    pub(super) slot: u32,
    pub(super) position: Position,
    pub(super) event: Event,
}

/// See the [module](self).
pub(super) struct Shard {
    slots: Vec<Slot>,
    random: StdRng,
    now: Moment,
    queue: Queue<Happening>,
    parcels: Store<Parcel>,
    /// By shard: what goes there, and what has come from there.
    outgoing: [Mail; SHARDS],
    incoming: [Mail; SHARDS],
    pub(super) notes: Vec<Note>,
    pub(super) traffic: Traffic,
    pub(super) events: u64,
}

/// What is in the queue.
enum Happening {
    /// A packet that measures a line comes to the receiver's.
    AtLine(u32),
    /// A message arrives.
    Arrival(u32),
    /// A node wants to be woken.
    Wake(u32),
}

/// A message under way.
struct Parcel {
    from: Peer,
    /// The slot that it goes to, and who lived there when it was sent.
    slot: u32,
    to: Position,
    message: SwarmMessage,
}

/// Messages from one shard to another, and when the first of them is there.
struct Mail {
    soonest: Moment,
    parcels: Vec<(Moment, Parcel)>,
}

impl Mail {
    const fn none() -> Self {
        Self { soonest: Moment::NEVER, parcels: Vec::new() }
    }
}

/// Brings what shards have sent each other to where it goes.
pub(super) fn exchange(shards: &mut [Shard]) {
    for from in 0..shards.len() {
        for to in 0..shards.len() {
            if shards[from].outgoing[to].soonest < Moment::NEVER {
                let mut sent = std::mem::replace(&mut shards[from].outgoing[to], Mail::none());
                let there = &mut shards[to].incoming[from];
                there.soonest = there.soonest.min(sent.soonest);
                if there.parcels.is_empty() {
                    std::mem::swap(&mut there.parcels, &mut sent.parcels);
                } else {
                    there.parcels.append(&mut sent.parcels);
                }
                // Nothing is in it, but room.
                shards[from].outgoing[to].parcels = sent.parcels;
            }
        }
    }
}

impl Shard {
    /// The places of slots `number`, `number + SHARDS` and so on.
    pub(super) fn new(number: usize, scenario: &Scenario, random: &mut StdRng) -> Self {
        let slots = (number..scenario.nodes).step_by(SHARDS).map(|_| Slot {
            node: None,
            access: Access::draw(&scenario.lines, random),
            scheduled: Moment::NEVER,
            due: Moment::NEVER,
        });
        Self {
            slots: slots.collect(),
            random: StdRng::from_rng(random),
            now: Moment::ZERO,
            queue: Queue::new(),
            parcels: Store::new(),
            outgoing: [const { Mail::none() }; SHARDS],
            incoming: [const { Mail::none() }; SHARDS],
            notes: Vec::new(),
            traffic: Traffic::default(),
            events: 0,
        }
    }

    pub(super) fn slots(&self) -> &[Slot] {
        &self.slots
    }

    pub(super) fn slot(&self, slot: u32) -> &Slot {
        &self.slots[slot as usize / SHARDS]
    }

    fn slot_mut(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize / SHARDS]
    }

    /// Another node takes a slot, or none does.
    pub(super) fn settle(&mut self, slot: u32, node: Option<Box<SwarmNode>>) -> Option<Box<SwarmNode>> {
        let place = self.slot_mut(slot);
        (place.scheduled, place.due) = (Moment::NEVER, Moment::NEVER);
        std::mem::replace(&mut place.node, node)
    }

    /// Has a node do something now, and sees to what comes of it.
    pub(super) fn with<T>(
        &mut self,
        slot: u32,
        world: &World<'_>,
        now: Moment,
        act: impl FnOnce(&mut SwarmNode) -> T,
    ) -> Option<T> {
        self.now = now;
        let done = act(self.slot_mut(slot).node.as_mut()?);
        self.drain(slot, world);
        Some(done)
    }

    /// When something happens here next.
    pub(super) fn next_at(&self) -> Moment {
        self.incoming.iter().map(|mail| mail.soonest).fold(self.queue.next_at(), Moment::min)
    }

    /// All that happens here before `end`.
    pub(super) fn run(&mut self, world: &World<'_>, end: Moment) {
        self.take_in();
        while let Some((now, happening)) = self.queue.pop(end) {
            self.now = now;
            self.events += 1;
            match happening {
                Happening::AtLine(parcel) => {
                    let slot = self.parcels.get(parcel).slot as usize / SHARDS;
                    let access = self.slots[slot].access.as_mut();
                    let there = access.map_or(now, |access| access.arrive(now, &mut self.random));
                    self.queue.push(there, Happening::Arrival(parcel));
                }
                Happening::Arrival(parcel) => self.deliver(parcel, world),
                Happening::Wake(slot) => self.wake(slot, world),
            }
        }
    }

    // Helpers.

    fn take_in(&mut self) {
        for from in 0..SHARDS {
            if self.incoming[from].soonest < Moment::NEVER {
                let mut mail = std::mem::replace(&mut self.incoming[from], Mail::none());
                mail.parcels.drain(..).for_each(|(at, parcel)| self.accept(at, parcel));
                self.incoming[from].parcels = mail.parcels;
            }
        }
    }

    fn accept(&mut self, at: Moment, parcel: Parcel) {
        let measuring = parcel.message.is_measuring();
        let parcel = self.parcels.put(parcel);
        self.queue.push(at, if measuring { Happening::AtLine(parcel) } else { Happening::Arrival(parcel) });
    }

    fn deliver(&mut self, parcel: u32, world: &World<'_>) {
        let Parcel { from, slot, to, message } = self.parcels.take(parcel);
        let Some(node) = &mut self.slots[slot as usize / SHARDS].node else { return };
        let me = node.ring().me();
        if me.position != to {
            return;
        }
        if let Some(malice) = world.malice[slot as usize]
            && let Some(lies) = betray(malice, me, from, &message, &world.liars)
        {
            lies.into_iter().for_each(|(to, lie)| self.carry(slot, me, to, lie, world));
            return;
        }
        node.handle(Input::Message(from, message), self.now);
        self.drain(slot, world);
    }

    fn wake(&mut self, slot: u32, world: &World<'_>) {
        let now = self.now;
        let place = self.slot_mut(slot);
        if place.scheduled != now {
            return;
        }
        place.scheduled = Moment::NEVER;
        if place.due > now {
            self.schedule(slot);
        } else if let Some(node) = &mut place.node {
            node.handle(Input::Timeout, now);
            self.drain(slot, world);
        }
    }

    /// Takes what a node has to say to where it goes.
    fn drain(&mut self, slot: u32, world: &World<'_>) {
        let (now, counting) = (self.now, world.is_watched(self.now));
        let Some(mut node) = self.slot_mut(slot).node.take() else { return };
        let me = node.ring().me();
        while let Some((peer, message)) = node.poll_transmit() {
            let message = match world.malice[slot as usize] {
                Some(malice) => forge(malice, &node, message, &world.liars, now),
                None => message,
            };
            if counting {
                self.traffic.count(&message);
            }
            self.carry(slot, me, peer, message, world);
        }
        while let Some(event) = node.poll_event() {
            self.notes.push(Note { at: now, slot, position: me.position, event });
        }
        let place = self.slot_mut(slot);
        place.due = node.poll_timeout().max(now);
        place.node = Some(node);
        self.schedule(slot);
    }

    fn schedule(&mut self, slot: u32) {
        let place = self.slot_mut(slot);
        if place.due < place.scheduled {
            place.scheduled = place.due;
            let due = place.due;
            self.queue.push(due, Happening::Wake(slot));
        }
    }

    /// Takes a message to where it goes, if the network lets it through.
    fn carry(&mut self, slot: u32, from: Peer, to: Peer, message: SwarmMessage, world: &World<'_>) {
        let (here, there) = (slot as usize, slot_of(&to) as usize);
        let cut = world.parted && world.cut_off[here] != world.cut_off[there];
        let one_way = world.distances.one_way(here, there);
        let mut out = self.now;
        if message.is_measuring()
            && let Some(access) = &mut self.slots[here / SHARDS].access
        {
            out = access.out(self.now, &mut self.random);
        }
        let mut at = out + one_way;
        let mut lost = self.is_lost(world);
        while lost && message.is_streamed() {
            // A lost packet is sent again after about a round trip and a half (RFC 9002, section 6.2).
            at = at + one_way * 3;
            lost = self.is_lost(world);
        }
        if cut || lost {
            return;
        }
        let parcel = Parcel { from, slot: there as u32, to: to.position, message };
        if here % SHARDS == there % SHARDS {
            self.accept(at, parcel);
        } else {
            let mail = &mut self.outgoing[there % SHARDS];
            mail.soonest = mail.soonest.min(at);
            mail.parcels.push((at, parcel));
        }
    }

    fn is_lost(&mut self, world: &World<'_>) -> bool {
        world.scenario.loss > 0.0 && self.random.random_bool(world.scenario.loss)
    }
}

/// Which slot a peer's address stands for.
pub(super) fn slot_of(peer: &Peer) -> u32 {
    match SocketAddr::from(peer.endpoint) {
        SocketAddr::V4(addr) => addr.ip().to_bits() - 1,
        SocketAddr::V6(_) => unreachable!("the simulator gives out IPv4 addresses alone"),
    }
}
