//! Whole nodes in virtual time, without sockets, codecs or threads: a network of delays, loss and cuts; voices that are
//! counters; ears that note when each packet of each voice came first. One seed makes one run.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

mod counted;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use alm::identity::{Identity, NodeId};
use alm::net::{Channel, DialError, Heard, LinkEvent, Switch};
use alm::node::{Input, Node, Notice, Output};
use alm::pool::{HelpersFrom, PoolConfig, Priority};
use alm::session::{EpochKey, Event, Invite, Keys, ManagerConfig, MemberConfig, Participant, SessionPlan};
use alm_media::{CaptureTime, MediaPacket, Opener, Sealer, SenderKey, SourceIndex, TreeId};
use alm_planner::Objective;
use bytes::Bytes;
use counted::Counted;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// How often a lost packet is asked for on a link.
const REQUESTS_MAX: u32 = 2;
pub const MS: Duration = Duration::from_millis(1);
const FRAME: Duration = Duration::from_millis(20);
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// Turns without any time passing: more than the whole world has to say at once.
const TURNS_MAX: u32 = 20_000;
/// What a sealed voice says.
pub const SPOKEN: &[u8] = b"nobody else's business";
/// How long a plan takes.
const PLANNING: Duration = Duration::from_millis(10);

/// A node and what is around it.
pub struct Slot {
    pub id: NodeId,
    pub node: Option<Node>,
    /// What it has told, and when.
    pub told: Vec<(Duration, Event)>,
    /// When each voice's packets came first.
    pub heard: BTreeMap<u16, Vec<(Duration, u64)>>,
    /// Packets that came under keys which the node did not have.
    pub unopened: u64,
    /// All that was handed to it, where that is noted.
    pub received: Vec<(Duration, Channel, Bytes)>,
    pub keys: Option<Keys>,
    sealer: Option<Sealer>,
    openers: BTreeMap<u16, Opener>,
    known: BTreeSet<(u16, u64)>,
    speaks: bool,
    spoken: u64,
    wake: Option<Instant>,
    switch: Option<Arc<dyn Switch>>,
    /// When the switch is to be asked for its beats.
    beat: Option<Instant>,
    peers: BTreeSet<usize>,
}

enum What {
    Link(LinkEvent),
    Planned(alm::session::Planned),
    Speak,
    /// A dial arrives; the answer goes back.
    Dial(usize, SocketAddr, Option<NodeId>),
    Connect(usize),
}

struct Due {
    at: Instant,
    serial: u64,
    to: usize,
    from: Option<usize>,
    what: What,
}

/// See the [module](self).
pub struct World {
    pub slots: Vec<Slot>,
    pub loss: f64,
    /// Whose machines sessions take help from.
    pub helpers: HelpersFrom,
    /// Voices are sealed for good. Otherwise a packet says by which key it would be: that is a thousand times faster.
    pub is_sealed: bool,
    /// Of these nodes it is noted what is handed to them.
    pub noted: BTreeSet<usize>,
    /// Every key that sealed anything.
    pub epochs: Vec<EpochKey>,
    /// Links crossed by media packets: (from, to, tree, source, counter) -> times.
    pub crossed: BTreeMap<(usize, usize, u32, u64), u32>,
    start: Instant,
    now: Instant,
    serial: u64,
    queue: BinaryHeap<Reverse<Due>>,
    one_way: Box<dyn Fn(usize, usize) -> Duration>,
    /// Until when nothing gets from one to the other: datagrams wait for a stall and are lost in a cut.
    stalls: BTreeMap<(usize, usize), Instant>,
    cuts: BTreeSet<(usize, usize)>,
    /// What some ways lose, and take longer.
    pub spoiled: BTreeMap<(usize, usize), (f64, Duration)>,
    /// What came by each way.
    counted: BTreeMap<(usize, usize), Counted>,
    held: Vec<(usize, usize, Bytes)>,
    in_order: BTreeMap<(usize, usize), Instant>,
    random: StdRng,
    secret: [u8; 16],
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.serial).cmp(&(other.at, other.serial))
    }
}

pub fn addr_of(index: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, (index >> 8) as u8, index as u8], 4433))
}

fn index_of(addr: SocketAddr) -> Option<usize> {
    match addr {
        SocketAddr::V4(v4) => {
            let [_, _, high, low] = v4.ip().octets();
            Some(usize::from(high) << 8 | usize::from(low))
        }
        SocketAddr::V6(_) => None,
    }
}

