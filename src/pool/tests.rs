//! Pool nodes wired together by hand: every message takes 10 ms, a connection a round trip, time is a number.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::records::{Object, key_of};
use super::*;
use crate::identity::{Identity, NodeId, SessionId};
use crate::net::DialError;
use crate::testing::origin;

const ONE_WAY: Duration = Duration::from_millis(10);
const SECOND: Duration = Duration::from_secs(1);

/// A small world: nodes by address, messages under way.
struct World {
    now: Instant,
    nodes: BTreeMap<NodeId, PoolNode>,
    connected: BTreeMap<NodeId, Vec<NodeId>>,
    events: BTreeMap<NodeId, Vec<Event>>,
    under_way: VecDeque<(Instant, NodeId, Arrival)>,
    silent: Vec<NodeId>,
    /// How long a full packet takes up a node's line, where that is not done at once, and until when the line is busy.
    lines: BTreeMap<NodeId, (Duration, Instant)>,
}

enum Arrival {
    Message(NodeId, PoolMessage),
    Datagram(NodeId, bytes::Bytes),
    Connected(NodeId),
    Closed(NodeId),
    Failed(SocketAddr, Option<NodeId>),
}

fn node(n: u8) -> NodeId {
    NodeId([n; 32])
}

fn addr(n: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, n], 4433))
}

fn pool_node(n: u8, config: &PoolConfig, now: Instant) -> PoolNode {
    PoolNode::new(node(n), vec![addr(n)], config.clone(), StdRng::seed_from_u64(n.into()), now)
}

impl World {
    fn new(nodes: u8, config: &PoolConfig) -> Self {
        let now = origin();
        Self {
            now,
            nodes: (1..=nodes).map(|n| (node(n), pool_node(n, config, now))).collect(),
            connected: BTreeMap::new(),
            events: BTreeMap::new(),
            under_way: VecDeque::new(),
            silent: Vec::new(),
            lines: BTreeMap::new(),
        }
    }

    fn at(&mut self, n: u8) -> &mut PoolNode {
        self.nodes.get_mut(&node(n)).unwrap()
    }

    fn seen(&self, n: u8) -> &[Event] {
        self.events.get(&node(n)).map_or(&[], Vec::as_slice)
    }

    fn forget_events(&mut self) {
        self.events.clear();
    }

    fn post(&mut self, to: NodeId, arrival: Arrival) {
        self.post_at(self.now + ONE_WAY, to, arrival);
    }

