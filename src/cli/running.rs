//! What the commands share that act on a conference that runs already: finding it, asking it, and serving them from the
//! other side.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::error::CliError;
use super::state;
use crate::control::{Act, Answer, Request, Running, Served, ask, running};
use crate::event::Event;
use crate::face::Conference;
use crate::identity::NodeId;
use crate::live::Command;
use crate::session::{CHAT_TEXT_MAX, Moderation, clean_name};
use crate::web::Guests;

/// Which one.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Target {
    /// Where the running process keeps its key [default: the platform's data directory]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    /// The process, if several run
    #[arg(long, value_name = "N")]
    pid: Option<u32>,
}

impl Target {
    /// Asks the one conference that runs.
    pub(super) fn ask(&self, request: &Request) -> Result<Answer, CliError> {
        let running = self.find()?;
        match ask(&running, request) {
            Ok(Answer::Refused(why)) => Err(CliError::failed(why, "", "")),
            Ok(answer) => Ok(answer),
            Err(error) => Err(CliError::failed(error, format_args!("process {}", running.pid), "")),
        }
    }

    fn find(&self) -> Result<Running, CliError> {
        let dir = state::directory(self.state.clone())?;
        let mut found = running(&dir);
        match self.pid {
            Some(pid) => found.retain(|running| running.pid == pid),
            // A machine that is lent has no voice; it is meant only if nothing else runs.
            None if found.iter().any(|running| running.role != "pool") => {
                found.retain(|running| running.role != "pool")
            }
            None => {}
        }
        let several: Vec<String> = found.iter().map(described).collect();
        match (found.pop(), found.is_empty()) {
            (Some(one), true) => Ok(one),
            (Some(_), false) => {
                Err(CliError::failed("several run here", several.join(", "), "name one with --pid N"))
            }
            (None, _) => Err(CliError::failed(
                "nothing runs here that answers",
                dir.display(),
                "start it with `alm host` or `alm join`, or name its --state DIR",
            )),
        }
    }
}

fn described(running: &Running) -> String {
    let Running { pid, session, role, .. } = running;
    session.as_ref().map_or_else(|| format!("{pid} ({role})"), |session| format!("{pid} ({session:?})"))
}

/// The other side: the conference as it stands, and a way to the driver.
pub(super) struct Desk {
    pub(super) conference: Arc<Mutex<Conference>>,
    pub(super) commands: mpsc::Sender<Command>,
    /// Links for guests, where there is a port for them.
    pub(super) guests: Option<Doorkeeper>,
}

/// Who makes and takes back links, and says so.
pub(super) struct Doorkeeper {
    pub(super) guests: Arc<Guests>,
    pub(super) fingerprint: Option<String>,
    /// It does not hold up the end.
    pub(super) told: mpsc::WeakSender<Event>,
}

impl Doorkeeper {
    /// The link of that name.
    pub(super) fn make(&self, name: &str) -> Result<String, String> {
        let name = clean_name(name);
        let is_news = !self.guests.names().contains(&name);
        let link = self.guests.make(&name)?;
        if is_news {
            self.tell(Event::Guest { name, link: Some(link.clone()), fingerprint: self.fingerprint.clone() });
        }
        Ok(link)
    }

    fn revoke(&self, name: &str) -> Result<(), String> {
        let name = clean_name(name);
        if !self.guests.revoke(&name) {
            return Err(format!("there is no guests' link {name:?}: see alm guest"));
        }
        self.tell(Event::Guest { name, link: None, fingerprint: None });
        Ok(())
    }

    fn tell(&self, event: Event) {
        if let Some(told) = self.told.upgrade() {
            // Full: then it is told with the next one.
            let _ = told.try_send(event);
        }
    }
}

impl Desk {
    fn order(&self, command: Command, muted: bool) -> Answer {
        match self.commands.try_send(command) {
            Ok(()) => Answer::Done { muted },
            Err(_) => Answer::Refused("it is busy: try again".to_owned()),
        }
    }
}

