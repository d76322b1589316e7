//! One simulation from the first node to the last event.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::access::Access;
use super::count::Traffic;
use super::distance::Distances;
use super::judge::{Census, Lookups};
use super::objects::Objects;
use super::queries::Queries;
use super::queue::{Queue, Store};
use super::survey::Springs;
use super::views::Views;
use super::{Outcome, Scenario};
use crate::identity::Position;
use crate::pool::ring::{self, Malice};
use crate::pool::swarm::{Event, Input, SwarmMessage, SwarmNode, betray, forge};
use crate::pool::{Moment, Peer};

/// What is in the queue.
pub(super) enum Happening {
    /// A packet that measures a line comes to the receiver's.
    AtLine(u32),
    /// A message arrives.
    Arrival(u32),
    /// A node wants to be woken.
    Wake(u32),
    /// A node crashes.
    Crash(u32),
    /// A node starts.
    Start(u32),
    /// Somebody looks something up.
    Lookup,
    /// Somebody asks for helpers.
    Query,
    /// Somebody reads an object, or changes its own.
    Read,
    /// As many nodes start as the pool can take in.
    Growth,
    /// A share of all nodes crash.
    MassCrash(f64),
    /// A share of all nodes is cut off; nothing: all are together again.
    Partition(Option<f64>),
    /// Is the ring whole?
    Inspection,
    /// Is an answer still under way?
    End,
}

/// A message under way.
pub(super) struct Parcel {
    from: Peer,
    to: Peer,
    message: SwarmMessage,
}

/// A node, or the place of one.
pub(super) struct Slot {
    pub(super) node: Option<Box<SwarmNode>>,
    /// When its earliest wake-up in the queue is.
    pub(super) scheduled: Moment,
    pub(super) cut_off: bool,
    pub(super) malice: Option<Malice>,
}

pub(super) struct Run<'a> {
    pub(super) scenario: &'a Scenario,
    pub(super) distances: &'a Distances,
    pub(super) access: Option<Access>,
    pub(super) random: StdRng,
    pub(super) now: Moment,
    pub(super) queue: Queue<Happening>,
    pub(super) parcels: Store<Parcel>,
    pub(super) slots: Vec<Slot>,
    pub(super) census: Census,
    /// Who lies.
    pub(super) liars: BTreeMap<Position, Peer>,
    pub(super) started: usize,
    /// When watching began.
    pub(super) watching: Option<Moment>,
    pub(super) until: Moment,
    pub(super) parted: bool,
    /// What is to heal, and when it did.
    pub(super) hurt_at: Option<Moment>,
    pub(super) healed_at: Option<Moment>,
    pub(super) traffic: Traffic,
    pub(super) node_seconds: f64,
    pub(super) counted_at: Moment,
    /// Who had a view of the whole last.
    pub(super) acting: Option<u32>,
    pub(super) lookups: Lookups,
    pub(super) objects: Objects,
    pub(super) views: Views,
    pub(super) queries: Queries,
    pub(super) springs: Springs,
    pub(super) events: u64,
}

/// What is looked at again is looked at again after that long.
pub(super) const SECOND: Duration = Duration::from_secs(1);

/// Runs a scenario; `progress` hears now and then which share is done.
#[must_use]
pub fn simulate(scenario: &Scenario, distances: &Distances, mut progress: impl FnMut(f64)) -> Outcome {
    let slot = |_| Slot { node: None, scheduled: Moment::NEVER, cut_off: false, malice: None };
    let mut random = StdRng::seed_from_u64(scenario.seed);
    let springs = Springs::new(scenario.nodes, &mut random);
    let access = Access::draw(&scenario.lines, scenario.nodes, &mut random);
    let mut run = Run {
        scenario,
        distances,
        access,
        random,
        now: Moment::ZERO,
        queue: Queue::new(),
        parcels: Store::new(),
        slots: (0..scenario.nodes).map(slot).collect(),
        census: Census::default(),
        liars: BTreeMap::new(),
        started: 0,
        watching: None,
        until: Moment::NEVER,
        parted: false,
        hurt_at: None,
        healed_at: None,
        traffic: Traffic::default(),
        node_seconds: 0.0,
        counted_at: Moment::ZERO,
        acting: None,
        lookups: Lookups::default(),
        objects: Objects::default(),
        views: Views::default(),
        queries: Queries::default(),
        springs,
        events: 0,
    };
    run.corrupt();
    run.queue.push(Moment::ZERO, Happening::Growth);
    while let Some((now, happening)) = run.queue.pop(run.until) {
        run.now = now;
        run.events += 1;
        run.on(happening);
        if run.events.is_multiple_of(65_536) {
            progress(run.share_done());
        }
    }
    run.outcome()
}

