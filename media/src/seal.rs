//! Frames that only members can read, forge or replay: SFrame (RFC 9605) with AES_128_GCM_SHA256_128.
//!
//! Each sender has a key of its own, derived from the session's secret, the sender's identity and a salt
//! that the sender draws afresh for every [`Sealer`] and publishes in the roster. The nonce is the source
//! counter (RFC 9605, section 4.4.3), so the salt is what keeps a restarted sender, which counts from zero
//! again, from using a nonce twice under one key. The secret comes from the group's epoch ([`crate::Group`]);
//! the key id is the epoch's tag and the source's index, so that keys of two epochs live side by side while a
//! change is under way. Counters go on over a change of keys, and so does the replay window.

use ring::hkdf;
use sframe::CipherSuite;
use sframe::frame::{EncryptedFrameView, MediaFrameView, SingleUseCounter};
use sframe::key::{DecryptionKey, EncryptionKey};

use crate::level::LEVEL_LEN;
use crate::packet::{COUNTER_MAX, METADATA_LEN, MediaPacket, PAYLOAD_MAX, SourceIndex};

/// How far behind the newest frame an older one may come and still be opened, in frames: 5 s of 20 ms.
pub const REPLAY_WINDOW: u64 = 256;

/// Keys of one source side by side: the present epoch's, those before it whose packets may still be under way (members may
/// come several times a second), and the other side's after a partition.
pub const KEYS_MAX: usize = 6;

/// What is sealed at most: a level and a frame.
const SEALED_MAX: usize = LEVEL_LEN + PAYLOAD_MAX;

const SUITE: CipherSuite = CipherSuite::AesGcm128Sha256;
const KEY_LABEL: &[u8] = b"alm sender key v1";
const KEY_LEN: usize = 32;

/// One sender's base key. Gives the sender away to who holds it; not printed by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct SenderKey {
    base: [u8; KEY_LEN],
    tag: u8,
}

impl SenderKey {
    /// Derives a sender's key with HKDF-SHA256 (RFC 5869) from the session's `secret` (of any length; its
    /// holders are the members), the sender's node id and the sender's `salt`, which must be new random
    /// bytes whenever the sender makes a [`Sealer`].
    pub fn derive(secret: &[u8], sender: &[u8; 32], salt: &[u8; 16]) -> Self {
        let mut key = [0; KEY_LEN];
        hkdf::Salt::new(hkdf::HKDF_SHA256, salt)
            .extract(secret)
            .expand(&[KEY_LABEL, sender], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut key))
            .expect("one hash length of output is always within HKDF's limit of 255");
        Self { base: key, tag: 0 }
    }

    /// The same, of the epoch with that tag ([`crate::Group::tag`]). Default 0.
    #[must_use]
    pub fn with_tag(self, tag: u8) -> Self {
        Self { tag, ..self }
    }

    /// Itself, for who seals or opens elsewhere.
    pub fn base(&self) -> &[u8; KEY_LEN] {
        &self.base
    }

    /// Its number in a frame of `source`: tag and source in one (RFC 9605, section 5.2, has epoch and index so).
    pub fn id(&self, source: SourceIndex) -> u64 {
        u64::from(self.tag) << 16 | u64::from(source.0)
    }
}

impl std::fmt::Debug for SenderKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SenderKey(..)")
    }
}

/// Why a frame cannot be sealed. Nothing was sealed, and the sealer is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The counter does not grow or is above [`COUNTER_MAX`]: sealing would use a nonce twice.
    #[error("source counter {0} was used before or is out of range")]
    Counter(u64),
    /// The payload, its level included, is longer than fits a packet.
    #[error("a payload of {0} bytes is longer than {SEALED_MAX}")]
    TooLong(usize),
}

/// Why a frame is not opened. The opener is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// The frame names a source other than the one that this opener is for.
    #[error("a frame of an unknown source")]
    UnknownSource,
    /// The frame is of an epoch whose key is not, or not any more, known.
    #[error("a frame under an unknown key")]
    UnknownKey,
    /// The frame, or the header that travels with it, is not what the source sealed.
    #[error("a frame that its source did not seal")]
    Tampered,
    /// Proved, but opened before, or older than [`REPLAY_WINDOW`] frames.
    #[error("a frame that was opened before or is too old to tell")]
    Replayed,
}

