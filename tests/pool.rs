//! The pool beneath conferences, with real drivers: helpers that nobody near knows, ids whose entry points are stale, and
//! what a pool looks like from outside.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use alm::event::{Event, Plan};
use alm::live::{DriverConfig, Onlooker, Pace};
use alm::net::emulated::{PathProfile, address_of};
use alm::pool::{PoolConfig, capable};
use alm::session::Invite;
use alm_planner::Objective;
use rand::SeedableRng;
use rand::rngs::StdRng;

use support::{Part, Peer, assert_everyone_hears_everyone, identity, invite_of};

/// Nodes on a plane of two clusters, an access line at each.
fn path(from: usize, to: usize) -> PathProfile {
    let place = |node: usize| ((node * 7 % 10) as f64, (node * 3 % 7) as f64 * 3.0);
    let ((ax, ay), (bx, by)) = (place(from), place(to));
    PathProfile::clean(Duration::from_secs_f64((3.0 + (ax - bx).hypot(ay - by)) / 1_000.0))
}

#[tokio::test(start_paused = true)]
async fn helpers_are_found_among_sixty_and_the_pool_is_seen_from_outside() {
    const NODES: usize = 60;
    const MEMBERS: usize = 5;
    let mut links: Vec<_> = support::emulated_links(NODES + 1, 1, path).into_iter().map(Some).collect();
    let mut take = |i: usize| links[i].take().unwrap();
    let mut pool = Vec::new();
    // Few of them lend, so that hardly any is a neighbour of the host's on the ring.
    for i in 0..NODES - MEMBERS {
        let part = if i % 9 == 4 { Part::Helper } else { Part::Idle };
        let known = if i == 0 { vec![] } else { vec![address_of(i / 2)] };
        pool.push(Peer::start(i, take(i), part, 8, &known, Pace::Task));
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    tokio::time::sleep(Duration::from_secs(30)).await;

    // A member has two links, and hears four others: somebody must help.
    let first = NODES - MEMBERS;
    let host = Part::Host(Objective::Diameter);
    let mut host = Peer::start(first, take(first), host, 2, &[address_of(11)], Pace::Task);
    let invite = invite_of(&mut host).await;
    let mut members = BTreeMap::from([(first, host)]);
    for i in first + 1..NODES {
        members.insert(i, Peer::start(i, take(i), Part::Member(invite.clone()), 2, &[], Pace::Task));
    }
    for member in members.values_mut() {
        member
            .wait("tree with a helper", |event| match event {
                Event::Tree(Plan { trees, helpers, probes, .. }) => {
                    let all = trees.iter().any(|tree| tree.sources.len() == MEMBERS);
                    (all && !helpers.is_empty() && (1..=110).contains(probes)).then_some(())
                }
                _ => None,
            })
            .await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_everyone_hears_everyone(&members.iter().map(|(i, member)| (*i, member)).collect());
    let placed = |event: &Event| matches!(event, Event::Coordinate { .. });
    assert!(pool[3].log().iter().any(placed));

    // From outside: all sixty are counted, and those that lend measure each other.
    let config = DriverConfig {
        identity: Arc::new(identity(200)),
        pool: PoolConfig::default(),
        bootstrap: vec![address_of(7)],
        random: StdRng::seed_from_u64(1),
        troubles: vec![],
    };
    let mut onlooker = Onlooker::new(take(NODES), config, None);
    // The newest are known to the root some reports later.
    let (root, report) = tokio::time::timeout(Duration::from_secs(40), async {
        loop {
            let view = onlooker.view(Duration::from_secs(10)).await.unwrap();
            if view.1.nodes as usize == NODES {
                return view;
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
    })
    .await
    .expect("the root knows all of them");
    assert!(pool.iter().chain(members.values()).any(|peer| peer.id == root));
    let lenders = (0..first).filter(|i| i % 9 == 4).count() as u32;
    assert_eq!((report.nodes, report.lenders), (NODES as u32, lenders));
    assert!((1..=lenders).contains(&capable(&report)));
    let trips = onlooker.measure(&report.helpers, |_| {}).await.unwrap();
    for (a, helper) in report.helpers.iter().enumerate() {
        for (b, other) in report.helpers.iter().enumerate().filter(|(b, _)| *b != a) {
            let index = |helper: &alm::pool::somo::Helper| {
                pool.iter().position(|peer| peer.id == helper.peer.node).unwrap()
            };
            let there = 2.0 * path(index(helper), index(other)).one_way.as_secs_f64() * 1_000.0;
            let measured = trips.get(a, b).unwrap().ms();
            assert!((measured - there).abs() < 2.5, "{measured} where it is {there}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_id_with_stale_entry_points_joins_through_any_pool_node() {
    let mut links = support::quic_links(8, 2, path).into_iter();
    let mut next = || links.next().unwrap();
    let mut pool = Vec::new();
    for i in 0..5 {
        let known = if i == 0 { vec![] } else { vec![address_of(0)] };
        pool.push(Peer::start(i, next(), Part::Idle, 4, &known, Pace::Task));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let mut host = Peer::start(5, next(), Part::Host(Objective::Forest), 4, &[address_of(2)], Pace::Task);
    let invite = invite_of(&mut host).await;
    tokio::time::sleep(Duration::from_secs(5)).await;

    // Nobody listens there any more.
    let stale = Invite { entry_points: vec!["10.9.9.9:9".parse().unwrap()], ..invite };
    let mut member = Peer::start(6, next(), Part::Member(stale.clone()), 4, &[address_of(4)], Pace::Task);
    let tree = |event: &Event| match event {
        Event::Tree(Plan { trees, .. }) => (trees.len() == 2).then_some(()),
        _ => None,
    };
    member.wait("tree of both", tree).await;
    host.wait("tree of both", tree).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_everyone_hears_everyone(&BTreeMap::from([(5, &host), (6, &member)]));

    // With another secret there is nothing to find.
    let wrong = Invite { secret: [9; 16], ..stale };
    let nobody = Peer::start(7, next(), Part::Member(wrong), 4, &[address_of(1)], Pace::Task);
    assert!(matches!(nobody.ending().await, alm::session::Ending::Failed { .. }));
}

#[tokio::test(start_paused = true)]
async fn the_most_capable_machine_acts_as_the_root_and_is_asked() {
    const NODES: usize = 7;
    const WIDE: usize = 3;
    let line = |from: usize, to: usize| PathProfile {
        rate_bps: Some(if from == WIDE { 5_000_000 } else { 900_000 }),
        ..PathProfile::clean(path(from, to).one_way)
    };
    let mut links = support::quic_links(NODES + 1, 3, line).into_iter();
    let mut next = || links.next().unwrap();
    let mut pool = Vec::new();
    for i in 0..NODES {
        let known = if i == 0 { vec![] } else { vec![address_of(0)] };
        pool.push(Peer::start(i, next(), Part::Measured, 4, &known, Pace::Task));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    let config = DriverConfig {
        identity: Arc::new(identity(200)),
        pool: PoolConfig::default(),
        bootstrap: vec![address_of(1)],
        random: StdRng::seed_from_u64(1),
        troubles: vec![],
    };
    tokio::time::sleep(Duration::from_secs(180)).await;
    let mut onlooker = Onlooker::new(next(), config, None);
    let capable = pool[WIDE].id;
    let found = tokio::time::timeout(Duration::from_secs(400), async {
        loop {
            let (root, report) = onlooker.view(Duration::from_secs(10)).await.unwrap();
            if root == capable && report.nodes as usize == NODES {
                return report;
            }
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
    });
    let report = found.await.expect("it is the root in time");
    let wide = report.helpers.iter().find(|helper| helper.peer.node == capable).unwrap();
    assert!((3_000..8_000).contains(&wide.offer.up_kbit_s), "{} kbit/s", wide.offer.up_kbit_s);
    // Those on the ring hear of it too.
    tokio::time::sleep(Duration::from_secs(150)).await;
    let told = |event: &Event| match event {
        Event::Pool { root, .. } => Some(root.clone()),
        _ => None,
    };
    let roots: Vec<_> = pool.iter_mut().map(|peer| peer.log().iter().rev().find_map(told).unwrap()).collect();
    assert!(roots.iter().all(|root| *root == capable.to_string()), "{roots:?}");
}
