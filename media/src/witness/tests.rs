//! A voice heard by a member who checks it.

use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};

use super::*;
use crate::envelope::Envelope;
use crate::level::Level;
use crate::packet::{CaptureTime, TreeId};
use crate::testing::origin;
use crate::vouch::Sign;

const SOURCE: SourceIndex = SourceIndex(3);
const SALT: [u8; 16] = [2; 16];

fn key() -> SenderKey {
    SenderKey::derive(b"s", &[1; 32], &SALT)
}

/// A key pair, as its public half and what signs by it.
fn signer() -> ([u8; 32], Sign) {
    let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
    let pair = Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap();
    let author = pair.public_key().as_ref().try_into().unwrap();
    (author, Box::new(move |message| pair.sign(message).as_ref().try_into().unwrap()))
}

/// A member who listens to [`SOURCE`], and the time.
struct Ear {
    opener: Opener,
    witness: Witness,
    now: Instant,
    played: usize,
}

impl Ear {
    fn new(author: [u8; 32]) -> Self {
        let witness = Witness::new(SOURCE, &key(), author, SALT);
        Self { opener: Opener::new(&key(), SOURCE), witness, now: origin(), played: 0 }
    }

    fn take(&mut self, packet: &[u8]) {
        let packet = MediaPacket::parse(packet).unwrap();
        if packet.source.is_companion() {
            if let Some(next) = self.witness.on_digest(&packet, self.now) {
                self.opener.go_on_from(next);
            }
        } else if self.opener.open(&packet).is_ok() && self.witness.on_frame(&packet, self.now) {
            self.played += 1;
        }
    }

    fn standing(&self) -> Standing {
        self.witness.stats().standing
    }
}

/// So many frames of 20 ms, and digests between them.
fn say(envelope: &mut Envelope, at: &mut u32, frames: usize) -> Vec<bytes::Bytes> {
    say_so(envelope, at, frames, b"true")
}

fn say_so(envelope: &mut Envelope, at: &mut u32, frames: usize, what: &[u8]) -> Vec<bytes::Bytes> {
    let mut packets = Vec::new();
    for _ in 0..frames {
        let level = Level::decibels_below(20);
        envelope.packet(level, what, CaptureTime(*at), &[TreeId(1)], &mut packets).unwrap();
        *at = at.wrapping_add(960);
    }
    packets
}

fn hear(ear: &mut Ear, packets: &[bytes::Bytes], keep: impl Fn(usize, bool) -> bool) {
    for (at, packet) in packets.iter().enumerate() {
        let is_digest = MediaPacket::parse(packet).unwrap().source.is_companion();
        if !is_digest {
            ear.now += Duration::from_millis(20);
        }
        if keep(at, is_digest) {
            ear.take(packet);
        }
    }
}

#[test]
fn a_voice_is_confirmed_also_when_some_of_it_is_lost() {
    let (author, sign) = signer();
    let (mut ear, mut at) = (Ear::new(author), u32::MAX - 99_999);
    let mut envelope = Envelope::new(SOURCE, &key()).vouched(&key(), SALT, sign);
    let packets = say(&mut envelope, &mut at, 40);
    hear(&mut ear, &packets, |_, _| true);
    assert_eq!((ear.standing(), ear.played), (Standing::Confirmed, 40));
    // Every fifth packet is lost, and every other digest, and frames were skipped by the sender.
    envelope.skip(7);
    let packets = say(&mut envelope, &mut at, 500);
    hear(&mut ear, &packets, |i, is_digest| if is_digest { i / 26 % 2 == 0 } else { i % 5 != 0 });
    let stats = ear.witness.stats();
    assert_eq!((stats.standing, stats.contradicted, stats.bad_digests), (Standing::Confirmed, 0, 0));
    assert!(stats.confirmed > 380, "{stats:?}");
    // A pause of a minute, and a new key.
    at = at.wrapping_add(60 * 48_000);
    ear.now += Duration::from_secs(60);
    let next = SenderKey::derive(b"t", &[1; 32], &SALT).with_tag(1);
    envelope.set_key(&next);
    ear.opener.set_keys(std::slice::from_ref(&next));
    ear.witness.set_keys(std::slice::from_ref(&next));
    let packets = say(&mut envelope, &mut at, 100);
    hear(&mut ear, &packets, |_, _| true);
    assert_eq!(ear.standing(), Standing::Confirmed);
    assert_eq!(ear.witness.stats().contradicted, 0);
}

