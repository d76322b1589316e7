//! `alm leave`: out of the running conference.

use std::io::Write;

use super::error::CliError;
use super::running::Target;
use crate::control::Request;

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    #[command(flatten)]
    target: Target,
}

const EXAMPLE: &str = "Example:
  $ alm leave

Leaves as Ctrl-C does: the others are told at once. A host that leaves hands the conference over to a
member; `alm end` ends it for everybody.";

/// Asks the running process to leave.
pub(super) fn run(args: &Args, _out: &mut dyn Write) -> Result<(), CliError> {
    args.target.ask(&Request::Leave).map(drop)
}
