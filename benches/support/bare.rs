//! The floor: a forwarder that does nothing but take packets from a socket and send copies of them, and the sockets around
//! it. On Linux it takes all that are there by one `recvmmsg` and sends all copies by one `sendmmsg`.

use std::io::Write;
use std::net::{SocketAddr, UdpSocket};

use bytes::Bytes;
use tokio::net::UdpSocket as AsyncUdpSocket;

use super::pace::{Ears, PACKET_LEN, Pace};
use super::peers::Group;
use super::process::Process;

/// The argument that makes this program a forwarder; the addresses follow.
const FORWARDER: &str = "--bare-forwarder";

/// Becomes the forwarder if the command line says so. Does not return then.
pub fn forward_if_asked() {
    let mut args = std::env::args().skip(1);
    if args.next().as_deref() != Some(FORWARDER) {
        return;
    }
    let targets: Vec<SocketAddr> = args.filter_map(|target| target.parse().ok()).collect();
    let socket = UdpSocket::bind(loopback()).expect("loopback has a free port");
    let own = socket.local_addr().expect("a bound socket has an address");
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{own}").and_then(|()| stdout.flush()).expect("the bench reads this");
    std::thread::spawn(|| {
        // Ends when the bench does.
        let _ = std::io::copy(&mut std::io::stdin(), &mut std::io::sink());
        std::process::exit(0);
    });
    forward(&socket, &targets)
}

#[cfg(target_os = "linux")]
fn forward(socket: &UdpSocket, targets: &[SocketAddr]) -> ! {
    use std::io::{IoSlice, IoSliceMut};
    use std::os::fd::AsRawFd;

    use nix::sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg};
    use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

    /// Packets that are taken at once.
    const AT_ONCE: usize = 32;
    let targets: Vec<SocketAddrAny> = targets.iter().map(|target| (*target).into()).collect();
    let mut headers = MultiHeaders::<SockaddrStorage>::preallocate(AT_ONCE, None);
    let mut buffers = [[0; 2 * PACKET_LEN]; AT_ONCE];
    loop {
        let (mut lengths, mut count) = ([0; AT_ONCE], 0);
        let mut slices = buffers.each_mut().map(|buffer| [IoSliceMut::new(buffer)]);
        let fd = socket.as_raw_fd();
        let Ok(received) = recvmmsg(fd, &mut headers, slices.iter_mut(), MsgFlags::MSG_WAITFORONE, None)
        else {
            continue;
        };
        for message in received {
            lengths[count] = message.bytes;
            count += 1;
        }
        let packets: [[IoSlice<'_>; 1]; AT_ONCE] =
            std::array::from_fn(|i| [IoSlice::new(&buffers[i][..lengths[i]])]);
        let copies = count * targets.len();
        let mut controls: Vec<_> = (0..copies).map(|_| SendAncillaryBuffer::default()).collect();
        let each = packets[..count].iter().flat_map(|packet| targets.iter().map(move |to| (to, packet)));
        let mut out: Vec<_> = each
            .zip(&mut controls)
            .map(|((to, packet), control)| MMsgHdr::new_with_addr(to, packet, control))
            .collect();
        let mut sent = 0;
        while sent < copies {
            // A receiver that has gone is the bench's business.
            sent += sendmmsg(socket, &mut out[sent..], SendFlags::empty()).unwrap_or(1).max(1);
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn forward(socket: &UdpSocket, targets: &[SocketAddr]) -> ! {
    let mut packet = [0; 2 * PACKET_LEN];
    loop {
        let Ok((length, _)) = socket.recv_from(&mut packet) else { continue };
        for target in targets {
            // A receiver that has gone is the bench's business.
            let _ = socket.send_to(&packet[..length], target);
        }
    }
}

/// A forwarder as a process of its own, a sender in front of it and receivers behind it.
pub struct BareRelay {
    pub process: Process,
    to: SocketAddr,
}

impl BareRelay {
    /// Starts it, with `fan_out` receivers.
    pub fn start(receivers: &Group, fan_out: usize, ears: &Ears) -> Self {
        let ears = ears.clone();
        let sockets = receivers.run(async move {
            let mut addrs = vec![FORWARDER.to_owned()];
            for _ in 0..fan_out {
                let socket = AsyncUdpSocket::bind(loopback()).await.expect("loopback has a free port");
                addrs.push(socket.local_addr().expect("a bound socket has an address").to_string());
                tokio::spawn(receive(socket, ears.clone()));
            }
            addrs
        });
        let process = Process::ourselves(&sockets);
        let to = process.line().1.parse().expect("the forwarder says where it listens");
        Self { process, to }
    }

    /// Sends at a pace; returns at once.
    pub fn speak(&self, sender: &Group, mut pace: Pace, started: std::time::Instant) {
        let to = self.to;
        sender.spawn(async move {
            let socket = AsyncUdpSocket::bind(loopback()).await.expect("loopback has a free port");
            while pace.left > 0 {
                pace.due().await;
                while let Some(packet) = pace.packet(started) {
                    send(&socket, &packet, to).await;
                }
            }
        });
    }
}

async fn send(socket: &AsyncUdpSocket, packet: &Bytes, to: SocketAddr) {
    // What does not arrive is counted where it is missed.
    let _ = socket.send_to(packet, to).await;
}

async fn receive(socket: AsyncUdpSocket, ears: Ears) {
    let mut packet = [0; 2 * PACKET_LEN];
    loop {
        if let Ok(length) = socket.recv(&mut packet).await {
            ears.hear(&packet[..length]);
        }
    }
}

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
