//! One simulation from the first node to the last event: what happens to the pool as a whole, and what is seen of it. What nodes
//! do happens in `shard.rs`, window by window; what they made known in one is heard after it, in the order of time.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::count::Traffic;
use super::crew::Crew;
use super::distance::Distances;
use super::judge::{Census, Lookups};
use super::objects::Objects;
use super::queries::Queries;
use super::queue::Queue;
use super::shard::{Note, SHARDS, Shard, World, exchange, slot_of};
use super::survey::Springs;
use super::views::Views;
use super::{Outcome, Scenario};
use crate::identity::Position;
use crate::pool::ring;
use crate::pool::swarm::{Event, SwarmNode};
use crate::pool::{Moment, Peer};

/// What happens between windows.
pub(super) enum Happening {
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

pub(super) struct Run<'a> {
    pub(super) scenario: &'a Scenario,
    world: Arc<World<'a>>,
    pub(super) shards: Vec<Shard>,
    pub(super) random: StdRng,
    pub(super) now: Moment,
    pub(super) queue: Queue<Happening>,
    pub(super) census: Census,
    pub(super) started: usize,
    pub(super) until: Moment,
    /// What is to heal, and when it did.
    pub(super) hurt_at: Option<Moment>,
    pub(super) healed_at: Option<Moment>,
    pub(super) node_seconds: f64,
    pub(super) counted_at: Moment,
    /// Who had a view of the whole last.
    pub(super) acting: Option<u32>,
    pub(super) lookups: Lookups,
    pub(super) objects: Objects,
    pub(super) views: Views,
    pub(super) queries: Queries,
    pub(super) springs: Springs,
    events: u64,
}

/// What is looked at again is looked at again after that long.
pub(super) const SECOND: Duration = Duration::from_secs(1);
/// Windows between two reports of progress.
const REPORT_EVERY: u64 = 4_096;

/// Runs a scenario on up to so many threads; `progress` hears now and then which share is done. The outcome does not depend on the
/// number of threads; a pool of some thousand nodes or more is done sooner with several, where each has a processor.
#[must_use]
pub fn simulate(
    scenario: &Scenario,
    distances: &Distances,
    threads: usize,
    progress: impl FnMut(f64),
) -> Outcome {
    thread::scope(|scope| {
        let crew = Crew::new(threads.clamp(1, SHARDS), scope);
        let mut run = Run::new(scenario, distances);
        run.go(&crew, progress);
        run.outcome()
    })
}

impl<'a> Run<'a> {
    fn new(scenario: &'a Scenario, distances: &'a Distances) -> Self {
        let mut random = StdRng::seed_from_u64(scenario.seed);
        let springs = Springs::new(scenario.nodes, &mut random);
        let shard = |number| Shard::new(number, scenario, &mut random);
        let shards = (0..SHARDS).map(shard).collect();
        let world = World {
            scenario,
            distances,
            watching: None,
            parted: false,
            cut_off: vec![false; scenario.nodes],
            malice: vec![None; scenario.nodes],
            liars: Default::default(),
        };
        let mut run = Self {
            scenario,
            world: Arc::new(world),
            shards,
            random,
            now: Moment::ZERO,
            queue: Queue::new(),
            census: Census::default(),
            started: 0,
            until: Moment::NEVER,
            hurt_at: None,
            healed_at: None,
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
        run
    }

    fn go(&mut self, crew: &Crew<'a>, mut progress: impl FnMut(f64)) {
        let window = self.world.distances.least();
        for windows in 1_u64.. {
            let whole = self.queue.next_at();
            let nodes = self.shards.iter().map(|shard| shard.next_at()).min().unwrap_or(Moment::NEVER);
            if whole.min(nodes) > self.until {
                break;
            }
            if whole <= nodes {
                if let Some((now, happening)) = self.queue.pop(Moment::NEVER) {
                    self.now = now;
                    self.events += 1;
                    self.on(happening);
                }
            } else {
                let after = self.until + Duration::from_micros(1);
                crew.run(&mut self.shards, &self.world, whole.min(nodes + window).min(after));
            }
            exchange(&mut self.shards);
            self.hear();
            if windows.is_multiple_of(REPORT_EVERY) {
                progress(self.share_done());
            }
        }
    }

    /// What nodes have made known, in the order of time.
    fn hear(&mut self) {
        let noted = self.shards.iter_mut().flat_map(|shard| shard.notes.drain(..));
        let mut notes: Vec<Note> = noted.collect();
        notes.sort_by_key(|note| note.at);
        for note in notes {
            self.now = note.at;
            self.on_note(note);
        }
    }

    /// What all nodes see; nobody looks at it between windows.
    pub(super) fn world(&mut self) -> &mut World<'a> {
        Arc::get_mut(&mut self.world).expect("threads let go of it before they give their shards back")
    }

