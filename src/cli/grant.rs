//! `alm grant`: this machine's word, as the authority of a pool, that somebody's conferences come first, or that a machine is of it.

use std::io::Write;
use std::path::PathBuf;

use super::error::CliError;
use super::host::priority;
use super::report::unix_seconds;
use super::state::State;
use crate::identity::NodeId;
use crate::pool::{Grant, Priority};

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// The machine that hosts the conferences, or that lends itself: what `alm grant` prints there [default: print this
    /// machine's own key]
    #[arg(value_name = "KEY")]
    holder: Option<NodeId>,

    /// The highest priority that they may ask of the pool's machines, 1 or 2
    #[arg(long, value_name = "N", value_parser = priority, default_value = "1", requires = "holder")]
    priority: Priority,

    /// For how long
    #[arg(long, value_name = "DAYS", default_value = "30", requires = "holder",
        value_parser = clap::value_parser!(u32).range(1..=3650))]
    days: u32,

    /// Where this machine's key is kept [default: the platform's data directory]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
}

const EXAMPLE: &str = "Example:
  $ alm grant                                  (on the host's machine: its key, H)
  $ alm grant                                  (on the authority's: its key, A)
  $ alm grant H --priority 1 --days 30         (there: the grant, G)
  $ alm pool --authority A                     (on every machine of the pool)
  $ alm host --session standup --priority 1 --grant G

Machines of that pool serve conferences at priority 1 or 2 by a grant alone, all others at priority 3. A host that shows a
grant takes help from the authority's own machines alone, unless it is run with `--helpers open`. A machine proves that
it is one of them by a grant of its own:

  $ alm grant                                  (on a machine of the pool: its key, M)
  $ alm grant M --days 365                     (on the authority's: the grant, P)
  $ alm pool --authority A --grant P

A grant cannot be taken back, so give it no more days than it needs.";

/// Prints the key, or a grant.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    let mut state = State::open(args.state.clone())?;
    let key = state.lasting_identity()?;
    let line = match args.holder {
        None => key.node_id().to_string(),
        Some(holder) => {
            let until_s = unix_seconds() as u64 + u64::from(args.days) * DAY_S;
            Grant::new(&key, holder, args.priority, until_s).to_string()
        }
    };
    writeln!(out, "{line}").map_err(CliError::from_stdout)
}

const DAY_S: u64 = 86_400;
