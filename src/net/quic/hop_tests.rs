//! Hops beside real QUIC: when they carry, what they forward, whom they believe.

use std::io::{self, IoSliceMut};
use std::pin::Pin;
use std::sync::Mutex;

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::net::UdpSocket as AsyncSocket;

use super::*;
use crate::net::emulated::{Datagram, EmulatedNetwork, EmulatedSocket, PathProfile, address_of};
use crate::net::hop::{Batch, Out};
use crate::net::{Rhythm, Verdict, bind_udp, next_event};

fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

fn id(seed: u8) -> NodeId {
    identity(seed).node_id()
}

fn link(seed: u8, carrier: Carrier) -> (QuicLink, SocketAddr) {
    let socket = bind_udp(Some(SocketAddr::from(([127, 0, 0, 1], 0)))).unwrap();
    let link = QuicLink::open_with(&identity(seed), Socket::Udp(socket), carrier).unwrap();
    let addr = link.listen_addrs()[0];
    (link, addr)
}

async fn next(link: &mut QuicLink) -> LinkEvent {
    timeout(Duration::from_secs(10), next_event(link)).await.expect("an event comes")
}

async fn connect(a: &mut QuicLink, b: &mut QuicLink, to: SocketAddr) {
    a.dial(to, None);
    assert!(matches!(next(a).await, LinkEvent::Connected { .. }));
    assert!(matches!(next(b).await, LinkEvent::Connected { .. }));
}

/// Lets links live; the datagrams that they tell of.
async fn live(links: &mut [&mut QuicLink], time: Duration) -> Vec<Bytes> {
    let end = Instant::now() + time;
    let mut datagrams = Vec::new();
    while Instant::now() < end {
        for link in &mut *links {
            link.flush();
            while let Ok(event) = timeout(Duration::from_millis(2), next_event(*link)).await {
                if let LinkEvent::Datagram { bytes, .. } | LinkEvent::Delivered { bytes, .. } = event {
                    datagrams.push(bytes);
                }
            }
        }
    }
    datagrams
}

fn works(link: &QuicLink, peer: u8) -> bool {
    link.peers[&id(peer)].current().unwrap().hop.as_ref().is_some_and(|hop| hop.works())
}

fn by_quic(link: &QuicLink, peer: u8) -> u64 {
    link.peers[&id(peer)].current().unwrap().quic.stats().frame_tx.datagram
}

/// Until both hops are known to work.
async fn settle(a: (&mut QuicLink, u8), b: (&mut QuicLink, u8)) {
    for _ in 0..100 {
        live(&mut [a.0, b.0], Duration::from_millis(20)).await;
        if works(a.0, b.1) && works(b.0, a.1) {
            return;
        }
    }
    panic!("hops that work are found to");
}

