//! What strangers' bytes meet first, as plain functions: each takes any bytes, and all that it may do is return.
//!
//! `fuzz/` drives them with coverage for as long as one likes (`cargo +nightly fuzz run swarm_message`); the tests below
//! drive the same functions with the stable compiler, on real messages that were damaged, and on noise.

use std::str::FromStr;
use std::time::{Duration, Instant};

use alm_media::{
    CaptureTime, Carried, Envelope, Level, Listener, MediaPacket, PAYLOAD_MAX, Repair, SenderKey,
    SourceIndex, TreeId, Witness, peek_tree,
};
use alm_planner::parse_matrix;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::identity::{Identity, NodeId, Position, SessionId};
use crate::net;
use crate::pool::bandwidth::BandwidthConfig;
use crate::pool::records::record::Claim;
use crate::pool::records::{Record, RecordsConfig};
use crate::pool::ring::RingConfig;
use crate::pool::somo::SomoConfig;
use crate::pool::swarm::{Input, SwarmMessage, SwarmNode};
use crate::pool::{Grant, Moment, Peer};
use crate::session::{
    CHAT_TEXT_MAX, Chat, Delegation, ENTRY_POINTS_MAX, Installation, Invite, Line, Rules, SessionRecord,
    Share, Signed,
};
use crate::wire::Message;

/// One of them.
pub type Target = fn(&[u8]);

/// All of them by name, which is that of their target in `fuzz/` too.
pub const TARGETS: [(&str, Target); 15] = [
    ("control_message", control_message),
    ("swarm_message", swarm_message),
    ("swarm_node", swarm_node),
    ("media_packet", media_packet),
    ("media_repair", media_repair),
    ("opus_payload", opus_payload),
    ("digest", digest),
    ("udp_packet", udp_packet),
    ("installation", installation),
    ("rules", rules),
    ("chat", chat),
    ("session_record", session_record),
    ("invite", invite),
    ("grant", grant),
    ("matrix", matrix),
];

/// A message on a control stream. What it is taken for survives the wire.
pub fn control_message(bytes: &[u8]) {
    if let Ok(message) = Message::decode(bytes) {
        let again = Message::decode(&message.encode()).map(|again| again.encode());
        assert_eq!(again, Ok(message.encode()));
    }
}

/// A message between pool nodes: of the ring, of SOMO, about records, a pair of packets.
pub fn swarm_message(bytes: &[u8]) {
    if let Ok(message) = SwarmMessage::decode(bytes) {
        assert_eq!(message.encoded_len(), message.encode().len());
        assert_eq!(SwarmMessage::decode(&message.encode()), Ok(message));
    }
}

/// A pool node among strangers: each message is a byte of length, a byte of who and when, and the message. Nothing that they
/// say makes it answer without bound.
pub fn swarm_node(bytes: &[u8]) {
    let peer = |who: u8| Peer::new(NodeId([who; 32]), ([10, 0, 0, who], 4_433).into());
    let (ring, somo, records) = (RingConfig::default(), SomoConfig::default(), RecordsConfig::default());
    let chance = StdRng::seed_from_u64(1);
    let mut node = SwarmNode::new(peer(0), ring, somo, records, 1_000, chance, Moment::ZERO);
    node.measure_line(BandwidthConfig::default(), 0.5, Moment::ZERO);
    let (mut rest, mut now, mut sent) = (bytes, Moment::ZERO, 0_usize);
    for turn in 0..TURNS_MAX {
        let Some(([length, who], others)) = rest.split_first_chunk() else { break };
        let length = usize::from(*length) * LENGTH_STEP;
        let (message, others) = others.split_at(length.min(others.len()));
        rest = others;
        now = now + Duration::from_millis(u64::from(who >> 3) * 20);
        if let Ok(message) = SwarmMessage::decode(message) {
            node.handle(Input::Message(peer(1 + (who & 7)), message), now);
        } else {
            node.lookup(Position(turn as u128), now);
        }
        if node.poll_timeout() <= now {
            node.handle(Input::Timeout, now);
        }
        while node.poll_transmit().is_some() {
            sent += 1;
            assert!(sent <= (turn + 1) * SENT_MAX, "{sent} messages after {turn} turns");
        }
        while node.poll_event().is_some() {}
    }
}

