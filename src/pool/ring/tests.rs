//! A few nodes on one ring, the messages between them carried by hand.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::identity::NodeId;
use crate::pool::Moment;
use crate::pool::peer::Place;
use crate::pool::position::Mark;

const ONE_WAY: Duration = Duration::from_millis(20);

struct Net {
    nodes: Vec<RingNode>,
    /// Neither woken nor reached.
    deaf: Vec<bool>,
    under_way: BTreeMap<(Moment, u64), (Peer, Peer, RingMessage)>,
    sent: u64,
    now: Moment,
    events: Vec<(usize, Event)>,
}

impl Net {
    /// That many nodes, each joined through the first, and settled.
    fn joined(nodes: usize) -> Self {
        let (deaf, events, under_way) = (Vec::new(), Vec::new(), BTreeMap::new());
        let mut net = Self { nodes: Vec::new(), deaf, under_way, sent: 0, now: Moment::ZERO, events };
        for node in 0..nodes {
            net.add(node);
            net.run(Duration::from_millis(300));
        }
        net.run(Duration::from_secs(20));
        net.events.clear();
        net
    }

    fn peer(node: usize) -> Peer {
        let addr = SocketAddr::from(([10, 0, 0, node as u8], 4_433));
        Peer::new(NodeId([node as u8 + 1; 32]), addr)
    }

    fn add(&mut self, node: usize) {
        let chance = StdRng::seed_from_u64(node as u64);
        let mut newcomer = RingNode::new(Self::peer(node), RingConfig::default(), chance, self.now);
        if let Some(first) = self.nodes.iter().map(RingNode::me).find(|peer| *peer != newcomer.me()) {
            newcomer.handle(Input::Bootstrap(first), self.now);
        }
        if node < self.nodes.len() {
            self.nodes[node] = newcomer;
        } else {
            self.nodes.push(newcomer);
            self.deaf.push(false);
        }
        self.drain(node);
    }

    fn drain(&mut self, node: usize) {
        let from = self.nodes[node].me();
        while let Some(Transmit { to, message }) = self.nodes[node].poll_transmit() {
            self.sent += 1;
            self.under_way.insert((self.now + ONE_WAY, self.sent), (from, to, message));
        }
        while let Some(event) = self.nodes[node].poll_event() {
            self.events.push((node, event));
        }
    }

    fn give(&mut self, node: usize, input: Input) {
        self.nodes[node].handle(input, self.now);
        self.drain(node);
    }

    fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        loop {
            let awake = (0..self.nodes.len()).filter(|node| !self.deaf[*node]);
            let waking = awake.map(|node| (self.nodes[node].poll_timeout(), node)).min();
            let arriving = self.under_way.first_key_value().map(|((at, _), _)| *at);
            let (wake, node) = waking.unwrap_or((Moment::NEVER, 0));
            let next = wake.min(arriving.unwrap_or(Moment::NEVER)).max(self.now);
            if next > until {
                self.now = until;
                return;
            }
            self.now = next;
            if arriving.is_some_and(|at| at <= wake) {
                let Some((_, (from, to, message))) = self.under_way.pop_first() else { return };
                let there = self.nodes.iter().position(|node| node.me().node == to.node);
                if let Some(there) = there.filter(|there| !self.deaf[*there]) {
                    self.give(there, Input::Message(from, message));
                }
            } else {
                self.give(node, Input::Timeout);
            }
        }
    }

    /// Living nodes around the ring.
    fn ring(&self) -> Vec<&RingNode> {
        let mut ring: Vec<&RingNode> =
            self.nodes.iter().zip(&self.deaf).filter(|(_, deaf)| !**deaf).map(|(node, _)| node).collect();
        ring.sort_by_key(|node| node.me().position);
        ring
    }

    /// The zones of all living nodes tile the ring.
    fn is_whole(&self) -> bool {
        let ring = self.ring();
        let before = |at: usize| ring[(at + ring.len() - 1) % ring.len()].me().position;
        (0..ring.len()).all(|at| ring[at].zone().is_some_and(|zone| zone.after == before(at)))
    }

    fn root(&self, key: Position) -> Peer {
        let ring = self.ring();
        ring.iter().find(|node| node.me().position >= key).unwrap_or(&ring[0]).me()
    }

    fn found(&self) -> Vec<(usize, Peer)> {
        let found = |(node, event): &(usize, Event)| match event {
            Event::Found { root, .. } => Some((*node, *root)),
            _ => None,
        };
        self.events.iter().filter_map(found).collect()
    }
}

