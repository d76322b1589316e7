//! The local page and its interface for programs: what [`crate::face`] knows and [`crate::control`] can do, over HTTP on an
//! address of this machine alone; and a port with less on it for guests, over TLS.
//!
//! [`server`] is a thread with a runtime of its own, so that nobody who looks holds up a packet; [`guard`] decides who may
//! ask; [`routes`] is what can be asked; [`feed`] tells what changes, [`metrics`] is the state as numbers,
//! [`calls`] lets browsers in by WHIP and WHEP, [`guests`] keeps the links for those from elsewhere, [`certificate`] what
//! they know this machine by. The page itself is files in `page/`, embedded.

mod calls;
mod certificate;
mod feed;
mod gateway;
mod guard;
mod guests;
mod metrics;
mod routes;
mod server;

pub use self::certificate::Certificate;
pub use self::gateway::{Answering, Call, Gateway, MEMBER_MAX, News, OFFER_MAX, Opened, Refused, Way};
pub use self::guard::Token;
pub use self::guests::Guests;
pub use self::server::{Door, Page};
