//! One node of the lab: the same driver as behind `alm host`, `join` and `pool`, on an emulated line.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use alm_media::device::{Capture, InputSpec};
use alm_media::{Channels, CodecConfig, VoiceConfig};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::ears::{Ears, Record, Voice};
use super::meter::{Media, Meter};
use crate::cli::error::{CliError, reason};
use crate::event::Event;
use crate::face::Conference;
use crate::identity::{Identity, NodeId};
use crate::live::{AudioConfig, Command, Driver, DriverConfig, Pace, Role};
use crate::net::emulated::{Datagram, EmulatedNetwork, EmulatedSocket, address_of};
use crate::net::quic::{Carrier, QuicLink, Socket};
use crate::pool::{HelpersFrom, PoolConfig, Priority};
use crate::session::{Ending, Invite, ManagerConfig, MemberConfig, Participant};
use crate::spent::Spent;
use alm_planner::Objective;

/// Events between a node and who keeps its notes.
const EVENTS_MAX: usize = 16_384;
const COMMANDS_MAX: usize = 16;

/// What a node has told.
#[derive(Default)]
pub(super) struct Notes {
    pub(super) conference: Conference,
    /// When each epoch came, and why.
    pub(super) epochs: Vec<(Instant, u64, String)>,
    /// Repairs, gaps, false alarms and troubles, and when they were told.
    pub(super) told: Vec<(Instant, Event)>,
}

/// What a node is there for.
pub(super) enum Part {
    Helper,
    /// The objective, and whether two trees carry each voice.
    Host(Objective, bool),
    Member(Invite),
}

/// What all nodes have in common.
pub(super) struct Common {
    pub(super) network: EmulatedNetwork<Datagram>,
    pub(super) seed: u64,
    pub(super) voices: usize,
    pub(super) codec: CodecConfig,
    /// Where nodes start from, where there is such a place.
    pub(super) bootstrap: Vec<SocketAddr>,
}

/// See the [module](self).
pub(super) struct LabNode {
    /// `m3` or `h2`.
    pub(super) name: String,
    /// Its number in the network.
    pub(super) site: usize,
    /// Its number among the members.
    pub(super) voice: Option<usize>,
    pub(super) node: NodeId,
    pub(super) id: String,
    pub(super) started: Instant,
    /// When it ended, or began to leave.
    pub(super) ended: Option<Instant>,
    pub(super) heard: Record,
    pub(super) media: Arc<Media>,
    /// What it takes of a core, its audio left out; and what its planning does.
    pub(super) spent: Spent,
    pub(super) planning: Spent,
    notes: Arc<Mutex<Notes>>,
    commands: mpsc::Sender<Command>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Ending>,
}