#[test]
fn nodes_that_join_tile_the_ring_and_find_who_answers_for_a_key() {
    let mut net = Net::joined(40);
    assert!(net.is_whole());
    let random = &mut StdRng::seed_from_u64(1);
    for iterative in [false, true] {
        for _ in 0..100 {
            let (origin, key) = (random.random_range(0..40), Position(random.random()));
            let now = net.now;
            let node = &mut net.nodes[origin];
            let request = if iterative { node.lookup_iteratively(key, now) } else { node.lookup(key, now) };
            assert!(request.is_some());
            net.drain(origin);
            net.run(Duration::from_secs(1));
            let found: Vec<Position> = net.found().iter().map(|(_, root)| root.position).collect();
            assert_eq!(
                (found.len(), found.first()),
                (1, Some(&net.root(key).position)),
                "iterative: {iterative}"
            );
            net.events.clear();
        }
    }
}

#[test]
fn a_polite_leave_is_settled_in_a_second() {
    let mut net = Net::joined(25);
    net.give(7, Input::Leave);
    net.deaf[7] = true;
    net.run(Duration::from_secs(1));
    assert!(net.is_whole());
    let sent = net.sent;
    net.give(7, Input::Timeout);
    assert_eq!(net.sent, sent, "who has left is silent");
}

#[test]
fn a_zone_passes_on_only_when_both_ends_of_the_gap_have_looked() {
    let mut net = Net::joined(25);
    let dead = net.nodes[7].me();
    let (left, right) = net.nodes[7].neighbours().unwrap();
    net.deaf[7] = true;
    let heir = net.nodes.iter().position(|node| node.me().node == right.node).unwrap();
    // Somebody claims that it is dead; its heir looks for itself, and does not take the zone on its own.
    net.give(heir, Input::Message(left, RingMessage::Gone(dead.position)));
    net.run(Duration::from_secs(1));
    assert_eq!(net.nodes[heir].zone().unwrap().after, dead.position);
    net.run(Duration::from_secs(19));
    assert!(net.is_whole());
    assert_eq!(net.nodes[heir].zone().unwrap().after, left.position);
}

#[test]
fn a_claim_that_a_living_node_is_gone_changes_nothing() {
    let mut net = Net::joined(25);
    for node in 1..25 {
        let slandered = net.nodes[7].me().position;
        net.give(node, Input::Message(Net::peer(0), RingMessage::Gone(slandered)));
    }
    net.run(Duration::from_secs(10));
    assert!(net.is_whole());
}

#[test]
fn a_node_that_slept_asks_before_it_answers_for_anything() {
    let mut net = Net::joined(25);
    net.deaf[7] = true;
    net.run(Duration::from_secs(120));
    assert!(net.is_whole(), "the others have closed the gap");
    net.deaf[7] = false;
    net.give(7, Input::Timeout);
    assert_eq!(net.nodes[7].zone(), None);
    net.run(Duration::from_secs(20));
    assert!(net.is_whole(), "it is back");
}

#[test]
fn a_node_comes_back_under_its_old_key() {
    let mut net = Net::joined(25);
    net.add(7);
    net.run(Duration::from_secs(3));
    assert!(net.is_whole());
}