/// Seals the frames of one source.
pub struct Sealer {
    key: EncryptionKey,
    counter_next: u64,
}

impl Sealer {
    /// A sealer for `source`.
    pub fn new(key: &SenderKey, source: SourceIndex) -> Self {
        Self { key: Self::derive(key, source), counter_next: 0 }
    }

    /// Seals by another key from now on; counters go on.
    pub fn set_key(&mut self, key: &SenderKey, source: SourceIndex) {
        self.key = Self::derive(key, source);
    }

    fn derive(key: &SenderKey, source: SourceIndex) -> EncryptionKey {
        EncryptionKey::derive_from(SUITE, key.id(source), key.base)
            .expect("the cipher suite is built in and its key lengths are within HKDF's limit")
    }

    /// Puts the SFrame frame (header, ciphertext, tag) for `payload` into `out`, replacing what was there.
    /// `metadata` is authenticated along with it. Counters must grow from call to call.
    ///
    /// # Errors
    /// The counter does not grow or is out of range, or the payload is too long.
    pub fn seal(
        &mut self,
        counter: u64,
        metadata: &[u8],
        payload: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), SealError> {
        if counter < self.counter_next || counter > COUNTER_MAX {
            return Err(SealError::Counter(counter));
        }
        if payload.len() > SEALED_MAX {
            return Err(SealError::TooLong(payload.len()));
        }
        self.counter_next = counter + 1;
        let mut single = SingleUseCounter::new(counter);
        MediaFrameView::try_with_meta_data(&mut single, payload, metadata)
            .and_then(|frame| frame.encrypt_into(&self.key, out).map(|_| ()))
            .expect("the key fits the suite, the counter is new and a Vec grows");
        // The library writes the metadata in front; ours travels in the packet's header instead.
        out.drain(..metadata.len());
        Ok(())
    }
}

/// Opens the frames of one source, each at most once.
pub struct Opener {
    /// The latest last, with what each was derived from.
    keys: Vec<(SenderKey, DecryptionKey)>,
    source: SourceIndex,
    replay: ReplayWindow,
    scratch: Vec<u8>,
}

impl Opener {
    /// An opener for `source`.
    pub fn new(key: &SenderKey, source: SourceIndex) -> Self {
        let keys = vec![(key.clone(), Self::derive(key, source))];
        Self { keys, source, replay: ReplayWindow::default(), scratch: Vec::new() }
    }

    /// Opens by these keys from now on, and by no others: who knows an older one has no say any more. At most the
    /// [`KEYS_MAX`] last count.
    pub fn set_keys(&mut self, keys: &[SenderKey]) {
        let wanted = &keys[keys.len().saturating_sub(KEYS_MAX)..];
        let mut before = std::mem::take(&mut self.keys);
        self.keys = wanted
            .iter()
            .map(|key| match before.iter().position(|(known, _)| known == key) {
                Some(at) => before.swap_remove(at),
                None => (key.clone(), Self::derive(key, self.source)),
            })
            .collect();
    }

    fn derive(key: &SenderKey, source: SourceIndex) -> DecryptionKey {
        DecryptionKey::derive_from(SUITE, key.id(source), key.base)
            .expect("the cipher suite is built in and its key lengths are within HKDF's limit")
    }

    /// Opens a packet's frame and returns the payload, which stays valid until the next call. A frame
    /// counts as seen only after it has been proved, so that nobody can spend a counter for its source.
    ///
    /// # Errors
    /// Another source's frame, one that the source did not seal, or one that was opened before.
    pub fn open(&mut self, packet: &MediaPacket<'_>) -> Result<&[u8], OpenError> {
        self.prove(packet)?;
        if !self.replay.accept(packet.counter) {
            return Err(OpenError::Replayed);
        }
        Ok(&self.scratch[METADATA_LEN..])
    }

