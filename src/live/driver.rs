//! Moves bytes between the link and the node, and wakes the node when it wants to be woken.

mod news;
mod uplink;
mod voices;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alm_media::{CodecConfig, SourceIndex};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, sleep_until};

use self::uplink::Uplink;
use super::audio::{AudioConfig, FromAudio, Handle, ToAudio};
use super::command::Command;
use super::notices;
use super::places::Places;
use super::stand_in::StandInConfig;
use crate::event::Event;
use crate::identity::{Identity, NodeId};
use crate::net::{Link, LinkEvent, Mdns, PortMap, next_event};
use crate::node::{Input, Node, Notice, Output};
use crate::pool::{Contact, PoolConfig, Standing};
use crate::session::{
    self, ENTRY_POINTS_MAX, Ending, Invite, Keys, ManagerConfig, MemberConfig, Participant, Planned,
};
use crate::spent::Spent;

/// Who lives here.
pub struct DriverConfig {
    /// The machine's key.
    pub identity: Arc<Identity>,
    /// What it lends, and how it measures.
    pub pool: PoolConfig,
    /// Addresses to start from.
    pub bootstrap: Vec<SocketAddr>,
    /// The node's source of chance.
    pub random: StdRng,
    /// What is wrong from the start: said once the node is ready.
    pub troubles: Vec<String>,
}

/// What the node is there for.
pub enum Role {
    /// To lend itself to others.
    Pool,
    /// To host a session.
    Host {
        /// The session's key.
        key: Identity,
        /// What the session is to be.
        config: Box<ManagerConfig>,
        /// The host's voice and ears.
        audio: AudioConfig,
    },
    /// To join one.
    Join {
        /// Which, and as whom.
        config: MemberConfig,
        /// The member's voice and ears.
        audio: AudioConfig,
    },
    /// To join one for somebody who speaks and listens elsewhere.
    StandIn {
        /// Which, and as whom.
        config: MemberConfig,
        /// Where the voice comes from and what is heard goes.
        ends: StandInConfig,
    },
}

/// See the [module](self).
pub struct Driver<L> {
    link: L,
    node: Node,
    identity: Arc<Identity>,
    me: NodeId,
    invite: Option<Invite>,
    role: &'static str,
    audio: AudioState,
    /// Who else is in: the node, and the salt of its media key.
    sources: BTreeMap<SourceIndex, (NodeId, [u8; 16])>,
    /// Those whose keys the audio has; in a large session the others' are made when they are first heard.
    met: BTreeSet<SourceIndex>,
    own: Option<Participant>,
    /// How loud members are played here, percent, where that has been said.
    volumes: BTreeMap<NodeId, u16>,
    keys: Option<Keys>,
    /// Packets of each voice that came under keys which this node does not have, and whether that has been said.
    unopened: BTreeMap<SourceIndex, (u64, bool)>,
    /// How far each voice was vouched for when that was last told, and digests in its name that it had not signed.
    standings: BTreeMap<SourceIndex, (alm_media::Standing, u64)>,
    uplink: Uplink,
    planned: mpsc::Receiver<(Planned, Duration)>,
    planner: mpsc::Sender<(Planned, Duration)>,
    mdns: Option<Mdns>,
    port_map: Option<PortMap>,
    second: Interval,
    events: mpsc::Sender<Event>,
    commands: Option<mpsc::Receiver<Command>>,
    muted: bool,
    stopping: bool,
    title: String,
    places: Places,
    /// Whether nobody new is let in, and whether nobody but the host is heard, as it was told last.
    laid_down: (bool, bool),
    random: StdRng,
    /// What planning takes of a core.
    spent: Spent,
}

enum AudioState {
    None,
    /// Waiting for the session to begin.
    Ready(Box<AudioConfig>),
    StandIn(StandInConfig),
    Running(Handle),
}

/// A plan takes at least so long.
const PLANNED_AFTER: Duration = Duration::from_millis(1);
/// Link events that are handled in a row before anything else gets a look in.
const LINK_EVENTS_IN_A_ROW: usize = 64;

