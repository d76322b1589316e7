//! Pool nodes wired together by hand: every message takes 10 ms, time is a number.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::*;
use crate::identity::{NodeId, SessionId};
use crate::testing::origin;

const ONE_WAY: Duration = Duration::from_millis(10);

/// A small world: nodes by address, messages under way.
struct World {
    now: Instant,
    nodes: BTreeMap<NodeId, PoolNode>,
    events: BTreeMap<NodeId, Vec<Event>>,
    under_way: VecDeque<(Instant, NodeId, Arrival)>,
    silent: Vec<NodeId>,
}

enum Arrival {
    Message(NodeId, PoolMessage),
    Datagram(NodeId, bytes::Bytes),
    Connected(NodeId),
    Closed(NodeId),
}

fn node(n: u8) -> NodeId {
    NodeId([n; 32])
}

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 4433))
}

impl World {
    fn new(nodes: u8, config: &PoolConfig) -> Self {
        let now = origin();
        let pool_node =
            |n| PoolNode::new(node(n), vec![addr(n)], config.clone(), StdRng::seed_from_u64(n.into()), now);
        Self {
            now,
            nodes: (1..=nodes).map(|n| (node(n), pool_node(n))).collect(),
            events: BTreeMap::new(),
            under_way: VecDeque::new(),
            silent: Vec::new(),
        }
    }

    fn at(&mut self, n: u8) -> &mut PoolNode {
        self.nodes.get_mut(&node(n)).unwrap()
    }

    fn seen(&self, n: u8) -> &[Event] {
        self.events.get(&node(n)).map_or(&[], Vec::as_slice)
    }

    fn post(&mut self, to: NodeId, arrival: Arrival) {
        self.under_way.push_back((self.now + ONE_WAY, to, arrival));
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            for me in self.nodes.keys().copied().collect::<Vec<_>>() {
                self.drain(me);
            }
            self.now += Duration::from_millis(1);
            while self.under_way.front().is_some_and(|(at, ..)| *at <= self.now) {
                let (_, to, arrival) = self.under_way.pop_front().unwrap();
                self.arrive(to, arrival);
            }
        }
    }

    fn drain(&mut self, me: NodeId) {
        let now = self.now;
        let pool = self.nodes.get_mut(&me).unwrap();
        pool.handle_timeout(now);
        let outputs: Vec<Output> = std::iter::from_fn(|| pool.poll_output()).collect();
        self.events.entry(me).or_default().extend(std::iter::from_fn(|| pool.poll_event()));
        for output in outputs {
            match output {
                Output::Message(to, message) => self.post(to, Arrival::Message(me, message)),
                Output::Datagram(to, bytes) => self.post(to, Arrival::Datagram(me, bytes)),
                Output::Close(to, _) => self.post(to, Arrival::Closed(me)),
                Output::Dial(to, _) => {
                    let to = self.nodes.keys().copied().find(|n| addr(n.0[0]) == to && *n != me);
                    if let Some(to) = to {
                        self.post(to, Arrival::Connected(me));
                        self.post(me, Arrival::Connected(to));
                    }
                }
            }
        }
    }

    fn arrive(&mut self, to: NodeId, arrival: Arrival) {
        let now = self.now;
        let (Arrival::Message(from, _)
        | Arrival::Datagram(from, _)
        | Arrival::Connected(from)
        | Arrival::Closed(from)) = arrival;
        if self.silent.contains(&from) || self.silent.contains(&to) {
            return;
        }
        let pool = self.nodes.get_mut(&to).unwrap();
        match arrival {
            Arrival::Connected(_) if pool.report().round_trips_ms.iter().any(|(peer, _)| *peer == from) => {}
            Arrival::Connected(_) => pool.on_connected(from, addr(from.0[0]), now),
            Arrival::Closed(_) => pool.on_disconnected(from, false, now),
            Arrival::Message(_, message) => {
                pool.on_traffic(from, now);
                pool.handle_message(from, message, now);
            }
            Arrival::Datagram(_, bytes) => {
                pool.on_traffic(from, now);
                pool.handle_probe(from, &bytes, now);
            }
        }
    }

    /// Everybody knows node 1, and nobody else.
    fn bootstrapped(nodes: u8, config: &PoolConfig) -> Self {
        let mut world = Self::new(nodes, config);
        let now = world.now;
        for n in 2..=nodes {
            world.at(n).add_bootstrap(addr(1), now);
        }
        world.run(Duration::from_secs(4));
        world
    }
}

fn lending() -> PoolConfig {
    PoolConfig { lends: true, ..PoolConfig::default() }
}

#[test]
fn who_knows_one_comes_to_know_all_and_how_far_they_are() {
    let world = World::bootstrapped(6, &lending());
    for pool in world.nodes.values() {
        assert_eq!(pool.joined().count(), 5);
        for (_, ms) in pool.report().round_trips_ms {
            assert!((20.0..=22.0).contains(&ms), "{ms}");
        }
    }
}