#[test]
fn the_last_two_of_a_ring_part_and_meet_again() {
    let mut net = Net::joined(2);
    assert!(net.is_whole());
    net.deaf[1] = true;
    net.run(Duration::from_secs(60));
    assert!(net.is_whole(), "the survivor is the whole ring");
    net.deaf[1] = false;
    net.run(Duration::from_secs(60));
    assert!(net.is_whole());
}

#[test]
fn whatever_strangers_say_nothing_grows_and_the_ring_stands() {
    let mut net = Net::joined(25);
    let random = &mut StdRng::seed_from_u64(5);
    let stranger = |random: &mut StdRng| Peer::new(NodeId(random.random()), ([10, 9, 9, 9], 9).into());
    let view = |random: &mut StdRng| View {
        active: random.random(),
        left: Mark(random.random()),
        right: Mark(random.random()),
        place: Place(random.random()),
        sight: Some(Mark(random.random())),
    };
    for _ in 0..3_000 {
        let from = stranger(random);
        let peers: Vec<Peer> = (0..PEERS_MAX).map(|_| stranger(random)).collect();
        let errand = [Errand::Lookup(1), Errand::Join { row: random.random() }, Errand::Seek]
            [random.random_range(0..3)];
        let packet = Packet { errand, key: Position(random.random()), origin: from, hops: random.random() };
        let message = match random.random_range(0..10) {
            0 => RingMessage::Pong(Pong { nonce: random.random(), view: view(random), leaves: peers }),
            1 => RingMessage::Route(Route { hop: random.random(), packet }),
            2 => RingMessage::Rows(peers),
            3 => RingMessage::Welcome(peers),
            4 => RingMessage::RowRequest { row: random.random() },
            5 => RingMessage::Found { request: random.random(), hops: random.random() },
            6 => RingMessage::Steps { request: random.random(), root: random.random(), peers },
            7 => RingMessage::Step { request: random.random(), key: Position(random.random()) },
            8 => RingMessage::HopAck { hop: random.random() },
            _ => RingMessage::Gone(net.nodes[random.random_range(0..25)].me().position),
        };
        net.give(random.random_range(0..25), Input::Message(from, message));
        if random.random_ratio(1, 50) {
            net.run(Duration::from_millis(200));
        }
    }
    for node in &net.nodes {
        assert!(node.pings.len() <= 96 && node.forwards.len() <= 256 && node.held.len() <= 32);
        assert!(node.ghosts.len() <= 32 && node.leaves.len() <= 16 && node.lookups.is_empty());
    }
    net.run(Duration::from_secs(60));
    assert!(net.is_whole());
}

#[test]
fn a_second_node_at_a_position_is_not_there_while_the_first_one_lives() {
    let mut net = Net::joined(25);
    let first = net.nodes[7].me();
    let second = Peer { node: NodeId([200; 32]), ..first };
    let view = net.nodes[7].view();
    for node in (0..25).filter(|node| *node != 7) {
        let ping = Ping { nonce: Some(1), leaves: true, view };
        net.give(node, Input::Message(second, RingMessage::Ping(ping)));
        net.give(node, Input::Message(second, RingMessage::Leave));
    }
    net.run(Duration::from_secs(10));
    assert!(net.is_whole());
    let known = net.nodes.iter().flat_map(|node| node.peers());
    assert!(known.filter(|peer| peer.position == first.position).all(|peer| peer.node == first.node));
}

#[test]
fn clocks_that_jump_end_in_a_whole_ring() {
    let mut net = Net::joined(25);
    // A node's time is monotonic (the wall clock is nobody's business here), and may still stand still or skip.
    for node in 0..25 {
        let earlier = Moment::from_micros(net.now.micros() - 3_000_000);
        net.nodes[node].handle(Input::Timeout, earlier);
        net.drain(node);
    }
    net.run(Duration::from_secs(10));
    assert!(net.is_whole());
    // All slept for a day, as when a building's power saving does.
    net.now = net.now + Duration::from_secs(86_400);
    net.run(Duration::from_secs(40));
    assert!(net.is_whole());
}