impl<L: Link> Driver<L> {
    /// Brings a node to life on `link`. Events go to `events`; what does not fit there is lost, for a reader who stands
    /// still must not hold up the media.
    #[must_use]
    pub fn new(
        link: L,
        config: DriverConfig,
        role: Role,
        mdns: Option<Mdns>,
        events: mpsc::Sender<Event>,
    ) -> Self {
        let now = Instant::now().into_std();
        let me = config.identity.node_id();
        let listen = link.listen_addrs();
        let ready = Event::Ready {
            node: me.to_string(),
            ring: me.position().to_string(),
            listen: listen.iter().map(ToString::to_string).collect(),
        };
        let mut random = config.random;
        let own = StdRng::from_rng(&mut random);
        let mut node = Node::new(config.identity.clone(), listen.clone(), config.pool, own, now);
        if link.can_watch() {
            node.rely_on_alerts();
        }
        // A machine of the pool knows the session when its host is gone.
        let known: Vec<SocketAddr> = listen.iter().chain(&config.bootstrap).copied().collect();
        for addr in config.bootstrap {
            node.handle(Input::Bootstrap(addr), now);
        }
        let (role, invite, audio) = match role {
            Role::Pool => ("pool", None, AudioState::None),
            Role::Host { key, config, audio } => {
                let session = crate::identity::SessionId::of(&key.node_id());
                let mut entry_points = known;
                entry_points.truncate(ENTRY_POINTS_MAX);
                let invite = Invite { session, secret: config.secret, entry_points };
                node.host(&key, *config, now);
                ("host", Some(invite), AudioState::Ready(Box::new(audio)))
            }
            Role::Join { config, audio } => {
                let invite = config.invite.clone();
                node.join(config, now);
                ("member", Some(invite), AudioState::Ready(Box::new(audio)))
            }
            Role::StandIn { config, ends } => {
                let invite = config.invite.clone();
                node.join(config, now);
                ("member", Some(invite), AudioState::StandIn(ends))
            }
        };
        let (planner, planned) = mpsc::channel(1);
        let mut second = interval(Duration::from_secs(1));
        second.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let sources = BTreeMap::new();
        let codec = match &audio {
            AudioState::Ready(config) => config.codec,
            AudioState::None | AudioState::StandIn(_) | AudioState::Running(_) => CodecConfig::default(),
        };
        let muted = matches!(&audio, AudioState::Ready(config) if config.muted);
        let stopping = false;
        let driver = Self {
            link,
            node,
            identity: config.identity,
            me,
            invite,
            role,
            audio,
            sources,
            met: BTreeSet::new(),
            own: None,
            volumes: BTreeMap::new(),
            keys: None,
            unopened: BTreeMap::new(),
            standings: BTreeMap::new(),
            uplink: Uplink::new(&codec),
            planned,
            planner,
            mdns,
            port_map: None,
            second,
            events,
            commands: None,
            muted,
            stopping,
            title: String::new(),
            places: Places::default(),
            laid_down: (false, false),
            random,
            spent: Spent::default(),
        };
        driver.tell(ready);
        config.troubles.into_iter().for_each(|message| driver.tell(Event::Error { message }));
        driver
    }

    /// Does what comes by `commands` as well.
    #[must_use]
    pub fn with_commands(mut self, commands: mpsc::Receiver<Command>) -> Self {
        self.commands = Some(commands);
        self
    }

    /// Has counted what its planning takes of a core; what it takes itself counts who runs it.
    #[must_use]
    pub fn with_planning_counted(mut self, spent: Spent) -> Self {
        self.spent = spent;
        self
    }

    /// Has the line measured.
    #[must_use]
    pub fn with_line_measured(mut self) -> Self {
        self.node.measure_line(Instant::now().into_std());
        self
    }

    /// Has the router open a port.
    #[must_use]
    pub fn with_port_map(mut self, port_map: Option<PortMap>) -> Self {
        self.port_map = port_map;
        self
    }

