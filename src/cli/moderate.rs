//! What a host does to others: `alm kick`, `ban`, `lock`, `unlock`, `hush`, `unhush`, and `alm end`.

use std::io::Write;

use super::error::CliError;
use super::running::Target;
use crate::control::{Act, Request};

/// What was typed where it is about one member.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = ONE_EXAMPLE)]
pub(super) struct OneArgs {
    /// What the member is called, or the beginning of its node
    #[arg(value_name = "WHO")]
    who: String,

    #[command(flatten)]
    target: Target,
}

const ONE_EXAMPLE: &str = "Example:
  $ alm kick mallory

At the host only. The others stop to hear the member at once, and the id that was good until now admits nobody any more:
`alm host` tells the new one. Whoever is banned is not let in with that either.";

/// What was typed where it is about all.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = ALL_EXAMPLE)]
pub(super) struct AllArgs {
    #[command(flatten)]
    target: Target,
}

const ALL_EXAMPLE: &str = "Example:
  $ alm lock

At the host only. `alm lock` lets nobody new in, `alm hush` has nobody but the host heard, `alm unlock` and `alm unhush` end
that; `alm end` ends the conference for everybody.";

/// Does it to one.
pub(super) fn one(args: OneArgs, act: Act) -> Result<(), CliError> {
    args.target.ask(&Request::Moderate { act, who: Some(args.who) }).map(drop)
}

/// Does it to all.
pub(super) fn all(args: &AllArgs, act: Act) -> Result<(), CliError> {
    args.target.ask(&Request::Moderate { act, who: None }).map(drop)
}

/// Ends the conference.
pub(super) fn end(args: &AllArgs, _out: &mut dyn Write) -> Result<(), CliError> {
    args.target.ask(&Request::End).map(drop)
}
