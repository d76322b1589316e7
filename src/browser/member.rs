//! A member that somebody in a browser is: a node of its own in this process, with a key of its own, whose voice and ears
//! are lent to WebRTC.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use alm_media::{SourceIndex, Vouched};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::told::Told;
use crate::identity::{Identity, NodeId};
use crate::live::{Command, Driver, DriverConfig, Hearing, Role, Secrets, Spoken, StandInConfig, Uttered};
use crate::net::quic::{Carrier, QuicLink, Socket};
use crate::net::{Link, bind_udp};
use crate::pool::PoolConfig;
use crate::session::{ENTRY_POINTS_MAX, Ending, Invite, MemberConfig};

/// What members that come in here have in common.
pub(super) struct Common {
    /// Where they listen, if not everywhere.
    pub(super) listen: Option<IpAddr>,
    pub(super) carrier: Carrier,
    pub(super) chance: fn() -> [u8; 32],
    pub(super) unix_seconds: fn() -> f64,
}

/// Somebody who is in, or about to be.
pub(super) struct Member {
    pub(super) node: NodeId,
    pub(super) voice: mpsc::Sender<Spoken>,
    /// With whoever listens.
    pub(super) ears: Option<mpsc::Receiver<Uttered>>,
    pub(super) hearing: watch::Sender<Hearing>,
    pub(super) secrets: watch::Receiver<Secrets>,
    /// What the others have signed of what is opened in the browser.
    pub(super) vouched: broadcast::WeakSender<(SourceIndex, Vouched)>,
    /// What is new, in words.
    pub(super) told: watch::Receiver<Told>,
    /// What it asks of its node.
    pub(super) commands: mpsc::Sender<Command>,
    /// It leaves when this is dropped.
    _stop: oneshot::Sender<()>,
}

impl Member {
    /// Enters the conference of `invite` as `name`, by way of this machine's own node at `entry`. `over` hears how it ended.
    pub(super) fn enter(
        common: &Common,
        invite: &Invite,
        entry: &[SocketAddr],
        name: String,
        over: impl FnOnce(Ending) + Send + 'static,
    ) -> std::io::Result<Self> {
        let identity = Arc::new(Identity::from_seed((common.chance)()));
        let node = identity.node_id();
        let listen = common.listen.map(|ip| SocketAddr::new(ip, 0));
        let socket = bind_udp(listen).map_err(std::io::Error::other)?;
        let mut link = QuicLink::open_with(&identity, Socket::Udp(socket), common.carrier)?;
        link.set_budget(BUDGET_BPS);
        let mut salt = [0; 16];
        salt.copy_from_slice(&(common.chance)()[..16]);
        let entry_points = entry.iter().chain(&invite.entry_points).copied().take(ENTRY_POINTS_MAX).collect();
        let invite = Invite { entry_points, ..invite.clone() };
        let config = DriverConfig {
            identity,
            pool: PoolConfig {
                degree: DEGREE,
                born_s: (common.unix_seconds)() as u64,
                ..PoolConfig::default()
            },
            bootstrap: entry.to_vec(),
            random: StdRng::from_seed((common.chance)()),
            troubles: vec![],
        };
        let (voice, spoken) = mpsc::channel(FRAMES_MAX);
        let (uttered, ears) = mpsc::channel(FRAMES_MAX);
        let (hearing, heard) = watch::channel(Hearing::Nothing);
        let (told, secrets) = watch::channel(Secrets::default());
        let (signed, _) = broadcast::channel(VOUCHED_WAITING_MAX);
        let vouched = signed.downgrade();
        let ends =
            StandInConfig { voice: spoken, ears: uttered, hearing: heard, secrets: told, vouched: signed };
        let role = Role::StandIn {
            config: MemberConfig { invite, name, salt, degree: DEGREE, records: false },
            ends,
        };
        let (events, mut happened) = mpsc::channel(EVENTS_MAX);
        let (telling, told) = watch::channel(Told::default());
        tokio::spawn(async move {
            while let Some(event) = happened.recv().await {
                telling.send_if_modified(|told| told.note(&event));
            }
        });
        let (commands, wishes) = mpsc::channel(WISHES_MAX);
        let (stop, stopped) = oneshot::channel::<()>();
        let driver = Driver::new(link, config, role, None, events).with_commands(wishes);
        tokio::spawn(async move {
            let ending = driver.run(async {
                // A word or the end of who could say it.
                let _ = stopped.await;
            });
            over(ending.await);
        });
        let ears = Some(ears);
        Ok(Self { node, voice, ears, hearing, secrets, vouched, told, commands, _stop: stop })
    }
}

/// The link to this machine's own node and no other: what others need is carried there.
const DEGREE: u32 = 1;
/// What such a member may send: its voice over one link, for three that speak at once, at the greatest rate.
const BUDGET_BPS: u64 = 3 * 450_000;
/// Frames between the network and the conference: a second of three voices.
const FRAMES_MAX: usize = 150;
/// Digests on their way to the browser: two seconds of twenty voices.
const VOUCHED_WAITING_MAX: usize = 80;
/// Events that are not yet in words.
const EVENTS_MAX: usize = 256;
/// Wishes on their way to the node.
const WISHES_MAX: usize = 16;
