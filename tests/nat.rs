//! Nodes behind translators: real QUIC over emulated sockets and translators of every kind, in virtual time.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alm::event::{Event, Plan};
use alm::identity::NodeId;
use alm::live::Pace;
use alm::net::emulated::{EmulatedNetwork, EmulatedSocket, PathProfile, Translator};
use alm::net::quic::{QuicLink, Socket};
use alm::net::{Channel, Link, LinkEvent, next_event};
use alm::pool::{Contact, HelpersFrom, Output, PoolConfig, PoolNode, Reach};
use alm::wire::Message;
use alm_planner::Objective;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::{Instant, sleep, sleep_until};

use Translator::{FullCone, None as Open, PortRestricted, Symmetric};
use support::{Part, Peer, assert_everyone_hears_everyone, identity, invite_of};

fn network(kinds: &[Translator]) -> (EmulatedNetwork<alm::net::emulated::Datagram>, Vec<QuicLink>) {
    let path = |from: usize, to: usize| PathProfile::clean(Duration::from_millis(5 + (from + to) as u64));
    let network = EmulatedNetwork::start(kinds.len(), 1, path);
    kinds.iter().enumerate().for_each(|(node, kind)| network.set_translator(node, *kind));
    let socket = |i| Socket::Abstract(EmulatedSocket::new(&network, i), [i as u8; 32]);
    let links =
        (0..kinds.len()).map(|i| QuicLink::open(&identity(i as u8 + 1), socket(i)).unwrap()).collect();
    (network, links)
}

/// True unless translators forbid that two such nodes talk.
fn meet(one: Translator, other: Translator) -> bool {
    let apart = |a, b| a == Symmetric && matches!(b, Symmetric | PortRestricted);
    !apart(one, other) && !apart(other, one)
}

/// A pool node, and how many reports its queries brought.
struct Live {
    pool: PoolNode,
    reports: Vec<usize>,
}

type Shared = Arc<Mutex<Live>>;

/// A pool node on a link, and no more.
fn pool_node(index: usize, link: QuicLink, bootstrap: Option<SocketAddr>) -> Shared {
    let now = Instant::now().into_std();
    let me = identity(index as u8 + 1).node_id();
    let random = StdRng::seed_from_u64(index as u64);
    let mut pool = PoolNode::new(me, link.listen_addrs(), PoolConfig::default(), random, now);
    bootstrap.into_iter().for_each(|addr| pool.add_bootstrap(addr, now));
    let live = Arc::new(Mutex::new(Live { pool, reports: vec![] }));
    tokio::spawn(drive(live.clone(), link));
    live
}

async fn drive(live: Shared, mut link: QuicLink) {
    loop {
        let wake = {
            let Live { pool, reports } = &mut *live.lock().unwrap();
            while let Some(event) = pool.poll_event() {
                if let alm::pool::Event::Snapshot(snapshot) = event {
                    reports.push(snapshot.len());
                }
            }
            while let Some(output) = pool.poll_output() {
                match output {
                    Output::Message(to, message) => {
                        let _ = link.send(to, Channel::Control, Message::Pool(message).encode());
                    }
                    Output::Datagram(to, bytes) => drop(link.send(to, Channel::Datagram, bytes)),
                    Output::Pair(..) => {}
                    Output::Dial(addr, node) => link.dial(addr, node),
                    Output::DialThrough(via, node) => link.dial_through(via, node),
                    Output::Close(node, reason) => link.close(node, reason),
                }
            }
            link.flush();
            pool.poll_timeout()
        };
        // Whoever wants something of the node from outside is heard soon.
        let wake = wake.min((Instant::now() + Duration::from_millis(50)).into_std());
        tokio::select! {
            biased;
            () = sleep_until(wake.into()) => live.lock().unwrap().pool.handle_timeout(Instant::now().into_std()),
            event = next_event(&mut link) => on_event(&mut live.lock().unwrap().pool, event),
        }
    }
}

