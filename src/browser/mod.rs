//! Browsers, and other programs that speak WHIP (RFC 9725) or WHEP, as members of the conference: WebRTC on their side, a
//! member like any other on ours.
//!
//! Each comes in as a node of its own, in this process, with a key and a name of its own ([`gateway`]); whoever is not here
//! cannot tell it from one that runs the program. Opus passes through both ways as it is ([`crate::live::Hearing::Apart`]):
//! up to [`offer::LINES_MAX`] voices, each on a track, the ones that speak where there are more ([`seats`]). Who offers a
//! single track to listen on gets one mix, decoded and encoded again here.
//!
//! Between browser and this node the sound is encrypted by DTLS-SRTP, beyond this node by the session's keys. A browser that
//! can seals and opens the sound itself ([`news`] brings it the keys, and with `?sealed=1` an RTP payload is a media packet
//! without its tree): then this node passes it on and sees who speaks and how loud, not what. It has the keys as well, for it
//! is the browser's leaf in the members' group: who runs it could open the sound. A browser that cannot leaves it to this node.
//!
//! What the others have signed of their voices is checked where these are opened: in the browser, which is told what each
//! signature vouches for, or here. What is written goes by the same way as the keys, and whoever is in by a browser writes as
//! itself, not as who runs this node.

mod gateway;
mod member;
mod news;
mod offer;
mod peer;
mod rate;
mod rtp;
mod seats;
mod told;

pub use self::gateway::{Gateway, GatewayConfig};
