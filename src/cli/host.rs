//! `alm host`: start a conference.

use std::io::Write;

use alm_planner::Objective;

use super::error::CliError;
use super::join::user_name;
use super::live::{Purpose, live};
use super::media_args::MediaArgs;
use super::net_args::{NetArgs, new_identity};
use super::report::unix_seconds;
use super::state::random;
use crate::identity::{NodeId, SessionId};
use crate::live::Role;
use crate::pool::{Grant, Priority, SessionGrant};
use crate::session::{ManagerConfig, Participant};

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLE)]
pub(super) struct Args {
    /// What the conference is called
    #[arg(long, value_name = "NAME")]
    session: String,

    /// What you are called [default: your user name]
    #[arg(long, value_name = "NICK")]
    name: Option<String>,

    /// What carries the voices: forest (a tree for each; above 50 members as diameter), diameter (one tree for all, any
    /// two members close) or height (one tree for all, you close to the others)
    #[arg(long, value_name = "WHAT", value_parser = objective, default_value = "forest")]
    objective: Objective,

    /// The session's claim on helpers, 1 to 3; 1 is the highest
    #[arg(long, value_name = "N", value_parser = priority, default_value = "3")]
    priority: Priority,

    /// By whose word, where a pool asks for one: what `alm grant` printed for this machine. Only machines of that
    /// authority's pool help then, unless --helpers says otherwise
    #[arg(long, value_name = "GRANT")]
    grant: Option<Grant>,

    /// Every voice along two trees in which no node relays twice: one that dies costs nothing, the uplinks carry twice as much
    #[arg(long)]
    protect: bool,

    #[command(flatten)]
    media: MediaArgs,

    #[command(flatten)]
    net: NetArgs,
}

const EXAMPLE: &str = "Example:
  $ alm host --session standup
  almae7f3k…
  others join with: alm join almae7f3k…

Speak into the default microphone; others join with the id. Ctrl-C leaves; the others go on, and
one of them is the host. `alm end` ends the conference for everybody.";

fn objective(text: &str) -> Result<Objective, String> {
    text.parse().map_err(|_| "use forest, diameter or height".to_owned())
}

pub(super) fn priority(text: &str) -> Result<Priority, String> {
    let number = text.parse::<u8>().map_err(|_| "a priority is 1, 2 or 3".to_owned())?;
    Priority::try_from(number).map_err(str::to_owned)
}

/// A grant that is to be for this machine, and not over.
pub(super) fn check_grant(grant: &Grant, holder: NodeId) -> Result<(), CliError> {
    if grant.holder != holder {
        let todo = "ask for one for the key that `alm grant` prints here, while no other `alm` runs";
        return Err(CliError::wrong("the grant is for another machine", "--grant", todo));
    }
    if grant.until_s <= unix_seconds() as u64 {
        return Err(CliError::wrong("the grant has ended", "--grant", "ask for a new one"));
    }
    Ok(())
}

/// Hosts until the end.
pub(super) fn run(args: Args, out: &mut dyn Write) -> Result<(), CliError> {
    let Args { session, name, objective, priority, grant, protect, media, net } = args;
    if session.trim().is_empty() {
        return Err(CliError::wrong("the session has no name", "--session", "give it one, such as standup"));
    }
    let (degree, args) = (net.degree(), net.clone());
    let role = move |net: &mut super::net_args::Net| {
        let media = media.open()?;
        net.config.troubles.extend(media.troubles);
        let node = net.config.identity.node_id();
        let (name, addrs) = (name.unwrap_or_else(user_name), net.addrs.clone());
        let (salt, records) = (random(), media.audio.recording.is_some());
        let own = Participant { index: 0, node, name, salt, degree, records, addrs };
        let key = new_identity();
        grant.as_ref().map_or(Ok(()), |grant| check_grant(grant, node))?;
        let helpers = args.helpers(node, grant.as_ref());
        let lay_out = |grant| SessionGrant::new(grant, &net.config.identity, SessionId::of(&key.node_id()));
        let (grant, secret) = (grant.map(lay_out).map(Box::new), random());
        let config =
            ManagerConfig { title: session, objective, priority, grant, helpers, protect, secret, own };
        Ok(Role::Host { key, config: Box::new(config), audio: media.audio })
    };
    live(&net, Purpose::Host, role, out)
}
