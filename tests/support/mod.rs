//! A conference in one process: real drivers on any link, voices that are tones, ears that record.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]
#![allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use alm::event::Event;
use alm::identity::{Identity, NodeId};
use alm::live::{AudioConfig, Command, Driver, DriverConfig, Pace, Role};
use alm::net::{Link, bind_udp, emulated, quic};
use alm::pool::{HelpersFrom, PoolConfig, Priority};
use alm::session::{Ending, Invite, ManagerConfig, MemberConfig, Participant};
use alm_media::device::{DeviceError, InputSpec, Playback};
use alm_media::{Channels, CodecConfig, VoiceConfig};
use alm_planner::Objective;
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

/// Sound that somebody heard, 48 kHz.
pub type Recording = Arc<Mutex<Vec<f32>>>;

/// A live node of the test.
pub struct Peer {
    pub id: NodeId,
    pub events: mpsc::Receiver<Event>,
    pub log: Vec<Event>,
    pub heard: Recording,
    commands: mpsc::Sender<Command>,
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<Ending>,
}

/// How the tests tell members apart by ear.
pub fn tone_hz(member: usize) -> f32 {
    300.0 + 170.0 * member as f32
}

pub fn identity(seed: u8) -> Identity {
    Identity::from_seed([seed; 32])
}

struct Recorder(Recording);

impl Playback for Recorder {
    fn write(&mut self, pcm: &[f32]) -> Result<(), DeviceError> {
        self.0.lock().unwrap().extend_from_slice(pcm);
        Ok(())
    }
}

/// What a node of the test is there for.
pub enum Part {
    /// On the ring, and no more.
    Idle,
    /// A helper whose line is measured.
    Measured,
    Helper,
    Host(Objective),
    Member(Invite),
}

impl Peer {
    /// Brings node `index` to life on `link`. Members speak their tone; `pace` says by which clock.
    pub fn start<L: Link + Send + 'static>(
        index: usize,
        link: L,
        part: Part,
        degree: u32,
        bootstrap: &[std::net::SocketAddr],
        pace: Pace,
    ) -> Self {
        let identity = Arc::new(identity(index as u8 + 1));
        let id = identity.node_id();
        let heard = Recording::default();
        let capture = InputSpec::Tone(tone_hz(index)).open(false, Channels::Mono).unwrap();
        let playback = Box::new(Recorder(heard.clone()));
        let audio = AudioConfig {
            capture,
            playback,
            voice: VoiceConfig::NONE,
            codec: CodecConfig { voice: false, ..CodecConfig::default() },
            muted: false,
            cue: false,
            recording: None,
            pace,
        };
        let (name, salt) = (format!("m{index}"), [index as u8; 16]);
        let (lends, measured) =
            (matches!(part, Part::Helper | Part::Measured), matches!(part, Part::Measured));
        let role = match part {
            Part::Idle | Part::Helper | Part::Measured => Role::Pool,
            Part::Host(objective) => {
                let (records, addrs) = (false, link.listen_addrs());
                let own = Participant { index: 0, node: id, name, salt, degree, records, addrs };
                let (priority, secret) = (Priority::LOWEST, [5; 16]);
                let (title, protect) = ("test".into(), false);
                let (grant, helpers) = (None, HelpersFrom::Anybody);
                let config =
                    ManagerConfig { title, objective, priority, grant, helpers, protect, secret, own };
                Role::Host { key: Identity::from_seed([200; 32]), config: Box::new(config), audio }
            }
            Part::Member(invite) => {
                Role::Join { config: MemberConfig { invite, name, salt, degree, records: false }, audio }
            }
        };
        let config = DriverConfig {
            identity,
            pool: PoolConfig { degree, lends, ..PoolConfig::default() },
            bootstrap: bootstrap.to_vec(),
            random: StdRng::seed_from_u64(index as u64),
            troubles: vec![],
        };
        let (sender, events) = mpsc::channel(65_536);
        let (stop, stopped) = oneshot::channel::<()>();
        let (commands, wishes) = mpsc::channel(4);
        let mut driver = Driver::new(link, config, role, None, sender).with_commands(wishes);
        if measured {
            driver = driver.with_line_measured();
        }
        let task = tokio::spawn(driver.run(async {
            // A test that fails drops its peers; that is no wish to leave politely.
            if stopped.await.is_err() {
                std::future::pending().await
            }
        }));
        Self { id, events, log: Vec::new(), heard, commands, stop: Some(stop), task }
    }

    /// Waits for an event that `pick` takes; panics when none comes in time, and says what came instead.
    pub async fn wait<T>(&mut self, what: &str, mut pick: impl FnMut(&Event) -> Option<T>) -> T {
        let deadline = Duration::from_secs(30);
        let found = tokio::time::timeout(deadline, async {
            loop {
                let event = self.events.recv().await.expect("the node ended");
                let picked = pick(&event);
                self.log.push(event);
                if let Some(picked) = picked {
                    return picked;
                }
            }
        });
        match found.await {
            Ok(picked) => picked,
            Err(_) => panic!("no {what} at {:?}; it saw {:#?}", self.id, self.log),
        }
    }

    /// Everything that has been told so far.
    pub fn log(&mut self) -> &[Event] {
        while let Ok(event) = self.events.try_recv() {
            self.log.push(event);
        }
        &self.log
    }

    /// Leaves politely.
    pub async fn leave(mut self) -> Ending {
        if let Some(stop) = self.stop.take() {
            let _ = stop.send(());
        }
        self.task.await.expect("the driver does not panic")
    }

    /// Ends it for everybody.
    pub async fn end(self) -> Ending {
        self.commands.send(Command::End).await.expect("the driver lives");
        self.task.await.expect("the driver does not panic")
    }

    /// Dies without a word.
    pub fn kill(&self) {
        self.task.abort();
    }

    /// Waits for the end.
    pub async fn ending(self) -> Ending {
        self.task.await.expect("the driver does not panic")
    }
}

