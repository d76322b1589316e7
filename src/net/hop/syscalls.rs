//! Many packets in one system call, in and out: `recvmmsg` and `sendmmsg`, by crates that wrap them safely.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nix::libc::{in_pktinfo, in6_pktinfo, timespec};
use nix::sys::socket::{
    ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg, setsockopt, sockopt,
};
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};
use socket2::SockRef;

use super::batch::{BATCH_MAX, Entry, Slot};

/// Packets taken from the socket at once.
pub(super) const RECEIVE_MAX: usize = 32;
/// Room for a packet: more than QUIC or a hop ever sends.
const BUFFER_LEN: usize = 2_048;

/// Sends packets to their addresses, as many as the kernel takes up to the first that it refuses, without waiting: how
/// many.
///
/// # Errors
/// When it refuses the very first.
pub(super) fn send_together(socket: &UdpSocket, slots: &[Slot], entries: &[Entry]) -> io::Result<usize> {
    const FEW: usize = 8;
    // What is not used of the arrays is made all the same.
    if entries.len() <= FEW {
        send_array::<FEW>(socket, slots, entries)
    } else {
        send_array::<BATCH_MAX>(socket, slots, entries)
    }
}

fn send_array<const N: usize>(socket: &UdpSocket, slots: &[Slot], entries: &[Entry]) -> io::Result<usize> {
    let count = entries.len().min(N);
    let entry = |i: usize| entries[i.min(count - 1)];
    let slices: [[IoSlice<'_>; 1]; N] =
        std::array::from_fn(|i| [IoSlice::new(&slots[i.min(count - 1)][..entry(i).len])]);
    let addrs: [SocketAddrAny; N] = std::array::from_fn(|i| entry(i).to.into());
    let mut controls: [SendAncillaryBuffer<'_, '_, '_>; N] =
        std::array::from_fn(|_| SendAncillaryBuffer::default());
    let mut parts = controls.iter_mut().zip(&addrs).zip(&slices);
    let mut headers: [MMsgHdr<'_>; N] = std::array::from_fn(|_| {
        let ((control, addr), slice) = parts.next().expect("all arrays are of one length");
        MMsgHdr::new_with_addr(addr, slice, control)
    });
    Ok(sendmmsg(socket, &mut headers[..count], SendFlags::DONTWAIT | SendFlags::NOSIGNAL)?)
}

/// A packet that has been received.
pub(super) struct Received<'b> {
    pub(super) bytes: &'b mut [u8],
    pub(super) from: SocketAddr,
    /// The address of ours that it was sent to.
    pub(super) to: Option<IpAddr>,
    /// How long the kernel has had it.
    pub(super) age: Duration,
}

/// Memory into which packets are received, set aside once.
pub(super) struct Receiver {
    headers: MultiHeaders<SockaddrStorage>,
    buffers: Box<[[u8; BUFFER_LEN]]>,
    arrived: [Option<Arrived>; RECEIVE_MAX],
    /// The last call left nothing behind.
    keeps_up: bool,
}

#[derive(Clone, Copy)]
struct Arrived {
    len: usize,
    from: SocketAddr,
    to: Option<IpAddr>,
    stamp: Duration,
}

/// Prepares a socket whose other options are quinn's: it waits for packets, tells when each came and to which address, and
/// tells nothing else, for all packets must come with control messages of one size (`recvmmsg` shrinks what room there is
/// for them to what was used).
///
/// # Errors
/// When the kernel lacks an option.
pub(super) fn prepare(socket: &UdpSocket) -> io::Result<()> {
    setsockopt(socket, sockopt::UdpGroSegment, &false)?;
    setsockopt(socket, sockopt::ReceiveTimestampns, &true)?;
    let raw = SockRef::from(socket);
    let is_ipv4 = socket.local_addr()?.is_ipv4();
    if is_ipv4 || !raw.only_v6()? {
        raw.set_recv_tos_v4(false)?;
    }
    if !is_ipv4 {
        raw.set_recv_tclass_v6(false)?;
    }
    // A send by QUIC's means waits for room no longer than the kernel can count: one tick.
    raw.set_write_timeout(Some(Duration::from_micros(1)))?;
    raw.set_nonblocking(false)
}

impl Receiver {
    pub(super) fn new() -> Self {
        let buffers = vec![[0; BUFFER_LEN]; RECEIVE_MAX].into_boxed_slice();
        Self { headers: headers(), buffers, arrived: [None; RECEIVE_MAX], keeps_up: true }
    }

    /// Waits for packets and takes those that are there, up to [`RECEIVE_MAX`]. None: the socket has been shut down, or
    /// the call was interrupted.
    ///
    /// # Errors
    /// The socket's.
    pub(super) fn receive(
        &mut self,
        socket: &UdpSocket,
    ) -> io::Result<impl Iterator<Item = Received<'_>> + use<'_>> {
        // Each place is written to before the call, and at a packet a time most for nothing.
        const FEW: usize = 4;
        let count = if self.keeps_up {
            self.receive_array::<FEW>(socket)?
        } else {
            self.receive_array::<RECEIVE_MAX>(socket)?
        };
        self.keeps_up = count < FEW;
        let now = unix_time();
        let arrived = self.buffers.iter_mut().zip(&self.arrived[..count]);
        Ok(arrived.filter_map(move |(buffer, arrived)| {
            let Arrived { len, from, to, stamp } = (*arrived)?;
            let age = now.checked_sub(stamp).filter(|age| *age < AGE_MAX).unwrap_or_default();
            Some(Received { bytes: &mut buffer[..len], from, to, age })
        }))
    }

    /// Receives up to `N` packets: how many.
    fn receive_array<const N: usize>(&mut self, socket: &UdpSocket) -> io::Result<usize> {
        let mut buffers = self.buffers.iter_mut();
        let mut slices: [[IoSliceMut<'_>; 1]; N] = std::array::from_fn(|_| {
            [IoSliceMut::new(buffers.next().expect("there are at least as many buffers as slices"))]
        });
        let results = recvmmsg(
            socket.as_raw_fd(),
            &mut self.headers,
            slices.iter_mut(),
            MsgFlags::MSG_WAITFORONE,
            None,
        )?;
        let (mut count, mut cramped) = (0, false);
        for message in results {
            let arrived = &mut self.arrived[count];
            count += 1;
            *arrived = None;
            let Some(from) = message.address.as_ref().and_then(address) else { continue };
            if message.flags.contains(MsgFlags::MSG_TRUNC) {
                continue;
            }
            let (mut to, mut stamp) = (None, Duration::ZERO);
            match message.cmsgs() {
                Ok(controls) => {
                    for control in controls {
                        match control {
                            ControlMessageOwned::Ipv4PacketInfo(info) => {
                                to = Some(Ipv4Addr::from(info.ipi_addr.s_addr.to_ne_bytes()).into());
                            }
                            ControlMessageOwned::Ipv6PacketInfo(info) => {
                                to = Some(Ipv6Addr::from(info.ipi6_addr.s6_addr).into());
                            }
                            ControlMessageOwned::ScmTimestampns(time) => stamp = time.into(),
                            _ => {}
                        }
                    }
                }
                Err(_) => cramped = true,
            }
            *arrived = Some(Arrived { len: message.bytes, from, to, stamp });
        }
        if cramped {
            self.headers = headers();
        }
        Ok(count)
    }
}

fn headers() -> MultiHeaders<SockaddrStorage> {
    let room = nix::cmsg_space!(in6_pktinfo, in_pktinfo, timespec);
    MultiHeaders::preallocate(RECEIVE_MAX, Some(room))
}

fn address(storage: &SockaddrStorage) -> Option<SocketAddr> {
    if let Some(v4) = storage.as_sockaddr_in() {
        return Some(SocketAddr::new(v4.ip().into(), v4.port()));
    }
    let v6 = storage.as_sockaddr_in6()?;
    Some(SocketAddrV6::new(v6.ip(), v6.port(), v6.flowinfo(), v6.scope_id()).into())
}

/// The clock that the kernel's stamps are of.
#[expect(clippy::disallowed_methods, reason = "the network is where clocks are read")]
fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A stamp older than this says that the clock has been set, not that the packet waited.
const AGE_MAX: Duration = Duration::from_millis(200);