    fn post_at(&mut self, at: Instant, to: NodeId, arrival: Arrival) {
        let place = self.under_way.partition_point(|(other, ..)| *other <= at);
        self.under_way.insert(place, (at, to, arrival));
    }

    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        self.nodes.keys().copied().collect::<Vec<_>>().into_iter().for_each(|me| self.drain(me));
        loop {
            let arrival = self.under_way.front().map(|(at, ..)| *at);
            let wake = self.nodes.values().map(PoolNode::poll_timeout).min();
            // Nobody is woken more often than the clock ticks.
            let next = arrival.into_iter().chain(wake.map(|at| at.max(self.now + ONE_WAY / 10))).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            self.now = next.max(self.now);
            while self.under_way.front().is_some_and(|(at, ..)| *at <= self.now) {
                let (_, to, arrival) = self.under_way.pop_front().unwrap();
                self.arrive(to, arrival);
            }
            let due = |pool: &PoolNode| pool.poll_timeout() <= self.now;
            let awake: Vec<NodeId> = self.nodes.iter().filter(|(_, p)| due(p)).map(|(n, _)| *n).collect();
            awake.into_iter().for_each(|me| self.drain(me));
        }
        self.now = end;
    }

    fn drain(&mut self, me: NodeId) {
        let now = self.now;
        let pool = self.nodes.get_mut(&me).unwrap();
        pool.handle_timeout(now);
        let outputs: Vec<Output> = std::iter::from_fn(|| pool.poll_output()).collect();
        self.events.entry(me).or_default().extend(std::iter::from_fn(|| pool.poll_event()));
        for output in outputs {
            let open = |to: &NodeId| self.connected.get(&me).is_some_and(|peers| peers.contains(to));
            match output {
                Output::Message(to, message) if open(&to) => self.post(to, Arrival::Message(me, message)),
                Output::Datagram(to, bytes) if open(&to) => self.post(to, Arrival::Datagram(me, bytes)),
                Output::Message(..) | Output::Datagram(..) => {}
                Output::Close(to, _) => {
                    // All connections that there are; one that the other side is opening stays.
                    let peers = self.connected.entry(me).or_default();
                    let open = peers.extract_if(.., |peer| *peer == to).count();
                    (0..open).for_each(|_| self.post(to, Arrival::Closed(me)));
                }
                Output::Pair(to, pair) if open(&to) => {
                    for bytes in pair {
                        let line = self.lines.get_mut(&me).map_or(self.now, |(packet, busy)| {
                            *busy = self.now.max(*busy) + *packet;
                            *busy
                        });
                        self.post_at(line + ONE_WAY, to, Arrival::Datagram(me, bytes));
                    }
                }
                Output::DialThrough(..) | Output::Pair(..) => {}
                Output::Dial(at, expected) => {
                    let to = self.nodes.keys().copied().find(|n| addr(n.0[0]) == at && *n != me);
                    match to.filter(|to| expected.is_none_or(|expected| expected == *to)) {
                        Some(to) if !self.silent.contains(&to) && !self.silent.contains(&me) => {
                            self.post(to, Arrival::Connected(me));
                            self.post(me, Arrival::Connected(to));
                        }
                        _ => self.post(me, Arrival::Failed(at, expected)),
                    }
                }
            }
        }
    }

    fn arrive(&mut self, to: NodeId, arrival: Arrival) {
        let now = self.now;
        let from = match &arrival {
            Arrival::Message(from, _)
            | Arrival::Datagram(from, _)
            | Arrival::Connected(from)
            | Arrival::Closed(from) => Some(*from),
            Arrival::Failed(..) => None,
        };
        if self.silent.contains(&to) || from.is_some_and(|from| self.silent.contains(&from)) {
            return;
        }
        let peers = self.connected.entry(to).or_default();
        let pool = self.nodes.get_mut(&to).unwrap();
        match arrival {
            Arrival::Connected(from) if peers.contains(&from) => peers.push(from),
            Arrival::Connected(from) => {
                peers.push(from);
                pool.on_connected(from, addr(from.0[0]), now);
            }
            Arrival::Closed(from) => {
                if let Some(at) = peers.iter().position(|peer| *peer == from) {
                    peers.remove(at);
                }
                if !peers.contains(&from) {
                    pool.on_disconnected(from, false, now);
                }
            }
            Arrival::Message(from, _) | Arrival::Datagram(from, _) if !peers.contains(&from) => {}
            Arrival::Message(from, message) => {
                pool.on_traffic(from, now);
                pool.handle_message(from, message, now);
            }
            Arrival::Datagram(from, bytes) => {
                pool.on_traffic(from, now);
                pool.handle_datagram(from, &bytes, now);
            }
            Arrival::Failed(at, expected) => {
                pool.on_dial_failed(at, expected, DialError::NoAnswer, now);
            }
        }
        self.drain(to);
    }

    /// Everybody knows node 1, and nobody else.
    fn bootstrapped(nodes: u8, config: &PoolConfig) -> Self {
        let mut world = Self::new(nodes, config);
        for n in 2..=nodes {
            let now = world.now;
            world.at(n).add_bootstrap(addr(1), now);
            if n % 4 == 0 {
                world.run(SECOND);
            }
        }
        world.run(SECOND * 8);
        world
    }
}

fn lending() -> PoolConfig {
    PoolConfig { lends: true, ..PoolConfig::default() }
}

fn contact(n: u8) -> Contact {
    Contact { node: node(n), addrs: vec![addr(n)] }
}

#[test]
fn who_knows_one_comes_to_know_all_of_a_small_ring_and_how_it_stands() {
    let mut world = World::bootstrapped(6, &lending());
    world.run(SECOND * 10);
    for pool in world.nodes.values() {
        assert!(pool.swarm().ring().is_active());
        assert_eq!(pool.swarm().ring().leaves().count(), 5);
    }
    let roots: Vec<Standing> = (1..=6).map(|n| world.at(n).standing().unwrap()).collect();
    assert!(roots.iter().all(|standing| standing.size == 6 && standing.root == roots[0].root), "{roots:?}");
}