/// The id that a host has told.
pub async fn invite_of(host: &mut Peer) -> Invite {
    let id = host
        .wait("session", |event| match event {
            Event::Session { id, .. } => Some(id.clone()),
            _ => None,
        })
        .await;
    id.parse().unwrap()
}

/// The loudness of a tone in the last second of a recording, relative to a full-scale sine: the median over blocks of
/// 30 ms (Goertzel), so that a frame made up or stretched does not count as silence.
pub fn loudness(recording: &Recording, hertz: f32) -> f64 {
    let pcm = recording.lock().unwrap();
    let step = 2.0 * std::f64::consts::PI * f64::from(hertz) / 48_000.0;
    let block = |samples: &[f32]| {
        let sum = samples.iter().enumerate().fold((0.0, 0.0), |(re, im), (i, sample)| {
            let (sin, cos) = (step * i as f64).sin_cos();
            (re + f64::from(*sample) * cos, im + f64::from(*sample) * sin)
        });
        sum.0.hypot(sum.1) * 2.0 / samples.len() as f64
    };
    let mut blocks: Vec<f64> =
        pcm[pcm.len().saturating_sub(48_000)..].chunks_exact(1_440).map(block).collect();
    blocks.sort_by(f64::total_cmp);
    blocks.get(blocks.len() / 2).copied().unwrap_or(0.0)
}

/// Checks that every member hears every other one, and not itself.
pub fn assert_everyone_hears_everyone(members: &BTreeMap<usize, &Peer>) {
    if let Some(what) = wrongly_heard(members) {
        panic!("{what}");
    }
}

/// The same as soon as it is so: on real sockets the machine may have other things to do.
pub async fn everyone_comes_to_hear_everyone(members: &BTreeMap<usize, &Peer>) {
    for _ in 0..40 {
        if wrongly_heard(members).is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
    assert_everyone_hears_everyone(members);
}

fn wrongly_heard(members: &BTreeMap<usize, &Peer>) -> Option<String> {
    members.iter().find_map(|(ear, peer)| {
        members.keys().find_map(|voice| {
            let loud = loudness(&peer.heard, tone_hz(*voice));
            if voice == ear {
                (loud >= 0.03).then(|| format!("m{ear} hears itself: {loud}"))
            } else {
                (loud <= 0.08).then(|| format!("m{ear} does not hear m{voice}: {loud}"))
            }
        })
    })
}

/// The links that emulated nodes meet on.
pub fn emulated_links(
    nodes: usize,
    seed: u64,
    path: impl Fn(usize, usize) -> emulated::PathProfile,
) -> Vec<emulated::EmulatedLink> {
    emulated_links_with_cables(nodes, seed, path).0
}

/// The same, and a hand on their cables: (node, whether it is plugged in).
pub fn emulated_links_with_cables(
    nodes: usize,
    seed: u64,
    path: impl Fn(usize, usize) -> emulated::PathProfile,
) -> (Vec<emulated::EmulatedLink>, impl Fn(usize, bool)) {
    let network = emulated::EmulatedNetwork::start(nodes, seed, path);
    let link = |i| emulated::EmulatedLink::new(&network, i, identity(i as u8 + 1).node_id());
    let links = (0..nodes).map(link).collect();
    (links, move |node, plugged| network.with_core(|core| core.set_alive(node, plugged)))
}

/// Real QUIC over emulated sockets.
pub fn quic_links(
    nodes: usize,
    seed: u64,
    path: impl Fn(usize, usize) -> emulated::PathProfile,
) -> Vec<quic::QuicLink> {
    let network = emulated::EmulatedNetwork::start(nodes, seed, path);
    let socket = |i| quic::Socket::Abstract(emulated::EmulatedSocket::new(&network, i), [i as u8; 32]);
    (0..nodes).map(|i| quic::QuicLink::open(&identity(i as u8 + 1), socket(i)).unwrap()).collect()
}

/// Real QUIC over loopback.
pub fn loopback_links(nodes: usize) -> Vec<quic::QuicLink> {
    let socket = || quic::Socket::Udp(bind_udp(Some("127.0.0.1:0".parse().unwrap())).unwrap());
    (0..nodes).map(|i| quic::QuicLink::open(&identity(i as u8 + 1), socket()).unwrap()).collect()
}
