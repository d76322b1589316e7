//! What strangers' bytes meet first, as plain functions: each takes any bytes, and all that it may do is return.
//!
//! `fuzz/` drives them with coverage for as long as one likes (`cargo +nightly fuzz run swarm_message`); the tests below
//! drive the same functions with the stable compiler, on real messages that were damaged, and on noise.

use std::str::FromStr;
use std::time::Duration;

use alm_media::{MediaPacket, peek_tree};
use alm_planner::parse_matrix;
use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::identity::{NodeId, Position};
use crate::pool::bandwidth::BandwidthConfig;
use crate::pool::records::RecordsConfig;
use crate::pool::ring::RingConfig;
use crate::pool::somo::SomoConfig;
use crate::pool::swarm::{Input, SwarmMessage, SwarmNode};
use crate::pool::{Moment, Peer};
use crate::session::Invite;
use crate::wire::Message;

/// One of them.
pub type Target = fn(&[u8]);

/// All of them by name, which is that of their target in `fuzz/` too.
pub const TARGETS: [(&str, Target); 6] = [
    ("control_message", control_message),
    ("swarm_message", swarm_message),
    ("swarm_node", swarm_node),
    ("media_packet", media_packet),
    ("invite", invite),
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

/// Messages that one run gives to a node.
const TURNS_MAX: usize = 64;
/// The byte of length counts in these.
const LENGTH_STEP: usize = 6;
/// Messages that a node may send for each that comes: a row of the table for each of its 32 digits, a leaf set asked, retries.
const SENT_MAX: usize = 128;

#[cfg(test)]
mod tests {
    use rand::{Rng, RngExt};

    use super::*;
    use crate::pool::swarm::tests::samples;

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
