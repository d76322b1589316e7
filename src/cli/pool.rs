//! `alm pool`: lend this machine.

use std::io::Write;

use super::error::CliError;
use super::live::{Purpose, live};
use super::net_args::NetArgs;
use crate::live::Role;

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    net: NetArgs,
}

const EXAMPLE: &str = "Example:
  $ alm pool --listen 0.0.0.0:4433 --degree 8
  $ alm host --session standup --bootstrap 192.0.2.7:4433    (elsewhere)

The machine relays media for conferences that need it, and can read none of it. Ctrl-C takes it back.";

/// Lends this machine until a signal comes.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    live(&args.net, Purpose::Lend, |_| Ok(Role::Pool), out)
}