    /// Goes on behind the frame before `next`, as if that had been opened last: frames from beyond it were not the source's own.
    pub fn go_on_from(&mut self, next: u64) {
        self.replay = ReplayWindow::up_to(next);
    }

    /// [`open`](Self::open) for what may come again.
    pub(crate) fn prove(&mut self, packet: &MediaPacket<'_>) -> Result<&[u8], OpenError> {
        if packet.source != self.source {
            return Err(OpenError::UnknownSource);
        }
        let metadata = packet.metadata();
        let frame = EncryptedFrameView::try_with_meta_data(packet.frame, &metadata)
            .map_err(|_| OpenError::Tampered)?;
        let id = frame.header().key_id();
        if id & u64::from(u16::MAX) != u64::from(self.source.0) || id >> 24 != 0 {
            return Err(OpenError::UnknownSource);
        }
        if frame.header().counter() != packet.counter {
            return Err(OpenError::Tampered);
        }
        // Tags of two epochs are the same once in 255: then both keys are tried.
        let mut proof = Err(OpenError::UnknownKey);
        for (_, key) in self.keys.iter().rev().filter(|(known, _)| known.id(packet.source) == id) {
            proof = frame.decrypt_into(key, &mut self.scratch).map(drop).map_err(|_| OpenError::Tampered);
            if proof.is_ok() {
                break;
            }
        }
        proof?;
        Ok(&self.scratch[METADATA_LEN..])
    }
}

/// Which of the last [`REPLAY_WINDOW`] counters were seen (the sliding window of RFC 4303, section 3.4.3).
#[derive(Clone, Debug, Default)]
struct ReplayWindow {
    newest: Option<u64>,
    /// Bit `counter % REPLAY_WINDOW`, for counters within the window.
    seen: [u64; (REPLAY_WINDOW / 64) as usize],
}

impl ReplayWindow {
    /// All before `next` were seen.
    fn up_to(next: u64) -> Self {
        Self { newest: next.checked_sub(1), seen: [u64::MAX; (REPLAY_WINDOW / 64) as usize] }
    }

    /// Whether `counter` is new; it is not any more afterwards.
    fn accept(&mut self, counter: u64) -> bool {
        let newest = *self.newest.get_or_insert(counter);
        if counter > newest {
            if counter - newest >= REPLAY_WINDOW {
                self.seen = Default::default();
            } else {
                (newest + 1..counter).for_each(|skipped| self.set(skipped, false));
            }
            self.newest = Some(counter);
        } else if newest - counter >= REPLAY_WINDOW || (self.is_set(counter)) {
            return false;
        }
        self.set(counter, true);
        true
    }

    fn is_set(&self, counter: u64) -> bool {
        let (word, bit) = Self::position(counter);
        self.seen[word] & bit != 0
    }

    fn set(&mut self, counter: u64, seen: bool) {
        let (word, bit) = Self::position(counter);
        if seen {
            self.seen[word] |= bit;
        } else {
            self.seen[word] &= !bit;
        }
    }

