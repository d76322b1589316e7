//! What the layers above ask of a network: peers known by key, a reliable channel and an unreliable one.

use std::fmt::Debug;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::rhythm::Rhythm;
use crate::identity::NodeId;

/// How a message travels.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Channel {
    /// Reliable and in order, at most [`CONTROL_MESSAGE_MAX`] bytes.
    Control,
    /// May be lost or reordered, never delayed for another's sake; at most [`DATAGRAM_MAX`] bytes.
    Datagram,
}

/// The longest control message, bytes: what lets one into the group of a session of a thousand, 300 bytes a member, or
/// names all of them.
pub(crate) const CONTROL_MESSAGE_MAX: usize = 512 * 1024;
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
    /// A peer is reached at another address from now on.
    Moved {
        /// Which.
        peer: NodeId,
        /// Where.
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
    /// A peer that is [watched](Link::watch) has been silent for longer than it may be, or packets of its are missing:
    /// [`Link::poll_heard`] tells which.
    Alert {
        /// Which peer.
        peer: NodeId,
    },
    /// A datagram that the [`Switch`] has passed on where it had to go, and that is for this node as well.
    Delivered {
        /// The sender, proven.
        from: NodeId,
        /// The datagram.
        bytes: Bytes,
        /// When it was taken from the network.
        at: Instant,
    },
}

/// Where a datagram goes that a peer has sent, decided as it arrives, before the node hears of it. What is asked here must
/// neither allocate nor wait.
pub trait Switch: Debug + Send + Sync {
    /// Gives `send` each peer that the datagram goes on to, and what else is to be said to whom.
    fn route(
        &self,
        from: NodeId,
        datagram: &[u8],
        at: Instant,
        send: &mut dyn FnMut(NodeId, &[u8]),
    ) -> Verdict;

    /// Gives `send` what is to be said to peers that have been sent nothing for long. When to ask again, if before the switch
    /// is replaced; to ask sooner does no harm.
    fn beat(&self, now: Instant, send: &mut dyn FnMut(NodeId, &[u8])) -> Option<Instant> {
        let _ = (now, send);
        None
    }
}

/// What has become of a datagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// It is the node's own affair: [`LinkEvent::Datagram`].
    Keep,
    /// It has gone on; with `deliver`, the node gets it too: [`LinkEvent::Delivered`].
    Passed {
        /// Whether the node listens.
        deliver: bool,
    },
    /// It belongs nowhere, or is more than its sender or its session may send.
    Refused,
    /// It says that its sender lives, and [`Link::poll_heard`] tells that.
    Noted,
    /// It is a question, and this goes back to its sender at once.
    Answered([u8; ANSWER_LEN]),
    /// It is the node's own affair, but nobody waits for it: [`Link::poll_later`].
    Later,
}

/// The length of what a [`Switch`] answers, bytes.
pub const ANSWER_LEN: usize = 13;

/// What a [`Switch`] has made of the datagrams of one peer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SwitchCounts {
    /// Datagrams of others that went on to it.
    pub sent: u64,
    /// Datagrams of its that went on, or were for this node.
    pub received: u64,
    /// Datagrams of its that belonged nowhere or were too many, and datagrams to it that the budget did not bear.
    pub dropped: u64,
    /// Packets to it that it had not taken by its last word.
    pub lost_up: u64,
    /// Packets of its that did not come.
    pub lost_down: u64,
}

/// A peer whose silence matters.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Watched {
    /// Which.
    pub peer: NodeId,
    /// It may be silent for so long.
    pub silence: Duration,
    /// What is known of its rhythm; the link learns on from there unless it has watched it before.
    pub rhythm: Rhythm,
}

/// What a link knows of a peer's packets, datagrams and its own, whatever the [`Switch`] made of them.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Heard {
    /// When the last one came.
    pub at: Instant,
    /// The longest time between two of them since that was told last.
    pub longest: Duration,
    /// How far apart they are, if the peer is [watched](Link::watch).
    pub rhythm: Option<Rhythm>,
    /// How many have come since the connection began.
    pub came: u64,
    /// How many the peer has numbered that have not come, or not yet.
    pub lost: u64,
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

    /// Starts to connect to a node by way of another that both are connected to, where they cannot send to each other; the
    /// outcome is an event, whose address [`is_detour`](super::is_detour). A link that cannot does nothing.
    fn dial_through(&mut self, via: NodeId, node: NodeId) {
        let _ = (via, node);
    }

    /// Sends now or refuses; never waits.
    ///
    /// # Errors
    /// When nothing was sent.
    fn send(&mut self, to: NodeId, channel: Channel, bytes: Bytes) -> Result<(), SendError>;

    /// Has all that [`send`](Self::send) has taken leave now, if it has not: datagrams may wait for others to leave with.
    fn flush(&mut self) {}

    /// Sends two datagrams back to back, with nothing between them and outside all pacing and budgets, so that what they are
    /// apart when they arrive tells the bottleneck's rate. Longer ones than [`DATAGRAM_MAX`] are taken, up to a packet that
    /// Ethernet carries; they arrive as [`LinkEvent::Datagram`]s whose times are the kernel's.
    ///
    /// # Errors
    /// When nothing was sent: also when the way to the peer leads through something that would space them.
    fn send_pair(&mut self, to: NodeId, pair: [Bytes; 2]) -> Result<(), SendError> {
        let _ = (to, pair);
        Err(SendError::NotConnected)
    }

    /// Bounds what datagrams leave this machine, bit/s, over all peers; at most 100 ms of it are ahead at any time, and
    /// what would be more is lost. No bound before the first call.
    fn set_budget(&mut self, rate_bps: u64) {
        let _ = rate_bps;
    }

    /// How many datagrams, ever, have found the budget nearly spent.
    fn pressed(&self) -> u64 {
        0
    }

    /// Has datagrams switched by this table from now on, without the node, and [beats](Switch::beat) sent. A link that cannot
    /// switch hands all datagrams to the node; beats it sends all the same.
    fn set_switch(&mut self, switch: Arc<dyn Switch>);

    /// What the switch has made of a peer's datagrams.
    fn switch_counts(&self, peer: NodeId) -> SwitchCounts {
        let _ = peer;
        SwitchCounts::default()
    }

    /// Tells which peers have been heard since the last call: the switch leaves the node in the dark.
    fn poll_heard(&mut self, heard: &mut dyn FnMut(NodeId, Heard)) {
        let _ = heard;
    }

    /// Whether this link can [watch](Self::watch) as it forwards; where it cannot, who wants to know has to look.
    fn can_watch(&self) -> bool {
        false
    }

    /// Has a [`LinkEvent::Alert`] come when one of these peers, and no others from now on, has been silent for too long, once a
    /// silence, or when packets of its are missing, a few times a second at most.
    fn watch(&mut self, watched: Vec<Watched>) {
        let _ = watched;
    }

    /// The next event that was not worth waking anybody for, if there is one.
    fn poll_later(&mut self) -> Option<LinkEvent> {
        None
    }

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
