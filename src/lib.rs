//! `alm`: conferencing without servers.
//!
//! The map: [`net`] reaches peers, [`pool`] knows who is there, [`session`] runs one conference, [`node`] wires the two
//! and the forwarding table into one state machine, [`live`] drives it, [`web`] shows it in a
//! browser and `browser` lets one in, [`sim`] runs many in virtual time, [`cli`] is what
//! people type.
#![forbid(unsafe_code)]

#[cfg(feature = "browser")]
pub mod browser;
pub mod cli;
pub mod control;
pub mod event;
pub mod face;
pub mod fuzz;
pub mod identity;
pub mod live;
pub mod net;
pub mod node;
pub mod pool;
pub mod session;
pub mod sim;
pub mod spent;
#[cfg(test)]
mod testing;
pub mod tui;
pub mod web;
pub mod wire;
