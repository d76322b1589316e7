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

use super::network::{EmulatedNetwork, address_of, node_of};

/// One node's socket.
pub struct EmulatedSocket {
    network: EmulatedNetwork<Datagram>,
    node: usize,
}

/// A UDP packet and who sent it.
pub struct Datagram {
    from: SocketAddr,
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
        for packet in transmit.contents.chunks(segment) {
            let datagram = Datagram { from: address_of(self.node), bytes: Bytes::copy_from_slice(packet) };
            let size = packet.len() + HEADERS;
            self.network.launch(|core, now| {
                if let Some(to) = node_of(transmit.destination, core.nodes()) {
                    core.send(now, self.node, to, size, datagram);
                }
            });
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
            let Poll::Ready(arrival) = self.network.poll_arrival(self.node, cx) else { break };
            let Datagram { from, bytes } = arrival.payload;
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
        Ok(address_of(self.node))
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
