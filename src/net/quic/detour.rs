//! QUIC by way of a third node, for two that cannot send to each other: their packets travel inside datagrams to and from
//! a node that both are connected to, and QUIC takes the way for an address like any other. The keys are proven from end
//! to end, and who carries the packets can neither read nor forge them; it carries a little for each sender, for control
//! messages, and no media, which goes where plans say.
//!
//! ```text
//! a -- FORWARD, b, packet --> m -- FORWARDED, a, packet --> b
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use bytes::{BufMut, Bytes, BytesMut};
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::time::{Duration, Instant};

use super::super::address::{is_detour, mapped_for};
use crate::identity::NodeId;

/// The socket that QUIC sees: the real one, and the detours beside it.
pub(super) struct Detoured {
    socket: Arc<dyn AsyncUdpSocket>,
    bound: SocketAddr,
    detours: Arc<Detours>,
}

/// All detours of a node; see the [module](self).
#[derive(Default)]
pub(super) struct Detours {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    ways: BTreeMap<SocketAddr, Way>,
    next: u32,
    /// Packets of QUIC's that are to go to who carries them.
    outbound: VecDeque<(Way, Bytes)>,
    /// Packets that have come, for QUIC.
    inbound: VecDeque<(SocketAddr, Bytes)>,
    quic: Option<Waker>,
    link: Option<Waker>,
    /// Bytes carried for each sender in the second that began then.
    carried: BTreeMap<NodeId, usize>,
    since: Option<Instant>,
}

/// By whom, to whom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Way {
    pub(super) via: NodeId,
    pub(super) peer: NodeId,
}

