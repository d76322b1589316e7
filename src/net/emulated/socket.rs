//! The emulated network as a UDP socket beneath quinn: the real QUIC stack, any number of nodes, one process.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};

use super::nat::Translators;
use super::network::{EmulatedNetwork, address_of, node_of};

/// One node's socket.
pub struct EmulatedSocket {
    network: EmulatedNetwork<Datagram>,
    node: usize,
}

/// A UDP packet and who sent it.
pub struct Datagram {
    from: SocketAddr,
    to: SocketAddr,
    bytes: Bytes,
}

/// IPv4 and UDP headers, which take their time on a bottleneck too.
const HEADERS: usize = 28;

impl EmulatedSocket {
    /// The socket of `node` in `network`.
    #[must_use]
    pub fn new(network: &EmulatedNetwork<Datagram>, node: usize) -> Arc<Self> {
        Arc::new(Self { network: network.clone(), node })
    }

    /// The next packet that the translator, if there is one, lets in.
    fn next(&self, cx: &mut Context<'_>) -> Option<Datagram> {
        while let Poll::Ready(arrival) = self.network.poll_arrival(self.node, cx) {
            let Datagram { from, to, .. } = arrival.payload;
            let lets_in = |translators: &mut Translators| translators.lets_in(self.node, to, from);
            if self.network.with_translators(lets_in) {
                return Some(arrival.payload);
            }
        }
        None
    }
}

impl fmt::Debug for EmulatedSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EmulatedSocket({})", address_of(self.node))
    }
}

impl AsyncUdpSocket for EmulatedSocket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(AlwaysWritable)
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let segment = transmit.segment_size.unwrap_or(transmit.contents.len()).max(1);
        let to = transmit.destination;
        let from = self.network.with_translators(|translators| translators.out(self.node, to));
        for packet in transmit.contents.chunks(segment) {
            let datagram = Datagram { from, to, bytes: Bytes::copy_from_slice(packet) };
            let size = packet.len() + HEADERS;
            let nodes = self.network.with_core(|core| core.nodes());
            let receiver = self.network.with_translators(|translators| {
                if translators.is_empty() { node_of(to, nodes) } else { translators.node_of(to, nodes) }
            });
            if let Some(receiver) = receiver {
                self.network.launch(|core, now| core.send(now, self.node, receiver, size, datagram));
            }
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut received = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let Some(Datagram { from, bytes, .. }) = self.next(cx) else { break };
            let len = bytes.len().min(buf.len());
            buf[..len].copy_from_slice(&bytes[..len]);
            let mut described = RecvMeta::default();
            (described.addr, described.len, described.stride) = (from, len, len);
            *meta = described;
            received += 1;
        }
        if received == 0 { Poll::Pending } else { Poll::Ready(Ok(received)) }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.network.with_translators(|translators| translators.inside(self.node)))
    }

    fn may_fragment(&self) -> bool {
        false
    }
}

#[derive(Debug)]
struct AlwaysWritable;

impl UdpPoller for AlwaysWritable {
    fn poll_writable(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