#[test]
fn a_voice_that_vouches_for_nothing_is_shown_and_then_silent() {
    let (author, sign) = signer();
    let (mut ear, mut at) = (Ear::new(author), 0);
    let mut envelope = Envelope::new(SOURCE, &key()).vouched(&key(), SALT, sign);
    let mut standing = Vec::new();
    for _ in 0..12 {
        let packets = say(&mut envelope, &mut at, 50);
        hear(&mut ear, &packets, |_, is_digest| !is_digest);
        standing.push(ear.standing());
    }
    assert_eq!(standing[..3], [Standing::New; 3]);
    assert_eq!(standing[3..10], [Standing::Unconfirmed; 7]);
    assert_eq!(standing[10..], [Standing::Silenced; 2]);
    assert!((500..=503).contains(&ear.played), "{}", ear.played);
    let packets = say(&mut envelope, &mut at, 60);
    hear(&mut ear, &packets, |_, _| true);
    assert_eq!(ear.standing(), Standing::Confirmed, "and heard again once it vouches");
}

#[test]
fn the_time_in_which_a_voice_was_cut_off_is_not_held_against_it() {
    let (author, sign) = signer();
    let (mut ear, mut at) = (Ear::new(author), 0);
    let mut envelope = Envelope::new(SOURCE, &key()).vouched(&key(), SALT, sign);
    hear(&mut ear, &say(&mut envelope, &mut at, 60), |_, _| true);
    ear.now += Duration::from_secs(15);
    hear(&mut ear, &say(&mut envelope, &mut at, 50), |_, is_digest| !is_digest);
    assert_eq!((ear.standing(), ear.played), (Standing::Confirmed, 110));
}

#[test]
fn a_member_who_speaks_as_another_is_found_out() {
    let (author, sign) = signer();
    let (mut ear, mut at) = (Ear::new(author), 0);
    let mut envelope = Envelope::new(SOURCE, &key()).vouched(&key(), SALT, sign);
    // Every member has the key, and nobody but the source its signature.
    let mut forger = Envelope::new(SOURCE, &key()).vouched(&key(), SALT, signer().1);
    let packets = say(&mut envelope, &mut at, 100);
    hear(&mut ear, &packets, |_, _| true);
    assert_eq!(ear.standing(), Standing::Confirmed);
    // The next frames, before the source sends them; and digests that the forger signs.
    forger.skip(100);
    let mut ahead = at;
    let forged = say_so(&mut forger, &mut ahead, 30, b"false");
    hear(&mut ear, &forged, |_, _| true);
    assert!(ear.witness.stats().bad_digests > 0);
    let packets = say(&mut envelope, &mut at, 30);
    hear(&mut ear, &packets, |_, _| true);
    let stats = ear.witness.stats();
    assert_eq!(stats.standing, Standing::Silenced, "{stats:?}");
    assert!(stats.contradicted > 10, "{stats:?}");
    let packets = say(&mut envelope, &mut at, 200);
    hear(&mut ear, &packets, |_, _| true);
    assert_eq!(ear.standing(), Standing::Confirmed, "the forger has given up");
}

#[test]
fn frames_from_far_ahead_do_not_lock_their_source_out() {
    let (author, sign) = signer();
    let (mut ear, mut at) = (Ear::new(author), 0);
    let mut envelope = Envelope::new(SOURCE, &key()).vouched(&key(), SALT, sign);
    let packets = say(&mut envelope, &mut at, 100);
    hear(&mut ear, &packets, |_, _| true);
    let mut forger = Envelope::new(SOURCE, &key());
    forger.skip(1_000_000);
    let mut ahead = at;
    hear(&mut ear, &say_so(&mut forger, &mut ahead, 5, b"false"), |_, _| true);
    let mut standing = Vec::new();
    for _ in 0..6 {
        let packets = say(&mut envelope, &mut at, 50);
        hear(&mut ear, &packets, |_, _| true);
        standing.push(ear.standing());
    }
    assert!(standing.contains(&Standing::Silenced), "{standing:?}");
    assert_eq!(standing.last(), Some(&Standing::Confirmed), "{standing:?}");
    assert_eq!(ear.witness.stats().contradicted, 5);
}

#[test]
fn digests_of_others_and_of_other_calls_say_nothing() {
    let (author, sign) = signer();
    let mut ear = Ear::new(author);
    let (salt, mut at) = ([9; 16], 0);
    let mut before = Envelope::new(SOURCE, &key()).vouched(&key(), salt, sign);
    hear(&mut ear, &say(&mut before, &mut at, 60), |_, is_digest| is_digest);
    assert_eq!(ear.witness.stats().bad_digests, 2);
}

proptest::proptest! {
    #[test]
    fn any_bytes_are_a_digest_or_none(plain in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..800)) {
        proptest::prop_assert_eq!(read(&plain, &[1; 32], &SALT, SOURCE), None);
    }
}
