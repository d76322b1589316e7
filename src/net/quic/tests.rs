//! Two links on loopback: who may connect, what becomes of two dials at once, what a peer can do wrong.

use super::*;
use crate::net::{bind_udp, next_event};

fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

fn link(seed: u8) -> (QuicLink, SocketAddr) {
    let socket = bind_udp(Some(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
    let link = QuicLink::open(&identity(seed), Socket::Udp(socket)).unwrap();
    let addr = link.listen_addrs()[0];
    (link, addr)
}

async fn next(link: &mut QuicLink) -> LinkEvent {
    timeout(Duration::from_secs(10), next_event(link)).await.expect("an event comes")
}

/// Two connected links.
async fn pair() -> (QuicLink, QuicLink) {
    let ((mut a, _), (mut b, addr)) = (link(1), link(2));
    a.dial(addr, Some(identity(2).node_id()));
    assert!(matches!(next(&mut a).await, LinkEvent::Connected { peer, .. } if peer == identity(2).node_id()));
    assert!(matches!(next(&mut b).await, LinkEvent::Connected { peer, .. } if peer == identity(1).node_id()));
    (a, b)
}

#[tokio::test]
async fn both_channels_carry_both_ways() {
    let (mut a, mut b) = pair().await;
    let (id_a, id_b) = (identity(1).node_id(), identity(2).node_id());
    for i in 0..100u8 {
        a.send(id_b, Channel::Control, vec![i; 1 + usize::from(i) * 600].into()).unwrap();
    }
    for i in 0..100u8 {
        match next(&mut b).await {
            LinkEvent::Control { from, bytes } => assert_eq!((from, bytes[0]), (id_a, i), "in order"),
            other => panic!("{other:?}"),
        }
    }
    b.send(id_a, Channel::Datagram, Bytes::from_static(b"voice")).unwrap();
    b.flush();
    assert!(
        matches!(next(&mut a).await, LinkEvent::Datagram { from, bytes, .. } if from == id_b && bytes == "voice")
    );
    assert_eq!(a.send(id_b, Channel::Datagram, vec![0; DATAGRAM_MAX + 1].into()), Err(SendError::TooLong));
    assert_eq!(
        a.send(id_b, Channel::Control, vec![0; CONTROL_MESSAGE_MAX + 1].into()),
        Err(SendError::TooLong)
    );
    assert_eq!(a.send(identity(9).node_id(), Channel::Control, Bytes::new()), Err(SendError::NotConnected));
}

#[tokio::test]
async fn another_key_than_the_expected_one_is_refused() {
    let ((mut a, _), (_b, addr)) = (link(1), link(2));
    a.dial(addr, Some(identity(3).node_id()));
    assert!(matches!(next(&mut a).await, LinkEvent::DialFailed { error: DialError::WrongKey, .. }));
}

#[tokio::test]
async fn another_protocol_version_is_refused_and_said_so() {
    let ((a, _), (_b, addr)) = (link(1), link(2));
    let (config, _) = a.tls.client_of(None, b"alm/999");
    let error = a.endpoint.connect_with(config, addr, "alm").unwrap().await.unwrap_err();
    assert_eq!(dial_error(&error), DialError::Version);
}

#[tokio::test]
async fn nobody_there_and_oneself_are_said_so() {
    let ((mut a, own), (b, addr)) = (link(1), link(2));
    b.shutdown().await;
    a.dial(own, None);
    assert!(matches!(next(&mut a).await, LinkEvent::DialFailed { error: DialError::Ourselves, .. }));
    a.dial(addr, None);
    assert!(matches!(next(&mut a).await, LinkEvent::DialFailed { error: DialError::NoAnswer, .. }));
}

#[tokio::test]
async fn two_dials_at_once_make_one_connection_and_lose_nothing() {
    let ((mut a, addr_a), (mut b, addr_b)) = (link(1), link(2));
    let (id_a, id_b) = (identity(1).node_id(), identity(2).node_id());
    a.dial(addr_b, Some(id_b));
    b.dial(addr_a, Some(id_a));
    assert!(matches!(next(&mut a).await, LinkEvent::Connected { .. }));
    assert!(matches!(next(&mut b).await, LinkEvent::Connected { .. }));
    // Over the time in which the superfluous connection is given up.
    for i in 0..35u8 {
        a.send(id_b, Channel::Control, vec![i].into()).unwrap();
        b.send(id_a, Channel::Control, vec![i].into()).unwrap();
        for link in [&mut a, &mut b] {
            match next(link).await {
                LinkEvent::Control { bytes, .. } => assert_eq!(bytes[..], [i]),
                other => panic!("{other:?}"),
            }
        }
        sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(a.peers[&id_b].connections.len(), 1);
    assert_eq!(b.peers[&id_a].connections.len(), 1);
}

#[tokio::test]
async fn a_goodbye_is_told_from_a_loss_and_its_last_words_arrive() {
    let (mut a, mut b) = pair().await;
    a.send(identity(2).node_id(), Channel::Control, Bytes::from_static(b"bye")).unwrap();
    a.shutdown().await;
    assert!(matches!(next(&mut b).await, LinkEvent::Control { bytes, .. } if bytes == "bye"));
    assert!(matches!(next(&mut b).await, LinkEvent::Disconnected { left: true, .. }));
}

#[tokio::test]
async fn a_control_message_without_end_costs_its_sender_the_connection() {
    let ((mut a, _), (mut b, addr)) = (link(1), link(2));
    let (config, _) = a.tls.client(None);
    let rogue = a.endpoint.connect_with(config, addr, "alm").unwrap().await.unwrap();
    assert!(matches!(next(&mut b).await, LinkEvent::Connected { .. }));
    let mut stream = rogue.open_uni().await.unwrap();
    stream.write_all(&u32::MAX.to_be_bytes()).await.unwrap();
    assert!(matches!(next(&mut b).await, LinkEvent::Disconnected { left: false, .. }));
    a.close(identity(2).node_id(), "done");
}
