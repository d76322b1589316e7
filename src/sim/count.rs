//! What nodes send, counted.

use crate::pool::ring::Purpose;
use crate::pool::swarm::SwarmMessage;

/// Messages and bytes that keep the ring, lookups left out.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    pub(super) messages: u64,
    pub(super) bytes: u64,
    /// Those of lookups, without acknowledgements.
    pub(super) of_lookups: u64,
}

/// What a datagram costs on the wire beside its content: IPv4 and UDP 28 bytes, a QUIC short header with an 8-byte
/// connection id 11, its datagram frame 3, the tag of its seal 16 (RFC 9000, 17.3.1; RFC 9221, 4; RFC 9001, 5.3).
const HEADERS: usize = 58;
/// The most content of a packet; larger messages take several.
const CONTENT: usize = 1_150;

impl Traffic {
    pub(super) fn count(&mut self, message: &SwarmMessage) {
        match message.purpose() {
            Purpose::Lookup => {
                self.of_lookups += 1;
                return;
            }
            // It is counted with what it acknowledges.
            Purpose::HopAck => return,
            Purpose::Routed | Purpose::Upkeep => {}
        }
        self.add(message.encoded_len());
        if message.purpose() == Purpose::Routed {
            self.add(HOP_ACK);
        }
    }

    /// What others have counted.
    pub(super) fn include(&mut self, other: &Self) {
        self.messages += other.messages;
        self.bytes += other.bytes;
        self.of_lookups += other.of_lookups;
    }

    fn add(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes += (bytes + bytes.div_ceil(CONTENT) * HEADERS) as u64;
    }
}

/// The content of an acknowledgement: version, kind, and a number of 5 bytes as they grow.
const HOP_ACK: usize = 7;