/// What a datagram of a detour's asks.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Frame<'a> {
    /// Carry this packet to that node.
    Forward(NodeId, &'a [u8]),
    /// That node has sent this packet, says who carried it.
    Forwarded(NodeId, &'a [u8]),
}

/// First bytes, which no other datagram has.
const FORWARD: u8 = 0x7a;
const FORWARDED: u8 = 0x7b;
/// Ways that a node has or has had; further ones are refused.
const WAYS_MAX: usize = 1_024;
/// Packets that wait, each way.
const WAITING_MAX: usize = 128;
/// Bytes that are carried for one sender in a second: a handshake and the messages of a join; and for all of them.
const CARRIED_MAX: usize = 32 * 1024;
const CARRIED_IN_ALL_MAX: usize = 128 * 1024;
/// Senders for whom something is carried in one second.
const SENDERS_MAX: usize = 64;

impl<'a> Frame<'a> {
    pub(super) fn read(datagram: &'a [u8]) -> Option<Self> {
        let (kind, rest) = datagram.split_first()?;
        let (node, packet) = rest.split_first_chunk::<32>()?;
        match *kind {
            FORWARD => Some(Self::Forward(NodeId(*node), packet)),
            FORWARDED => Some(Self::Forwarded(NodeId(*node), packet)),
            _ => None,
        }
    }

    pub(super) fn write(&self) -> Bytes {
        let (kind, node, packet) = match self {
            Self::Forward(node, packet) => (FORWARD, node, packet),
            Self::Forwarded(node, packet) => (FORWARDED, node, packet),
        };
        let mut bytes = BytesMut::with_capacity(33 + packet.len());
        bytes.put_u8(kind);
        bytes.put_slice(&node.0);
        bytes.put_slice(packet);
        bytes.freeze()
    }
}

/// A frame is written as it was read.
pub(crate) fn survives(datagram: &[u8]) -> bool {
    Frame::read(datagram).is_none_or(|frame| *frame.write() == *datagram)
}

impl Detours {
    /// The address that stands for a way; nothing if there are too many.
    pub(super) fn address(&self, way: Way) -> Option<SocketAddr> {
        let mut state = self.state();
        if let Some((addr, _)) = state.ways.iter().find(|(_, known)| **known == way) {
            return Some(*addr);
        }
        if state.ways.len() >= WAYS_MAX {
            return None;
        }
        state.next += 1;
        let [_, b, c, d] = state.next.to_be_bytes();
        let addr = SocketAddr::from(([DETOUR_NET, b, c, d], 1));
        state.ways.insert(addr, way);
        Some(addr)
    }

    /// A packet has come by a way.
    pub(super) fn deliver(&self, way: Way, packet: &[u8]) {
        let Some(addr) = self.address(way) else { return };
        let mut state = self.state();
        if state.inbound.len() < WAITING_MAX {
            state.inbound.push_back((addr, Bytes::copy_from_slice(packet)));
            if let Some(waker) = state.quic.take() {
                waker.wake();
            }
        }
    }

    /// The next packet that QUIC has sent by a way.
    pub(super) fn poll_outbound(&self, cx: &mut Context<'_>) -> Option<(Way, Bytes)> {
        let mut state = self.state();
        let next = state.outbound.pop_front();
        if next.is_none() {
            state.link = Some(cx.waker().clone());
        }
        next
    }

    /// Whether so many bytes more may be carried for a sender.
    pub(super) fn may_carry(&self, from: NodeId, bytes: usize, now: Instant) -> bool {
        let mut state = self.state();
        if state.since.is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1)) {
            (state.since, state.carried) = (Some(now), BTreeMap::new());
        }
        let all: usize = state.carried.values().sum();
        let own = state.carried.get(&from).copied().unwrap_or(0);
        let known = own > 0 || state.carried.len() < SENDERS_MAX;
        let may = known && own + bytes <= CARRIED_MAX && all + bytes <= CARRIED_IN_ALL_MAX;
        if may {
            state.carried.insert(from, own + bytes);
        }
        may
    }

    fn send(&self, transmit: &Transmit<'_>) {
        let mut state = self.state();
        let to = super::canonical(transmit.destination);
        let Some(way) = state.ways.get(&to).copied() else { return };
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        for packet in transmit.contents.chunks(segment) {
            if state.outbound.len() < WAITING_MAX {
                state.outbound.push_back((way, Bytes::copy_from_slice(packet)));
            }
        }
        if let Some(waker) = state.link.take() {
            waker.wake();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // What is guarded is whole after every statement.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Detoured {
    /// # Errors
    /// When the socket is bound to no address.
    pub(super) fn around(socket: Arc<dyn AsyncUdpSocket>) -> io::Result<(Arc<Self>, Arc<Detours>)> {
        let detours = Arc::new(Detours::default());
        let bound = socket.local_addr()?;
        Ok((Arc::new(Self { socket, bound, detours: detours.clone() }), detours))
    }
}

impl AsyncUdpSocket for Detoured {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        if is_detour(transmit.destination) {
            self.detours.send(transmit);
            return Ok(());
        }
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        {
            let mut state = self.detours.state();
            let mut count = 0;
            for (buf, meta) in bufs.iter_mut().zip(meta.iter_mut()) {
                let Some((addr, packet)) = state.inbound.pop_front() else { break };
                let len = packet.len().min(buf.len());
                buf[..len].copy_from_slice(&packet[..len]);
                let mut described = RecvMeta::default();
                let addr = mapped_for(self.bound, addr).unwrap_or(addr);
                (described.addr, described.len, described.stride) = (addr, len, len);
                *meta = described;
                count += 1;
            }
            if count > 0 {
                return Poll::Ready(Ok(count));
            }
            state.quic = Some(cx.waker().clone());
        }
        self.socket.poll_recv(cx, bufs, meta)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.socket.max_transmit_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.socket.max_receive_segments()
    }

    fn may_fragment(&self) -> bool {
        self.socket.may_fragment()
    }
}

impl fmt::Debug for Detoured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Detoured({:?})", self.socket)
    }
}

/// Addresses that stand for ways: of the block that is reserved for ever (RFC 1112, section 4), so that no packet of
/// anybody's comes from there.
pub(in crate::net) const DETOUR_NET: u8 = 241;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_and_nothing_else_is_one() {
        let (node, packet) = (NodeId([7; 32]), &[1, 2, 3][..]);
        for frame in [Frame::Forward(node, packet), Frame::Forwarded(node, packet)] {
            let bytes = frame.write();
            assert_eq!(Frame::read(&bytes), Some(frame));
            assert_eq!(Frame::read(&bytes[..32]), None);
        }
        assert_eq!(Frame::read(&[9; 60]), None);
        assert_eq!(Frame::read(&[]), None);
    }

    #[tokio::test(start_paused = true)]
    async fn little_is_carried_for_one_sender_and_for_all() {
        let detours = Detours::default();
        let carried = |from: u8, now| {
            (0..1_000).take_while(|_| detours.may_carry(NodeId([from; 32]), 1_200, now)).count() * 1_200
        };
        let now = Instant::now();
        assert!((CARRIED_MAX - 1_200..=CARRIED_MAX).contains(&carried(1, now)));
        assert_eq!(carried(1, now), 0);
        let all: usize = (2..60).map(|from| carried(from, now)).sum();
        assert!(all + CARRIED_MAX <= CARRIED_IN_ALL_MAX + 1_200);
        assert!(carried(1, now + Duration::from_secs(1)) > 0);
    }
}
