//! The flags of every command that opens the network, and what they come to: a key, a socket, a link.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::StdRng;

use super::error::CliError;
use super::report::unix_seconds;
use super::state::{State, random};
use super::units;
use crate::identity::{Identity, NodeId};
use crate::live::DriverConfig;
use crate::net::quic::{Carrier, QuicLink, Socket};
use crate::net::{Link, ListenError, Mdns, PortMap, bind_udp};
use crate::pool::{Grant, HelpersFrom, PoolConfig};

/// What was typed.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct NetArgs {
    /// UDP address to listen on [default: `[::]:0`, or 0.0.0.0:0 without IPv6]
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<SocketAddr>,

    /// A node of the pool to start from; may be repeated
    #[arg(long, value_name = "ADDR:PORT")]
    bootstrap: Vec<SocketAddr>,

    /// Tree links that this machine may carry, each sized for 3 sources at once [default: as many as its line is measured
    /// to carry, 6 at most]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=256))]
    degree: Option<u32>,

    /// What this machine may send for others, as a rate such as 20M, instead of --degree
    #[arg(long, value_name = "RATE", value_parser = units::rate, conflicts_with = "degree")]
    uplink: Option<u64>,

    /// Whose machines may carry the conferences that this one hosts: own (machines run with `alm pool --grant` by this
    /// machine's word, or by that of who signed --grant) or open (anybody's) [default: own with --grant, open otherwise]
    #[arg(long, value_name = "WHOSE")]
    helpers: Option<Whose>,

    /// Do not look for other nodes on the local network
    #[arg(long)]
    no_mdns: bool,

    /// Do not ask the router to open a port
    #[arg(long)]
    no_port_map: bool,

    /// Do not serve the local page
    #[arg(long, conflicts_with = "web_listen")]
    pub(super) no_web: bool,

    /// Where the local page is served [default: 127.0.0.1:0, any port]. On an address that other machines reach, or with
    /// --web-cert or --web-name, it is a port for guests without the program instead, over TLS: see `alm guest`
    #[arg(long, value_name = "ADDR:PORT")]
    pub(super) web_listen: Option<SocketAddr>,

    /// The certificates by which guests know this machine, PEM [default: one made on the spot, which browsers warn of once]
    #[arg(long, value_name = "FILE", requires_all = ["web_key", "web_listen"])]
    pub(super) web_cert: Option<PathBuf>,

    /// The key that belongs to --web-cert, PEM
    #[arg(long, value_name = "FILE", requires = "web_cert")]
    pub(super) web_key: Option<PathBuf>,

    /// What guests' links call this machine [default: the address of --web-listen]
    #[arg(long, value_name = "HOST", requires = "web_listen", value_parser = host_name)]
    pub(super) web_name: Option<String>,

    /// Send media in QUIC's own datagrams only, for networks that pass nothing else; found out by itself otherwise
    #[arg(long)]
    quic_only: bool,

    /// Where this machine's key is kept [default: the platform's data directory]
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,

    /// Leave when standard input ends, too: for a program that starts this one and must not leave it behind
    #[arg(long)]
    pub(super) leave_on_eof: bool,

    /// Lines in place of the screen, on a terminal too
    #[arg(long)]
    pub(super) plain: bool,

    /// One JSON object a line for every event
    #[arg(long)]
    pub(super) json: bool,
}

/// See `--helpers`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
enum Whose {
    /// Machines that prove that they are of one's own pool
    Own,
    /// Anybody's
    Open,
}

/// An open network.
pub(super) struct Net {
    pub(super) link: QuicLink,
    pub(super) config: DriverConfig,
    pub(super) mdns: Option<Mdns>,
    /// Addresses that others can dial.
    pub(super) addrs: Vec<SocketAddr>,
    /// Keeps the state directory locked.
    pub(super) state: State,
}

/// What fits any home line: 6 links of 3 copies of 62 kbit/s make 1.1 Mbit/s.
const DEGREE_DEFAULT: u32 = 6;
/// One voice of 32 kbit/s in frames of 20 ms on the wire, headers included, bit/s.
const COPY_RATE: u64 = 62_000;
/// The most that one voice takes on the wire, bit/s: 256 kbit/s, headers included, and a quarter to spare. Where only
/// links were named, nothing that could be meant is cut off.
const COPY_RATE_MAX: u64 = 450_000;
/// Sources that speak at once, which a degree is sized for.
const SPEAKERS: u64 = 3;
/// As many links as `--degree` takes.
const DEGREE_MAX: u64 = 256;

impl NetArgs {
    /// Tree links that this machine may carry.
    pub(super) fn degree(&self) -> u32 {
        let from_uplink = |rate: u64| (rate / (COPY_RATE * SPEAKERS)).clamp(1, DEGREE_MAX) as u32;
        self.degree.or(self.uplink.map(from_uplink)).unwrap_or(DEGREE_DEFAULT)
    }

