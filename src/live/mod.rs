//! A node that lives: the state machine of [`crate::node`] on a network, with a clock and sound.
//!
//! This is the only place on the live path that reads a clock. [`Driver`] moves bytes between the link and the node;
//! [`Audio`] runs beside it, on a thread of its own, so that encoding and decoding never hold up a packet on its way; a
//! stand-in takes its place where a member speaks and listens elsewhere.

mod audio;
mod command;
mod cue;
mod driver;
mod notices;
mod onlooker;
mod places;
mod recorder;
mod secrets;
mod stand_in;

pub use self::audio::{Audio, AudioConfig, Pace};
pub use self::command::Command;
pub use self::driver::{Driver, DriverConfig, Role};
pub use self::onlooker::Onlooker;
pub use self::secrets::Secrets;
pub use self::stand_in::{Hearing, Spoken, StandInConfig, Uttered};