    fn position(counter: u64) -> (usize, u64) {
        let at = counter % REPLAY_WINDOW;
        ((at / 64) as usize, 1 << (at % 64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{CaptureTime, PACKET_MAX, TreeId};
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    const SOURCE: SourceIndex = SourceIndex(300);

    fn key(secret: &[u8]) -> SenderKey {
        SenderKey::derive(secret, &[1; 32], &[2; 16])
    }

    fn header(counter: u64) -> MediaPacket<'static> {
        let (tree, capture_time) = (TreeId(1), CaptureTime(960));
        MediaPacket { tree, source: SOURCE, counter, capture_time, priority: false, frame: &[] }
    }

    fn sealed(sealer: &mut Sealer, counter: u64, payload: &[u8]) -> Vec<u8> {
        let mut out = vec![9; 3];
        sealer.seal(counter, &header(counter).metadata(), payload, &mut out).unwrap();
        out
    }

    #[test]
    fn what_is_sealed_is_opened_once() {
        let (mut sealer, mut opener) = (Sealer::new(&key(b"s"), SOURCE), Opener::new(&key(b"s"), SOURCE));
        for counter in [0, 1, 7, 8, 70_000, COUNTER_MAX] {
            let frame = sealed(&mut sealer, counter, b"voice");
            let packet = MediaPacket { frame: &frame, ..header(counter) };
            assert!(packet.len() <= PACKET_MAX);
            assert_eq!(opener.open(&packet), Ok(&b"voice"[..]));
            let other_tree = MediaPacket { tree: TreeId(2), ..packet };
            assert_eq!(opener.open(&other_tree), Err(OpenError::Replayed), "the tree is not part of it");
        }
    }

    #[test]
    fn frames_are_those_of_the_rfc() {
        // RFC 9605, appendix C.3, AES_128_GCM_SHA256_128.
        let bytes = |hex: &str| -> Vec<u8> {
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
        };
        let base_key = bytes("000102030405060708090a0b0c0d0e0f");
        let (metadata, payload) = (b"IETF SFrame WG", b"draft-ietf-sframe-enc");
        let expected =
            bytes("9901234567b7412c2513a1b66dbb48841bbaf17f598751176ad847681a69c6d0b091c07018ce4adb34eb");
        let mut sealer =
            Sealer { key: EncryptionKey::derive_from(SUITE, 0x123_u64, &base_key).unwrap(), counter_next: 0 };
        let mut out = Vec::new();
        sealer.seal(0x4567, metadata, payload, &mut out).unwrap();
        assert_eq!(out, expected);
        let opening = DecryptionKey::derive_from(SUITE, 0x123_u64, &base_key).unwrap();
        let frame = EncryptedFrameView::try_with_meta_data(&expected[..], metadata).unwrap();
        assert_eq!((frame.header().key_id(), frame.header().counter()), (0x123, 0x4567));
        let mut opened = Vec::new();
        frame.decrypt_into(&opening, &mut opened).unwrap();
        assert_eq!(opened[metadata.len()..], payload[..]);
    }

    #[test]
    fn keys_of_two_epochs_live_side_by_side_and_counters_go_on() {
        let (old, new) = (key(b"s").with_tag(7), key(b"t").with_tag(8));
        let (mut sealer, mut opener) = (Sealer::new(&old, SOURCE), Opener::new(&old, SOURCE));
        let first = sealed(&mut sealer, 0, b"before");
        let late = sealed(&mut sealer, 1, b"under way");
        sealer.set_key(&new, SOURCE);
        let next = sealed(&mut sealer, 2, b"after");
        assert_eq!(opener.open(&MediaPacket { frame: &first, ..header(0) }), Ok(&b"before"[..]));
        let unknown = opener.open(&MediaPacket { frame: &next, ..header(2) });
        assert_eq!(unknown, Err(OpenError::UnknownKey), "and it is not spent");
        opener.set_keys(&[old.clone(), new.clone()]);
        assert_eq!(opener.open(&MediaPacket { frame: &next, ..header(2) }), Ok(&b"after"[..]));
        assert_eq!(opener.open(&MediaPacket { frame: &late, ..header(1) }), Ok(&b"under way"[..]));
        assert_eq!(opener.open(&MediaPacket { frame: &late, ..header(1) }), Err(OpenError::Replayed));
        // Who was thrown out still has the old key.
        let evil = sealed(&mut Sealer::new(&old, SOURCE), 3, b"still here");
        opener.set_keys(std::slice::from_ref(&new));
        assert_eq!(opener.open(&MediaPacket { frame: &evil, ..header(3) }), Err(OpenError::UnknownKey));
        let mut again = Sealer::new(&old, SOURCE);
        again.seal(5, &[], b"", &mut Vec::new()).unwrap();
        again.set_key(&new, SOURCE);
        assert_eq!(again.seal(5, &[], b"", &mut Vec::new()), Err(SealError::Counter(5)));
    }

    #[test]
    fn the_longest_payload_fits_a_packet() {
        let mut sealer = Sealer::new(&key(b"s").with_tag(0xff), SourceIndex(u16::MAX));
        let mut out = Vec::new();
        sealer.seal(COUNTER_MAX, &[0; 13], &[0; SEALED_MAX], &mut out).unwrap();
        assert_eq!(out.len() + crate::packet::HEADER_LEN, PACKET_MAX);
        let too_long = sealer.seal(COUNTER_MAX, &[0; 13], &[0; SEALED_MAX + 1], &mut out);
        assert!(too_long.is_err());
    }

    #[test]
    fn a_counter_is_never_used_twice() {
        let mut sealer = Sealer::new(&key(b"s"), SOURCE);
        let mut out = Vec::new();
        sealer.seal(5, &[], b"a", &mut out).unwrap();
        assert_eq!(sealer.seal(5, &[], b"b", &mut out), Err(SealError::Counter(5)));
        assert_eq!(sealer.seal(4, &[], b"b", &mut out), Err(SealError::Counter(4)));
        assert_eq!(
            sealer.seal(COUNTER_MAX + 1, &[], b"b", &mut out),
            Err(SealError::Counter(COUNTER_MAX + 1))
        );
    }

    #[test]
    fn other_keys_open_nothing() {
        let frame = sealed(&mut Sealer::new(&key(b"s"), SOURCE), 1, b"voice");
        let packet = MediaPacket { frame: &frame, ..header(1) };
        let others = [
            SenderKey::derive(b"t", &[1; 32], &[2; 16]),
            SenderKey::derive(b"s", &[3; 32], &[2; 16]),
            SenderKey::derive(b"s", &[1; 32], &[3; 16]),
        ];
        for other in &others {
            assert_eq!(Opener::new(other, SOURCE).open(&packet), Err(OpenError::Tampered));
        }
        let mut opener = Opener::new(&key(b"s"), SourceIndex(1));
        assert_eq!(opener.open(&packet), Err(OpenError::UnknownSource));
        let renamed = MediaPacket { source: SourceIndex(1), ..packet };
        assert_eq!(opener.open(&renamed), Err(OpenError::UnknownSource));
    }

    #[test]
    fn every_changed_byte_is_noticed_and_spends_no_counter() {
        let frame = sealed(&mut Sealer::new(&key(b"s"), SOURCE), 9, b"voice");
        let mut opener = Opener::new(&key(b"s"), SOURCE);
        for at in 0..frame.len() {
            let mut bad = frame.clone();
            bad[at] ^= 0x40;
            assert!(opener.open(&MediaPacket { frame: &bad, ..header(9) }).is_err(), "byte {at}");
        }
        let packet = MediaPacket { frame: &frame, ..header(9) };
        for bad in [
            MediaPacket { counter: 10, ..packet },
            MediaPacket { capture_time: CaptureTime(0), ..packet },
            MediaPacket { priority: true, ..packet },
        ] {
            assert_eq!(opener.open(&bad), Err(OpenError::Tampered));
        }
        assert!(opener.open(&packet).is_ok());
    }

    proptest! {
        #[test]
        fn garbage_is_refused(frame in proptest::collection::vec(any::<u8>(), 0..200), counter in 0..99_u64) {
            let mut opener = Opener::new(&key(b"s"), SOURCE);
            let packet = MediaPacket { frame: &frame, ..header(counter) };
            prop_assert!(opener.open(&packet).is_err());
        }

        #[test]
        fn the_window_takes_each_counter_once(
            steps in proptest::collection::vec((0..600_u64, any::<bool>()), 1..300),
        ) {
            let (mut window, mut seen, mut newest) = (ReplayWindow::default(), BTreeSet::new(), None);
            let mut base = 0;
            for (step, jump) in steps {
                base += if jump { step } else { 0 };
                let counter = base + step % 400;
                let too_old = newest.is_some_and(|newest: u64| counter + REPLAY_WINDOW <= newest);
                let fresh = !too_old && seen.insert(counter);
                prop_assert_eq!(window.accept(counter), fresh);
                newest = newest.max(Some(counter));
            }
        }
    }
}
