//! Browsers, and other programs that speak WHIP (RFC 9725) or WHEP, as members of the conference: WebRTC on their side, a
//! member like any other on ours.
//!
//! Each comes in as a node of its own, in this process, with a key and a name of its own ([`gateway`]); whoever is not here
//! cannot tell it from one that runs the program. Opus passes through both ways as it is ([`crate::live::Hearing::Apart`]):
//! up to [`offer::LINES_MAX`] voices, each on a track, the ones that speak where there are more ([`seats`]). Who offers a
//! single track to listen on gets one mix, decoded and encoded again here.
//!
//! Between browser and this node the sound is encrypted by DTLS-SRTP, beyond this node by the session's keys. This node
//! itself sees it.

mod gateway;
mod member;
mod offer;
mod peer;
mod rtp;
mod seats;

pub use self::gateway::{Gateway, GatewayConfig};