#[test]
fn two_that_find_each_other_at_the_same_moment_become_one_ring() {
    let mut world = World::new(2, &lending());
    let now = world.now;
    world.at(1).add_contact(contact(2), now);
    world.at(2).add_contact(contact(1), now);
    world.run(SECOND * 3);
    for n in 1..=2 {
        let ring = world.at(n).swarm().ring();
        assert!(ring.is_active() && ring.leaves().count() == 1);
    }
}

#[test]
fn no_more_is_offered_than_the_line_is_measured_to_carry() {
    let config = PoolConfig { degree: 6, link_kbit_s: Some(186), ..lending() };
    let mut world = World::bootstrapped(6, &config);
    let kbit_s = |rate: u32| Duration::from_millis(1_400 * 8) / rate;
    for (n, rate) in [(1, 500), (2, 40_000), (3, 100)] {
        world.lines.insert(node(n), (kbit_s(rate), world.now));
    }
    let now = world.now;
    world.nodes.values_mut().for_each(|pool| pool.measure_line(now));
    world.run(SECOND * 120);
    assert_eq!((1..=4).map(|n| world.at(n).degrees().bound()).collect::<Vec<_>>(), [2, 6, 1, 6]);
    world.lines.remove(&node(1));
    world.run(SECOND * 2_000);
    assert_eq!(world.at(1).degrees().bound(), 6, "a line that became wider");
}

#[test]
fn a_query_brings_the_members_and_the_helpers_at_hand_the_own_report_first() {
    let mut world = World::bootstrapped(4, &lending());
    let now = world.now;
    world.at(2).query(vec![node(3)], None, &HelpersFrom::Anybody, now);
    world.run(3 * ONE_WAY);
    let snapshot = world.seen(2).iter().rev().find(|event| matches!(event, Event::Snapshot(_)));
    let Some(Event::Snapshot(reports)) = snapshot else { panic!("no snapshot") };
    assert_eq!((reports.len(), reports[0].node), (4, node(2)));
    assert!(reports.iter().all(|report| report.lends && report.degree_bound == 4));
}

#[test]
fn a_query_does_not_wait_for_the_silent() {
    let mut world = World::bootstrapped(4, &lending());
    world.silent.push(node(3));
    world.forget_events();
    let now = world.now;
    world.at(2).query(vec![node(3)], None, &HelpersFrom::Anybody, now);
    world.run(Duration::from_millis(700));
    let brought = |event: &Event| matches!(event, Event::Snapshot(reports) if reports.len() == 3);
    assert!(world.seen(2).iter().any(brought));
}

