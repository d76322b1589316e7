//! A peer that does not keep to the protocol is cut off, and the conference goes on.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod support;

use std::time::Duration;

use alm::event::Event;
use alm::live::Pace;
use alm::net::emulated::{EmulatedLink, EmulatedNetwork, PathProfile};
use alm::net::{Channel, Link, LinkEvent, next_event};
use alm::pool::somo::Offer;
use alm::pool::{Hello, Local, Place, PoolMessage, Reach, Whereabouts};
use alm::session::{Delegation, SessionMessage, Signed};
use alm::wire::Message;
use bytes::Bytes;
use tokio::time::timeout;

use support::{Part, Peer, identity, invite_of};

const ROGUE: usize = 2;

/// A host, a member and a rogue who is connected to the host.
async fn start() -> (Peer, Peer, EmulatedLink) {
    let path = |_, _| PathProfile::clean(Duration::from_millis(10));
    let network = EmulatedNetwork::start(3, 1, path);
    let link = |i: usize| EmulatedLink::new(&network, i, identity(i as u8 + 1).node_id());
    let mut host = Peer::start(0, link(0), Part::Host(alm_planner::Objective::Forest), 4, &[], Pace::Task);
    let invite = invite_of(&mut host).await;
    let mut member = Peer::start(1, link(1), Part::Member(invite), 4, &[], Pace::Task);
    member.wait("tree", |event| matches!(event, Event::Tree(_)).then_some(())).await;
    let mut rogue = link(ROGUE);
    rogue.dial(alm::net::emulated::address_of(0), Some(host.id));
    assert!(matches!(next_event(&mut rogue).await, LinkEvent::Connected { .. }));
    (host, member, rogue)
}

fn hello() -> Bytes {
    let somewhere = std::net::SocketAddr::from(([10, 9, 9, 9], 9));
    let here = Whereabouts {
        endpoint: somewhere.into(),
        local: Local::NONE,
        place: Place([i16::MAX; 4]),
        reach: Reach::Unknown,
    };
    let hello = Hello {
        features: u64::MAX,
        instance: 1,
        addrs: vec![],
        here,
        seen: somewhere,
        offer: Offer::default(),
        observer: false,
        alone: false,
        answer: false,
    };
    Message::Pool(PoolMessage::Hello(hello)).encode()
}

async fn assert_cut_off(rogue: &mut EmulatedLink) {
    let cut = async { while !matches!(next_event(rogue).await, LinkEvent::Disconnected { .. }) {} };
    timeout(Duration::from_secs(20), cut).await.expect("the rogue is cut off");
}

/// Sound goes on both ways.
async fn assert_unharmed(host: &Peer, member: &Peer) {
    tokio::time::sleep(Duration::from_millis(1_200)).await;
    support::assert_everyone_hears_everyone(&[(0, host), (1, member)].into());
}

#[tokio::test(start_paused = true)]
async fn bytes_that_are_no_message_cost_the_connection() {
    let (host, member, mut rogue) = start().await;
    rogue.send(host.id, Channel::Control, Bytes::from_static(&[0xff; 40])).unwrap();
    assert_cut_off(&mut rogue).await;
    assert_unharmed(&host, &member).await;
}

#[tokio::test(start_paused = true)]
async fn so_does_anything_before_a_hello() {
    let (host, member, mut rogue) = start().await;
    let request = Message::Pool(PoolMessage::ReportRequest { query: 1 }).encode();
    rogue.send(host.id, Channel::Control, request).unwrap();
    assert_cut_off(&mut rogue).await;
    assert_unharmed(&host, &member).await;
}

#[tokio::test(start_paused = true)]
async fn and_so_does_a_flood() {
    let (host, member, mut rogue) = start().await;
    rogue.send(host.id, Channel::Control, hello()).unwrap();
    for query in 0..600 {
        let request = Message::Pool(PoolMessage::ReportRequest { query }).encode();
        rogue.send(host.id, Channel::Control, request).unwrap();
    }
    assert_cut_off(&mut rogue).await;
    assert_unharmed(&host, &member).await;
}

#[tokio::test(start_paused = true)]
async fn a_stranger_installs_activates_ends_and_forges_nothing() {
    let (mut host, member, mut rogue) = start().await;
    let invite = host.log.iter().find_map(|event| match event {
        Event::Session { id, .. } => id.parse::<alm::session::Invite>().ok(),
        _ => None,
    });
    let session = invite.unwrap().session;
    rogue.send(host.id, Channel::Control, hello()).unwrap();
    let key = identity(99);
    let delegation = Delegation::new(&key, identity(ROGUE as u8 + 1).node_id(), 9);
    let plan = Signed::new(vec![1, 2, 3], &identity(ROGUE as u8 + 1), delegation.clone());
    let messages = [
        SessionMessage::Install { signed: plan, contacts: vec![] },
        SessionMessage::Activate { session, epoch: 99 },
        SessionMessage::End { session },
        SessionMessage::Leave { session },
        SessionMessage::Found { delegation, addrs: vec![] },
        SessionMessage::Left { session, node: member.id, departure: alm::session::Departure::Kicked },
    ];
    for message in messages {
        rogue.send(host.id, Channel::Control, Message::Session(message).encode()).unwrap();
    }
    // Media of any tree, and noise.
    for i in 0..200u8 {
        rogue.send(host.id, Channel::Datagram, vec![0x80 | (i & 0x3f); usize::from(i) * 4].into()).unwrap();
    }
    // What a plan comes to may be told again, and it stays the same plan.
    let carried = |log: &[Event]| {
        let plan = log.iter().rev().find_map(|event| match event {
            Event::Tree(plan) => Some(plan),
            _ => None,
        })?;
        let edges = |tree: &alm::event::Tree| (tree.sources.clone(), tree.edges.clone());
        Some((plan.root.clone(), plan.trees.iter().map(edges).collect::<Vec<_>>()))
    };
    let before = carried(host.log());
    assert_unharmed(&host, &member).await;
    assert!(before.is_some() && carried(host.log()) == before, "{before:?}");
    assert!(host.log().iter().all(|event| !matches!(event, Event::MemberLeft { .. } | Event::Left { .. })));
}
