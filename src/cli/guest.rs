//! `alm guest`: links by which guests without the program come into the running conference.

use std::io::Write;

use super::error::CliError;
use super::running::Target;
use crate::control::{Answer, Request};

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// What the link goes by; without it, the links that there are
    #[arg(value_name = "NAME")]
    name: Option<String>,

    /// Take it back: it opens no more, and who came by it is put out
    #[arg(long, requires = "name")]
    revoke: bool,

    #[command(flatten)]
    target: Target,
}

const EXAMPLE: &str = "Example:
  $ alm guest friends
  https://192.0.2.7:8443/#k3f…
  $ alm guest friends --revoke

Needs a conference that was started with --web-listen on an address that guests reach.";

/// Makes, lists or takes back.
pub(super) fn run(args: &Args, out: &mut dyn Write) -> Result<(), CliError> {
    let request = match (&args.name, args.revoke) {
        (None, _) => Request::Guests,
        (Some(name), false) => Request::Guest { name: name.clone() },
        (Some(name), true) => Request::Revoke { name: name.clone() },
    };
    if let Answer::Text(text) = args.target.ask(&request)? {
        write!(out, "{text}").map_err(CliError::from_stdout)?;
    }
    Ok(())
}