fn on_event(pool: &mut PoolNode, event: LinkEvent) {
    let now = Instant::now().into_std();
    match event {
        LinkEvent::Connected { peer, addr } => pool.on_connected(peer, addr, now),
        LinkEvent::Disconnected { peer, left, .. } => pool.on_disconnected(peer, left, now),
        LinkEvent::Moved { peer, addr } => pool.on_moved(peer, addr, now),
        LinkEvent::DialFailed { addr, expected, error } => pool.on_dial_failed(addr, expected, error, now),
        LinkEvent::Control { from, bytes } => {
            pool.on_traffic(from, now);
            if let Ok(Message::Pool(message)) = Message::decode(&bytes) {
                pool.handle_message(from, message, now);
            }
        }
        LinkEvent::Datagram { from, bytes, at } | LinkEvent::Delivered { from, bytes, at } => {
            pool.on_traffic(from, at);
            pool.handle_datagram(from, &bytes, at);
        }
        // Nobody is watched.
        LinkEvent::Alert { .. } => {}
    }
}

/// Nodes that know the first one.
async fn start(links: Vec<QuicLink>, bootstrap: SocketAddr) -> Vec<Shared> {
    let mut nodes = Vec::new();
    for (i, link) in links.into_iter().enumerate() {
        nodes.push(pool_node(i, link, (i > 0).then_some(bootstrap)));
        sleep(Duration::from_millis(300)).await;
    }
    nodes
}