/// What a member seals in place of Opus: it is sealed as a voice is, so that it comes as far as the decoder. The bytes are cut
/// into payloads by a byte of length each; every other one is lost. What is played is numbers, and no louder than full scale.
pub fn opus_payload(bytes: &[u8]) {
    let key = SenderKey::derive(b"secret", &[1; 32], &[2; 16]);
    let (mut envelope, mut listener) = (Envelope::new(SourceIndex(1), &key), Listener::new());
    let added = listener.add_source(SourceIndex(1), &key);
    assert_eq!(added, Ok(()), "the first one has room");
    let (mut rest, mut now, mut pcm) = (bytes, start(), [0.0; 960]);
    for turn in 0..TURNS_MAX as u32 {
        let Some((length, others)) = rest.split_first() else { break };
        let (payload, others) = others.split_at(usize::from(*length).min(others.len()));
        rest = others;
        let (level, mut packets) = (Level::from_byte(*length), Vec::new());
        let sealed = envelope.packet(level, payload, CaptureTime(turn * 960), &[TreeId(1)], &mut packets);
        assert_eq!(sealed, Ok(()), "256 bytes fit");
        if length % 2 == 0 {
            let _ = listener.push(&packets[0], now);
        }
        now += Duration::from_millis(20);
        listener.pull(now, &mut pcm);
        assert!(pcm.iter().all(|sample| sample.abs() <= 1.0), "{pcm:?}");
    }
}

/// What a member seals in place of a digest of its frames: nobody but the speaker's own key confirms them.
pub fn digest(bytes: &[u8]) {
    let (key, source) = (SenderKey::derive(b"secret", &[1; 32], &[2; 16]), SourceIndex(1));
    let (mut envelope, mut packets) = (Envelope::new(source.companion(), &key), Vec::new());
    let bytes = &bytes[..bytes.len().min(PAYLOAD_MAX)];
    // The envelope's first byte is a digest's as well.
    let (level, rest) = bytes.split_first().map_or((0, bytes), |(first, rest)| (*first, rest));
    let sealed = envelope.packet(Level::from_byte(level), rest, CaptureTime(0), &[TreeId(1)], &mut packets);
    assert_eq!(sealed, Ok(()), "it was cut to fit");
    let mut witness = Witness::new(source, &key, [7; 32], [2; 16]);
    if let Ok(packet) = MediaPacket::parse(&packets[0]) {
        assert_eq!(witness.on_digest(&packet, start()), None);
    }
    assert_eq!((witness.stats().confirmed, witness.stats().bad_digests), (0, 1));
}

/// A media packet, as a relay and as an ear read it.
pub fn media_packet(bytes: &[u8]) {
    let tree = peek_tree(bytes);
    if let Ok(packet) = MediaPacket::parse(bytes) {
        assert_eq!(tree, Some(packet.tree));
        let mut again = Vec::with_capacity(packet.len());
        packet.write(&mut again);
        assert_eq!(MediaPacket::parse(&again), Ok(packet));
    }
}

/// A peer's media packets, requests for lost ones and reports of loss, as one node after the other: a byte of length, a byte
/// of who, and the datagram. What is repeated for it stays within bounds.
pub fn media_repair(bytes: &[u8]) {
    let (mut node, mut rest, mut now) = (Repair::new(), bytes, start());
    for _ in 0..TURNS_MAX {
        let Some(([length, who], others)) = rest.split_first_chunk() else { break };
        let (datagram, others) = others.split_at(usize::from(*length).min(others.len()));
        rest = others;
        now += Duration::from_millis(u64::from(who >> 3));
        let (mut told, mut repeated) = (0, 0);
        let carried = Carried { datagram, came_by: Some(who & 7), copies: 3, is_heard: true };
        node.on_packet(carried, now, &mut |_, _| told += 1);
        node.on_told(datagram, now, |_, _| true, &mut |_| repeated += 1);
        assert!(told <= TOLD_MAX && repeated <= ASKED_MAX, "{told} told, {repeated} repeated");
    }
}

/// A UDP packet beside QUIC, and a datagram that asks for a detour.
pub fn udp_packet(bytes: &[u8]) {
    assert!(net::survives(bytes));
}

/// What a task manager has signed for a node: its part of the trees, and the plan.
pub fn installation(bytes: &[u8]) {
    if let Ok(installation) = postcard::from_bytes::<Installation>(bytes) {
        let encode = |it: &Installation| postcard::to_stdvec(it).unwrap_or_default();
        let again = postcard::from_bytes::<Installation>(&encode(&installation));
        assert_eq!(again.map(|again| encode(&again)), Ok(encode(&installation)));
        if let Share::Plan(news, _) = installation.share
            && let Some(plan) = news.read(std::iter::empty())
            && plan.check().is_ok()
        {
            assert!(plan.parts_of(plan.root).len() <= plan.trees.len());
        }
    }
}

