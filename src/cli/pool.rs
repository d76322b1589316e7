//! `alm pool`: lend this machine.

use std::io::Write;

use super::error::CliError;
use super::live::{Purpose, live};
use super::net_args::{Net, NetArgs};
use crate::identity::NodeId;
use crate::live::Role;
use crate::pool::Hours;

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// Serve conferences at priority 1 and 2 only by this machine's grant: the key that `alm grant` prints there
    #[arg(long, value_name = "KEY")]
    authority: Option<NodeId>,

    /// Conferences that this machine serves at once
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u8).range(1..=64))]
    sessions: u8,

    /// Hours of the day, UTC, at which this machine serves conferences [default: all]
    #[arg(long, value_name = "HH:MM-HH:MM")]
    hours: Option<Hours>,

    #[command(flatten)]
    net: NetArgs,
}

const EXAMPLE: &str = "Example:
  $ alm pool --listen 0.0.0.0:4433 --degree 8
  $ alm pool --bootstrap 192.0.2.7:4433 --sessions 2 --hours 19:00-05:00
  $ alm host --session standup --bootstrap 192.0.2.7:4433    (elsewhere)

The machine relays media for conferences that need it, and can read none of it. Ctrl-C takes it back.";

/// Lends this machine until a signal comes.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    let Args { authority, sessions, hours, .. } = *args;
    let role = move |net: &mut Net| {
        net.config.pool.authority = authority;
        (net.config.pool.sessions, net.config.pool.hours) = (sessions.into(), hours);
        Ok(Role::Pool)
    };
    live(&args.net, Purpose::Lend, role, out)
}
