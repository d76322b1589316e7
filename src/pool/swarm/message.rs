//! What pool nodes say to each other about the ring and what is on it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::pool::bandwidth::BandwidthMessage;
use crate::pool::bandwidth::message::BANDWIDTH_MESSAGE_MAX;
use crate::pool::records::RecordMessage;
use crate::pool::records::message::RECORD_MESSAGE_MAX;
use crate::pool::ring::{Malformed, Purpose, RING_MESSAGE_MAX, RingMessage};
use crate::pool::somo::{SOMO_MESSAGE_MAX, SomoMessage};

/// What pool nodes say to each other.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum SwarmMessage {
    /// The ring's.
    Ring(RingMessage),
    /// SOMO's.
    Somo(SomoMessage),
    /// The data overlay's.
    Records(RecordMessage),
    /// What measures lines.
    Bandwidth(BandwidthMessage),
}

/// The first byte of every message: the version of these formats.
pub(in crate::pool) const VERSION: u8 = 1;

impl SwarmMessage {
    /// The bytes of a message.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let bytes = postcard::to_extend(self, vec![VERSION]);
        bytes.expect("our messages hold nothing that postcard cannot write").into()
    }

    /// How many bytes [`encode`](Self::encode) gives, without writing them.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        1 + postcard::experimental::serialized_size(self).expect("as for encode")
    }

    /// What it is part of, for those who count.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        match self {
            Self::Ring(message) => message.purpose(),
            Self::Somo(_) | Self::Records(_) | Self::Bandwidth(_) => Purpose::Upkeep,
        }
    }

    /// It measures a line: it goes out at once, outside all pacing and together with the one before or after it, and when it
    /// comes counts to the microsecond.
    #[must_use]
    pub fn is_measuring(&self) -> bool {
        matches!(self, Self::Bandwidth(BandwidthMessage::Pair(_)))
    }

    /// It goes on a stream, which sends again what is lost; the others go in datagrams.
    #[must_use]
    pub fn is_streamed(&self) -> bool {
        matches!(self, Self::Somo(_))
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When the bytes are none, too many, of another version, or say more than a message may.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let (&VERSION, body) = bytes.split_first().ok_or(Malformed)? else { return Err(Malformed) };
        if bytes.len() > SOMO_MESSAGE_MAX {
            return Err(Malformed);
        }
        match postcard::take_from_bytes::<Self>(body) {
            Ok((Self::Ring(message), [])) if bytes.len() <= RING_MESSAGE_MAX && message.is_bounded() => {
                Ok(Self::Ring(message))
            }
            Ok((Self::Somo(message), [])) if message.is_bounded() => Ok(Self::Somo(message)),
            Ok((Self::Records(message), [])) if bytes.len() <= RECORD_MESSAGE_MAX && message.is_bounded() => {
                Ok(Self::Records(message))
            }
            Ok((Self::Bandwidth(message), []))
                if bytes.len() <= BANDWIDTH_MESSAGE_MAX && message.is_bounded() =>
            {
                Ok(Self::Bandwidth(message))
            }
            _ => Err(Malformed),
        }
    }
}