    pub(super) fn seen(&self) -> &World<'a> {
        &self.world
    }

    pub(super) fn node(&self, slot: u32) -> Option<&SwarmNode> {
        self.shards[slot as usize % SHARDS].slot(slot).node.as_deref()
    }

    /// Has a node do something now.
    pub(super) fn with<T>(&mut self, slot: u32, act: impl FnOnce(&mut SwarmNode) -> T) -> Option<T> {
        self.shards[slot as usize % SHARDS].with(slot, &self.world, self.now, act)
    }

    /// All that live.
    pub(super) fn living(&self) -> impl Iterator<Item = &SwarmNode> + Clone {
        let slots = self.shards.iter().flat_map(|shard| shard.slots());
        slots.filter_map(|slot| slot.node.as_deref())
    }

    pub(super) fn events(&self) -> u64 {
        self.events + self.shards.iter().map(|shard| shard.events).sum::<u64>()
    }

    pub(super) fn traffic(&self) -> Traffic {
        let mut all = Traffic::default();
        self.shards.iter().for_each(|shard| all.include(&shard.traffic));
        all
    }
}

impl Run<'_> {
    fn on(&mut self, happening: Happening) {
        match happening {
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

    fn on_note(&mut self, Note { slot, position, event, .. }: Note) {
        match event {
            Event::Ring(ring::Event::Active) => {
                self.count_time();
                self.census.add(position, slot);
            }
            Event::Ring(ring::Event::Delivered { .. }) if self.among_liars() => {}
            Event::Ring(ring::Event::Delivered { key, origin, request, hops }) => {
                let right = self.answers_for(slot, position, key);
                let from = slot_of(&origin);
                let direct = self.world.distances.one_way(from as usize, slot as usize);
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
                let honest = |peer: &Peer| self.world.malice[slot_of(peer) as usize].is_none();
                self.queries.on_answer(slot, number, answer.map(|(_, answer)| *answer), honest);
            }
            Event::Records(event) => self.objects.on_event(slot, &event),
            Event::View(view) => {
                let nodes = self.census.listed().len();
                self.acting = Some(slot);
                if self.world.is_watched(self.now) {
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
        let side = |slot: u32| self.world.cut_off[slot as usize];
        self.census.root(key, |_| true) == Some(position)
            || healing && self.census.root(key, |other| side(other) == side(slot)) == Some(position)
    }

    pub(super) fn is_honest(&self, slot: u32) -> bool {
        self.world.malice[slot as usize].is_none()
    }

    pub(super) fn among_liars(&self) -> bool {
        self.scenario.malicious > 0.0
    }

    /// An answer is right if no honest node stands nearer to the key: a liar that hides is as good as dead.
    fn judge_among_liars(&mut self, slot: u32, request: u32, root: Peer, hops: u8) {
        let Some(key) = self.lookups.key(slot, request) else { return };
        let found = slot_of(&root);
        let counts = |other: u32| other == found || self.is_honest(other);
        let right = self.census.root(key, counts) == Some(root.position);
        let direct = self.world.distances.one_way(slot as usize, found as usize);
        self.lookups.on_delivered((slot, request), right, hops, direct, self.now);
    }

    // What is seen.

    /// Adds the time that nodes have spent since the last change of their number.
    pub(super) fn count_time(&mut self) {
        if let Some(from) = self.world.watching {
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
        let living = self.living().count();
        ring.len() == living
            && ring.iter().enumerate().all(|(at, (_, slot))| {
                let left = ring[(at + ring.len() - 1) % ring.len()].0;
                let right = ring[(at + 1) % ring.len()].0;
                let Some(node) = self.node(*slot) else { return false };
                let zone = node.ring().zone().is_some_and(|zone| zone.after == left);
                let seen = node.ring().neighbours().map(|(left, right)| (left.position, right.position));
                zone && (seen == Some((left, right)) || ring.len() == 1)
            })
    }

    fn share_done(&self) -> f64 {
        match self.world.watching {
            Some(from) => {
                let all = (self.until.since(Moment::ZERO)).as_secs_f64().max(1e-9);
                0.3 + 0.7 * (self.now.since(from)).as_secs_f64() / all
            }
            None => 0.3 * self.census.listed().len() as f64 / self.scenario.nodes as f64,
        }
    }
}
