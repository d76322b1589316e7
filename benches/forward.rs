//! The forwarding path of one node, as a state machine: no socket, no runtime. One helper carries an epoch whose tree
//! has a sender above it and some receivers below; packets come in as the link hands them in, and what is to be sent is
//! taken out again.
//!
//! Counts allocations, and fails above zero; measures the time of a packet, all its copies together. A packet is a slice
//! of a shared buffer, as QUIC hands it in; the counters of a link are made by its first packet, before the measurement.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod support;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use alm::identity::{Identity, NodeId, SessionId};
use alm::net::{Channel, LinkEvent};
use alm::node::{Input, Node, Output};
use alm::pool::somo::Offer;
use alm::pool::{Hello, Local, Place, PoolConfig, PoolMessage, Priority, Reach, Reservation, Whereabouts};
use alm::session::{Delegation, Installation, SessionMessage, Share, Signed, TreePart};
use alm::wire::Message;
use alm_media::{CaptureTime, MediaPacket, SourceIndex, TreeId};
use bytes::{Bytes, BytesMut};
use rand::SeedableRng;
use rand::rngs::StdRng;

use support::{Size, median, now};

const FAN_OUTS: [u32; 3] = [1, 5, 20];
const PACKET_LEN: usize = 100;
const TREE: TreeId = TreeId(7);

/// A helper with an active epoch, and who sends to it.
struct Helper {
    node: Node,
    sender: NodeId,
    now: Instant,
}

/// What came out: compared with what should, so that nothing is optimised away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
struct Sum {
    copies: u64,
    bytes: u64,
    receivers: u64,
}

impl Helper {
    fn new(fan_out: u32) -> Self {
        let now = now();
        let config = PoolConfig { degree: fan_out + 1, lends: true, ..PoolConfig::default() };
        let me = Arc::new(Identity::from_seed([1; 32]));
        let peers: Vec<Identity> = (0..=fan_out).map(|i| Identity::from_seed([i as u8 + 2; 32])).collect();
        let ids: Vec<NodeId> = peers.iter().map(Identity::node_id).collect();
        let (to, sender) = (me.node_id(), ids[0]);
        let mut helper =
            Self { node: Node::new(me, vec![], config, StdRng::seed_from_u64(1), now), sender, now };
        for peer in &ids {
            let addr = SocketAddr::from(([127, 0, 0, 1], 9));
            helper.node.handle(Input::Link(LinkEvent::Connected { peer: *peer, addr }), now);
            let here = Whereabouts {
                endpoint: addr.into(),
                local: Local::NONE,
                place: Place::UNKNOWN,
                reach: Reach::Unknown,
            };
            let (addrs, offer) = (vec![addr], Offer::default());
            let (observer, alone, answer) = (false, true, false);
            let (features, instance, seen) = (0, 1, addr);
            let hello = Hello { features, instance, addrs, here, seen, offer, observer, alone, answer };
            helper.tell(*peer, &Message::Pool(PoolMessage::Hello(hello)));
        }
        let key = Identity::from_seed([200; 32]);
        let session = SessionId::of(&key.node_id());
        let (priority, degrees, lease_ms) = (Priority::LOWEST, fan_out + 1, 60_000);
        let reservation = Reservation { request: 1, session, priority, degrees, lease_ms, grant: None };
        helper.tell(sender, &Message::Pool(PoolMessage::Reserve(reservation)));
        let part = TreePart {
            tree: TREE.0,
            shared: true,
            parent: Some(sender),
            children: ids[1..].to_vec(),
            backups: vec![],
            standby: vec![],
            detour: None,
            around: vec![],
        };
        let content = Installation { session, epoch: 1, share: Share::Part { to, trees: vec![part] } };
        let content = postcard::to_stdvec(&content).expect("an installation can be written");
        let signed = Signed::new(content, &peers[0], Delegation::new(&key, sender, 1));
        helper.tell(sender, &Message::Session(SessionMessage::Install { signed, contacts: vec![] }));
        helper.tell(sender, &Message::Session(SessionMessage::Activate { session, epoch: 1 }));
        while helper.node.poll_output().is_some() {}
        helper
    }

    fn tell(&mut self, from: NodeId, message: &Message) {
        let event = LinkEvent::Control { from, bytes: message.encode() };
        self.node.handle(Input::Link(event), self.now);
    }

    /// What is measured.
    fn forward(&mut self, packets: Vec<Bytes>) -> Sum {
        let mut sum = Sum::default();
        for bytes in packets {
            let event = LinkEvent::Datagram { from: self.sender, bytes, at: self.now };
            self.node.handle(Input::Link(event), self.now);
            while let Some(output) = self.node.poll_output() {
                if let Output::Send(to, Channel::Datagram, bytes) = output {
                    sum.copies += 1;
                    sum.bytes += bytes.len() as u64;
                    sum.receivers = sum.receivers.wrapping_add(u64::from(to.0[0]));
                }
            }
        }
        sum
    }
}

/// A round's packets of one talker, in one buffer: none that was there before, for such a one goes nowhere.
fn packets(count: usize, round: u64) -> Vec<Bytes> {
    let mut buffer = BytesMut::with_capacity(count * PACKET_LEN);
    for counter in (0..count as u64).map(|i| round * count as u64 + i) {
        let frame = &[0x55; PACKET_LEN - alm_media::HEADER_LEN];
        let (source, capture_time) = (SourceIndex(1), CaptureTime(counter as u32));
        MediaPacket { tree: TREE, source, counter, capture_time, priority: false, frame }.write(&mut buffer);
    }
    let buffer = buffer.freeze();
    (0..count).map(|i| buffer.slice(i * PACKET_LEN..(i + 1) * PACKET_LEN)).collect()
}

fn main() -> ExitCode {
    let Some(size) = Size::from_args("forward") else { return ExitCode::SUCCESS };
    let (rounds, count) = size.pick((3, 500), (51, 20_000));
    let control = allocation_counter::measure(|| drop(std::hint::black_box(Vec::<u8>::with_capacity(100))));
    assert_eq!(control.count_total, 1, "allocations are counted");
    println!("{}", size.headline("forward"));
    println!("one helper, packets of {PACKET_LEN} bytes, median of {rounds} rounds of {count} packets\n");
    println!("fan-out   allocations/packet   ns/packet   ns/copy");
    let mut failed = false;
    for fan_out in FAN_OUTS {
        let mut helper = Helper::new(fan_out);
        let expected = helper.forward(packets(count, 0));
        assert_eq!(expected.copies, u64::from(fan_out) * count as u64, "every packet goes to every receiver");
        let mut nanos = Vec::new();
        let mut allocations = 0;
        for i in 0..rounds as u64 {
            let round = packets(count, 2 * i + 1);
            let began = now();
            let sum = helper.forward(round);
            nanos.push((now() - began).as_nanos() as f64 / count as f64);
            assert_eq!(sum, expected, "every round forwards the same");
            let round = packets(count, 2 * i + 2);
            allocations +=
                allocation_counter::measure(|| assert_eq!(helper.forward(round), expected)).count_total;
        }
        let each = allocations as f64 / (rounds * count) as f64;
        let nanos = median(nanos);
        println!("{fan_out:7}   {each:18.4}   {nanos:9.0}   {:7.1}", nanos / f64::from(fan_out));
        failed |= allocations > 0;
    }
    if failed {
        println!("\nFAILED: forwarding a packet allocates");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
