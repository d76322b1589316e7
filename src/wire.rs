//! How control messages look on the wire: postcard, one message a frame. Protocol versions are negotiated by ALPN; within
//! one, feature bits in the first message say what both sides know.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::net::CONTROL_MESSAGE_MAX;
use crate::pool::PoolMessage;
use crate::session::SessionMessage;

/// A control message.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Message {
    /// The pool's.
    Pool(PoolMessage),
    /// A session's.
    Session(SessionMessage),
}

/// Bytes that are no message: the sender does not speak our protocol.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("malformed control message")]
pub struct Malformed;

impl Message {
    /// The bytes of a message. Messages are bounded where they are made; one above [`CONTROL_MESSAGE_MAX`] is a bug of
    /// ours, and the link refuses it.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        postcard::to_stdvec(self).expect("our messages hold nothing that postcard cannot write").into()
    }

    /// Reads a message.
    ///
    /// # Errors
    /// When the bytes are none, or go on behind one.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        if bytes.len() > CONTROL_MESSAGE_MAX {
            return Err(Malformed);
        }
        match postcard::take_from_bytes(bytes) {
            Ok((message, [])) => Ok(message),
            _ => Err(Malformed),
        }
    }
}
