//! The network: the only place with sockets. It knows bytes and peers, and nothing of pools, sessions or media.
//!
//! A [`Link`] reaches peers by their key. It has two implementations: [`quic`], and [`emulated`], whose one core also
//! serves as a UDP socket beneath quinn.

mod address;
mod beats;
mod budget;
mod hop;
mod link;
mod mdns;
mod port_map;
mod rhythm;

pub mod emulated;
pub mod quic;

pub use self::address::{Buffers, ListenError, bind_udp, buffers, concrete_addresses, is_detour};
pub use self::budget::Budget;
pub use self::link::{
    ANSWER_LEN, Channel, DialError, Heard, Link, LinkEvent, SendError, Switch, SwitchCounts, Verdict,
    Watched, next_event,
};
pub(crate) use self::link::{CONTROL_MESSAGE_MAX, DATAGRAM_MAX};
pub use self::mdns::{Discovered, Mdns};
pub use self::port_map::PortMap;
pub use self::rhythm::Rhythm;

/// What is read of a packet beside QUIC, or of a datagram that asks for a detour, is written as it came; see
/// [`crate::fuzz`].
pub(crate) fn survives(bytes: &[u8]) -> bool {
    hop::survives(bytes) && quic::detour_survives(bytes)
}
