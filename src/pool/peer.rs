//! Another node as it is known to one, in the fewest bytes: the pool keeps some eighty of them a node, and tells others.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, SocketAddrV4};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::identity::{NodeId, Position};

/// An address and port in 18 bytes; IPv4 in its mapped form (RFC 4291, section 2.5.5.2).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Endpoint {
    ip: [u8; 16],
    port: [u8; 2],
}

impl From<SocketAddr> for Endpoint {
    fn from(addr: SocketAddr) -> Self {
        let ip = match addr.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        Self { ip: ip.octets(), port: addr.port().to_be_bytes() }
    }
}

impl From<Endpoint> for SocketAddr {
    fn from(endpoint: Endpoint) -> Self {
        let ip = Ipv6Addr::from(endpoint.ip);
        let ip = ip.to_ipv4_mapped().map_or(IpAddr::V6(ip), IpAddr::V4);
        Self::new(ip, u16::from_be_bytes(endpoint.port))
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SocketAddr::from(*self).fmt(f)
    }
}

impl Serialize for Endpoint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        SocketAddr::from(*self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Endpoint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        SocketAddr::deserialize(deserializer).map(Self::from)
    }
}

/// An IPv4 address that only the own network knows, in six bytes; all zeroes: there is none.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Local([u8; 6]);

impl Local {
    /// No such address.
    pub const NONE: Self = Self([0; 6]);

    /// The address, if there is one.
    #[must_use]
    pub fn addr(self) -> Option<SocketAddrV4> {
        let [a, b, c, d, high, low] = self.0;
        (self != Self::NONE).then(|| SocketAddrV4::new([a, b, c, d].into(), u16::from_be_bytes([high, low])))
    }
}

impl From<SocketAddrV4> for Local {
    fn from(addr: SocketAddrV4) -> Self {
        let ([a, b, c, d], [high, low]) = (addr.ip().octets(), addr.port().to_be_bytes());
        Self([a, b, c, d, high, low])
    }
}

impl fmt::Debug for Local {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.addr().fmt(f)
    }
}

impl Serialize for Local {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.addr().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Local {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let addr = Option::<SocketAddrV4>::deserialize(deserializer)?;
        Ok(addr.map_or(Self::NONE, Self::from))
    }
}

/// Where a node is in the imagined space of latencies: three dimensions and the height of its access line (Dabek et al.,
/// "Vivaldi", SIGCOMM 2004, section 5.4), each in tenths of a millisecond of round trip.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Place(pub [i16; 4]);

impl Place {
    /// Says nothing: a node that knows its place has a height.
    pub const UNKNOWN: Self = Self([0; 4]);

    /// The round trip that two places foretell, if both are known.
    #[must_use]
    pub fn round_trip(self, other: Self) -> Option<Duration> {
        if self == Self::UNKNOWN || other == Self::UNKNOWN {
            return None;
        }
        let square = |i: usize| (f32::from(self.0[i]) - f32::from(other.0[i])).powi(2);
        let along = (square(0) + square(1) + square(2)).sqrt();
        let tenths = along + f32::from(self.0[3]).abs() + f32::from(other.0[3]).abs();
        Some(Duration::from_micros((tenths * 100.0) as u64))
    }
}

/// A node: who, where on the ring, at which address, and where in the space of latencies. The position is not sent: it
/// follows from the key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Hashed from the key.
    pub position: Position,
    /// Its key.
    pub node: NodeId,
    /// Where it listens, as others see it.
    pub endpoint: Endpoint,
    /// Where it listens for those behind the same address translator; only beside an IPv4 endpoint.
    pub local: Local,
    /// As far as it knows.
    pub place: Place,
}

impl Peer {
    /// A node whose place is not known.
    #[must_use]
    pub fn new(node: NodeId, addr: SocketAddr) -> Self {
        Self {
            position: node.position(),
            node,
            endpoint: addr.into(),
            local: Local::NONE,
            place: Place::UNKNOWN,
        }
    }

    /// Where to dial it.
    pub fn addrs(&self) -> impl Iterator<Item = SocketAddr> + use<> {
        [Some(self.endpoint.into()), self.local.addr().map(SocketAddr::V4)].into_iter().flatten()
    }
}

impl Serialize for Peer {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.node, self.endpoint, self.local, self.place).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Peer {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (node, endpoint, local, place) = <(NodeId, Endpoint, Local, Place)>::deserialize(deserializer)?;
        // Where there is an IPv6 address there is no translator, and a message has no room for both.
        let local = if SocketAddr::from(endpoint).is_ipv4() { local } else { Local::NONE };
        Ok(Self { position: node.position(), node, endpoint, local, place })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_and_places_foretell() {
        for text in ["10.1.2.3:4567", "[2001:db8::1]:9"] {
            let addr: SocketAddr = text.parse().unwrap();
            assert_eq!(SocketAddr::from(Endpoint::from(addr)), addr);
        }
        let local = Local::from("192.168.1.2:4567".parse::<SocketAddrV4>().unwrap());
        let peer = Peer { local, ..Peer::new(NodeId([1; 32]), "192.0.2.1:9".parse().unwrap()) };
        let bytes = postcard::to_stdvec(&peer).unwrap();
        assert_eq!(postcard::from_bytes(&bytes), Ok(peer));
        assert_eq!(peer.addrs().count(), 2);
        assert_eq!(size_of::<Peer>(), 80, "there are many of them in one simulator");
        let (a, b) = (Place([0, 0, 0, 50]), Place([300, 400, 0, 70]));
        assert_eq!(a.round_trip(b), Some(Duration::from_millis(62)));
        assert_eq!(a.round_trip(Place::UNKNOWN), None);
    }
}