#[tokio::test(start_paused = true)]
async fn every_pair_connects_but_those_that_translators_forbid_which_are_reported() {
    let kinds = [Open, Open, FullCone, FullCone, PortRestricted, PortRestricted, Symmetric, Symmetric];
    let (_network, links) = network(&kinds);
    let bootstrap = links[0].listen_addrs()[0];
    let nodes = start(links, bootstrap).await;
    sleep(Duration::from_secs(20)).await;
    let ids: Vec<NodeId> = (0..kinds.len()).map(|i| identity(i as u8 + 1).node_id()).collect();
    let reach: Vec<Reach> = nodes.iter().map(|node| node.lock().unwrap().pool.report().reach).collect();
    for (kind, reach) in kinds.iter().zip(&reach) {
        let fits = match kind {
            Open => *reach == Reach::Direct,
            FullCone => matches!(reach, Reach::FullCone | Reach::Restricted),
            PortRestricted => *reach == Reach::Restricted,
            Symmetric => *reach == Reach::Symmetric,
        };
        assert!(fits, "{kind:?} is taken for {reach:?}");
    }
    // The ring is of those who reach each other.
    for (i, kind) in kinds.iter().enumerate() {
        let leaves = nodes[i].lock().unwrap().pool.swarm().ring().leaves().count();
        assert_eq!(leaves, if *kind == Symmetric { 0 } else { 5 }, "{i}");
    }
    // As in a session: all want each other, and somebody whom all reach has named them.
    let now = Instant::now().into_std();
    let addrs: Vec<_> = (0..ids.len()).map(|i| nodes[i].lock().unwrap().pool.addrs(ids[i])).collect();
    for (i, node) in nodes.iter().enumerate() {
        for j in (0..ids.len()).filter(|j| *j != i) {
            let pool = &mut node.lock().unwrap().pool;
            pool.named(ids[j], ids[0], now);
            pool.want_mutually(Contact { node: ids[j], addrs: addrs[j].clone() }, now);
        }
    }
    sleep(Duration::from_secs(15)).await;
    for (i, node) in nodes.iter().enumerate() {
        let node = &node.lock().unwrap().pool;
        for j in (0..ids.len()).filter(|j| *j != i) {
            let meets = meet(kinds[i], kinds[j]);
            assert!(node.is_joined(ids[j]), "{i} {:?} and {j} {:?}", kinds[i], kinds[j]);
            let report = node.report();
            let measured = report.round_trips_ms.iter().any(|(other, _)| *other == ids[j]);
            assert_eq!(measured, meets, "{i} {:?} to {j} {:?}", kinds[i], kinds[j]);
            let said = report.unreachable.contains(&ids[j]);
            assert_eq!(said, !meets, "{i} {:?} of {j} {:?}", kinds[i], kinds[j]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_way_whose_end_moves_is_found_again_whoever_dialled() {
    let kinds = [Open, PortRestricted, PortRestricted, FullCone];
    let (network, links) = network(&kinds);
    let bootstrap = links[0].listen_addrs()[0];
    let nodes = start(links, bootstrap).await;
    sleep(Duration::from_secs(5)).await;
    let ids: Vec<NodeId> = (0..kinds.len()).map(|i| identity(i as u8 + 1).node_id()).collect();
    for moving in [1, 2, 3, 1] {
        // Everybody wants everybody, so one of each pair has dialled, and that one moves, or the other.
        let addrs: Vec<_> = (0..ids.len()).map(|i| nodes[i].lock().unwrap().pool.addrs(ids[i])).collect();
        let now = Instant::now().into_std();
        for (i, node) in nodes.iter().enumerate() {
            for j in (0..ids.len()).filter(|j| *j != i) {
                let contact = Contact { node: ids[j], addrs: addrs[j].clone() };
                node.lock().unwrap().pool.want_mutually(contact, now);
            }
        }
        sleep(Duration::from_secs(4)).await;
        network.forget_mappings(moving);
        sleep(Duration::from_secs(16)).await;
        for (i, node) in nodes.iter().enumerate() {
            let others = ids.iter().copied().filter(|id| *id != ids[i]).collect();
            node.lock().unwrap().pool.query(others, None, &HelpersFrom::Anybody, Instant::now().into_std());
        }
        sleep(Duration::from_secs(1)).await;
        for (i, node) in nodes.iter().enumerate() {
            let reports = node.lock().unwrap().reports.pop();
            assert_eq!(reports, Some(ids.len()), "{i}, after {moving} has moved");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn members_who_cannot_talk_hear_each_other_over_another() {
    conference(&[Open, FullCone, PortRestricted, Symmetric, Symmetric, PortRestricted]).await;
}

#[tokio::test(start_paused = true)]
async fn a_host_that_some_members_cannot_talk_to_is_reached_by_way_of_a_third() {
    let members = [Open, Symmetric, PortRestricted, Symmetric, FullCone, PortRestricted];
    let others = [Open, FullCone, PortRestricted, Open, Open, PortRestricted];
    conference(&[members, others].concat()).await;
}

/// A helper that all reach, a host, four members, and others of the pool.
async fn conference(kinds: &[Translator]) {
    const MEMBERS_END: usize = 6;
    let (_network, links) = network(kinds);
    let bootstrap = links[0].listen_addrs();
    let mut links = links;
    let others = links.split_off(MEMBERS_END);
    let mut links = links.into_iter();
    let mut next = || links.next().unwrap();
    let _pool = Peer::start(0, next(), Part::Helper, 8, &[], Pace::Task);
    let mut pool = Vec::new();
    for (i, link) in others.into_iter().enumerate() {
        pool.push(Peer::start(MEMBERS_END + i, link, Part::Idle, 8, &bootstrap, Pace::Task));
        sleep(Duration::from_millis(300)).await;
    }
    sleep(Duration::from_secs(5)).await;
    let mut host = Peer::start(1, next(), Part::Host(Objective::Forest), 8, &bootstrap, Pace::Task);
    let invite = invite_of(&mut host).await;
    sleep(Duration::from_secs(3)).await;
    let mut members = BTreeMap::from([(1, host)]);
    for i in 2..MEMBERS_END {
        members.insert(i, Peer::start(i, next(), Part::Member(invite.clone()), 8, &bootstrap, Pace::Task));
        sleep(Duration::from_secs(1)).await;
    }
    sleep(Duration::from_secs(15)).await;
    let ids: BTreeMap<String, usize> =
        (0..kinds.len()).map(|i| (identity(i as u8 + 1).node_id().to_string(), i)).collect();
    for member in members.values_mut() {
        let plan = |event: &Event| if let Event::Tree(plan) = event { Some(plan.clone()) } else { None };
        let last: Plan = member.log().iter().rev().find_map(plan).unwrap();
        assert_eq!(last.trees.iter().map(|tree| tree.sources.len()).sum::<usize>(), MEMBERS_END - 1);
        for (a, b) in last.trees.iter().flat_map(|tree| &tree.edges) {
            let (a, b) = (ids[a], ids[b]);
            assert!(meet(kinds[a], kinds[b]), "a link between {a} and {b}");
        }
    }
    assert_everyone_hears_everyone(&members.iter().map(|(i, member)| (*i, member)).collect());
}