#[tokio::test]
async fn datagrams_go_beside_quic_when_the_hop_is_known_to_work() {
    let ((mut a, _), (mut b, addr)) = (link(1, Carrier::Hops), link(2, Carrier::Hops));
    connect(&mut a, &mut b, addr).await;
    settle((&mut a, 1), (&mut b, 2)).await;
    let before = (by_quic(&a, 2), by_quic(&b, 1));
    for i in 0..50_u8 {
        a.send(id(2), Channel::Datagram, vec![i; usize::from(i) * 20].into()).unwrap();
        b.send(id(1), Channel::Datagram, vec![i; DATAGRAM_MAX].into()).unwrap();
    }
    a.flush();
    b.flush();
    assert_eq!(live(&mut [&mut a], Duration::from_millis(100)).await.len(), 50);
    let arrived = live(&mut [&mut b], Duration::from_millis(100)).await;
    assert!(arrived.iter().map(Bytes::len).eq((0..50).map(|i| i * 20)), "whole and in order");
    assert_eq!((by_quic(&a, 2), by_quic(&b, 1)), before, "QUIC has carried none");
    // The thread ends with its link, and the port is free again.
    b.shutdown().await;
    let freed = async {
        while bind_udp(Some(addr)).is_err() {
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(Duration::from_secs(5), freed).await.expect("nobody holds the socket");
}

#[tokio::test]
async fn a_peer_that_has_only_quic_is_served_by_quic() {
    let ((mut a, _), (mut b, addr)) = (link(1, Carrier::Hops), link(2, Carrier::Quic));
    connect(&mut a, &mut b, addr).await;
    let mut arrived = 0;
    for i in 0..30_u8 {
        a.send(id(2), Channel::Datagram, vec![i; 100].into()).unwrap();
        b.send(id(1), Channel::Datagram, vec![i; 100].into()).unwrap();
        arrived += live(&mut [&mut a, &mut b], Duration::from_millis(10)).await.len();
    }
    arrived += live(&mut [&mut a, &mut b], Duration::from_millis(100)).await.len();
    assert_eq!(arrived, 60);
    assert!(!works(&a, 2));
}

/// Sends what comes from one node to another, and listens if it is told to.
#[derive(Debug)]
struct Through {
    from: NodeId,
    to: Vec<NodeId>,
    deliver: bool,
}

impl Switch for Through {
    fn route(
        &self,
        from: NodeId,
        datagram: &[u8],
        _at: std::time::Instant,
        send: &mut dyn FnMut(NodeId, &[u8]),
    ) -> Verdict {
        match (datagram.first(), from == self.from) {
            (Some(b'!'), _) => return Verdict::Answered(*b"as I was told"),
            (Some(b'.'), _) => return Verdict::Noted,
            (Some(b','), _) => return Verdict::Later,
            (Some(b'?'), _) => return Verdict::Keep,
            (_, false) => return Verdict::Refused,
            _ => {}
        }
        self.to.iter().for_each(|to| send(*to, datagram));
        Verdict::Passed { deliver: self.deliver }
    }
}

#[tokio::test]
async fn a_switch_answers_and_keeps_for_later_what_wakes_nobody() {
    for carrier in [Carrier::Hops, Carrier::Quic] {
        let ((mut a, _), (mut b, addr)) = (link(1, carrier), link(2, Carrier::Hops));
        connect(&mut a, &mut b, addr).await;
        b.set_switch(Arc::new(Through { from: id(1), to: vec![], deliver: true }));
        for said in [".", ",", "!"] {
            a.send(id(2), Channel::Datagram, Bytes::from_static(said.as_bytes())).unwrap();
        }
        a.flush();
        let mut at_b = Vec::new();
        let answer = loop {
            at_b.extend(live(&mut [&mut b], Duration::from_millis(5)).await);
            if let Some(answer) = live(&mut [&mut a], Duration::from_millis(5)).await.pop() {
                break answer;
            }
        };
        assert_eq!(answer, "as I was told");
        assert_eq!(at_b.len(), 0, "it is woken for none of them");
        let kept = b.poll_later();
        assert!(
            matches!(kept, Some(LinkEvent::Datagram { from, bytes, .. }) if from == id(1) && bytes == ",")
        );
        assert!(b.poll_later().is_none());
        assert_eq!(b.switch_counts(id(1)), SwitchCounts::default());
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_node_is_alerted_once_a_silence_and_when_a_packet_is_missing() {
    let ((mut a, _), (mut b, addr)) = (link(1, Carrier::Hops), link(2, Carrier::Hops));
    connect(&mut a, &mut b, addr).await;
    settle((&mut a, 1), (&mut b, 2)).await;
    assert!(b.can_watch());
    let alerts = async |a: &mut QuicLink, b: &mut QuicLink, until: Instant| {
        let mut count = 0;
        while Instant::now() < until {
            let _ = timeout(Duration::from_millis(2), next_event(a)).await;
            if let Ok(LinkEvent::Alert { peer }) = timeout(Duration::from_millis(2), next_event(b)).await {
                assert_eq!(peer, id(1));
                count += 1;
            }
        }
        count
    };
    let watched = |silence_ms| {
        let silence = Duration::from_millis(silence_ms);
        vec![Watched { peer: id(1), silence, rhythm: Rhythm::of(silence) }]
    };
    b.poll_heard(&mut |_, _| {});
    b.watch(watched(100));
    // Whatever is heard begins another silence: the hop's own questions as well.
    let (mut told, mut heard) = (0, 1);
    while told < 3 {
        a.send(id(2), Channel::Datagram, Bytes::from_static(b"media")).unwrap();
        a.flush();
        told += alerts(&mut a, &mut b, Instant::now() + Duration::from_millis(250)).await;
        b.poll_heard(&mut |_, news| {
            assert!(news.rhythm.is_some());
            heard += news.came;
        });
        assert!(told <= heard, "{told} of {heard}");
    }
    b.watch(watched(60_000));
    assert_eq!(alerts(&mut a, &mut b, Instant::now() + Duration::from_millis(50)).await, 0);
    let nowhere = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
    let lost = a.peers[&id(2)].current().unwrap().hop.clone().unwrap();
    assert!(lost.seal(b"media", &mut Batch::new(Out::Together(nowhere))));
    a.send(id(2), Channel::Datagram, Bytes::from_static(b"media")).unwrap();
    a.flush();
    while alerts(&mut a, &mut b, Instant::now() + Duration::from_millis(50)).await == 0 {}
    b.watch(Vec::new());
    b.poll_heard(&mut |_, _| {});
    a.send(id(2), Channel::Datagram, Bytes::from_static(b"media")).unwrap();
    a.flush();
    live(&mut [&mut a, &mut b], Duration::from_millis(50)).await;
    b.poll_heard(&mut |_, news| assert_eq!(news.rhythm, None));
}

#[tokio::test]
async fn what_the_switch_says_goes_on_without_the_node() {
    let carriers = [Carrier::Hops, Carrier::Hops, Carrier::Quic];
    let [(mut a, _), (mut b, addr), (mut c, _)] = [1, 2, 3].map(|i| link(i, carriers[usize::from(i) - 1]));
    connect(&mut a, &mut b, addr).await;
    connect(&mut c, &mut b, addr).await;
    settle((&mut a, 1), (&mut b, 2)).await;
    b.set_switch(Arc::new(Through { from: id(1), to: vec![id(3)], deliver: false }));
    for _ in 0..20 {
        a.send(id(2), Channel::Datagram, Bytes::from_static(b"media")).unwrap();
        c.send(id(2), Channel::Datagram, Bytes::from_static(b"from nowhere")).unwrap();
    }
    a.flush();
    assert_eq!(live(&mut [&mut c], Duration::from_millis(100)).await.len(), 20);
    assert_eq!(live(&mut [&mut b], Duration::from_millis(20)).await.len(), 0, "the node is left in peace");
    assert_eq!(b.switch_counts(id(1)), SwitchCounts { received: 20, ..SwitchCounts::default() });
    assert_eq!(b.switch_counts(id(3)), SwitchCounts { sent: 20, dropped: 20, ..SwitchCounts::default() });
    let mut heard = Vec::new();
    b.poll_heard(&mut |peer, _| heard.push(peer));
    assert!(heard.contains(&id(1)));
    b.set_switch(Arc::new(Through { from: id(1), to: vec![], deliver: true }));
    a.send(id(2), Channel::Datagram, Bytes::from_static(b"media")).unwrap();
    a.send(id(2), Channel::Datagram, Bytes::from_static(b"?")).unwrap();
    a.flush();
    assert!(
        matches!(next(&mut b).await, LinkEvent::Delivered { from, bytes, .. } if from == id(1) && bytes == "media")
    );
    assert!(matches!(next(&mut b).await, LinkEvent::Datagram { bytes, .. } if bytes == "?"));
}

/// A translator of addresses between a node and the rest: what the node sends comes from `outside`, until that changes.
async fn translate(inside: AsyncSocket, to: SocketAddr, mut change: mpsc::Receiver<()>) {
    let local = SocketAddr::from(([127, 0, 0, 1], 0));
    let mut outside = AsyncSocket::bind(local).await.unwrap();
    let (mut node, mut out, mut back) = (None, [0; 2_048], [0; 2_048]);
    loop {
        tokio::select! {
            Ok((len, from)) = inside.recv_from(&mut out) => {
                node = Some(from);
                let _ = outside.send_to(&out[..len], to).await;
            }
            Ok((len, _)) = outside.recv_from(&mut back) => {
                let _ = inside.send_to(&back[..len], node.unwrap()).await;
            }
            Some(()) = change.recv() => outside = AsyncSocket::bind(local).await.unwrap(),
        }
    }
}

#[tokio::test]
async fn media_follows_a_peer_whose_address_changes() {
    let ((mut a, _), (mut b, addr)) = (link(1, Carrier::Hops), link(2, Carrier::Hops));
    let inside = AsyncSocket::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
    let via = inside.local_addr().unwrap();
    let (moved, change) = mpsc::channel(1);
    tokio::spawn(translate(inside, addr, change));
    connect(&mut a, &mut b, via).await;
    settle((&mut a, 1), (&mut b, 2)).await;
    moved.send(()).await.unwrap();
    // One packet from the new address, a question there, an answer: from then on the media finds its way back.
    let (mut there, mut back) = (0, 0);
    for _ in 0..50 {
        a.send(id(2), Channel::Datagram, Bytes::from_static(b"there")).unwrap();
        b.send(id(1), Channel::Datagram, Bytes::from_static(b"and back")).unwrap();
        for bytes in live(&mut [&mut a, &mut b], Duration::from_millis(10)).await {
            there += u32::from(bytes == "there");
            back += u32::from(bytes == "and back");
        }
    }
    assert_eq!(there, 50, "nothing is lost on the way there");
    assert!(back >= 45, "{back} of 50 on the way back");
}

/// An emulated socket that keeps a copy of every hop packet that it sends.
#[derive(Debug)]
struct Tap {
    socket: Arc<EmulatedSocket>,
    sent: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl AsyncUdpSocket for Tap {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if transmit.contents[0] & 0xc0 == 0x80 {
            self.sent.lock().unwrap().push(transmit.contents.to_vec());
        }
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        self.socket.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }
}

fn emulated(network: &EmulatedNetwork<Datagram>, node: usize) -> (QuicLink, Arc<Mutex<Vec<Vec<u8>>>>) {
    let sent = Arc::new(Mutex::new(Vec::new()));
    let tap = Tap { socket: EmulatedSocket::new(network, node), sent: sent.clone() };
    let socket = Socket::Abstract(Arc::new(tap), [node as u8; 32]);
    (QuicLink::open(&identity(node as u8), socket).unwrap(), sent)
}

#[tokio::test(start_paused = true)]
async fn a_stranger_gets_nothing_by_what_it_has_seen() {
    let network = EmulatedNetwork::start(3, 1, |_, _| PathProfile::clean(Duration::from_millis(10)));
    let ((mut a, from_a), (mut b, from_b)) = (emulated(&network, 1), emulated(&network, 2));
    connect(&mut a, &mut b, address_of(2)).await;
    settle((&mut a, 1), (&mut b, 2)).await;
    from_a.lock().unwrap().clear();
    for i in 0..200_u16 {
        a.send(id(2), Channel::Datagram, vec![7; usize::from(i)].into()).unwrap();
    }
    assert_eq!(live(&mut [&mut a, &mut b], Duration::from_millis(100)).await.len(), 200);
    let seen = std::mem::take(&mut *from_a.lock().unwrap());
    assert_eq!(seen.len(), 200);

    let (stranger, mut random) = (EmulatedSocket::new(&network, 0), StdRng::seed_from_u64(7));
    let sent_before = from_b.lock().unwrap().len();
    for packet in seen.iter().cycle().take(4_000) {
        let mut packet = packet.clone();
        match random.random_range(0..6) {
            0 => {}
            1 => packet.truncate(random.random_range(1..packet.len())),
            2 => packet.resize(packet.len() + random.random_range(1..1_500), 0),
            3 => packet = (0..random.random_range(1..1_600)).map(|_| random.random()).collect(),
            // A counter that is yet to come.
            4 => packet[random.random_range(5..11)] ^= 1 << random.random_range(0..8),
            _ => {
                let bit = random.random_range(0..packet.len() * 8);
                packet[bit / 8] ^= 1 << (bit % 8);
            }
        }
        // Not QUIC's affair.
        packet[0] = packet[0] & 0x3f | 0x80;
        let transmit = Transmit {
            destination: address_of(2),
            ecn: None,
            contents: &packet,
            segment_size: None,
            src_ip: None,
        };
        stranger.try_send(&transmit).unwrap();
    }
    assert_eq!(live(&mut [&mut b], Duration::from_millis(100)).await.len(), 0, "none is believed");
    assert_eq!(from_b.lock().unwrap().len(), sent_before, "none is answered");
    // The hop has not suffered.
    a.send(id(2), Channel::Datagram, Bytes::from_static(b"still here")).unwrap();
    assert_eq!(live(&mut [&mut a, &mut b], Duration::from_millis(50)).await, ["still here"]);
}

#[tokio::test(start_paused = true)]
async fn a_stolen_packet_moves_no_media() {
    let network = EmulatedNetwork::start(3, 1, |_, _| PathProfile::clean(Duration::from_millis(10)));
    let ((mut a, from_a), (mut b, from_b)) = (emulated(&network, 1), emulated(&network, 2));
    connect(&mut a, &mut b, address_of(2)).await;
    settle((&mut a, 1), (&mut b, 2)).await;
    // The stranger's copy arrives first, or alone: the newest of all packets, from another address.
    network.with_core(|core| core.set_alive(2, false));
    a.send(id(2), Channel::Datagram, Bytes::from_static(b"stolen")).unwrap();
    a.flush();
    live(&mut [&mut a], Duration::from_millis(50)).await;
    network.with_core(|core| core.set_alive(2, true));
    let stolen = from_a.lock().unwrap().last().unwrap().clone();
    let stranger = EmulatedSocket::new(&network, 0);
    let (destination, contents) = (address_of(2), &stolen[..]);
    let transmit = Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None };
    from_b.lock().unwrap().clear();
    stranger.try_send(&transmit).unwrap();
    assert_eq!(live(&mut [&mut b], Duration::from_millis(50)).await.len(), 1);
    let answers: usize = from_b.lock().unwrap().iter().map(Vec::len).sum();
    assert!(answers <= 3 * stolen.len(), "no amplification: {answers} bytes");
    b.send(id(1), Channel::Datagram, Bytes::from_static(b"media")).unwrap();
    assert_eq!(
        live(&mut [&mut b, &mut a], Duration::from_millis(50)).await,
        ["media"],
        "where it went before"
    );
}

#[tokio::test(start_paused = true)]
async fn forwarding_allocates_nothing() {
    let network = EmulatedNetwork::start(3, 1, |_, _| PathProfile::clean(Duration::from_millis(10)));
    let ((mut a, from_a), (mut b, _), (mut c, _)) =
        (emulated(&network, 0), emulated(&network, 1), emulated(&network, 2));
    connect(&mut a, &mut b, address_of(1)).await;
    connect(&mut c, &mut b, address_of(1)).await;
    settle((&mut a, 0), (&mut b, 1)).await;
    settle((&mut c, 2), (&mut b, 1)).await;
    b.set_switch(Arc::new(Through { from: id(0), to: vec![id(2)], deliver: false }));
    network.with_core(|core| core.set_alive(1, false));
    from_a.lock().unwrap().clear();
    for _ in 0..51 {
        a.send(id(1), Channel::Datagram, vec![7; 100].into()).unwrap();
    }
    a.flush();
    let mut packets = std::mem::take(&mut *from_a.lock().unwrap());
    let (hops, at) = (b.hops.as_ref().unwrap(), Instant::now().into_std());
    let mut batch = Batch::new(Out::Each(EmulatedSocket::new(&network, 1)));
    let mut take = |packets: &mut [Vec<u8>]| {
        packets.iter_mut().for_each(|packet| hops.take(packet, address_of(0), at, &mut batch));
    };
    // The first sets aside what a thread needs once.
    take(&mut packets[..1]);
    let allocations = allocation_counter::measure(|| take(&mut packets[1..])).count_total;
    assert_eq!((allocations, b.switch_counts(id(2)).sent), (0, 51));
}

#[tokio::test(start_paused = true)]
async fn loss_delays_nothing() {
    // 8 voices on a link of 200 ms there and back that loses 5 % of its packets.
    const VOICES: u32 = 8;
    let one_way = Duration::from_millis(100);
    let path = PathProfile { loss: 0.05, ..PathProfile::clean(one_way) };
    let network = EmulatedNetwork::start(3, 1, |_, _| path);
    let ((mut a, _), (mut b, _)) = (emulated(&network, 1), emulated(&network, 2));
    connect(&mut a, &mut b, address_of(2)).await;
    settle((&mut a, 1), (&mut b, 2)).await;
    let (start, before) = (Instant::now(), by_quic(&a, 2));
    let (mut sent, mut added_ms) = (0, Vec::new());
    while start.elapsed() < Duration::from_secs(21) {
        for _ in 0..VOICES * u32::from(start.elapsed() < Duration::from_secs(20)) {
            let stamp = start.elapsed().as_micros() as u64;
            a.send(id(2), Channel::Datagram, [stamp.to_be_bytes().as_slice(), &[0; 100]].concat().into())
                .unwrap();
            sent += 1;
        }
        a.flush();
        let next_frame = Instant::now() + Duration::from_millis(20);
        while let Ok(event) = tokio::time::timeout_at(next_frame, next_event(&mut b)).await {
            if let LinkEvent::Datagram { bytes, at, .. } = event {
                let left = Duration::from_micros(u64::from_be_bytes(bytes[..8].try_into().unwrap()));
                let took = at.saturating_duration_since(start.into_std() + left);
                added_ms.push((took.saturating_sub(one_way)).as_secs_f64() * 1e3);
            }
        }
        let _ = timeout(Duration::ZERO, next_event(&mut a)).await;
    }
    added_ms.sort_by(f64::total_cmp);
    let (arrived, p99) = (added_ms.len(), added_ms[added_ms.len() * 99 / 100]);
    println!("{arrived} of {sent} arrived, {p99} ms later than the path at p99");
    assert!(p99 <= 20.0, "p99 {p99} ms");
    assert!((0.93..0.97).contains(&(arrived as f64 / f64::from(sent))), "{arrived} of {sent}");
    assert_eq!(by_quic(&a, 2), before, "all by the hop");
}

#[tokio::test]
async fn a_pair_arrives_as_close_as_it_left_and_longer_than_any_datagram() {
    let ((mut a, _), (mut b, addr)) = (link(1, Carrier::Hops), link(2, Carrier::Hops));
    connect(&mut a, &mut b, addr).await;
    let padded = || [1, 2].map(|i: u8| Bytes::from(vec![i; 1_400]));
    settle((&mut a, 1), (&mut b, 2)).await;
    a.send_pair(id(2), padded()).unwrap();
    let mut times = Vec::new();
    for i in [1, 2] {
        match next(&mut b).await {
            LinkEvent::Datagram { bytes, at, .. } => {
                assert_eq!((bytes.len(), bytes[0]), (1_400, i));
                times.push(at);
            }
            other => panic!("{other:?}"),
        }
    }
    assert!(times[0] <= times[1] && times[1] - times[0] < Duration::from_millis(20), "{times:?}");
    assert_eq!(
        a.send_pair(id(2), [Bytes::new(), vec![0; 2_000].into()]),
        Err(SendError::TooLong),
        "longer than a packet"
    );
}

#[tokio::test]
async fn no_more_leaves_than_the_budget_bears() {
    let ((mut a, _), (mut b, addr)) = (link(1, Carrier::Hops), link(2, Carrier::Hops));
    connect(&mut a, &mut b, addr).await;
    settle((&mut a, 1), (&mut b, 2)).await;
    // 100 ms at this rate are 10,000 bytes.
    a.set_budget(800_000);
    for _ in 0..200 {
        a.send(id(2), Channel::Datagram, vec![0; 925].into()).unwrap();
    }
    let arrived = live(&mut [&mut a, &mut b], Duration::from_millis(50)).await.len();
    let refused = a.switch_counts(id(2)).dropped as usize;
    assert!((9..=20).contains(&arrived), "{arrived}");
    assert_eq!(arrived + refused, 200);
}
