//! Every message of the swarm's, and that it survives the wire.

use rand::SeedableRng;

use super::*;
use crate::identity::NodeId;
use crate::pool::bandwidth::message::BANDWIDTH_MESSAGE_MAX;
use crate::pool::bandwidth::{self, BandwidthMessage};
use crate::pool::grant::{AUTHORITIES_MAX, AuthorityMark};
use crate::pool::peer::Place;
use crate::pool::records::RecordMessage;
use crate::pool::records::message::RECORD_MESSAGE_MAX;
use crate::pool::ring::message::tests::{peer, samples as ring_samples};
use crate::pool::ring::{Malformed, RING_MESSAGE_MAX, RingMessage};
use crate::pool::somo::{Ages, Delegation};
use crate::pool::somo::{BEACONS_MAX, Beacons, Content, Down, HELPERS_PER_CELL, Helper, Pace};
use crate::pool::somo::{HELPERS_MAX, HelperQuery, NEWS_MAX, PLACES_MAX, Question, SOMO_MESSAGE_MAX};

/// One of each kind, the largest of its kind.
pub(crate) fn samples() -> Vec<SwarmMessage> {
    let random = &mut StdRng::seed_from_u64(3);
    let (up_kbit_s, down_kbit_s) = (u32::MAX, 99_999_999);
    let of = AuthorityMark::of(NodeId([255; 32]));
    let offer = Offer { lends: true, free: [255; 3], up_kbit_s, down_kbit_s, of };
    let helpers = (0..BEACONS_MAX * HELPERS_PER_CELL).map(|_| Helper { peer: peer(random), offer });
    let (nodes, free) = (u32::MAX, [[u32::MAX; crate::pool::somo::BUCKETS]; 3]);
    let mut ages = Ages::default();
    (0..1_000).for_each(|i| ages.add(&Ages::now(), u32::MAX - i));
    ages.prune();
    let report = Report { nodes, lenders: nodes, ages, height: 255, free, helpers: helpers.collect() };
    let places = report.helpers.iter().map(|helper| helper.peer.place).take(BEACONS_MAX).collect();
    let (point, beacons) = (Position(u128::MAX), Some(Beacons { generation: 9, places }));
    let (number, region) = (u32::MAX, Region { level: 9, index: u64::MAX });
    let near = vec![Place([i16::MIN; 4]); PLACES_MAX];
    let of = vec![of; AUTHORITIES_MAX];
    let query = HelperQuery { near, within_ms: u16::MAX, degree: 255, priority: 3, most: 110, of };
    let helpers = report.helpers[..HELPERS_MAX].to_vec();
    let answer = Answer::Helpers { nodes: u32::MAX, age_ms: u32::MAX, helpers, kept: true };
    let news = News { origin: peer(random), number, region, payload: vec![255; NEWS_MAX] };
    let owner = Identity::from_seed([3; 32]);
    let delegation = Delegation {
        owner: owner.node_id(),
        delegate: peer(random),
        until_s: u64::MAX,
        signature: owner.sign(b"it"),
    };
    let somo = [
        SomoMessage::Regent { delegation: Box::new(delegation), beacons: Beacons::default() },
        SomoMessage::Vouch { of: Position(u128::MAX) },
        SomoMessage::Vouched { of: Position(1), kbit_s: u32::MAX },
        SomoMessage::Ask { number, region, question: Question::Helpers { query, keep_s: u16::MAX } },
        SomoMessage::Answer { number, answer },
        SomoMessage::Answer { number, answer: Answer::Report(Box::new(report.clone())) },
        SomoMessage::News(news),
        SomoMessage::Up {
            point,
            number: u32::MAX,
            round: u32::MAX,
            generation: 3,
            pace: Pace { held_ms: 9, children_ms: 9 },
            content: Content::Whole(Box::new(report)),
        },
        SomoMessage::Unknown { round: u32::MAX },
        SomoMessage::Down(Down { round: 4, has: 9, call: Some(u16::MAX), beacons }),
        SomoMessage::Astray { point },
        SomoMessage::Quit,
    ];
    let records = records::message::tests::samples().into_iter().map(SwarmMessage::Records);
    let ring = ring_samples().into_iter().map(SwarmMessage::Ring);
    let bandwidth = bandwidth::message::tests::samples().into_iter().map(SwarmMessage::Bandwidth);
    ring.chain(somo.map(SwarmMessage::Somo)).chain(records).chain(bandwidth).collect()
}

#[test]
fn messages_survive_the_wire_and_their_size_is_known_without_it() {
    for message in samples() {
        let bytes = message.encode();
        assert_eq!(SwarmMessage::decode(&bytes), Ok(message.clone()));
        assert_eq!(message.encoded_len(), bytes.len());
        let most = match message {
            SwarmMessage::Ring(_) => RING_MESSAGE_MAX,
            SwarmMessage::Somo(_) => SOMO_MESSAGE_MAX,
            SwarmMessage::Records(_) => RECORD_MESSAGE_MAX,
            SwarmMessage::Bandwidth(_) => BANDWIDTH_MESSAGE_MAX,
        };
        assert!(bytes.len() <= most, "{} bytes", bytes.len());
    }
    let random = &mut StdRng::seed_from_u64(8);
    let many = RingMessage::Rows((0..=ring::PEERS_MAX).map(|_| peer(random)).collect());
    let wanted = RecordMessage::Want(vec![Position(1); records::message::ENTRIES_MAX + 1]);
    let mut short = bandwidth::message::tests::samples();
    if let Some(BandwidthMessage::Pair(pair)) = short.first_mut() {
        pair.padding = bandwidth::Padding(10);
    }
    let short = SwarmMessage::Bandwidth(short[0]);
    for message in [SwarmMessage::Ring(many), SwarmMessage::Records(wanted), short] {
        assert_eq!(SwarmMessage::decode(&message.encode()), Err(Malformed), "too many, or too short");
    }
}