#[test]
fn a_query_brings_a_report_of_everybody_the_own_one_first() {
    let mut world = World::bootstrapped(4, &lending());
    let now = world.now;
    world.at(2).query(now);
    world.run(3 * ONE_WAY);
    let Some(Event::Snapshot(reports)) = world.seen(2).last() else { panic!("{:?}", world.seen(2).last()) };
    assert_eq!(reports.len(), 4);
    assert_eq!(reports[0].node, node(2));
    assert!(
        reports
            .iter()
            .all(|report| report.lends && report.degree_bound == 4 && report.round_trips_ms.len() == 3)
    );
}

#[test]
fn a_query_does_not_wait_for_the_silent() {
    let mut world = World::bootstrapped(4, &lending());
    world.silent.push(node(3));
    let now = world.now;
    world.at(2).query(now);
    world.run(Duration::from_millis(700));
    assert!(matches!(world.seen(2).last(), Some(Event::Snapshot(reports)) if reports.len() == 3));
}

#[test]
fn a_silent_peer_is_lost_and_found_again() {
    let mut world = World::bootstrapped(3, &lending());
    world.silent.push(node(3));
    world.run(Duration::from_secs(4));
    assert!(matches!(world.seen(1).last(), Some(Event::Lost(lost)) if *lost == node(3)));
    assert!(!world.at(1).is_joined(node(3)));
    world.silent.clear();
    world.run(Duration::from_secs(10));
    assert!(world.at(1).is_joined(node(3)) && world.at(3).is_joined(node(1)));
}

#[test]
fn degrees_are_reserved_preempted_and_released_between_nodes() {
    let mut world = World::bootstrapped(3, &lending());
    let ask = |session: u8, priority: u8, degrees| Reservation {
        request: 1,
        session: SessionId([session; 20]),
        priority: Priority::try_from(priority).unwrap(),
        degrees,
        lease_ms: 60_000,
    };
    let mut reserve = |by: u8, reservation: Reservation| {
        world.at(by).reserve(node(1), reservation);
        world.run(3 * ONE_WAY);
        match world.seen(by).iter().rfind(|event| matches!(event, Event::Reserved { .. })) {
            Some(Event::Reserved { granted, .. }) => *granted,
            _ => panic!("no answer"),
        }
    };
    assert!(reserve(2, ask(2, 3, 3)));
    assert!(!reserve(3, ask(3, 3, 2)), "first come");
    assert!(reserve(3, ask(3, 2, 2)), "a higher priority takes");
    assert!(
        world
            .seen(2)
            .iter()
            .any(|event| matches!(event, Event::Preempted { session, .. } if session.0[0] == 2))
    );
    assert!(world.seen(1).iter().any(|event| matches!(event, Event::Evicted(session) if session.0[0] == 2)));
    world.at(3).release(node(1), SessionId([3; 20]));
    world.run(2 * ONE_WAY);
    assert_eq!(world.at(1).degrees().holdings().count(), 0);
}

#[test]
fn a_machine_that_does_not_lend_reserves_nothing() {
    let mut world = World::bootstrapped(2, &PoolConfig::default());
    let (session, priority) = (SessionId([1; 20]), Priority::LOWEST);
    world.at(2).reserve(node(1), Reservation { request: 1, session, priority, degrees: 1, lease_ms: 1_000 });
    world.run(3 * ONE_WAY);
    assert!(world.seen(2).iter().any(|event| matches!(event, Event::Reserved { granted: false, .. })));
}

#[test]
fn a_peer_that_lost_the_connection_alone_is_greeted_again() {
    let mut world = World::bootstrapped(2, &lending());
    let now = world.now;
    world.at(2).on_disconnected(node(1), false, now);
    world.at(2).on_connected(node(1), addr(1), now);
    world.run(4 * ONE_WAY);
    assert!(world.at(2).is_joined(node(1)) && world.at(1).is_joined(node(2)));
    assert!(!world.seen(1).iter().any(|event| matches!(event, Event::Lost(_))), "it stood here all along");
}

#[test]
fn a_restart_under_the_same_key_is_noticed() {
    let mut world = World::bootstrapped(2, &lending());
    let now = world.now;
    let fresh = PoolNode::new(node(2), vec![addr(2)], lending(), StdRng::seed_from_u64(99), now);
    *world.at(2) = fresh;
    let hello = Hello { features: 0, instance: 12_345, addrs: vec![addr(2)], newcomer: false, answer: false };
    world.at(1).handle_message(node(2), PoolMessage::Hello(hello), now);
    world.run(ONE_WAY);
    let turns: Vec<&Event> =
        world.seen(1).iter().filter(|e| matches!(e, Event::Joined(_) | Event::Lost(_))).collect();
    assert!(matches!(turns[..], [Event::Joined(_), Event::Lost(_), Event::Joined(_)]), "{turns:?}");
}
