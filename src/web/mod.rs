//! The local page and its interface for programs: what [`crate::face`] knows and [`crate::control`] can do, over HTTP on an
//! address of this machine alone.
//!
//! [`server`] is a thread with a runtime of its own, so that nobody who looks holds up a packet; [`guard`] decides who may
//! ask; [`routes`] is what can be asked; [`feed`] tells what changes, [`metrics`] is the state as numbers. The page itself is three files in `page/`, embedded.

mod feed;
mod guard;
mod metrics;
mod routes;
mod server;

pub use self::guard::Token;
pub use self::server::Page;