/// The beginning of virtual time. No test depends on which.
#[expect(clippy::disallowed_methods, reason = "the one place where these tests' virtual time begins")]
fn origin() -> Instant {
    Instant::now()
}

impl World {
    pub fn new(seed: u64, one_way: impl Fn(usize, usize) -> Duration + 'static) -> Self {
        let start = origin();
        Self {
            slots: vec![],
            loss: 0.0,
            helpers: HelpersFrom::Anybody,
            is_sealed: false,
            noted: BTreeSet::new(),
            epochs: vec![],
            crossed: BTreeMap::new(),
            start,
            now: start,
            serial: 0,
            queue: BinaryHeap::new(),
            one_way: Box::new(one_way),
            stalls: BTreeMap::new(),
            cuts: BTreeSet::new(),
            spoiled: BTreeMap::new(),
            counted: BTreeMap::new(),
            held: vec![],
            in_order: BTreeMap::new(),
            random: StdRng::seed_from_u64(seed),
            secret: [5; 16],
        }
    }

    pub fn elapsed(&self) -> Duration {
        self.now - self.start
    }

    pub fn now(&self) -> Instant {
        self.now
    }

    pub fn add(&mut self, config: PoolConfig) -> usize {
        let index = self.slots.len();
        let identity = Arc::new(Identity::from_seed([index as u8 + 1; 32]));
        let id = identity.node_id();
        let random = StdRng::seed_from_u64(self.random.random());
        let mut node = Node::new(identity, vec![addr_of(index)], config, random, self.now);
        if index > 0 {
            node.handle(Input::Bootstrap(addr_of(0)), self.now);
        }
        self.slots.push(Slot {
            id,
            node: Some(node),
            told: vec![],
            heard: BTreeMap::new(),
            unopened: 0,
            received: vec![],
            keys: None,
            sealer: None,
            openers: BTreeMap::new(),
            known: BTreeSet::new(),
            speaks: false,
            spoken: 0,
            wake: None,
            switch: None,
            beat: None,
            peers: BTreeSet::new(),
        });
        self.drain(index);
        index
    }

    pub fn helper(&mut self, degree: u32) -> usize {
        self.add(PoolConfig { degree, lends: true, ..PoolConfig::default() })
    }

    pub fn session_key() -> Identity {
        Identity::from_seed([200; 32])
    }

    pub fn invite(&self, entry: &[usize]) -> Invite {
        let session = alm::identity::SessionId::of(&Self::session_key().node_id());
        let entry_points = entry.iter().map(|index| addr_of(*index)).collect();
        Invite { session, secret: self.secret, entry_points }
    }

    pub fn host(&mut self, degree: u32, objective: Objective) -> usize {
        self.host_with(degree, objective, false)
    }

    pub fn host_with(&mut self, degree: u32, objective: Objective, protect: bool) -> usize {
        let index = self.add(PoolConfig { degree, ..PoolConfig::default() });
        let own = Participant {
            index: 0,
            node: self.slots[index].id,
            name: format!("m{index}"),
            salt: [index as u8; 16],
            degree,
            records: false,
            addrs: vec![addr_of(index)],
        };
        let (title, grant, priority, secret) = ("test".into(), None, Priority::LOWEST, self.secret);
        let helpers = self.helpers.clone();
        let config = ManagerConfig { title, objective, priority, grant, helpers, protect, secret, own };
        let now = self.now;
        self.with(index, |node| node.host(&Self::session_key(), config, now));
        index
    }

    pub fn member(&mut self, degree: u32, entry: &[usize]) -> usize {
        let index = self.add(PoolConfig { degree, ..PoolConfig::default() });
        let invite = self.invite(entry);
        self.join(index, degree, invite);
        index
    }

    pub fn join(&mut self, index: usize, degree: u32, invite: Invite) {
        let (name, salt) = (format!("m{index}"), [index as u8; 16]);
        let now = self.now;
        self.with(index, |node| node.join(MemberConfig { invite, name, salt, degree, records: false }, now));
    }

    /// Has a member speak from now on.
    pub fn speak(&mut self, index: usize) {
        self.slots[index].speaks = true;
        self.push(self.now, index, None, What::Speak);
    }

    pub fn hush(&mut self, index: usize) {
        self.slots[index].speaks = false;
    }

    /// Does something to a node, and what follows from it.
    pub fn with<T>(&mut self, index: usize, act: impl FnOnce(&mut Node) -> T) -> Option<T> {
        let done = act(self.slots[index].node.as_mut()?);
        self.drain(index);
        Some(done)
    }

