//! Datagrams beside QUIC on the same UDP port, and their way through a node: what the media travels by.
//!
//! QUIC's own datagrams cost a system call, timers and acknowledgements for each receiver. A hop packet (`packet`) is
//! sealed under keys that the QUIC handshake has agreed (`keys`), found by its key id whatever address it comes from
//! (`path`), opened once, looked up, sealed for each hop that it leaves by, and all copies leave in one system call
//! (`batch`, `syscalls`). What leaves is within the machine's budget, and a path that cannot bear it is left (`breaker`). Where hop packets do not get through, or the peer knows none, QUIC's datagrams go on carrying
//! what they carried. On Linux a thread of its own receives (`beside`), elsewhere QUIC's task does (`beneath`).

mod batch;
mod beneath;
#[cfg(target_os = "linux")]
mod beside;
mod breaker;
mod forgery;
#[expect(clippy::module_inception, reason = "one hop, among the parts of hops")]
mod hop;
mod hops;
mod keys;
mod packet;
mod path;
mod replay;
#[cfg(target_os = "linux")]
mod syscalls;
mod vigil;

use std::io;
use std::net::UdpSocket;
use std::sync::Arc;

use quinn::{AsyncUdpSocket, Runtime, TokioRuntime};
use tokio::sync::mpsc;

#[cfg(test)]
pub(super) use self::batch::Batch;
pub(super) use self::batch::Out;
use self::beneath::Beneath;
pub(super) use self::hop::Hop;
pub(super) use self::hops::Hops;
use super::LinkEvent;

/// A socket for QUIC, and the hops beside it.
pub(super) type Carried = (Arc<dyn AsyncUdpSocket>, Arc<Hops>);

/// Hops on a real UDP socket, by the best means that the system has.
///
/// # Errors
/// When the socket cannot be used at all.
pub(super) fn on_udp(socket: UdpSocket, events: mpsc::Sender<LinkEvent>) -> io::Result<Carried> {
    #[cfg(target_os = "linux")]
    let socket = {
        let shared = Arc::new(socket.try_clone()?);
        let hops = Hops::new(Out::Together(shared.clone()), events.clone());
        if let Ok(beside) = beside::Beside::start(&shared, hops.clone()) {
            return Ok((beside, hops));
        }
        socket
    };
    Ok(on_any(TokioRuntime.wrap_udp_socket(socket)?, events))
}

/// The header of a packet is written as it was read.
pub(super) fn survives(packet: &[u8]) -> bool {
    let header = packet::Header::read(packet);
    header.is_none_or(|header| packet.starts_with(&header.bytes()) && packet::is_hop_packet(packet))
}

/// Hops on whatever carries QUIC's packets.
pub(super) fn on_any(socket: Arc<dyn AsyncUdpSocket>, events: mpsc::Sender<LinkEvent>) -> Carried {
    let hops = Hops::new(Out::Each(socket.clone()), events);
    (Beneath::new(socket, hops.clone()), hops)
}
