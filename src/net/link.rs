//! What the layers above ask of a network: peers known by key, a reliable channel and an unreliable one.

use std::future::Future;
use std::net::SocketAddr;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;

use crate::identity::NodeId;

/// How a message travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channel {
    /// Reliable and in order, at most [`CONTROL_MESSAGE_MAX`] bytes.
    Control,
    /// May be lost or reordered, never delayed for another's sake; at most [`DATAGRAM_MAX`] bytes.
    Datagram,
}

/// The longest control message, bytes.
pub(crate) const CONTROL_MESSAGE_MAX: usize = 64 * 1024;
/// The longest datagram, bytes: what a QUIC packet of the smallest path carries (RFC 9000, section 14.1: 1,200).
pub(crate) const DATAGRAM_MAX: usize = 1_150;

/// What the network has to tell.
#[derive(Debug)]
pub enum LinkEvent {
    /// A peer has proved its key; both channels are open.
    Connected {
        /// Whose key it is.
        peer: NodeId,
        /// The address that it is reached at.
        addr: SocketAddr,
    },
    /// The connection is gone.
    Disconnected {
        /// Whose connection it was.
        peer: NodeId,
        /// The peer ends and has said goodbye; it has neither vanished nor given up this connection alone.
        left: bool,
        /// A sentence for people.
        reason: String,
    },
    /// A dial came to nothing.
    DialFailed {
        /// Where to.
        addr: SocketAddr,
        /// Whom it was meant for, where known.
        expected: Option<NodeId>,
        /// Why.
        error: DialError,
    },
    /// A control message.
    Control {
        /// The sender, proven.
        from: NodeId,
        /// The message.
        bytes: Bytes,
    },
    /// A datagram.
    Datagram {
        /// The sender, proven.
        from: NodeId,
        /// The datagram.
        bytes: Bytes,
        /// When it was taken from the network.
        at: Instant,
    },
}

/// Why a dial failed.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DialError {
    /// Nobody answered in time.
    #[error("no answer")]
    NoAnswer,
    /// Somebody answered with another key than the expected one.
    #[error("the peer there has another key")]
    WrongKey,
    /// It speaks no protocol version that we speak.
    #[error("the peer there speaks another protocol version")]
    Version,
    /// The peer is this node itself.
    #[error("that is this node itself")]
    Ourselves,
    /// Anything else, in the network's words.
    #[error("{0}")]
    Other(String),
}

/// Why a message was not taken. Nothing was sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SendError {
    /// No connection to that peer.
    #[error("not connected")]
    NotConnected,
    /// Longer than its channel carries.
    #[error("message too long")]
    TooLong,
    /// The peer does not read; its connection is being closed.
    #[error("the peer's queue is full")]
    QueueFull,
}

/// A network under one node.
pub trait Link {
    /// Addresses at which this node listens: concrete ones with the real port.
    fn listen_addrs(&self) -> Vec<SocketAddr>;

    /// Starts to connect; the outcome is an event. With `expected`, any other key at that address is refused.
    fn dial(&mut self, addr: SocketAddr, expected: Option<NodeId>);

    /// Sends now or refuses; never waits.
    ///
    /// # Errors
    /// When nothing was sent.
    fn send(&mut self, to: NodeId, channel: Channel, bytes: Bytes) -> Result<(), SendError>;

    /// Gives up a connection. No event follows.
    fn close(&mut self, peer: NodeId, reason: &str);

    /// The next event, or [`Poll::Pending`] until there is one.
    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<LinkEvent>;

    /// Gets the queued control messages out, says goodbye to every peer and ends.
    fn shutdown(self) -> impl Future<Output = ()> + Send;
}

/// [`Link::poll_event`] as a future; safe to drop half way.
pub async fn next_event(link: &mut impl Link) -> LinkEvent {
    std::future::poll_fn(|cx| link.poll_event(cx)).await
}
