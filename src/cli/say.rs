//! `alm say`: a line to everybody in the running conference.

use super::error::CliError;
use super::running::Target;
use crate::control::Request;

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// At most 4 KiB
    #[arg(value_name = "TEXT", required = true, num_args = 1.., allow_hyphen_values = false)]
    text: Vec<String>,

    #[command(flatten)]
    target: Target,
}

const EXAMPLE: &str = "Example:
  $ alm say back in five minutes

Sealed like the voices: only who is in the conference can read it.";

/// Says it.
pub(super) fn run(args: &Args) -> Result<(), CliError> {
    args.target.ask(&Request::Say { text: args.text.join(" ") }).map(drop)
}
