//! `alm join`: enter a conference.

use std::io::Write;

use super::error::CliError;
use super::live::{Purpose, live};
use super::media_args::MediaArgs;
use super::net_args::NetArgs;
use super::state::random;
use crate::live::Role;
use crate::session::{Invite, MemberConfig};

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// The id that `alm host` printed
    #[arg(value_name = "ID")]
    id: String,

    /// What you are called [default: your user name]
    #[arg(long, value_name = "NICK")]
    name: Option<String>,

    #[command(flatten)]
    media: MediaArgs,

    #[command(flatten)]
    net: NetArgs,
}

const EXAMPLE: &str = "Example:
  $ alm join almae7f3k… --name ada

Speak into the default microphone. Ctrl-C leaves.";

/// A member until the end.
pub(super) fn run(args: Args, out: &mut dyn Write) -> Result<(), CliError> {
    let Args { id, name, media, net } = args;
    let invite: Invite = id.parse().map_err(|error| {
        CliError::wrong(error, shortened(&id), "copy the whole word that `alm host` printed")
    })?;
    let degree = net.degree();
    let role = move |net: &mut super::net_args::Net| {
        let media = media.open()?;
        net.config.troubles.extend(media.troubles);
        let name = name.unwrap_or_else(user_name);
        let (salt, records) = (random(), media.audio.recording.is_some());
        let config = MemberConfig { invite, name, salt, degree, records };
        Ok(Role::Join { config, audio: media.audio })
    };
    live(&net, Purpose::Join, role, out)
}

/// What the system calls the user.
pub(super) fn user_name() -> String {
    ["USER", "LOGNAME", "USERNAME"].iter().find_map(|name| std::env::var(name).ok()).unwrap_or_default()
}

/// An id may hold a secret, and may be anything: its beginning is enough to recognise it.
fn shortened(id: &str) -> String {
    let mut start: String = id.chars().take(12).collect();
    if start.len() < id.len() {
        start.push('…');
    }
    start
}