    /// Whose machines may help this node, with the grant that its sessions show.
    pub(super) fn helpers(&self, me: NodeId, grant: Option<&Grant>) -> HelpersFrom {
        let default = if grant.is_some() { Whose::Own } else { Whose::Open };
        match self.helpers.unwrap_or(default) {
            Whose::Own => {
                HelpersFrom::PoolsOf([me].into_iter().chain(grant.map(|grant| grant.authority)).collect())
            }
            Whose::Open => HelpersFrom::Anybody,
        }
    }

    /// Nothing was said of what this machine may carry: a line that is measured to carry less than the default decides.
    fn measures(&self) -> bool {
        self.degree.is_none() && self.uplink.is_none()
    }

    /// The address to listen on, if one was named.
    pub(super) fn listen(&self) -> Option<SocketAddr> {
        self.listen
    }

    /// Nodes of the pool that were named.
    pub(super) fn bootstraps(&self) -> &[SocketAddr] {
        &self.bootstrap
    }

    /// Where guests come in, if they may.
    pub(super) fn door(&self) -> Option<SocketAddr> {
        let beyond = |addr: &SocketAddr| !addr.ip().is_loopback();
        self.web_listen.filter(|addr| beyond(addr) || self.web_cert.is_some() || self.web_name.is_some())
    }

    /// What carries media.
    pub(super) fn carrier(&self) -> Carrier {
        if self.quic_only { Carrier::Quic } else { Carrier::Hops }
    }

    /// The one address of this machine that is listened on, if not on all.
    #[cfg(feature = "browser")]
    pub(super) fn listen_ip(&self) -> Option<std::net::IpAddr> {
        self.listen.map(|addr| addr.ip())
    }

    /// Opens the state directory and the socket. Must be called within the tokio runtime that the node is to live in.
    pub(super) fn open(&self, lends: bool) -> Result<Net, CliError> {
        let mut state = State::open(self.state.clone())?;
        let identity = Arc::new(state.take_identity());
        let socket = bind_udp(self.listen).map_err(|error| self.listen_error(&error))?;
        let mut link = QuicLink::open_with(&identity, Socket::Udp(socket), self.carrier())
            .map_err(|error| self.listen_error(&ListenError::Other(error)))?;
        let links_bps = u64::from(self.degree()) * SPEAKERS * COPY_RATE_MAX;
        link.set_budget(self.uplink.unwrap_or(links_bps));
        let addrs = link.listen_addrs();
        // Without multicast the others are found by --bootstrap and by ids.
        let mdns = (!self.no_mdns).then(|| Mdns::start(identity.node_id(), &addrs).ok()).flatten();
        let config = DriverConfig {
            identity,
            pool: PoolConfig {
                degree: self.degree(),
                link_kbit_s: self.measures().then_some((COPY_RATE * SPEAKERS / 1_000) as u32),
                lends,
                uplink_kbit_s: self.uplink.map_or(0, |rate| u32::try_from(rate / 1_000).unwrap_or(u32::MAX)),
                born_s: unix_seconds() as u64,
                ..PoolConfig::default()
            },
            bootstrap: self.bootstrap.clone(),
            random: StdRng::from_seed(random()),
            troubles: Vec::new(),
        };
        Ok(Net { link, config, mdns, addrs, state })
    }

    /// Has the router open a port that leads to one of `addrs`, unless that is not wanted.
    pub(super) fn port_map(&self, addrs: &[SocketAddr]) -> Option<PortMap> {
        if self.no_port_map { None } else { PortMap::start(addrs) }
    }

    fn listen_error(&self, error: &ListenError) -> CliError {
        let place = self.listen.map_or_else(|| "--listen".to_owned(), |addr| addr.to_string());
        let todo = match error {
            ListenError::InUse => "choose another port, or 0 for any",
            ListenError::NoSuchAddress => "choose an address of this machine",
            ListenError::Other(_) => "choose another address",
        };
        CliError::failed(format_args!("cannot listen: {error}"), place, todo)
    }
}

fn host_name(text: &str) -> Result<String, String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '.';
    let fits = !text.is_empty() && text.len() <= HOST_NAME_MAX && text.chars().all(is_name);
    if fits { Ok(text.to_owned()) } else { Err("use a host's name, such as conf.example.org".to_owned()) }
}

/// The longest name of a host (RFC 1035, section 2.3.4).
const HOST_NAME_MAX: usize = 253;

/// A session's or a machine's new key.
pub(super) fn new_identity() -> Identity {
    Identity::from_seed(random())
}