    /// Lives until the session is over, or until `stop`, and then leaves cleanly.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Ending {
        tokio::pin!(stop);
        let ending = loop {
            if let Some(ending) = self.drain() {
                break ending;
            }
            let (wake, _) = self.node.poll_timeout();
            tokio::select! {
                biased;
                () = sleep_until(wake.into()) => self.on_timeout(),
                () = &mut stop, if !self.stopping => {
                    if let Some(ending) = self.leave() {
                        break ending;
                    }
                }
                command = next_command(self.commands.as_mut()) => {
                    if let Some(ending) = self.on_command(command) {
                        break ending;
                    }
                }
                Some((planned, elapsed)) = self.planned.recv() => self.handle(Input::Planned(planned, elapsed)),
                from_audio = next_from_audio(&mut self.audio) => self.on_audio(from_audio),
                _ = self.second.tick() => {
                    self.tell_links();
                    self.tell_places();
                }
                mapped = next_mapped(self.port_map.as_mut()) => self.on_mapped(mapped),
                found = discovered(self.mdns.as_ref()) => self.handle(Input::Contact(found)),
                event = next_event(&mut self.link) => self.on_link(event),
            }
        };
        self.drain_outputs();
        if let AudioState::Running(handle) = std::mem::replace(&mut self.audio, AudioState::None) {
            handle.stop();
        }
        let reason = match &ending {
            Ending::Regular(reason) => (*reason).to_owned(),
            Ending::Failed { what, .. } => what.clone(),
        };
        if self.invite.is_some() {
            self.tell(Event::Left { reason });
        }
        drop(self.mdns);
        let give_back = async {
            if let Some(port_map) = self.port_map {
                port_map.end().await;
            }
        };
        tokio::join!(self.link.shutdown(), give_back);
        ending
    }

    fn handle(&mut self, input: Input) {
        self.node.handle(input, Instant::now().into_std());
    }

    /// The id names the address that the router leads here: it is told anew.
    fn on_mapped(&mut self, mapped: Option<SocketAddr>) {
        self.handle(Input::Mapped(mapped));
        let (Some(addr), Some(invite), "host") = (mapped, &mut self.invite, self.role) else { return };
        if !invite.entry_points.contains(&addr) {
            invite.entry_points.insert(0, addr);
            invite.entry_points.truncate(ENTRY_POINTS_MAX);
            let (id, name) = (invite.to_string(), self.title.clone());
            self.tell(Event::Session { id, name, role: self.role });
        }
    }

    fn on_command(&mut self, command: Command) -> Option<Ending> {
        match command {
            Command::Mute(muted) => {
                self.muted = muted;
                self.hand_audio(ToAudio::Mute(muted));
                self.tell(Event::Voice { muted });
                None
            }
            Command::Volume(node, percent) => {
                self.set_volume(node, percent);
                None
            }
            Command::Say(text) => {
                let sent_ms = unix_ms();
                self.handle(Input::Say(text, sent_ms));
                None
            }
            Command::Leave if !self.stopping => self.leave(),
            Command::Leave => None,
            Command::End => {
                self.stopping = true;
                self.handle(Input::End);
                None
            }
            Command::Moderate(what) => {
                let fresh = self.random.random();
                self.handle(Input::Moderate(what, fresh));
                None
            }
            Command::Reserve(helper, reservation) => {
                self.handle(Input::Reserve(helper, reservation));
                None
            }
        }
    }

    /// Says goodbye; a node without a session has nobody to say it to and is done.
    fn leave(&mut self) -> Option<Ending> {
        self.stopping = true;
        if self.role == "pool" {
            return Some(Ending::Regular("left"));
        }
        self.handle(Input::Leave);
        None
    }

    /// Handles an event and those that are there already.
    fn on_link(&mut self, event: LinkEvent) {
        let mut alerted = matches!(event, LinkEvent::Alert { .. });
        self.handle(Input::Link(event));
        let mut context = Context::from_waker(Waker::noop());
        for _ in 1..LINK_EVENTS_IN_A_ROW {
            self.drain_outputs();
            // Whoever polls last is woken: the select above polls again before it waits.
            let Poll::Ready(event) = self.link.poll_event(&mut context) else { break };
            alerted |= matches!(event, LinkEvent::Alert { .. });
            self.handle(Input::Link(event));
        }
        if alerted {
            self.on_timeout();
        }
    }

    /// Takes all that the node has to say; `Some` when that was its last word.
    fn drain(&mut self) -> Option<Ending> {
        self.drain_outputs();
        self.tell_rules();
        let mut ending = None;
        while let Some(notice) = self.node.poll_notice() {
            match notice {
                Notice::Session(session::Event::Ended(how)) => ending = Some(how),
                Notice::Session(event) => self.on_session(event),
                Notice::Clock(clock) => self.hand_audio(ToAudio::Clock(clock)),
                Notice::Pool(Standing { size, root, age }) => {
                    let (root, age_ms) = (root.to_string(), age.as_millis() as u64);
                    self.tell(Event::Pool { size, root, age_ms });
                }
                Notice::Place(place, error) => self.tell(notices::coordinate(place, error)),
                Notice::Answered(..) | Notice::Probed(..) => {}
                Notice::Trouble(message) => self.tell(Event::Error { message }),
            }
        }
        ending
    }

    fn on_timeout(&mut self) {
        self.node.catch_up(&mut self.link, Instant::now().into_std());
        self.handle(Input::Timeout);
    }

    fn drain_outputs(&mut self) {
        while let Some(output) = self.node.poll_output() {
            match output {
                // A peer that is gone or does not read is reported by the link itself.
                Output::Send(to, channel, bytes) => drop(self.link.send(to, channel, bytes)),
                // Where it cannot be sent as it is, it measures nothing.
                Output::Pair(to, pair) => drop(self.link.send_pair(to, pair)),
                Output::Dial(addr, node) => self.link.dial(addr, node),
                Output::DialThrough(via, node) => self.link.dial_through(via, node),
                Output::Close(node, reason) => self.link.close(node, reason),
                Output::Switch(switch) => self.link.set_switch(switch),
                Output::Watch(watched) => self.link.watch(watched),
                Output::Play(packet, at) => self.play(packet, at),
                Output::Plan(job) => {
                    let (planner, spent) = (self.planner.clone(), self.spent.clone());
                    let work = tokio::task::spawn_blocking(move || {
                        let started = Instant::now();
                        (spent.on(|| job.run()), started.elapsed())
                    });
                    tokio::spawn(async move {
                        // Not before a time that does not hang on how fast this machine is: where time is virtual, it
                        // stands still while the planner works, and one seed is to make one run.
                        if let (Ok(planned), ()) = tokio::join!(work, sleep(PLANNED_AFTER)) {
                            // Full only if a job is under way already, and the manager starts one at a time.
                            let _ = planner.try_send(planned);
                        }
                    });
                }
            }
        }
        self.link.flush();
    }

    fn hand_audio(&mut self, what: ToAudio) {
        if let AudioState::Running(handle) = &mut self.audio {
            handle.send(what);
        }
    }

    fn tell(&self, event: Event) {
        let _ = self.events.try_send(event);
    }
}