/// What a task manager has signed as rules. What is taken for rules is what it would sign again.
pub fn rules(bytes: &[u8]) {
    let [key, host] = [1, 2].map(|seed| Identity::from_seed([seed; 32]));
    let (session, delegation) = (SessionId::of(&key.node_id()), Delegation::new(&key, host.node_id(), 1));
    if let Some(rules) = Rules::read(&Signed::new(bytes.to_vec(), &host, delegation.clone()), session) {
        let again = Rules::read(&rules.signed(session, &host, &delegation), session);
        assert_eq!(again.as_ref(), Some(&rules));
        assert!(rules.banned.iter().all(|node| rules.bans(*node)));
    }
}

/// What a member seals as lines that were written. None is shown that its author has not signed.
pub fn chat(bytes: &[u8]) {
    if let Ok(lines) = postcard::from_bytes::<Vec<Line>>(bytes) {
        let (mut chat, count) = (Chat::default(), lines.len());
        let author = Identity::from_seed([1; 32]).node_id();
        let news = chat.take(lines, SessionId([8; 20]), |node| node == author);
        assert!(news.len() <= count && news.iter().all(|line| line.author == author));
        assert!(news.iter().all(|line| (1..=CHAT_TEXT_MAX).contains(&line.text.len())));
        assert!(chat.of(author).len() <= news.len());
    }
}

/// What somebody who has a session's id keeps in the pool as that session's record: nothing is believed that the session's own
/// key has not signed.
pub fn session_record(bytes: &[u8]) {
    let key = Identity::from_seed([1; 32]);
    let (session, secret) = (SessionId::of(&key.node_id()), [3; 16]);
    let object = SessionRecord::seal_bytes(bytes.to_vec(), session, &secret);
    let (owner, name, payload) = (object.owner.node_id(), object.name, Some(object.payload));
    let claim = Claim { owner, name, version: 1, expires_s: 900, payload };
    if let Some(found) = SessionRecord::open(&Record::sign(claim, &object.owner), session, &secret) {
        assert_eq!(found.delegation.session(), Some(session));
        assert!(found.addrs.len() <= ENTRY_POINTS_MAX);
    }
}

/// What `alm grant` prints and people type. Only an authority can have made it.
pub fn grant(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(grant) = Grant::from_str(text)
    {
        assert!(grant.is_genuine());
        assert_eq!(Grant::from_str(&grant.to_string()), Ok(grant));
    }
}

/// What `alm host` prints and people type.
pub fn invite(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(invite) = Invite::from_str(text)
    {
        let again = Invite::from_str(&invite.to_string()).map(|again| again.to_string());
        assert_eq!(again.ok(), Some(invite.to_string()));
    }
}

/// A recorded latency matrix in any of its formats.
pub fn matrix(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = parse_matrix(text, None, None);
    }
}

#[expect(clippy::disallowed_methods, reason = "any instant will do: only what passes since counts")]
fn start() -> Instant {
    Instant::now()
}

/// Messages that one run gives to a node.
const TURNS_MAX: usize = 64;
/// The byte of length counts in these.
const LENGTH_STEP: usize = 6;
/// Messages that a node may send for each that comes: a row of the table for each of its 32 digits, a leaf set asked, retries.
const SENT_MAX: usize = 128;

/// Packets that one request may name: one, and those of the sixteen after it.
const ASKED_MAX: usize = 17;
/// What one packet makes a node say to whom it came from: a request, and a report.
const TOLD_MAX: usize = 2;

#[cfg(test)]
mod tests {
    use alm_planner::Objective;
    use rand::{Rng, RngExt};

    use super::*;
    use crate::pool::Priority;
    use crate::pool::swarm::tests::samples;
    use crate::session::{Graft, PlanNews, PlanTree, SessionPlan};

    fn packet(counter: u64) -> Vec<u8> {
        let (capture_time, frame) = (CaptureTime(counter as u32), [3; 50].as_slice());
        let packet = MediaPacket {
            tree: TreeId(9),
            source: SourceIndex(1),
            counter,
            capture_time,
            priority: false,
            frame,
        };
        let mut bytes = Vec::new();
        packet.write(&mut bytes);
        bytes
    }