impl Run<'_> {
    fn on(&mut self, happening: Happening) {
        match happening {
            Happening::AtLine(parcel) => {
                let slot = slot_of(&self.parcels.get(parcel).to) as usize;
                let there =
                    self.access.as_mut().map(|access| access.arrive(slot, self.now, &mut self.random));
                self.queue.push(there.unwrap_or(self.now), Happening::Arrival(parcel));
            }
            Happening::Arrival(parcel) => {
                let Parcel { from, to, message } = self.parcels.take(parcel);
                let slot = slot_of(&to);
                let there = self.slots[slot as usize].node.as_ref();
                if there.is_some_and(|node| node.ring().me().position == to.position) {
                    self.give(slot, Input::Message(from, message));
                }
            }
            Happening::Wake(slot) => {
                let place = &mut self.slots[slot as usize];
                if place.scheduled == self.now {
                    place.scheduled = Moment::NEVER;
                    match &place.node {
                        Some(node) if node.poll_timeout() > self.now => self.schedule(slot),
                        Some(_) => self.give(slot, Input::Timeout),
                        None => {}
                    }
                }
            }
            Happening::Crash(slot) => {
                self.crash(slot);
                self.queue.push(self.now, Happening::Start(slot));
            }
            Happening::Start(slot) => self.start(slot),
            Happening::Lookup => self.look_up(),
            Happening::Query => self.query(),
            Happening::Read => self.read(),
            Happening::Growth => self.grow(),
            Happening::MassCrash(share) => {
                let crashing: Vec<u32> = self.some_of(share);
                crashing.into_iter().for_each(|slot| self.crash(slot));
                self.hurt_at = Some(self.now);
                self.queue.push(self.now + SECOND, Happening::Inspection);
            }
            Happening::Partition(share) => self.part(share),
            Happening::Inspection => self.inspect(),
            Happening::End => self.end(),
        }
    }

    // Nodes act.

    fn give(&mut self, slot: u32, input: Input) {
        let place = &self.slots[slot as usize];
        if let (Some(malice), Some(node), Input::Message(from, message)) = (place.malice, &place.node, &input)
            && let me = node.ring().me()
            && let Some(lies) = betray(malice, me, *from, message, &self.liars)
        {
            lies.into_iter().for_each(|(to, lie)| self.carry(slot, me, to, lie));
            return;
        }
        if let Some(node) = &mut self.slots[slot as usize].node {
            node.handle(input, self.now);
            self.drain(slot);
        }
    }

    pub(super) fn drain(&mut self, slot: u32) {
        let counting = self.is_watching();
        let Some(mut node) = self.slots[slot as usize].node.take() else { return };
        let me = node.ring().me();
        let malice = self.slots[slot as usize].malice;
        while let Some((peer, message)) = node.poll_transmit() {
            let message = match malice {
                Some(malice) => forge(malice, &node, message, &self.liars, self.now),
                None => message,
            };
            if counting {
                self.traffic.count(&message);
            }
            self.carry(slot, me, peer, message);
        }
        while let Some(event) = node.poll_event() {
            self.on_event(slot, me.position, event);
        }
        self.slots[slot as usize].node = Some(node);
        self.schedule(slot);
    }

    /// Takes a message to where it goes, if the network lets it through.
    fn carry(&mut self, slot: u32, from: Peer, peer: Peer, message: SwarmMessage) {
        let to = slot_of(&peer);
        let cut = self.parted && self.slots[slot as usize].cut_off != self.slots[to as usize].cut_off;
        let one_way = self.distances.one_way(slot as usize, to as usize);
        let measuring = message.is_measuring();
        let out = match &mut self.access {
            Some(access) if measuring => access.out(slot as usize, self.now, &mut self.random),
            _ => self.now,
        };
        let mut at = out + one_way;
        let mut lost = self.is_lost();
        while lost && message.is_streamed() {
            // A lost packet is sent again after about a round trip and a half (RFC 9002, section 6.2).
            at = at + one_way * 3;
            lost = self.is_lost();
        }
        if !cut && !lost {
            let parcel = self.parcels.put(Parcel { from, to: peer, message });
            let happening = if measuring { Happening::AtLine(parcel) } else { Happening::Arrival(parcel) };
            self.queue.push(at, happening);
        }
    }

    fn is_lost(&mut self) -> bool {
        self.scenario.loss > 0.0 && self.random.random_bool(self.scenario.loss)
    }

    fn schedule(&mut self, slot: u32) {
        let place = &mut self.slots[slot as usize];
        let Some(node) = &place.node else { return };
        let wake = node.poll_timeout().max(self.now);
        if wake < place.scheduled && wake < Moment::NEVER {
            place.scheduled = wake;
            self.queue.push(wake, Happening::Wake(slot));
        }
    }

    fn on_event(&mut self, slot: u32, position: Position, event: Event) {
        match event {
            Event::Ring(ring::Event::Active) => {
                self.count_time();
                self.census.add(position, slot);
            }
            Event::Ring(ring::Event::Delivered { .. }) if self.among_liars() => {}
            Event::Ring(ring::Event::Delivered { key, origin, request, hops }) => {
                let right = self.answers_for(slot, position, key);
                let from = slot_of(&origin);
                let direct = self.distances.one_way(from as usize, slot as usize);
                self.lookups.on_delivered((from, request), right, hops, direct, self.now);
            }
            Event::Ring(ring::Event::Found { request, root, hops, .. }) => {
                if self.among_liars() {
                    self.judge_among_liars(slot, request, root, hops);
                }
                self.lookups.on_ended(slot, request, true);
            }
            Event::Ring(ring::Event::LookupFailed { request }) => self.lookups.on_ended(slot, request, false),
            Event::Ring(ring::Event::Measured { peer, round_trip }) => {
                let round_trip_ms = round_trip.as_secs_f64() * 1e3;
                self.springs.on_measured(slot as usize, slot_of(&peer) as usize, round_trip_ms);
            }
            Event::Ring(ring::Event::ZoneChanged | ring::Event::Died(_)) | Event::News(_) => {}
            Event::Answered(number, answer) => {
                let honest = |peer: &Peer| self.slots[slot_of(peer) as usize].malice.is_none();
                self.queries.on_answer(slot, number, answer.map(|(_, answer)| *answer), honest);
            }
            Event::Records(event) => self.objects.on_event(slot, &event),
            Event::View(view) => {
                let nodes = self.census.listed().len();
                self.acting = Some(slot);
                if self.is_watching() {
                    self.views.on_view(&view, nodes);
                }
                if self.healed_at.is_some() {
                    self.views.on_ring_view(&view, nodes, self.now);
                }
            }
        }
    }

    /// True when this node is the one to answer for a key: of all, or of its part of a parted ring until that is whole.
    fn answers_for(&self, slot: u32, position: Position, key: Position) -> bool {
        let healing = self.scenario.partition.is_some() && self.healed_at.is_none();
        let side = |slot: u32| self.slots[slot as usize].cut_off;
        self.census.root(key, |_| true) == Some(position)
            || healing && self.census.root(key, |other| side(other) == side(slot)) == Some(position)
    }

    pub(super) fn among_liars(&self) -> bool {
        self.scenario.malicious > 0.0
    }

    /// An answer is right if no honest node stands nearer to the key: a liar that hides is as good as dead.
    fn judge_among_liars(&mut self, slot: u32, request: u32, root: Peer, hops: u8) {
        let Some(key) = self.lookups.key(slot, request) else { return };
        let found = slot_of(&root);
        let counts = |other: u32| other == found || self.slots[other as usize].malice.is_none();
        let right = self.census.root(key, counts) == Some(root.position);
        let direct = self.distances.one_way(slot as usize, found as usize);
        self.lookups.on_delivered((slot, request), right, hops, direct, self.now);
    }

    // What is seen.

    fn is_watching(&self) -> bool {
        self.watching.is_some_and(|from| from <= self.now && self.now < from + self.scenario.duration)
    }

    /// Adds the time that nodes have spent since the last change of their number.
    pub(super) fn count_time(&mut self) {
        if let Some(from) = self.watching {
            let now = self.now.max(from).min(from + self.scenario.duration);
            self.node_seconds += now.since(self.counted_at).as_secs_f64() * self.census.listed().len() as f64;
            self.counted_at = now;
        }
    }

    fn inspect(&mut self) {
        if self.is_whole() {
            self.healed_at = Some(self.now);
        } else {
            self.queue.push(self.now + SECOND / 2, Happening::Inspection);
        }
    }

    /// What was to be seen is over: as soon as nothing is left to come, all is.
    fn end(&mut self) {
        let open =
            self.lookups.are_under_way() || self.objects.are_under_way() || self.queries.are_under_way();
        let healing = self.hurt_at.is_some() && self.views.exact_at.is_none();
        if open || healing {
            self.queue.push(self.now + SECOND, Happening::End);
        } else {
            self.until = self.now;
        }
    }

    /// True when every living node has joined and sees its true neighbours, and the zones cover the ring.
    fn is_whole(&self) -> bool {
        let ring: Vec<(Position, u32)> = self.census.ring().collect();
        let living = self.slots.iter().filter(|slot| slot.node.is_some()).count();
        ring.len() == living
            && ring.iter().enumerate().all(|(at, (_, slot))| {
                let left = ring[(at + ring.len() - 1) % ring.len()].0;
                let right = ring[(at + 1) % ring.len()].0;
                let Some(node) = &self.slots[*slot as usize].node else { return false };
                let zone = node.ring().zone().is_some_and(|zone| zone.after == left);
                let seen = node.ring().neighbours().map(|(left, right)| (left.position, right.position));
                zone && (seen == Some((left, right)) || ring.len() == 1)
            })
    }

    fn share_done(&self) -> f64 {
        match self.watching {
            Some(from) => {
                let all = (self.until.since(Moment::ZERO)).as_secs_f64().max(1e-9);
                0.3 + 0.7 * (self.now.since(from)).as_secs_f64() / all
            }
            None => 0.3 * self.census.listed().len() as f64 / self.scenario.nodes as f64,
        }
    }
}

/// Which slot a peer's address stands for.
fn slot_of(peer: &Peer) -> u32 {
    match SocketAddr::from(peer.endpoint) {
        SocketAddr::V4(addr) => addr.ip().to_bits() - 1,
        SocketAddr::V6(_) => unreachable!("the simulator gives out IPv4 addresses alone"),
    }
}
