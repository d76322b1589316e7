//! A session of eight nodes, six members and two helpers, on every kind of network that there is: emulated without QUIC,
//! QUIC over the emulated network, QUIC over loopback. The same drivers, real Opus, real sealing.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use alm::event::{Event, Plan};
use alm::live::Pace;
use alm::net::Link;
use alm::net::emulated::PathProfile;
use alm::session::Ending;
use alm_planner::Objective;

use support::{
    Part, Peer, assert_everyone_hears_everyone, everyone_comes_to_hear_everyone, invite_of, tone_hz,
};

const HELPERS: usize = 2;
const NODES: usize = 8;

/// Members on a line, 6 ms apart, the helpers in its middle; a little jitter and loss.
fn path(from: usize, to: usize) -> PathProfile {
    let place_ms = |node: usize| if node < HELPERS { 15.0 } else { 6.0 * (node - HELPERS) as f64 };
    let one_way = Duration::from_secs_f64((4.0 + (place_ms(from) - place_ms(to)).abs()) / 1_000.0);
    PathProfile { jitter: Duration::from_millis(3), loss: 0.01, ..PathProfile::clean(one_way) }
}

/// Two helpers of degree 8, a host and members of degree 2: nobody can serve five others alone.
async fn start<L: Link + Send + 'static>(
    links: Vec<L>,
    objective: Objective,
    pace: Pace,
) -> BTreeMap<usize, Peer> {
    let mut peers = BTreeMap::new();
    let bootstrap = links[0].listen_addrs();
    let mut invite = None;
    for (i, link) in links.into_iter().enumerate() {
        let known = if i == 0 { &[][..] } else { &bootstrap[..] };
        if i < HELPERS {
            peers.insert(i, Peer::start(i, link, Part::Helper, 8, known, pace));
        } else if let Some(invite) = &invite {
            // Members know nothing but the id.
            peers.insert(i, Peer::start(i, link, Part::Member(Clone::clone(invite)), 2, &[], pace));
        } else {
            let mut host = Peer::start(i, link, Part::Host(objective), 2, known, pace);
            invite = Some(invite_of(&mut host).await);
            peers.insert(i, host);
        }
    }
    peers
}

/// Waits until a plan of all members stands at each of them.
async fn settle(peers: &mut BTreeMap<usize, Peer>, members: usize) {
    settle_with(peers, members, 0).await;
}

/// Waits until one with so many helpers at least does: they are looked for when all can hear each other already.
async fn settle_with(peers: &mut BTreeMap<usize, Peer>, members: usize, helpers_min: usize) {
    for (_, peer) in peers.range_mut(HELPERS..) {
        peer.wait("tree of all members", |event| match event {
            Event::Tree(Plan { trees, helpers, probes, .. }) => {
                let sources: usize = trees.iter().map(|tree| tree.sources.len()).sum();
                assert!(*probes <= 110, "{probes} probes for one plan");
                (sources == members && helpers.len() >= helpers_min).then_some(())
            }
            _ => None,
        })
        .await;
    }
}

fn members(peers: &BTreeMap<usize, Peer>) -> BTreeMap<usize, &Peer> {
    peers.range(HELPERS..).map(|(i, peer)| (*i, peer)).collect()
}

async fn conference<L: Link + Send + 'static>(
    links: Vec<L>,
    objective: Objective,
    pace: Pace,
) -> Vec<Vec<Event>> {
    let mut peers = start(links, objective, pace).await;
    // A helper shortens a chain of six.
    settle_with(&mut peers, NODES - HELPERS, usize::from(objective == Objective::Diameter)).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    everyone_comes_to_hear_everyone(&members(&peers)).await;
    let logs = peers.values_mut().map(|peer| peer.log().to_vec()).collect();

    // One leaves politely, and the others go on.
    let leaver = peers.remove(&(NODES - 1)).unwrap();
    assert!(matches!(leaver.leave().await, Ending::Regular(_)));
    settle(&mut peers, NODES - HELPERS - 1).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    everyone_comes_to_hear_everyone(&members(&peers)).await;
    for (_, peer) in peers.range(HELPERS..) {
        assert!(support::loudness(&peer.heard, tone_hz(NODES - 1)) < 0.03, "the leaver is still heard");
    }

    // The host ends it for all.
    let host = peers.remove(&HELPERS).unwrap();
    assert!(matches!(host.end().await, Ending::Regular(_)));
    for (_, peer) in peers.split_off(&HELPERS) {
        assert!(matches!(peer.ending().await, Ending::Regular(_)));
    }
    logs
}

#[tokio::test(start_paused = true)]
async fn on_the_emulated_network() {
    for objective in Objective::ALL {
        conference(support::emulated_links(NODES, 1, path), *objective, Pace::Task).await;
    }
}

