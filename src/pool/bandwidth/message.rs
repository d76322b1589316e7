//! What nodes say to each other to measure their access lines.
//!
//! ```text
//! x == Pair, Pair ====> y    two of full size, back to back; some such pairs a burst
//! x <-- Heard --------- y    how fast they came in, and who may be wider than x knows its line to be
//! x <== Pair, Pair ==== y    and if x has asked for it, as many the other way
//! x --- Announce -----> z    first, where z is one that y has named
//! ```

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::pool::peer::Peer;

/// See the [module](self).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum BandwidthMessage {
    /// One of two that follow each other without a pause.
    Pair(Pair),
    /// What a burst of pairs was heard at.
    Heard {
        /// Which.
        burst: u32,
        /// The narrowest part of the way to the sender, kbit/s.
        kbit_s: u32,
        /// One of the widest senders that the sender of this has heard.
        widest: Option<Wide>,
    },
    /// A burst will follow: if there is no connection yet there will be one, for pairs do not wait for any.
    Announce,
}

/// A node and its line upwards, as another one has heard it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Wide {
    /// Which.
    pub peer: Peer,
    /// How wide, as far as that one's own line could show it.
    pub kbit_s: u32,
}

/// See [`BandwidthMessage::Pair`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pair {
    /// The sender's number for the burst.
    pub burst: u32,
    /// Which pair of it.
    pub pair: u8,
    /// The second of the two.
    pub second: bool,
    /// The sender would like to be sent a burst too.
    pub back: bool,
    /// The sender's clock, microseconds; it wraps.
    pub sent_us: u32,
    /// Fills it up.
    pub padding: Padding,
}

/// So many bytes that say nothing.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Padding(pub u16);

/// A pair's packet on the wire, headers included, bytes: as large as a path with a tunnel or two still carries whole.
pub const PACKET_BYTES: usize = 1_400;
/// The largest message, bytes: a packet without its headers (IPv4, UDP and an encrypted hop of ours or QUIC's).
pub const BANDWIDTH_MESSAGE_MAX: usize = PACKET_BYTES - 58;
/// Padding of a pair. The rest of it takes no more than what is left.
pub(super) const PADDING: Padding = Padding((BANDWIDTH_MESSAGE_MAX - 24) as u16);

impl BandwidthMessage {
    /// True when it holds no more than a message may, and pairs are as long as they must be: a shorter second one would
    /// feign a faster line.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        match self {
            Self::Pair(pair) => pair.padding == PADDING,
            Self::Heard { .. } | Self::Announce => true,
        }
    }
}

impl fmt::Debug for Padding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.0)
    }
}

const ZEROES: [u8; BANDWIDTH_MESSAGE_MAX] = [0; BANDWIDTH_MESSAGE_MAX];

impl Serialize for Padding {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&ZEROES[..usize::from(self.0).min(ZEROES.len())])
    }
}

impl<'de> Deserialize<'de> for Padding {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Length)
    }
}

struct Length;

impl Visitor<'_> for Length {
    type Value = Padding;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("zeroes")
    }

    fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Padding, E> {
        let zeroes = ZEROES.get(..bytes.len()).is_some_and(|zeroes| zeroes == bytes);
        if zeroes { Ok(Padding(bytes.len() as u16)) } else { Err(E::invalid_length(bytes.len(), &self)) }
    }
}

#[cfg(test)]
pub(in crate::pool) mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;
    use crate::pool::ring::message::tests::peer;

    /// One of each kind, the largest of its kind.
    pub(in crate::pool) fn samples() -> Vec<BandwidthMessage> {
        let (burst, pair, sent_us) = (u32::MAX, u8::MAX, u32::MAX);
        let pair = Pair { burst, pair, second: true, back: true, sent_us, padding: PADDING };
        let widest = Wide { peer: peer(&mut StdRng::seed_from_u64(3)), kbit_s: u32::MAX };
        let heard = BandwidthMessage::Heard { burst, kbit_s: u32::MAX, widest: Some(widest) };
        vec![BandwidthMessage::Pair(pair), heard, BandwidthMessage::Announce]
    }
}
