//! How another process of the same user speaks to a running one: a socket in the state directory (mode 0600), one JSON
//! object a line each way. `alm mute` and its like are its client, so that any desktop can bind a key to them.

mod client;
mod message;
mod server;

pub use self::client::{AskError, Running, ask, running};
pub use self::message::{Act, Answer, Request};
pub use self::server::{Served, Server};