#[tokio::test(start_paused = true)]
async fn on_quic_over_the_emulated_network() {
    conference(support::quic_links(NODES, 1, path), Objective::Forest, Pace::Task).await;
}

#[tokio::test]
async fn on_quic_over_loopback() {
    conference(support::loopback_links(NODES), Objective::Forest, Pace::Thread).await;
}

#[test]
fn the_same_seed_makes_the_same_conference() {
    let run = |seed| {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let links = |seed| support::emulated_links(NODES, seed, path);
        let held = async { conference(links(seed), Objective::Forest, Pace::Task).await };
        let mut logs = runtime.block_on(held);
        // The words come from keys, whose chance is no seed's.
        logs.iter_mut().for_each(|log| log.retain(|event| !matches!(event, Event::Phrase { .. })));
        logs
    };
    assert_eq!(run(7), run(7));
    assert_ne!(run(7), run(8));
}

#[tokio::test(start_paused = true)]
async fn a_member_that_vanishes_is_missed_and_the_others_go_on() {
    let mut peers = start(support::emulated_links(NODES, 3, path), Objective::Forest, Pace::Task).await;
    settle(&mut peers, NODES - HELPERS).await;
    let gone = peers.remove(&(NODES - 1)).unwrap();
    gone.kill();
    settle(&mut peers, NODES - HELPERS - 1).await;
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_everyone_hears_everyone(&members(&peers));
}

#[tokio::test(start_paused = true)]
async fn a_member_whose_cable_is_out_for_a_while_is_missed_and_then_heard_again() {
    let (links, cable) = support::emulated_links_with_cables(NODES, 6, path);
    let mut peers = start(links, Objective::Forest, Pace::Task).await;
    settle(&mut peers, NODES - HELPERS).await;
    let cut = NODES - 1;
    cable(cut, false);
    let mut unplugged = peers.remove(&cut).unwrap();
    settle(&mut peers, NODES - HELPERS - 1).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_everyone_hears_everyone(&members(&peers));
    cable(cut, true);
    settle(&mut peers, NODES - HELPERS).await;
    unplugged.log();
    peers.insert(cut, unplugged);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_everyone_hears_everyone(&members(&peers));
}

#[tokio::test(start_paused = true)]
async fn helpers_that_vanish_cost_a_plan_and_not_the_session() {
    let mut peers = start(support::emulated_links(NODES, 4, path), Objective::Diameter, Pace::Task).await;
    settle(&mut peers, NODES - HELPERS).await;
    for helper in 0..HELPERS {
        peers.remove(&helper).unwrap().kill();
    }
    for (_, peer) in peers.range_mut(HELPERS..) {
        peer.wait("tree without helpers", |event| match event {
            Event::Tree(Plan { helpers, .. }) if helpers.is_empty() => Some(()),
            _ => None,
        })
        .await;
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    assert_everyone_hears_everyone(&members(&peers));
}

#[tokio::test(start_paused = true)]
async fn a_host_that_vanishes_or_leaves_is_succeeded() {
    for vanishes in [true, false] {
        let mut peers = start(support::emulated_links(NODES, 5, path), Objective::Forest, Pace::Task).await;
        settle(&mut peers, NODES - HELPERS).await;
        let host = peers.remove(&HELPERS).unwrap();
        if vanishes {
            host.kill();
        } else {
            assert!(matches!(host.leave().await, Ending::Regular(_)));
        }
        settle(&mut peers, NODES - HELPERS - 1).await;
        tokio::time::sleep(Duration::from_millis(2_500)).await;
        assert_everyone_hears_everyone(&members(&peers));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_lost_on_a_link_is_asked_for_again() {
    let lossy = |from, to| PathProfile { loss: 0.03, ..path(from, to) };
    let mut peers = start(support::quic_links(NODES, 2, lossy), Objective::Forest, Pace::Task).await;
    settle(&mut peers, NODES - HELPERS).await;
    tokio::time::sleep(Duration::from_secs(8)).await;
    let (mut packets, mut repaired, mut lost, mut recovered) = (0, 0, 0, 0);
    for (_, peer) in peers.range_mut(HELPERS..) {
        let mut last = BTreeMap::new();
        for event in peer.log() {
            if let Event::Media(media) = event {
                last.insert(media.source.clone(), media.clone());
            }
        }
        for media in last.values() {
            packets += media.packets;
            repaired += media.repaired;
            lost += media.lost;
            assert_eq!((media.standing, media.contradicted), ("confirmed", 0), "signed by who speaks");
            recovered += media.recovered;
        }
    }
    println!("{packets} packets, {repaired} repaired, {lost} lost, {recovered} recovered");
    // Of what the links lost, most came again.
    assert!(repaired > packets / 100 && repaired > lost, "{packets} {repaired} {lost}");
}