/// Milliseconds since 1970, as this machine has it.
#[expect(clippy::disallowed_methods, reason = "people read when something was written")]
fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

async fn next_from_audio(audio: &mut AudioState) -> FromAudio {
    match audio {
        AudioState::Running(handle) => match handle.from_audio.recv().await {
            Some(from_audio) => from_audio,
            None => std::future::pending().await,
        },
        AudioState::None | AudioState::Ready(_) | AudioState::StandIn(_) => std::future::pending().await,
    }
}

async fn next_command(commands: Option<&mut mpsc::Receiver<Command>>) -> Command {
    match commands {
        // Nobody will ask for anything any more once the channel has ended.
        Some(commands) => match commands.recv().await {
            Some(command) => command,
            None => std::future::pending().await,
        },
        None => std::future::pending().await,
    }
}

async fn next_mapped(port_map: Option<&mut PortMap>) -> Option<SocketAddr> {
    match port_map {
        Some(port_map) => port_map.next().await,
        None => std::future::pending().await,
    }
}

pub(super) async fn discovered(mdns: Option<&Mdns>) -> Contact {
    match mdns {
        Some(mdns) => {
            let found = mdns.next().await;
            Contact { node: found.node, addrs: found.addrs }
        }
        None => std::future::pending().await,
    }
}
