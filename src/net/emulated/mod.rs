//! An emulated network inside one process: delay, jitter, loss and rate for each ordered pair of nodes.
//!
//! One [`core`](self::core::Emulator) without sockets or clocks decides when and whether a packet arrives. It is used
//! twice: as a [`Link`](super::Link) without QUIC ([`EmulatedLink`]), and as a UDP socket beneath quinn
//! ([`EmulatedSocket`]). Both follow tokio's clock, so a paused clock makes time virtual and a seed fixes the outcome.

mod core;
mod link;
mod nat;
mod network;
mod socket;
mod uplink;

pub use self::core::{Emulator, PathProfile};
pub use self::link::EmulatedLink;
pub use self::nat::Translator;
pub use self::network::{EmulatedNetwork, address_of};
pub use self::socket::{Datagram, EmulatedSocket};
pub use self::uplink::Uplink;