impl LabNode {
    /// Brings node `site` to life. A member's number is its voice.
    pub(super) fn start(
        common: &Common,
        site: usize,
        number: usize,
        part: Part,
        degree: u32,
    ) -> Result<Self, CliError> {
        let key = |what: u8| {
            let mut seed = [what; 32];
            seed[..8].copy_from_slice(&common.seed.to_le_bytes());
            seed[8..16].copy_from_slice(&(site as u64).to_le_bytes());
            seed
        };
        let identity = Arc::new(Identity::from_seed(key(1)));
        let socket = Socket::Abstract(EmulatedSocket::new(&common.network, site), key(2));
        let (spent, planning) = (Spent::counting(), Spent::counting());
        let link = QuicLink::open_counted(&identity, socket, Carrier::default(), spent.clone()).map_err(
            |error| {
                CliError::failed(format_args!("cannot open an emulated socket ({})", reason(&error)), "", "")
            },
        )?;
        let is_member = !matches!(part, Part::Helper);
        let name = format!("{}{number}", if is_member { 'm' } else { 'h' });
        let heard = Record::default();
        let audio = || {
            let capture: Box<dyn Capture> = if number < common.voices {
                Box::new(Voice::new(number, common.voices))
            } else {
                InputSpec::Silence
                    .open(false, Channels::Mono)
                    .map_err(|error| CliError::failed(error, "silence", ""))?
            };
            let playback = Box::new(Ears::new(number, common.voices, heard.clone()));
            let (voice, codec, pace) = (VoiceConfig::NONE, common.codec, Pace::Task);
            Ok(AudioConfig {
                capture,
                playback,
                voice,
                codec,
                pace,
                muted: false,
                cue: false,
                recording: None,
            })
        };
        let node = identity.node_id();
        let mut salt = [0; 16];
        salt.copy_from_slice(&key(3)[..16]);
        let lends = !is_member;
        let (role, bootstrap) = match part {
            Part::Helper => (Role::Pool, &common.bootstrap[..]),
            Part::Host(objective, protect) => {
                let addrs = vec![address_of(site)];
                let (name, records) = (name.clone(), false);
                let own = Participant { index: 0, node, name, salt, degree, records, addrs };
                let (title, priority, secret) = ("lab".to_owned(), Priority::LOWEST, salt);
                let (grant, helpers) = (None, HelpersFrom::Anybody);
                let config =
                    ManagerConfig { title, objective, priority, grant, helpers, protect, secret, own };
                let config = Box::new(config);
                let role = Role::Host { key: Identity::from_seed(key(4)), config, audio: audio()? };
                (role, &common.bootstrap[..])
            }
            Part::Member(invite) => {
                let config = MemberConfig { invite, name: name.clone(), salt, degree, records: false };
                // Members know nothing but the id.
                (Role::Join { config, audio: audio()? }, &[][..])
            }
        };
        let config = DriverConfig {
            identity,
            pool: PoolConfig { degree, lends, ..PoolConfig::default() },
            bootstrap: bootstrap.iter().copied().filter(|addr| *addr != address_of(site)).collect(),
            random: StdRng::from_seed(key(5)),
            troubles: vec![],
        };
        let (sender, events) = mpsc::channel(EVENTS_MAX);
        let (commands, wishes) = mpsc::channel(COMMANDS_MAX);
        let (stop, stopped) = oneshot::channel::<()>();
        let media = Arc::new(Media::default());
        let link = Meter::new(link, media.clone());
        let driver = Driver::new(link, config, role, None, sender).with_commands(wishes);
        let driver = driver.with_planning_counted(planning.clone());
        let task = spent.spawn(driver.run(async {
            // Nodes that are dropped at the end do not leave politely.
            if stopped.await.is_err() {
                std::future::pending().await
            }
        }));
        let notes = Arc::new(Mutex::new(Notes::default()));
        tokio::spawn(keep(events, notes.clone()));
        Ok(Self {
            name,
            site,
            voice: is_member.then_some(number),
            node,
            id: node.to_string(),
            started: now(),
            ended: None,
            heard,
            media,
            spent,
            planning,
            notes,
            commands,
            stop: Some(stop),
            task,
        })
    }

    pub(super) fn is_alive(&self) -> bool {
        self.ended.is_none()
    }

    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Dies without a word, if nothing of its reaches the network any more.
    pub(super) fn kill(&mut self) {
        self.ended = Some(now());
        self.task.abort();
    }

    /// Leaves politely.
    pub(super) fn leave(&mut self) {
        self.ended = Some(now());
        // It may have ended by itself.
        let _ = self.stop.take().map(|stop| stop.send(()));
    }

    /// Has it do something; a node that does not keep up does not do it.
    pub(super) fn command(&self, command: Command) {
        let _ = self.commands.try_send(command);
    }
}

impl Drop for LabNode {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The lab's clock.
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// Keeps what a node tells, with the time.
async fn keep(mut events: mpsc::Receiver<Event>, notes: Arc<Mutex<Notes>>) {
    while let Some(event) = events.recv().await {
        let mut notes = notes.lock().unwrap_or_else(PoisonError::into_inner);
        notes.conference.apply(&event);
        let at = now();
        match event {
            Event::Tree(plan) => notes.epochs.push((at, plan.epoch, plan.reason)),
            Event::Repair { .. }
            | Event::Detour { .. }
            | Event::Gap { .. }
            | Event::FalseAlarm { .. }
            | Event::Error { .. } => {
                notes.told.push((at, event));
            }
            _ => {}
        }
    }
}