#[test]
fn a_wide_query_finds_helpers_that_nobody_near_knows_and_members_measure_them() {
    const NODES: u8 = 40;
    let mut world = World::new(NODES, &PoolConfig::default());
    // Only these three lend.
    let now = world.now;
    for lender in [10, 20, 30] {
        world.nodes.insert(node(lender), pool_node(lender, &lending(), now));
    }
    for n in 2..=NODES {
        let now = world.now;
        world.at(n).add_bootstrap(addr(1), now);
        if n % 4 == 0 {
            world.run(SECOND);
        }
    }
    world.run(SECOND * 25);
    world.forget_events();
    let now = world.now;
    world.at(2).want(contact(3), now);
    world.run(SECOND);
    let now = world.now;
    let own = HelpersFrom::PoolsOf(vec![node(99)]);
    world.at(2).query(vec![node(3)], Some(Priority::LOWEST), &own, now);
    world.run(SECOND * 3);
    let lent = |world: &World| {
        let snapshot = world.seen(2).iter().rev().find(|event| matches!(event, Event::Snapshot(_)));
        let Some(Event::Snapshot(reports)) = snapshot else { panic!("no snapshot") };
        reports.iter().filter(|report| report.lends).count()
    };
    assert_eq!(lent(&world), 0, "nobody is of that pool, and nobody is asked");
    let now = world.now;
    world.at(2).query(vec![node(3)], Some(Priority::LOWEST), &HelpersFrom::Anybody, now);
    world.run(SECOND * 3);
    let snapshot = world.seen(2).iter().rev().find(|event| matches!(event, Event::Snapshot(_)));
    let Some(Event::Snapshot(reports)) = snapshot else { panic!("no snapshot") };
    let lenders: Vec<u8> = reports.iter().filter(|report| report.lends).map(|r| r.node.0[0]).collect();
    assert_eq!(lenders.len(), 3, "{lenders:?}");

    let now = world.now;
    world.at(2).probe(node(3), vec![contact(10), contact(20)], now);
    world.run(SECOND);
    let probed = world.seen(2).iter().find_map(|event| match event {
        Event::Probed(by, round_trips_ms) => Some((*by, round_trips_ms.clone())),
        _ => None,
    });
    let (by, round_trips_ms) = probed.unwrap();
    assert_eq!((by, round_trips_ms.len()), (node(3), 2));
    assert!(round_trips_ms.iter().all(|(_, ms)| (20.0..=22.0).contains(ms)), "{round_trips_ms:?}");

    // What is not needed is closed, and the ring stands.
    world.run(SECOND * 150);
    for pool in world.nodes.values() {
        assert_eq!(pool.swarm().ring().leaves().count(), 16);
        assert!((16..36).contains(&pool.joined().count()), "{}", pool.joined().count());
    }
}

#[test]
fn a_silent_peer_that_is_wanted_is_lost_and_found_again() {
    let mut world = World::bootstrapped(3, &lending());
    let now = world.now;
    world.at(1).want(contact(3), now);
    world.run(SECOND);
    world.silent.push(node(3));
    world.run(SECOND * 4);
    assert!(world.seen(1).iter().any(|event| matches!(event, Event::Lost(lost) if *lost == node(3))));
    assert!(!world.at(1).is_joined(node(3)));
    world.silent.clear();
    world.run(SECOND * 10);
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
        grant: None,
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
    let ask = Reservation { request: 1, session, priority, degrees: 1, lease_ms: 1_000, grant: None };
    world.at(2).reserve(node(1), ask);
    world.run(3 * ONE_WAY);
    assert!(world.seen(2).iter().any(|event| matches!(event, Event::Reserved { granted: false, .. })));
}

#[test]
fn a_machine_serves_as_many_sessions_and_at_such_hours_as_its_owner_says() {
    // Half a minute before ten in the morning, and the hours end then.
    let (born_s, hours) = (86_400 * 20_000 + 10 * 3_600 - 30, "08:00-10:00".parse().ok());
    let mut world = World::bootstrapped(2, &PoolConfig { sessions: 1, hours, born_s, ..lending() });
    let mut reserve = |session: u8, after: Duration| {
        let (session, priority) = (SessionId([session; 20]), Priority::LOWEST);
        let ask = Reservation { request: 1, session, priority, degrees: 1, lease_ms: 90_000, grant: None };
        world.run(after);
        world.at(2).reserve(node(1), ask);
        world.run(3 * ONE_WAY);
        let granted =
            |event: &Event| if let Event::Reserved { granted, .. } = event { Some(*granted) } else { None };
        world.seen(2).iter().rev().find_map(granted)
    };
    assert_eq!(reserve(1, Duration::ZERO), Some(true));
    assert_eq!(reserve(2, Duration::ZERO), Some(false), "one session, and no more");
    assert_eq!(reserve(3, 35 * SECOND), Some(false), "after hours");
    let lost = |event: &Event| matches!(event, Event::Preempted { session, .. } if session.0[0] == 1);
    assert!(world.seen(2).iter().any(lost), "what was held ends with the hours");
    let report = world.at(1).report();
    assert!(!report.lends && report.held.is_empty());
}

