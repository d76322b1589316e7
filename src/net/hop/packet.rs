//! The hop packet: how a datagram travels from one node to the next beside QUIC, on the same UDP port.
//!
//! ```text
//!  0       1        5           11
//!  +-------+--------+-----------+---------------------+-------+
//!  | 10v0  | key id | counter   | sealed: the payload | tag   |
//!  |  kkkk |  u32   |   u48     |    AES-128-GCM      |  128  |
//!  +-------+--------+-----------+---------------------+-------+
//! ```
//!
//! All integers are big endian. The first byte lies in 0x80..=0xBF, where no QUIC packet does while QUIC keeps its fixed
//! bit (RFC 9443, section 2); `v` is the version, `k` the kind. The key id says which hop and which direction it is,
//! whatever address it came from. The counter is the nonce and feeds the replay window. The whole header is authenticated.
//! Not SRTP: its nonce comes from fields that a repeat, or a colliding source, repeats (RFC 3711, section 9.1).

/// Bytes in front of the sealed payload.
pub(super) const HEADER_LEN: usize = 11;
/// The tag of AES-128-GCM.
pub(super) const TAG_LEN: usize = 16;
/// What a hop packet adds to its payload, bytes.
pub(super) const OVERHEAD: usize = HEADER_LEN + TAG_LEN;
/// The longest payload: with [`OVERHEAD`], a packet that a path with the smallest MTU of Ethernet's kin carries (1,500
/// bytes less IPv6, UDP and 20 to spare). Only padded probes are that long; see [`crate::net::link::DATAGRAM_MAX`].
pub(super) const PAYLOAD_MAX: usize = 1_405;
/// The longest packet.
pub(super) const PACKET_MAX: usize = PAYLOAD_MAX + OVERHEAD;
/// Counters are 48 bits wide.
pub(super) const COUNTER_MAX: u64 = (1 << 48) - 1;

/// What a packet is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// A datagram of the layers above.
    Datagram,
    /// Asks for an echo of its payload: whether the hop works, whether an address is the peer's.
    Challenge,
    /// The echo.
    Response,
}

/// What a packet says of itself before it is opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Header {
    pub(super) kind: Kind,
    pub(super) key: u32,
    /// At most [`COUNTER_MAX`].
    pub(super) counter: u64,
}

impl Header {
    /// Reads the header of a packet of this version; `None` if the bytes are no such packet.
    pub(super) fn read(packet: &[u8]) -> Option<Self> {
        if !(OVERHEAD..=PACKET_MAX).contains(&packet.len()) {
            return None;
        }
        let (&[first, k0, k1, k2, k3, c0, c1, c2, c3, c4, c5], _) = packet.split_first_chunk()?;
        let kind = match first {
            DATAGRAM => Kind::Datagram,
            CHALLENGE => Kind::Challenge,
            RESPONSE => Kind::Response,
            _ => return None,
        };
        let key = u32::from_be_bytes([k0, k1, k2, k3]);
        Some(Self { kind, key, counter: u64::from_be_bytes([0, 0, c0, c1, c2, c3, c4, c5]) })
    }

    /// The header's bytes.
    pub(super) fn bytes(self) -> [u8; HEADER_LEN] {
        debug_assert!(self.counter <= COUNTER_MAX);
        let mut bytes = [0; HEADER_LEN];
        bytes[0] = match self.kind {
            Kind::Datagram => DATAGRAM,
            Kind::Challenge => CHALLENGE,
            Kind::Response => RESPONSE,
        };
        bytes[1..5].copy_from_slice(&self.key.to_be_bytes());
        bytes[5..].copy_from_slice(&self.counter.to_be_bytes()[2..]);
        bytes
    }
}

/// Whether a UDP payload is a hop packet of any version, rather than QUIC.
pub(super) fn is_hop_packet(packet: &[u8]) -> bool {
    packet.first().is_some_and(|first| first & 0b1100_0000 == 0b1000_0000)
}

/// Version 0 of each kind.
const DATAGRAM: u8 = 0x80;
const CHALLENGE: u8 = 0x81;
const RESPONSE: u8 = 0x82;

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_layout_is_the_documented_one() {
        let header = Header { kind: Kind::Challenge, key: 0x0102_0304, counter: 0x0506_0708_090a };
        assert_eq!(header.bytes(), [0x81, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    }

    #[test]
    fn other_kinds_versions_and_lengths_are_none() {
        let mut packet = vec![0; OVERHEAD];
        for first in 0..=255_u8 {
            packet[0] = first;
            assert_eq!(Header::read(&packet).is_some(), (0x80..=0x82).contains(&first));
            assert_eq!(is_hop_packet(&packet), (0x80..=0xbf).contains(&first));
        }
        packet[0] = DATAGRAM;
        assert_eq!(Header::read(&packet[1..]), None);
        packet.pop();
        assert_eq!(Header::read(&packet), None, "too short for a tag");
        packet.resize(PACKET_MAX + 1, 0);
        assert_eq!(Header::read(&packet), None, "too long");
        assert!(!is_hop_packet(&[]));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(key: u32, counter in 0..=COUNTER_MAX, kind in 0..3_usize) {
            let kind = [Kind::Datagram, Kind::Challenge, Kind::Response][kind];
            let header = Header { kind, key, counter };
            let mut packet = header.bytes().to_vec();
            packet.resize(OVERHEAD, 0);
            prop_assert_eq!(Header::read(&packet), Some(header));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..2_000)) {
            if Header::read(&bytes).is_some() {
                prop_assert!(is_hop_packet(&bytes));
            }
        }
    }
}