impl Served for Desk {
    fn answer(&self, request: Request) -> Answer {
        // A picture of the conference stays usable whatever befell another reader.
        let conference = self.conference.lock().unwrap_or_else(PoisonError::into_inner);
        let session = conference.session.as_ref();
        let muted = conference.muted;
        match request {
            Request::Who => Answer::Here {
                session: session.map(|session| session.name.clone()),
                role: session.map_or("pool", |session| session.role).to_owned(),
            },
            Request::State => match serde_json::to_value(&*conference) {
                Ok(state) => Answer::State(state),
                Err(error) => Answer::Refused(error.to_string()),
            },
            Request::Leave => self.order(Command::Leave, muted),
            _ if session.is_none() => Answer::Refused("it is in no conference".to_owned()),
            Request::End | Request::Moderate { .. } if session.is_some_and(|s| s.role != "host") => {
                Answer::Refused("only its host can do that".to_owned())
            }
            Request::End => self.order(Command::End, muted),
            Request::Moderate { act, who } => match moderation(&conference, act, who.as_deref()) {
                Ok(what) => self.order(Command::Moderate(what), muted),
                Err(why) => Answer::Refused(why),
            },
            Request::Volume { who, percent } => match node_of(&conference, &who) {
                Ok(node) => self.order(Command::Volume(node, percent), muted),
                Err(why) => Answer::Refused(why),
            },
            Request::Say { text } if text.len() > CHAT_TEXT_MAX => {
                Answer::Refused(format!("a message has at most {CHAT_TEXT_MAX} bytes"))
            }
            Request::Say { text } => self.order(Command::Say(text), muted),
            Request::Mute => self.order(Command::Mute(true), true),
            Request::Unmute => self.order(Command::Mute(false), false),
            Request::Toggle => self.order(Command::Mute(!muted), !muted),
            Request::Guest { name } => match self.guests.as_ref().map(|door| door.make(&name)) {
                Some(Ok(link)) => Answer::Text(format!("{link}\n")),
                Some(Err(why)) => Answer::Refused(why),
                None => Answer::Refused(NO_DOOR.to_owned()),
            },
            Request::Revoke { name } => match self.guests.as_ref().map(|door| door.revoke(&name)) {
                Some(Ok(())) => Answer::Done { muted },
                Some(Err(why)) => Answer::Refused(why),
                None => Answer::Refused(NO_DOOR.to_owned()),
            },
            Request::Guests if self.guests.is_none() => Answer::Refused(NO_DOOR.to_owned()),
            Request::Guests => {
                let lines = conference.guests.iter().map(|(name, link)| format!("{name}  {link}\n"));
                Answer::Text(lines.collect())
            }
            Request::Tree { format } => match format.parse().map(|format| conference.draw(format)) {
                Ok(Some(text)) => Answer::Text(text),
                Ok(None) => Answer::Refused("there is no plan yet".to_owned()),
                Err(todo) => Answer::Refused(todo),
            },
        }
    }
}

fn moderation(conference: &Conference, act: Act, who: Option<&str>) -> Result<Moderation, String> {
    let node = || node_of(conference, who.ok_or_else(|| "say whom".to_owned())?);
    Ok(match act {
        Act::Kick => Moderation::Kick(node()?),
        Act::Ban => Moderation::Ban(node()?),
        Act::Lock => Moderation::Lock(true),
        Act::Unlock => Moderation::Lock(false),
        Act::Hush => Moderation::Quiet(true),
        Act::Unhush => Moderation::Quiet(false),
    })
}

/// Who is meant, by name or by the beginning of the node.
fn node_of(conference: &Conference, who: &str) -> Result<NodeId, String> {
    let is_meant = |(node, name): &(&String, &String)| *name == who || node.starts_with(who);
    let mut meant = conference.members.iter().filter(is_meant);
    match (meant.next(), meant.next()) {
        (Some((node, _)), None) => node.parse().map_err(|_| format!("{who:?} has no key")),
        (None, _) => Err(format!("nobody here is called {who:?}: see alm stats")),
        (Some(_), Some(_)) => {
            Err(format!("more than one here is called {who:?}: use its node, see alm stats"))
        }
    }
}

/// Where no port for guests was asked for.
const NO_DOOR: &str = "guests have no way in here: start it with --web-listen on an address that they reach";
/// Wishes on their way to the driver.
pub(super) const COMMANDS_MAX: usize = 64;