#[test]
fn a_peer_that_lost_the_connection_alone_is_greeted_again() {
    let mut world = World::bootstrapped(2, &lending());
    let now = world.now;
    world.forget_events();
    world.at(2).on_disconnected(node(1), false, now);
    world.at(2).on_connected(node(1), addr(1), now);
    world.run(4 * ONE_WAY);
    assert!(world.at(2).is_joined(node(1)) && world.at(1).is_joined(node(2)));
    assert!(!world.seen(1).iter().any(|event| matches!(event, Event::Lost(_))), "it stood here all along");
}

#[test]
fn a_restart_under_the_same_key_is_noticed_and_greeted() {
    let mut world = World::bootstrapped(2, &lending());
    let now = world.now;
    world.forget_events();
    let random = StdRng::seed_from_u64(99);
    let mut fresh = PoolNode::new(node(2), vec![addr(2)], lending(), random, now);
    // The link at node 1 has replaced one connection by another and says nothing.
    fresh.on_connected(node(1), addr(1), now);
    *world.at(2) = fresh;
    world.run(ONE_WAY * 3);
    let turns: Vec<&Event> =
        world.seen(1).iter().filter(|e| matches!(e, Event::Joined(_) | Event::Lost(_))).collect();
    assert!(matches!(turns[..], [Event::Lost(_), Event::Joined(_)]), "{turns:?}");
    assert!(world.at(2).is_joined(node(1)));
}

#[test]
fn who_looks_on_sees_the_root_s_view_and_finds_a_record_without_being_on_the_ring() {
    let mut world = World::bootstrapped(6, &lending());
    world.run(SECOND * 10);
    let now = world.now;
    let owner = Arc::new(Identity::from_seed([77; 32]));
    let key = key_of(&owner.node_id(), b"here");
    let object = Object { owner, name: b"here".to_vec(), payload: vec![7], lifetime: SECOND * 600 };
    world.at(4).publish(object, now).unwrap();
    world.run(SECOND);

    let config = PoolConfig { observer: true, ..PoolConfig::default() };
    let now = world.now;
    world.nodes.insert(node(7), pool_node(7, &config, now));
    world.at(7).add_bootstrap(addr(3), now);
    world.at(7).ask(Question::View, now);
    world.at(7).fetch(Some(key), now);
    world.run(SECOND * 2);
    let view = world.seen(7).iter().find_map(|event| match event {
        Event::Answered(_, Answer::View(report)) => Some(report.clone()),
        _ => None,
    });
    let view = view.unwrap();
    assert_eq!((view.nodes, view.lenders, capable(&view)), (6, 6, 6));
    let found = |event: &Event| matches!(event, Event::Fetched(record) if record.payload() == Some(&[7]));
    assert!(world.seen(7).iter().any(found));
    for n in 1..=6 {
        assert_eq!(world.at(n).swarm().ring().leaves().count(), 5, "it is not on the ring");
    }
}

#[test]
fn an_authority_decides_who_comes_first() {
    let [authority, host] = [71, 72].map(|seed| Identity::from_seed([seed; 32]));
    let config = PoolConfig { authority: Some(authority.node_id()), born_s: 1_000, ..lending() };
    let mut world = World::bootstrapped(3, &config);
    let high = Priority::try_from(1).unwrap();
    let laid_out = |until_s, session| {
        SessionGrant::new(Grant::new(&authority, host.node_id(), high, until_s), &host, session)
    };
    let mut held_at = |session: u8, grant: Option<SessionGrant>| {
        let session = SessionId([session; 20]);
        let (degrees, lease_ms) = (1, 60_000);
        world.at(2).reserve(
            node(1),
            Reservation {
                request: 1,
                session,
                priority: high,
                degrees,
                lease_ms,
                grant: grant.map(Box::new),
            },
        );
        world.run(3 * ONE_WAY);
        let holding = world.at(1).degrees().holdings().find(|holding| holding.session == session).cloned();
        u8::from(holding.unwrap().priority)
    };
    assert_eq!(held_at(1, None), 3, "without a grant");
    assert_eq!(held_at(2, Some(laid_out(5_000, SessionId([2; 20])))), 1);
    assert_eq!(held_at(3, Some(laid_out(5_000, SessionId([2; 20])))), 3, "another session's");
    assert_eq!(held_at(4, Some(laid_out(900, SessionId([4; 20])))), 3, "it has ended");
}
