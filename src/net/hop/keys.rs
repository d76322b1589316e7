//! The keys of a hop, one a direction, exported from the QUIC handshake (RFC 5705 as TLS 1.3 has it, RFC 8446, section
//! 7.5): whoever holds them has proved its identity there.

use std::sync::atomic::{AtomicU64, Ordering};

use ring::aead::{AES_128_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::packet::{HEADER_LEN, Header, Kind, OVERHEAD, TAG_LEN};

/// What is exported for one direction: key, initialisation vector, key id.
pub(super) const MATERIAL_LEN: usize = KEY_LEN + NONCE_LEN + 4;
/// The exporter's label; the context says the direction.
pub(super) const EXPORT_LABEL: &[u8] = b"EXPORTER-alm-hop-1";

/// Exported key material of one direction.
pub(super) type Material = [u8; MATERIAL_LEN];

struct Key {
    aead: LessSafeKey,
    iv: [u8; NONCE_LEN],
    id: u32,
}

impl Key {
    fn new(material: &Material) -> Self {
        let (key, rest) = material.split_at(KEY_LEN);
        let (iv, id) = rest.split_at(NONCE_LEN);
        let key = UnboundKey::new(&AES_128_GCM, key).expect("the key is as long as AES-128 wants it");
        Self {
            aead: LessSafeKey::new(key),
            iv: iv.try_into().expect("split at its length"),
            id: u32::from_be_bytes(id.try_into().expect("four bytes are left")),
        }
    }

    /// The vector, with the counter added as TLS does it (RFC 8446, section 5.3).
    fn nonce(&self, counter: u64) -> Nonce {
        let mut nonce = self.iv;
        for (byte, counter) in nonce[NONCE_LEN - 8..].iter_mut().zip(counter.to_be_bytes()) {
            *byte ^= counter;
        }
        Nonce::assume_unique_for_key(nonce)
    }
}

/// Seals what leaves; any number of threads at once.
pub(super) struct Sealer {
    key: Key,
    next: AtomicU64,
}

impl Sealer {
    pub(super) fn new(material: &Material) -> Self {
        Self { key: Key::new(material), next: AtomicU64::new(0) }
    }

    /// Seals `payload` into `out`; the packet's length. `None` when the key is worn out: nothing more can be sent.
    ///
    /// # Panics
    /// If `out` is shorter than the payload and [`OVERHEAD`].
    pub(super) fn seal(&self, kind: Kind, payload: &[u8], out: &mut [u8]) -> Option<usize> {
        let counter = self.next.fetch_add(1, Ordering::Relaxed);
        if counter >= PACKETS_MAX {
            return None;
        }
        let length = payload.len() + OVERHEAD;
        let header = Header { kind, key: self.key.id, counter }.bytes();
        let out = &mut out[..length];
        out[..HEADER_LEN].copy_from_slice(&header);
        let (sealed, tag) = out[HEADER_LEN..].split_at_mut(payload.len());
        sealed.copy_from_slice(payload);
        let nonce = self.key.nonce(counter);
        let made = self
            .key
            .aead
            .seal_in_place_separate_tag(nonce, Aad::from(header), sealed)
            .expect("a packet is far shorter than what AES-GCM can seal");
        tag.copy_from_slice(made.as_ref());
        Some(length)
    }

    /// Whether the key can seal no more.
    pub(super) fn is_worn_out(&self) -> bool {
        self.next.load(Ordering::Relaxed) >= PACKETS_MAX
    }
}

/// Opens what arrives.
pub(super) struct Opener(Key);

impl Opener {
    pub(super) fn new(material: &Material) -> Self {
        Self(Key::new(material))
    }

    pub(super) fn id(&self) -> u32 {
        self.0.id
    }

    /// Opens a packet in its place; the payload. `None` if this key has not sealed it.
    pub(super) fn open<'p>(&self, header: Header, packet: &'p mut [u8]) -> Option<&'p mut [u8]> {
        let nonce = self.0.nonce(header.counter);
        self.0.aead.open_in_place(nonce, Aad::from(header.bytes()), packet.get_mut(HEADER_LEN..)?).ok()
    }
}

const KEY_LEN: usize = 16;
/// Packets that one key may seal: what AES-128-GCM bears in packets of at most 2 KiB (RFC 9001, appendix B.1.1), three
/// days of twenty talkers. After that the link goes on by QUIC's own datagrams.
const PACKETS_MAX: u64 = 1 << 28;
const _: () = assert!(TAG_LEN == 16 && PACKETS_MAX <= super::packet::COUNTER_MAX);

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::super::packet::PACKET_MAX;
    use super::*;

    fn open(opener: &Opener, packet: &[u8]) -> Option<Vec<u8>> {
        let mut packet = packet.to_vec();
        let header = Header::read(&packet)?;
        opener.open(header, &mut packet).map(|payload| payload.to_vec())
    }

    #[test]
    fn only_the_very_packet_opens() {
        let material = [7; MATERIAL_LEN];
        let (sealer, opener) = (Sealer::new(&material), Opener::new(&material));
        let mut random = StdRng::seed_from_u64(1);
        let mut out = [0; PACKET_MAX];
        for round in 0..200 {
            let payload: Vec<u8> = (0..random.random_range(0..300)).map(|_| random.random()).collect();
            let length = sealer.seal(Kind::Datagram, &payload, &mut out).unwrap();
            let packet = &out[..length];
            assert_eq!(Header::read(packet).unwrap().counter, round);
            assert_eq!(open(&opener, packet).unwrap(), payload);
            assert_eq!(open(&opener, &packet[..length - 1]), None, "cut");
            let mut longer = packet.to_vec();
            longer.push(0);
            assert_eq!(open(&opener, &longer), None, "grown");
            let mut flipped = packet.to_vec();
            let at = random.random_range(0..length * 8);
            flipped[at / 8] ^= 1 << (at % 8);
            assert_eq!(open(&opener, &flipped), None, "bit {at} flipped");
        }
    }

    #[test]
    fn a_worn_out_key_seals_no_more() {
        let sealer = Sealer::new(&[1; MATERIAL_LEN]);
        sealer.next.store(PACKETS_MAX - 1, Ordering::Relaxed);
        let mut out = [0; PACKET_MAX];
        assert!(sealer.seal(Kind::Datagram, b"last", &mut out).is_some());
        assert_eq!(sealer.seal(Kind::Datagram, b"one too many", &mut out), None);
        assert!(sealer.is_worn_out());
    }
}