    /// Valid input for each target, to be damaged.
    fn seeds(target: &str) -> Vec<Vec<u8>> {
        match target {
            "swarm_message" => samples().iter().map(|message| message.encode().to_vec()).collect(),
            "swarm_node" => {
                let random = &mut StdRng::seed_from_u64(2);
                let framed = |message: SwarmMessage, random: &mut StdRng| {
                    let mut bytes = message.encode().to_vec();
                    bytes.resize(bytes.len().next_multiple_of(LENGTH_STEP), 0);
                    let steps = u8::try_from(bytes.len() / LENGTH_STEP).ok()?;
                    Some([&[steps, random.random()], bytes.as_slice()].concat())
                };
                let talk = |random: &mut StdRng| {
                    samples()
                        .into_iter()
                        .filter_map(|message| framed(message, random))
                        .collect::<Vec<_>>()
                        .concat()
                };
                vec![talk(random), talk(random), talk(random)]
            }
            "matrix" => {
                vec![b"# name: it\n0 5 7\n5 0 -1\n7 nan 0\n".to_vec(), b"1 2 500\n2 3 700\n".to_vec()]
            }
            "media_packet" => vec![packet(7)],
            "media_repair" => {
                let framed = |counter: u64| {
                    let bytes = packet(counter);
                    [&[bytes.len() as u8, 16], bytes.as_slice()].concat()
                };
                vec![[1, 2, 9, 4, 12].map(framed).concat()]
            }
            "udp_packet" => {
                [0x80, 0x81, 0x7a, 0x7b].map(|first| [&[first], [5; 60].as_slice()].concat()).into()
            }
            "installation" => {
                let name = |node: u8| NodeId([node; 32]);
                let edges = vec![(name(1), name(2)), (name(2), name(3))];
                let tree = PlanTree {
                    tree: 9,
                    sources: vec![name(1)],
                    edges,
                    backups: Vec::new(),
                    detours: Vec::new(),
                    shared: false,
                };
                let plan = SessionPlan {
                    epoch: 4,
                    objective: Objective::Forest,
                    root: name(1),
                    trees: vec![tree],
                    helpers: vec![name(3)],
                    worst_ms: 80.0,
                    height_ms: 70.0,
                    diameter_ms: 90.0,
                    is_guess: false,
                    planned_us: 12,
                    probes: 0,
                    reason: "joined".to_owned(),
                };
                let (session, epoch) = (SessionId([8; 20]), plan.epoch);
                let part = Share::Part { to: name(2), trees: plan.parts_of(name(2)) };
                let (node, parent, backup) = (name(7), name(1), Some(name(2)));
                let graft = Graft { node, parent, backup, worst_ms: 90.0 };
                let shares = [part, Share::Plan(PlanNews::Whole(plan), vec![graft]), Share::Graft(graft)];
                shares
                    .map(|share| postcard::to_stdvec(&Installation { session, epoch, share }).unwrap())
                    .into()
            }
            "rules" => {
                let [key, host] = [1, 2].map(|seed| Identity::from_seed([seed; 32]));
                let banned = vec![NodeId([5; 32]), NodeId([6; 32])];
                let rules = Rules { version: 3, locked: true, quiet: false, banned };
                let delegation = Delegation::new(&key, host.node_id(), 1);
                vec![rules.signed(SessionId::of(&key.node_id()), &host, &delegation).content]
            }
            "chat" => {
                let (author, session) = (Identity::from_seed([1; 32]), SessionId([8; 20]));
                let mut chat = Chat::default();
                let mut say = |text| chat.say(&author, session, text, 1_000).unwrap();
                vec![postcard::to_stdvec(&vec![say("good morning"), say("anybody here?")]).unwrap()]
            }
            "session_record" => {
                let [key, host] = [1, 2].map(|seed| Identity::from_seed([seed; 32]));
                let delegation = Delegation::new(&key, host.node_id(), 1);
                let addrs = vec!["192.0.2.1:4433".parse().unwrap(); 3];
                vec![postcard::to_stdvec(&SessionRecord { delegation, addrs }).unwrap()]
            }
            "grant" => {
                let authority = Identity::from_seed([1; 32]);
                vec![Grant::new(&authority, NodeId([2; 32]), Priority::LOWEST, 9).to_string().into_bytes()]
            }
            _ => vec![vec![0; 40], vec![1; 90]],
        }
    }

    #[test]
    fn nothing_that_strangers_send_does_harm() {
        let random = &mut StdRng::seed_from_u64(4);
        for (name, target) in TARGETS {
            for seed in seeds(name) {
                target(&seed);
                for _ in 0..60 {
                    let mut bytes = seed.clone();
                    for _ in 0..random.random_range(1..4) {
                        let at = random.random_range(0..bytes.len());
                        match random.random_range(0..3) {
                            0 => bytes[at] ^= 1 << random.random_range(0..8),
                            1 => bytes[at] = random.random(),
                            _ => bytes.truncate(at.max(1)),
                        }
                    }
                    target(&bytes);
                }
            }
            for _ in 0..500 {
                let mut noise = vec![0; random.random_range(0..300)];
                random.fill_bytes(&mut noise);
                target(&noise);
            }
        }
    }

    #[test]
    fn every_target_is_in_the_fuzz_workspace() {
        let manifest = include_str!("../fuzz/Cargo.toml");
        for (name, _) in TARGETS {
            assert!(manifest.contains(&format!("fuzz_targets/{name}.rs")), "{name}");
        }
    }
}
