//! `alm pool`: lend this machine.

use std::io::Write;

use super::error::CliError;
use super::host::check_grant;
use super::live::{Purpose, live};
use super::net_args::{Net, NetArgs};
use crate::identity::NodeId;
use crate::live::Role;
use crate::pool::{Grant, Hours};

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// Serve conferences at priority 1 and 2 only by this machine's grant: the key that `alm grant` prints there
    #[arg(long, value_name = "KEY")]
    authority: Option<NodeId>,

    /// Prove with this that the machine is of that authority's pool: what `alm grant` printed there for this machine.
    /// Hosts that take help from their own pool alone know it by that
    #[arg(long, value_name = "GRANT", requires = "authority")]
    grant: Option<Grant>,

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
  $ alm pool --bootstrap 192.0.2.7:4433 --authority A --grant G    (of A's own pool: `alm help grant`)
  $ alm host --session standup --bootstrap 192.0.2.7:4433    (elsewhere)

The machine relays media for conferences that need it, and can read none of it. Ctrl-C takes it back.";

/// Lends this machine until a signal comes.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    let Args { authority, sessions, hours, .. } = *args;
    let grant = args.grant.clone();
    let role = move |net: &mut Net| {
        if let Some(grant) = &grant {
            check_grant(grant, net.config.identity.node_id())?;
            if authority != Some(grant.authority) {
                let todo = "ask for one where `alm grant` prints the key of --authority";
                return Err(CliError::wrong("the grant is by another authority", "--grant", todo));
            }
        }
        (net.config.pool.authority, net.config.pool.grant) = (authority, grant);
        (net.config.pool.sessions, net.config.pool.hours) = (sessions.into(), hours);
        Ok(Role::Pool)
    };
    live(&args.net, Purpose::Lend, role, out)
}
