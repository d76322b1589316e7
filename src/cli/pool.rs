//! `alm pool`: lend this machine.

use std::io::Write;

use super::error::CliError;
use super::live::{Purpose, live};
use super::net_args::{Net, NetArgs};
use crate::identity::NodeId;
use crate::live::Role;

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// Serve conferences at priority 1 and 2 only by this machine's grant: the key that `alm grant` prints there
    #[arg(long, value_name = "KEY")]
    authority: Option<NodeId>,

    #[command(flatten)]
    net: NetArgs,
}

const EXAMPLE: &str = "Example:
  $ alm pool --listen 0.0.0.0:4433 --degree 8
  $ alm host --session standup --bootstrap 192.0.2.7:4433    (elsewhere)

The machine relays media for conferences that need it, and can read none of it. Ctrl-C takes it back.";

/// Lends this machine until a signal comes.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    let authority = args.authority;
    let role = move |net: &mut Net| {
        net.config.pool.authority = authority;
        Ok(Role::Pool)
    };
    live(&args.net, Purpose::Lend, role, out)
}
