//! A socket beneath QUIC that takes the hop packets out of what arrives, on QUIC's own task: for sockets that only QUIC
//! can wait for, such as the emulated network's, and for systems without `recvmmsg`.

use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use quinn::udp::{RecvMeta, Transmit};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::time::Instant;

use super::batch::{Batch, Out};
use super::hops::Hops;
use super::packet::is_hop_packet;

/// See the [module](self).
pub(super) struct Beneath {
    socket: Arc<dyn AsyncUdpSocket>,
    hops: Arc<Hops>,
    batch: Mutex<Batch>,
}

/// Receives in a row that brought nothing for QUIC before others get a turn.
const ROUNDS_MAX: usize = 4;

impl Beneath {
    pub(super) fn new(socket: Arc<dyn AsyncUdpSocket>, hops: Arc<Hops>) -> Arc<Self> {
        let batch = Mutex::new(Batch::new(Out::Each(socket.clone())));
        Arc::new(Self { socket, hops, batch })
    }

    /// Takes the hop packets out of `count` received buffers; how many buffers are left, in front.
    fn sort(&self, bufs: &mut [IoSliceMut<'_>], meta: &mut [RecvMeta], count: usize) -> usize {
        let mut batch = self.batch.lock().unwrap_or_else(PoisonError::into_inner);
        let at = Instant::now().into_std();
        let mut kept = 0;
        for i in 0..count {
            let RecvMeta { addr, len, stride, .. } = meta[i];
            let mut end = 0;
            for start in (0..len).step_by(stride.max(1)) {
                let packet = start..(start + stride).min(len);
                if is_hop_packet(&bufs[i][packet.clone()]) {
                    self.hops.take(&mut bufs[i][packet], addr, at, &mut batch);
                } else {
                    let length = packet.len();
                    bufs[i].copy_within(packet, end);
                    end += length;
                }
            }
            meta[i].len = end;
            if end > 0 {
                bufs.swap(kept, i);
                meta.swap(kept, i);
                kept += 1;
            }
        }
        batch.flush();
        kept
    }
}

impl AsyncUdpSocket for Beneath {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        self.socket.clone().create_io_poller()
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        self.socket.try_send(transmit)
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        for _ in 0..ROUNDS_MAX {
            let count = match self.socket.poll_recv(cx, bufs, meta) {
                Poll::Ready(Ok(count)) => count,
                other => return other,
            };
            let kept = self.sort(bufs, meta, count);
            if kept > 0 {
                return Poll::Ready(Ok(kept));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
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

impl fmt::Debug for Beneath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Beneath({:?})", self.socket)
    }
}
