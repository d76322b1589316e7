//! Sockets and the addresses that others can use.

use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};

use socket2::{Domain, Protocol, SockRef, Socket, Type};

/// A UDP port could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// Somebody else has it.
    #[error("the UDP port is in use")]
    InUse,
    /// This machine does not have that address.
    #[error("this machine has no such address")]
    NoSuchAddress,
    /// Anything else.
    #[error("{0}")]
    Other(io::Error),
}

/// Kernel buffers asked for, bytes: a quarter of a second of fifty streams; the kernel may grant less.
const SOCKET_BUFFER: usize = 1 << 20;

/// Opens a UDP socket: dual stack for `[::]`. `None` asks for the default, `[::]:0`, or `0.0.0.0:0` without IPv6.
///
/// # Errors
/// When the port is taken or the address is not ours.
pub fn bind_udp(listen: Option<SocketAddr>) -> Result<UdpSocket, ListenError> {
    match listen {
        Some(addr) => bind(addr),
        None => bind(SocketAddr::from(([0u16; 8], 0))).or_else(|_| bind(SocketAddr::from(([0u8; 4], 0)))),
    }
    .map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => ListenError::InUse,
        io::ErrorKind::AddrNotAvailable => ListenError::NoSuchAddress,
        _ => ListenError::Other(error),
    })
}

fn bind(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    if addr.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Too small a buffer costs packets under load, not correctness.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER);
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// What the kernel keeps of a socket's packets, bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Buffers {
    /// Of those that have come and have not been read.
    pub receive: usize,
    /// Of those that have not gone out.
    pub send: usize,
    /// What was asked for.
    pub wanted: usize,
}

/// What the kernel has granted to a socket of [`bind_udp`].
///
/// # Errors
/// When the kernel does not say.
pub fn buffers(socket: &UdpSocket) -> io::Result<Buffers> {
    let socket = SockRef::from(socket);
    // Linux shows twice of what packets may take, for its own bookkeeping (socket(7)).
    let share = if cfg!(target_os = "linux") { 2 } else { 1 };
    let (receive, send) = (socket.recv_buffer_size()? / share, socket.send_buffer_size()? / share);
    Ok(Buffers { receive, send, wanted: SOCKET_BUFFER })
}

/// What others can dial to reach a socket bound to `bound`: a wildcard is replaced by this machine's addresses, those of
/// real interfaces first, loopback only when there is nothing else.
#[must_use]
pub fn concrete_addresses(bound: SocketAddr) -> Vec<SocketAddr> {
    if !bound.ip().is_unspecified() {
        return vec![canonical(bound)];
    }
    let mut ips: Vec<IpAddr> = if_addrs::get_if_addrs()
        .unwrap_or_default()
        .into_iter()
        .map(|interface| interface.ip())
        .filter(|ip| bound.is_ipv6() || ip.is_ipv4())
        .filter(|ip| !matches!(ip, IpAddr::V6(v6) if v6.is_unicast_link_local()))
        .collect();
    ips.sort_by_key(|ip| (ip.is_loopback(), ip.is_ipv6()));
    ips.dedup();
    if ips.iter().any(|ip| !ip.is_loopback()) {
        ips.retain(|ip| !ip.is_loopback());
    }
    if ips.is_empty() {
        ips.push(IpAddr::from([127, 0, 0, 1]));
    }
    ips.into_iter().map(|ip| SocketAddr::new(ip, bound.port())).collect()
}

/// An IPv4 address that a dual-stack socket shows as `::ffff:a.b.c.d`, as itself.
pub(crate) fn canonical(addr: SocketAddr) -> SocketAddr {
    SocketAddr::new(addr.ip().to_canonical(), addr.port())
}

/// An address that stands for a way over a third node ([`super::Link::dial_through`]).
#[must_use]
pub fn is_detour(addr: SocketAddr) -> bool {
    matches!(canonical(addr).ip(), IpAddr::V4(ip) if ip.octets()[0] == super::quic::DETOUR_NET)
}

/// `addr` as the socket bound to `bound` can send to it, or `None` when it cannot.
pub(crate) fn mapped_for(bound: SocketAddr, addr: SocketAddr) -> Option<SocketAddr> {
    match (bound, canonical(addr)) {
        (SocketAddr::V4(_), SocketAddr::V6(_)) => None,
        (SocketAddr::V6(b), SocketAddr::V4(a)) if b.ip().is_unspecified() => {
            Some(SocketAddr::new(a.ip().to_ipv6_mapped().into(), a.port()))
        }
        (SocketAddr::V6(_), SocketAddr::V4(_)) => None,
        (_, addr) => Some(addr),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_becomes_addresses_that_can_be_dialled() {
        let any: SocketAddr = "[::]:4433".parse().unwrap();
        let addrs = concrete_addresses(any);
        assert!(!addrs.is_empty());
        assert!(addrs.iter().all(|a| !a.ip().is_unspecified() && a.port() == 4433));
        let fixed: SocketAddr = "127.0.0.1:9".parse().unwrap();
        assert_eq!(concrete_addresses(fixed), [fixed]);
    }

    #[test]
    fn a_port_in_use_is_said_so() {
        let first = bind_udp(Some("127.0.0.1:0".parse().unwrap())).unwrap();
        let taken = first.local_addr().unwrap();
        assert!(matches!(bind_udp(Some(taken)), Err(ListenError::InUse)));
        let foreign = "192.0.2.1:0".parse().unwrap();
        assert!(matches!(bind_udp(Some(foreign)), Err(ListenError::NoSuchAddress)));
    }
}
