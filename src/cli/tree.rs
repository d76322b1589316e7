//! `alm tree`: what carries the running conference.

use std::io::Write;

use super::error::CliError;
use super::running::Target;
use crate::control::{Answer, Request};
use crate::face::TreeFormat;

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// text, dot (Graphviz) or svg
    #[arg(long, value_name = "FORMAT", value_parser = format, default_value = "text")]
    format: String,

    #[command(flatten)]
    target: Target,
}

const EXAMPLE: &str = "Example:
  $ alm tree
  plan 4 (join): 3 trees, worst pair 21.4 ms, 1 helper
  $ alm tree --format svg > tree.svg";

fn format(text: &str) -> Result<String, String> {
    text.parse::<TreeFormat>().map(|_| text.to_owned())
}

/// Writes the installed plan down.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    if let Answer::Text(text) = args.target.ask(&Request::Tree { format: args.format.clone() })? {
        write!(out, "{text}").map_err(CliError::from_stdout)?;
    }
    Ok(())
}