    pub fn leave(&mut self, index: usize) {
        let now = self.now;
        self.with(index, |node| node.handle(Input::Leave, now));
    }

    /// Ends a program without a word.
    pub fn kill(&mut self, index: usize) {
        self.slots[index].node = None;
        self.slots[index].speaks = false;
        for slot in &mut self.slots {
            slot.peers.remove(&index);
        }
        self.slots[index].peers.clear();
        self.slots[index].wake = None;
        self.slots[index].beat = None;
    }

    /// Nothing gets through between two nodes for a while; then all of it at once.
    pub fn stall(&mut self, a: usize, b: usize, time: Duration) {
        for pair in [(a, b), (b, a)] {
            self.stalls.insert(pair, self.now + time);
        }
    }

    /// Cuts nodes off from the others, or mends all cuts.
    pub fn cut(&mut self, side: &[usize]) {
        for a in 0..self.slots.len() {
            for b in (0..self.slots.len()).filter(|b| side.contains(&a) != side.contains(b)) {
                self.cuts.insert((a, b));
            }
        }
    }

    pub fn mend(&mut self) {
        self.cuts.clear();
        for (from, to, bytes) in std::mem::take(&mut self.held) {
            self.carry(from, to, Channel::Control, bytes);
        }
    }

    pub fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.run_until(end, |_| false);
    }

    /// Runs until something is so; false if it is not in time.
    pub fn run_until_so(&mut self, time: Duration, so: impl Fn(&Self) -> bool) -> bool {
        let end = self.now + time;
        self.run_until(end, so)
    }

    fn run_until(&mut self, end: Instant, so: impl Fn(&Self) -> bool) -> bool {
        let (mut at, mut turns) = (self.now, 0);
        loop {
            turns = if at == self.now { turns + 1 } else { 0 };
            at = self.now;
            if turns > TURNS_MAX {
                let awake = |slot: &Slot| slot.node.as_ref().map(|node| node.poll_timeout().1);
                panic!("awake for nothing: {:?}", self.slots.iter().map(awake).collect::<Vec<_>>());
            }
            if so(self) {
                return true;
            }
            let wake = |slot: &Slot| [slot.wake, slot.beat].into_iter().flatten().min();
            let wake = self.slots.iter().enumerate().filter_map(|(i, slot)| Some((wake(slot)?, i))).min();
            let due = self.queue.peek().map(|Reverse(due)| due.at);
            let next = [wake.map(|(at, _)| at), due].into_iter().flatten().min();
            let Some(next) = next.filter(|next| *next <= end) else {
                self.now = end;
                return so(self);
            };
            self.now = self.now.max(next);
            if due.is_some_and(|due| wake.is_none_or(|(at, _)| due <= at)) {
                let Reverse(due) = self.queue.pop().unwrap();
                self.arrive(due);
            } else if let Some((_, index)) = wake {
                let now = self.now;
                if self.slots[index].beat.is_some_and(|at| at <= now) {
                    self.beat(index);
                } else {
                    self.tell_heard(index);
                    self.with(index, |node| node.handle(Input::Timeout, now));
                }
            }
        }
    }

    /// Sends what a node's switch wants said, as a link does.
    fn beat(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        let mut said = Vec::new();
        let mut say = |to, bytes: &[u8]| said.push((to, Bytes::copy_from_slice(bytes)));
        slot.beat = slot.switch.as_ref().and_then(|switch| switch.beat(self.now, &mut say));
        for (to, bytes) in said {
            if let Some(to) = self.index(to).filter(|to| self.slots[index].peers.contains(to)) {
                self.carry(index, to, Channel::Datagram, bytes);
            }
        }
    }

    /// What a link counts is told when its node wakes.
    fn tell_heard(&mut self, index: usize) {
        let ways = self.counted.iter_mut().filter(|((_, to), _)| *to == index);
        let heard: Vec<(usize, Heard)> =
            ways.filter_map(|((from, _), way)| Some((*from, way.news()?))).collect();
        for (from, heard) in heard {
            let from = self.slots[from].id;
            self.with(index, |node| node.handle(Input::Heard(from, heard), heard.at));
        }
    }

    fn push(&mut self, at: Instant, to: usize, from: Option<usize>, what: What) {
        self.serial += 1;
        self.queue.push(Reverse(Due { at, serial: self.serial, to, from, what }));
    }

    fn arrive(&mut self, Due { to, from, what, .. }: Due) {
        let now = self.now;
        match what {
            What::Speak => self.say(to),
            What::Planned(planned) => {
                self.with(to, |node| node.handle(Input::Planned(planned, PLANNING), now));
            }
            What::Dial(caller, addr, expected) => {
                let back = (self.one_way)(to, caller);
                let is_there = self.slots.get(to).is_some_and(|slot| slot.node.is_some())
                    && !self.cuts.contains(&(caller, to));
                if !is_there || to == caller {
                    let error = if to == caller { DialError::Ourselves } else { DialError::NoAnswer };
                    let wait = if to == caller { back } else { DIAL_TIMEOUT };
                    let failed = LinkEvent::DialFailed { addr, expected, error };
                    self.push(now + wait, caller, None, What::Link(failed));
                    return;
                }
                self.push(now, to, None, What::Connect(caller));
                self.push(now + back, caller, None, What::Connect(to));
            }
            What::Connect(peer) => {
                if self.slots[peer].node.is_some() && self.slots[to].peers.insert(peer) {
                    let event = LinkEvent::Connected { peer: self.slots[peer].id, addr: addr_of(peer) };
                    self.with(to, |node| node.handle(Input::Link(event), now));
                }
            }
            What::Link(event) => {
                if from.is_none_or(|from| self.slots[to].peers.contains(&from)) {
                    if let (LinkEvent::Disconnected { .. }, Some(from)) = (&event, from) {
                        self.slots[to].peers.remove(&from);
                    }
                    let event = match event {
                        LinkEvent::Datagram { from: peer, bytes, .. } => {
                            let way = from.map(|from| self.counted.entry((from, to)).or_default());
                            way.into_iter().for_each(|way| way.on_came(now));
                            LinkEvent::Datagram { from: peer, bytes, at: now }
                        }
                        other => other,
                    };
                    if self.noted.contains(&to) {
                        let at = self.elapsed();
                        self.slots[to].received.extend(match &event {
                            LinkEvent::Control { bytes, .. } => Some((at, Channel::Control, bytes.clone())),
                            LinkEvent::Datagram { bytes, .. } => Some((at, Channel::Datagram, bytes.clone())),
                            _ => None,
                        });
                    }
                    self.with(to, |node| node.handle(Input::Link(event), now));
                }
            }
        }
    }

    fn say(&mut self, index: usize) {
        let slot = &mut self.slots[index];
        let (true, Some(node)) = (slot.speaks, slot.node.as_mut()) else { return };
        let own = node.roster().and_then(|roster| roster.by_node(slot.id)).map(|own| own.index);
        if let (Some(own), Some(keys)) = (own, &slot.keys) {
            let (source, tree) = (SourceIndex(own), TreeId(0));
            let capture_time = CaptureTime((slot.spoken * 960) as u32);
            let counter = slot.spoken;
            let epoch = self.epochs.iter().position(|epoch| *epoch == keys.seal).unwrap_or_else(|| {
                self.epochs.push(keys.seal.clone());
                self.epochs.len() - 1
            });
            let mut frame = vec![0; 60];
            frame[..4].copy_from_slice(&(epoch as u32).to_be_bytes());
            let mut packet = MediaPacket { tree, source, counter, capture_time, priority: false, frame: &[] };
            if self.is_sealed {
                let key = keys.seal.sender(slot.id, &[index as u8; 16]);
                let sealer = slot.sealer.get_or_insert_with(|| Sealer::new(&key, source));
                sealer.set_key(&key, source);
                sealer.seal(counter, &packet.metadata(), SPOKEN, &mut frame).unwrap();
            }
            packet.frame = &frame;
            let mut bytes = Vec::new();
            packet.write(&mut bytes);
            slot.spoken += 1;
            let now = self.now;
            self.with(index, |node| node.handle(Input::Own(bytes.into()), now));
        }
        self.push(self.now + FRAME, index, None, What::Speak);
    }

    fn drain(&mut self, index: usize) {
        let now = self.now;
        loop {
            let Some(node) = self.slots[index].node.as_mut() else { return };
            let Some(output) = node.poll_output() else { break };
            match output {
                Output::Send(to, channel, bytes) => {
                    if let Some(to) = self.index(to).filter(|to| self.slots[index].peers.contains(to)) {
                        self.carry(index, to, channel, bytes);
                    }
                }
                Output::Dial(addr, expected) => {
                    let to = index_of(addr).filter(|to| *to < self.slots.len());
                    let (to, wait) = to.map_or((index, DIAL_TIMEOUT), |to| (to, (self.one_way)(index, to)));
                    self.push(now + wait, to, None, What::Dial(index, addr, expected));
                }
                Output::Close(to, reason) => {
                    if let Some(to) = self.index(to)
                        && self.slots[index].peers.remove(&to)
                    {
                        let (peer, reason) = (self.slots[index].id, reason.to_owned());
                        let event = LinkEvent::Disconnected { peer, left: true, reason };
                        let wait = (self.one_way)(index, to);
                        if !self.cuts.contains(&(index, to)) {
                            self.push(now + wait, to, Some(index), What::Link(event));
                        }
                    }
                }
                Output::Plan(job) => {
                    let planned = job.run();
                    self.push(now + PLANNING, index, None, What::Planned(planned));
                }
                // Nobody relies on alerts here.
                Output::DialThrough(..) | Output::Pair(..) | Output::Watch(..) => {}
                Output::Play(packet, _) => self.hear(index, &packet),
                Output::Switch(switch) => {
                    let slot = &mut self.slots[index];
                    (slot.switch, slot.beat) = (Some(switch), Some(now));
                }
            }
        }
        let elapsed = self.elapsed();
        let slot = &mut self.slots[index];
        let Some(node) = slot.node.as_mut() else { return };
        let mut over = false;
        while let Some(notice) = node.poll_notice() {
            if let Notice::Session(event) = notice {
                over |= matches!(event, Event::Ended(_));
                if let Event::Keys(keys) = &event {
                    slot.keys = Some(keys.clone());
                }
                slot.told.push((elapsed, event));
            }
        }
        slot.wake = Some(node.poll_timeout().0.max(now));
        if over {
            self.end(index);
        }
    }

    /// A program that ends of its own accord says goodbye to its peers.
    fn end(&mut self, index: usize) {
        let peers = std::mem::take(&mut self.slots[index].peers);
        let id = self.slots[index].id;
        for peer in peers {
            let event = LinkEvent::Disconnected { peer: id, left: true, reason: "left".into() };
            let wait = (self.one_way)(index, peer);
            let at = self.in_order.get(&(index, peer)).copied().unwrap_or(self.now).max(self.now + wait);
            self.push(at, peer, Some(index), What::Link(event));
        }
        self.slots[index].node = None;
        self.slots[index].wake = None;
        self.slots[index].beat = None;
    }

    fn carry(&mut self, from: usize, to: usize, channel: Channel, bytes: Bytes) {
        let sender = self.slots[from].id;
        if self.cuts.contains(&(from, to)) {
            if channel == Channel::Control {
                self.held.push((from, to, bytes));
            }
            return;
        }
        let (loss, more) = self.spoiled.get(&(from, to)).copied().unwrap_or_default();
        if channel == Channel::Datagram {
            let is_lost = self.random.random_bool(self.loss.max(loss));
            if is_lost {
                self.counted.entry((from, to)).or_default().lost += 1;
                return;
            }
        }
        let leaves = self.stalls.get(&(from, to)).map_or(self.now, |until| self.now.max(*until));
        let mut at = leaves + (self.one_way)(from, to) + more;
        let event = match channel {
            Channel::Control => {
                let last = self.in_order.entry((from, to)).or_insert(at);
                at = at.max(*last);
                *last = at;
                LinkEvent::Control { from: sender, bytes }
            }
            Channel::Datagram => {
                if let Ok(packet) = MediaPacket::parse(&bytes) {
                    let name = u64::from(packet.source.0) << 48 | packet.counter;
                    *self.crossed.entry((from, to, packet.tree.0, name)).or_default() += 1;
                }
                LinkEvent::Datagram { from: sender, bytes, at }
            }
        };
        self.push(at, to, Some(from), What::Link(event));
    }

    fn hear(&mut self, index: usize, packet: &[u8]) {
        let packet = MediaPacket::parse(packet).unwrap();
        let elapsed = self.elapsed();
        let sender = self.slots[index].node.as_ref().and_then(Node::roster).and_then(|roster| {
            roster.iter().find(|member| member.index == packet.source.0).map(|m| (m.node, m.salt))
        });
        let slot = &mut self.slots[index];
        let keys = slot.keys.as_ref().map_or(&[][..], |keys| &keys.open);
        let opens = if self.is_sealed {
            let Some((node, salt)) = sender else { return };
            let keys: Vec<SenderKey> = keys.iter().map(|key| key.sender(node, &salt)).collect();
            let Some(last) = keys.last() else { return };
            let opener = slot.openers.entry(packet.source.0);
            let opener = opener.or_insert_with(|| Opener::new(last, packet.source));
            opener.set_keys(&keys);
            opener.open(&packet).is_ok_and(|payload| payload == SPOKEN)
        } else {
            let epoch = u32::from_be_bytes(packet.frame[..4].try_into().unwrap());
            keys.contains(&self.epochs[epoch as usize])
        };
        if !opens {
            slot.unopened += 1;
            return;
        }
        if slot.known.insert((packet.source.0, packet.counter)) {
            slot.heard.entry(packet.source.0).or_default().push((elapsed, packet.counter));
        }
    }

    // What tests ask.

    pub fn index(&self, id: NodeId) -> Option<usize> {
        self.slots.iter().position(|slot| slot.id == id)
    }

    pub fn plan(&self, index: usize) -> Option<&SessionPlan> {
        self.slots[index].node.as_ref()?.plan()
    }

    /// The longest time that an ear waited for something new of a voice since then, beyond a frame.
    pub fn gap(&self, ear: usize, voice: usize, since: Duration) -> Duration {
        let source = self.source(ear, voice);
        let heard = source.and_then(|source| self.slots[ear].heard.get(&source));
        let times = heard.into_iter().flatten().map(|(at, _)| *at).filter(|at| *at >= since);
        let mut last = since;
        let mut longest = Duration::ZERO;
        for at in times.chain([self.elapsed()]) {
            longest = longest.max(at.saturating_sub(last));
            last = at;
        }
        longest.saturating_sub(FRAME)
    }

    /// How many packets of a voice an ear has missed among those that it heard since then. One that was heard before, having
    /// come a shorter way than those before it, is not missed.
    pub fn missed(&self, ear: usize, voice: usize, since: Duration) -> u64 {
        let source = self.source(ear, voice);
        let heard = source.and_then(|source| self.slots[ear].heard.get(&source));
        let heard = || heard.into_iter().flatten();
        let lately = || heard().filter(|(at, _)| *at >= since).map(|(_, counter)| *counter);
        let (Some(first), Some(last)) = (lately().min(), lately().max()) else { return u64::MAX };
        let counters =
            heard().map(|(_, counter)| *counter).filter(|counter| (first..=last).contains(counter));
        last - first + 1 - counters.collect::<BTreeSet<u64>>().len() as u64
    }

    fn source(&self, ear: usize, voice: usize) -> Option<u16> {
        let id = self.slots[voice].id;
        self.slots[ear].node.as_ref()?.roster()?.by_node(id).map(|member| member.index)
    }

    /// True when all these nodes carry one plan in which each of them is a source, and seal by the same key.
    pub fn is_settled(&self, members: &[usize]) -> bool {
        let plans: Vec<Option<&SessionPlan>> = members.iter().map(|member| self.plan(*member)).collect();
        let Some(Some(first)) = plans.first() else { return false };
        let sources: BTreeSet<NodeId> = first.trees.iter().flat_map(|tree| tree.sources.clone()).collect();
        let keys = |member: &usize| self.slots[*member].keys.as_ref();
        let first_keys = keys(&members[0]);
        let one_key = |keys: Option<&Keys>| {
            keys.is_some_and(|keys| {
                keys.open.last() == Some(&keys.seal)
                    && Some(&keys.seal) == first_keys.map(|first| &first.seal)
            })
        };
        members.iter().all(|member| one_key(keys(member)))
            && sources == members.iter().map(|member| self.slots[*member].id).collect()
            && plans.iter().all(|plan| plan.is_some_and(|plan| plan.epoch == first.epoch))
    }

    /// Where each of them stands: its epoch, its manager and how many sources its plan has.
    pub fn standing(&self, members: &[usize]) -> String {
        let one = |member: &usize| {
            let plan = self.plan(*member)?;
            let sources: usize = plan.trees.iter().map(|tree| tree.sources.len()).sum();
            Some(format!("{member}: epoch {} of {:?} for {sources}", plan.epoch, self.index(plan.root)))
        };
        members.iter().filter_map(one).collect::<Vec<_>>().join("; ")
    }

    /// What has gone wrong with packets on their way: one that a link carried more often than as a parent's, as a backup
    /// parent's, and as often as a lost packet is asked for again.
    pub fn looped(&self) -> Option<(usize, usize, u32, u64)> {
        self.crossed.iter().find(|(_, times)| **times > 2 + REQUESTS_MAX).map(|(name, _)| *name)
    }
}
