//! A UDP socket with a thread of its own on the receive side, which forwards hop packets at once and queues the others for
//! QUIC.
//!
//! The thread waits in `recvmmsg` itself, without a poll before it: at few packets a second that is most of what a relay
//! costs. So the socket waits as a rule, and those who send say that they do not want to, or wait for a tick of the
//! kernel's clock at most (QUIC, see [`prepare`]).

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSliceMut};
use std::net::{Shutdown, SocketAddr, UdpSocket};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use socket2::SockRef;
use tokio::time::{Instant, Sleep, sleep};

use super::batch::{Batch, Out};
use super::hops::Hops;
use super::packet::is_hop_packet;
use super::syscalls::{Received, Receiver, prepare};

/// What QUIC sees. The thread ends with it.
pub(super) struct Beside {
    shared: Arc<Shared>,
}

struct Shared {
    socket: Arc<UdpSocket>,
    state: UdpSocketState,
    for_quic: Mutex<ForQuic>,
    /// QUIC's last send found no room.
    full: AtomicBool,
    closing: AtomicBool,
}

#[derive(Default)]
struct ForQuic {
    packets: VecDeque<(RecvMeta, Box<[u8]>)>,
    waker: Option<Waker>,
}

impl Beside {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the socket lacks an option or no thread can be had.
    pub(super) fn start(socket: &Arc<UdpSocket>, hops: Arc<Hops>) -> io::Result<Arc<Self>> {
        let state = UdpSocketState::new((&**socket).into())?;
        prepare(socket)?;
        let shared = Arc::new(Shared {
            socket: socket.clone(),
            state,
            for_quic: Mutex::default(),
            full: AtomicBool::new(false),
            closing: AtomicBool::new(false),
        });
        let thread = shared.clone();
        let builder = std::thread::Builder::new().name("media".to_owned()).stack_size(STACK);
        builder.spawn(move || thread.receive(&hops))?;
        Ok(Arc::new(Self { shared }))
    }
}

impl Drop for Beside {
    fn drop(&mut self) {
        self.shared.closing.store(true, Ordering::Relaxed);
        // A socket that is connected to nobody says so here, and wakes its reader all the same.
        let _ = SockRef::from(&*self.shared.socket).shutdown(Shutdown::Read);
    }
}

impl Shared {
    fn receive(&self, hops: &Hops) {
        let mut receiver = Receiver::new();
        let mut batch = Batch::new(Out::Together(self.socket.clone()));
        let mut patience = Patience::default();
        while !self.closing.load(Ordering::Relaxed) {
            let received = receiver.receive(&self.socket);
            let now = Instant::now().into_std();
            // An error is the end of patience, or some destination's that an earlier packet went to.
            for packet in received.into_iter().flatten() {
                if is_hop_packet(packet.bytes) {
                    hops.take(packet.bytes, packet.from, now - packet.age, &mut batch);
                } else if !packet.bytes.is_empty() {
                    self.queue(&packet);
                }
            }
            let next = hops.beat(now, &mut batch);
            batch.flush();
            patience.set(&self.socket, next.map(|at| at.saturating_duration_since(now)));
        }
    }

    fn queue(&self, packet: &Received<'_>) {
        let mut for_quic = self.for_quic();
        if for_quic.packets.len() >= FOR_QUIC_MAX {
            return;
        }
        let mut meta = RecvMeta::default();
        (meta.addr, meta.len, meta.stride) = (packet.from, packet.bytes.len(), packet.bytes.len());
        meta.dst_ip = packet.to;
        for_quic.packets.push_back((meta, Box::from(&*packet.bytes)));
        if let Some(waker) = for_quic.waker.take() {
            waker.wake();
        }
    }

    fn for_quic(&self) -> MutexGuard<'_, ForQuic> {
        // A queue is whole after every statement.
        self.for_quic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AsyncUdpSocket for Beside {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Room { shared: self.shared.clone(), sleep: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent = self.shared.state.send((&*self.shared.socket).into(), transmit);
        if sent.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            self.shared.full.store(true, Ordering::Relaxed);
        }
        sent
    }

    fn poll_recv(
        &self,
        cx: &mut Context<'_>,
        bufs: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let mut for_quic = self.shared.for_quic();
        let mut count = 0;
        for (buf, meta) in bufs.iter_mut().zip(meta) {
            let Some((described, bytes)) = for_quic.packets.pop_front() else { break };
            let len = bytes.len().min(buf.len());
            buf[..len].copy_from_slice(&bytes[..len]);
            *meta = described;
            meta.len = len;
            count += 1;
        }
        if count == 0 {
            for_quic.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(count))
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shared.socket.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.shared.state.max_gso_segments()
    }

    fn may_fragment(&self) -> bool {
        self.shared.state.may_fragment()
    }
}

impl fmt::Debug for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Beside({:?})", self.shared.socket)
    }
}

/// How long the socket waits for packets, as it was told last; without an end at first.
#[derive(Default)]
struct Patience(Option<Duration>);

impl Patience {
    /// Has it wait no longer than that. While packets come sooner, that takes no call to the kernel.
    fn set(&mut self, socket: &UdpSocket, longest: Option<Duration>) {
        let longest = longest.map(|longest| longest.max(PATIENCE_MIN));
        // To wake for nothing now and then costs less than to say each time how long it may be.
        let near = |(told, longest): (Duration, Duration)| told <= longest && longest <= told * 2;
        if self.0 == longest || self.0.zip(longest).is_some_and(near) {
            return;
        }
        // It has not refused this before.
        if socket.set_read_timeout(longest).is_ok() {
            self.0 = longest;
        }
    }
}

/// Waits a little when the socket was full, rather than for the socket, which the runtime does not watch.
struct Room {
    shared: Arc<Shared>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl UdpPoller for Room {
    fn poll_writable(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.shared.full.swap(false, Ordering::Relaxed) {
            self.sleep = Some(Box::pin(sleep(RETRY)));
        }
        if let Some(sleep) = &mut self.sleep {
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.sleep = None;
        }
        Poll::Ready(Ok(()))
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Room")
    }
}

/// QUIC packets that wait for QUIC, as many as the prototype had; about 1.2 MB of full ones.
const FOR_QUIC_MAX: usize = 1_024;
/// What the kernel's clock tells apart, more or less: to wait for that much less or more makes no difference.
const PATIENCE_MIN: Duration = Duration::from_millis(4);
/// How long QUIC waits for room in the socket: a packet of 1,200 bytes leaves at 10 Mbit/s in that time.
const RETRY: Duration = Duration::from_millis(1);
/// The thread's stack: its deepest call fills some 20 KiB of arrays.
const STACK: usize = 256 * 1024;
