//! The QUIC link (RFC 9000, datagrams RFC 9221): one endpoint, one connection to each peer, keys proven on both sides.
//!
//! Each side opens one unidirectional stream for its control messages, framed by a 32-bit length. Two peers that dial
//! each other at the same moment end up with one connection: the one that the smaller key dialled; only a connection's
//! dialler ever closes it as superfluous, and lets it linger first, so that nothing sent over it is lost.

mod congestion;
mod connection;
mod detour;
#[cfg(test)]
mod hop_tests;
mod runtime;
#[cfg(test)]
mod tests;
mod tls;

use std::collections::{BTreeMap, VecDeque};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use quinn::{
    ConnectionError, Endpoint, EndpointConfig, MtuDiscoveryConfig, Runtime, TransportConfig, VarInt,
};
use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, sleep, timeout};

use self::connection::Connection;
pub(super) use self::detour::{DETOUR_NET, survives as detour_survives};
use self::detour::{Detoured, Detours, Frame, Way};
use self::runtime::Counting;
use self::tls::Tls;
use super::address::{canonical, concrete_addresses, is_detour, mapped_for};
use super::beats::Beats;
use super::hop::{self, Hops};
use super::link::{CONTROL_MESSAGE_MAX, DATAGRAM_MAX};
use super::{Channel, DialError, Heard, Link, LinkEvent, SendError, Switch, SwitchCounts, Watched};
use crate::identity::{Identity, NodeId};
use crate::spent::Spent;

/// How long a dial may take before it counts as unanswered.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection on which nothing arrives for this long is gone. Who depends on a peer notices sooner by itself.
const IDLE_TIMEOUT: Duration = Duration::from_secs(40);
/// Sent by the dialler when nothing else is; well below [`IDLE_TIMEOUT`] and what a NAT forgets after. The answer is the other
/// side's sign of life.
const KEEP_ALIVE: Duration = Duration::from_secs(13);
/// And by the other side: only when the dialler's have not come. With one interval for both they would cross.
const KEEP_ALIVE_ACCEPTED: Duration = Duration::from_secs(18);
/// Datagrams of audio that may wait for the socket, bytes: about 100 ms of a dozen streams; the oldest are dropped.
const DATAGRAM_SEND_BUFFER: usize = 16 * 1024;
/// Datagrams that may wait for the driver, bytes.
const DATAGRAM_RECEIVE_BUFFER: usize = 256 * 1024;
/// Events between the connections' tasks and the driver.
const EVENTS_MAX: usize = 1024;
/// Between two dials of a peer whose hop has found it elsewhere.
const SEEK_AGAIN: Duration = Duration::from_secs(6);
/// How often the hops are looked after.
const TICK: Duration = Duration::from_secs(1);
/// Handshakes under way beyond which a stranger must first prove its address (RFC 9000, section 8.1.2).
const HANDSHAKES_MAX: usize = 64;
/// Of a stream of control messages that may come before it is read, bytes.
const CONTROL_WINDOW: u32 = 256 * 1024;
/// Connections of one node: a full session's manager is connected to all members, to helpers, and to its part of the ring.
const CONNECTIONS_MAX: usize = 1_536;
/// Connections of one peer.
const CONNECTIONS_PER_PEER_MAX: usize = 4;
/// Two connections this close together are taken for a simultaneous dial, and for a reconnection otherwise.
const SIMULTANEOUS: Duration = Duration::from_secs(5);
/// How long a superfluous connection is still read.
const LINGER: Duration = Duration::from_secs(2);
/// How long leaving may take to get the last control messages out.
const FLUSH_TIMEOUT: Duration = Duration::from_millis(500);

/// Where the packets go.
pub enum Socket {
    /// A real UDP socket.
    Udp(UdpSocket),
    /// Any other carrier of packets, the emulated network's say, and the seed of all that is random in QUIC over it.
    Abstract(Arc<dyn quinn::AsyncUdpSocket>, [u8; 32]),
}

/// What carries the datagrams.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Carrier {
    /// Hop packets beside QUIC, and QUIC's own datagrams where those do not get through.
    #[default]
    Hops,
    /// QUIC's own datagrams alone.
    Quic,
}

/// A node's QUIC endpoint. Its tasks run on the tokio runtime that it was made on.
pub struct QuicLink {
    me: NodeId,
    endpoint: Endpoint,
    bound: SocketAddr,
    tls: Tls,
    transport: Arc<TransportConfig>,
    peers: BTreeMap<NodeId, Peer>,
    serial: u64,
    from_tasks: mpsc::Receiver<TaskEvent>,
    to_driver: mpsc::Sender<TaskEvent>,
    hops: Option<Arc<Hops>>,
    from_hops: mpsc::Receiver<LinkEvent>,
    detours: Arc<Detours>,
    /// For hops that keep no time themselves.
    beats: Beats,
    /// Events of this struct's own.
    own: VecDeque<LinkEvent>,
    tick: Interval,
    /// What the link's tasks take of a core.
    spent: Spent,
}

/// All connections to one peer; messages leave through `current`.
struct Peer {
    connections: Vec<Connection>,
    current: u64,
    /// Where it was said to be last.
    addr: SocketAddr,
    /// When it was dialled again, because its hop had found it elsewhere.
    sought: Option<Instant>,
}

impl Peer {
    /// The connection that messages leave through.
    fn current(&self) -> Option<&Connection> {
        self.connections.iter().find(|c| c.serial == self.current)
    }

    fn prefer_current(&self, hops: Option<&Arc<Hops>>) {
        if let Some(current) = self.current() {
            current.prefer(hops);
        }
    }
}

/// What a connection's tasks report.
enum TaskEvent {
    Established { connection: quinn::Connection, dialled: Option<(SocketAddr, Option<NodeId>)> },
    DialFailed { addr: SocketAddr, expected: Option<NodeId>, error: DialError },
    Closed { peer: NodeId, serial: u64, error: ConnectionError },
    Received(LinkEvent),
}

impl QuicLink {
    /// Opens the endpoint, with the default [`Carrier`].
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub fn open(identity: &Identity, socket: Socket) -> std::io::Result<Self> {
        Self::open_with(identity, socket, Carrier::default())
    }

    /// Opens the endpoint.
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub fn open_with(identity: &Identity, socket: Socket, carrier: Carrier) -> std::io::Result<Self> {
        Self::open_counted(identity, socket, carrier, Spent::default())
    }

    /// The same, and what its tasks take of a core is counted.
    ///
    /// # Errors
    /// When the socket cannot be used.
    pub fn open_counted(
        identity: &Identity,
        socket: Socket,
        carrier: Carrier,
        spent: Spent,
    ) -> std::io::Result<Self> {
        let tls = Tls::new(identity);
        let transport = |keep_alive| match carrier {
            Carrier::Hops => transport(keep_alive),
            Carrier::Quic => wide_transport(keep_alive),
        };
        let mut server = tls.server();
        server.transport_config(transport(KEEP_ALIVE_ACCEPTED)).max_incoming(HANDSHAKES_MAX * 4);
        let mut config = EndpointConfig::default();
        // The first byte tells media that shares the port from QUIC (RFC 9443), so QUIC keeps its fixed bit.
        config.grease_quic_bit(false);
        let runtime = Arc::new(Counting(spent.clone()));
        let (events, from_hops) = mpsc::channel(EVENTS_MAX);
        let (socket, hops) = match (socket, carrier) {
            (Socket::Udp(socket), Carrier::Hops) => {
                let (socket, hops) = hop::on_udp(socket, events)?;
                (socket, Some(hops))
            }
            (Socket::Udp(socket), Carrier::Quic) => (runtime.wrap_udp_socket(socket)?, None),
            (Socket::Abstract(socket, seed), carrier) => {
                config.rng_seed(Some(seed));
                match carrier {
                    Carrier::Hops => {
                        let (socket, hops) = hop::on_any(socket, events);
                        (socket, Some(hops))
                    }
                    Carrier::Quic => (socket, None),
                }
            }
        };
        let (socket, detours) = Detoured::around(socket)?;
        let endpoint = Endpoint::new_with_abstract_socket(config, Some(server), socket, runtime)?;
        let bound = endpoint.local_addr()?;
        let (to_driver, from_tasks) = mpsc::channel(EVENTS_MAX);
        spent.spawn(accept(endpoint.clone(), to_driver.clone(), spent.clone()));
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            me: identity.node_id(),
            endpoint,
            bound,
            tls,
            transport: transport(KEEP_ALIVE),
            peers: BTreeMap::new(),
            serial: 0,
            from_tasks,
            to_driver,
            hops,
            from_hops,
            detours,
            beats: Beats::default(),
            own: VecDeque::new(),
            tick,
            spent,
        })
    }

    /// Takes in a connection whose handshake is done, or closes it as superfluous.
    fn establish(
        &mut self,
        connection: quinn::Connection,
        dialled: Option<(SocketAddr, Option<NodeId>)>,
    ) -> Option<LinkEvent> {
        let addr = canonical(connection.remote_address());
        let Some(peer) = tls::peer_of(&connection) else {
            connection.close(CLOSE_PROTOCOL, b"no key");
            return None;
        };
        if peer == self.me {
            connection.close(CLOSE_SUPERFLUOUS, b"that is myself");
            let (addr, expected) = dialled?;
            return Some(LinkEvent::DialFailed { addr, expected, error: DialError::Ourselves });
        }
        self.serial += 1;
        let serial = self.serial;
        let ours = dialled.is_some();
        let detour = is_detour(addr);
        // Packets for a hop would need an address.
        let hops = self.hops.as_ref().filter(|_| !detour);
        let start = |to_driver| {
            let (now, spent) = (Instant::now(), &self.spent);
            let started =
                Connection::start(connection.clone(), peer, serial, ours, now, (to_driver, spent), hops);
            if let Some((hops, hop)) = hops.zip(started.hop.as_ref()) {
                hops.add(hop, now.into_std());
            }
            started
        };
        let Some(known) = self.peers.get_mut(&peer) else {
            let started = start(self.to_driver.clone());
            started.prefer(hops);
            self.peers.insert(peer, Peer { connections: vec![started], current: serial, addr, sought: None });
            return Some(LinkEvent::Connected { peer, addr });
        };
        if known.connections.len() >= CONNECTIONS_PER_PEER_MAX {
            connection.close(CLOSE_SUPERFLUOUS, b"too many connections");
            return None;
        }
        let current = known.connections.iter().find(|c| c.serial == known.current);
        let fresh = current.is_some_and(|c| c.since.elapsed() < SIMULTANEOUS);
        let current_ours = current.is_some_and(|c| c.ours);
        let current_detour = current.is_some_and(Connection::is_detour);
        let keep_current = match (current_detour, detour) {
            (false, true) => current.is_some(),
            (true, false) => false,
            _ if current_ours == ours => fresh,
            _ => fresh && (current_ours == (self.me < peer)),
        };
        known.connections.push(start(self.to_driver.clone()));
        let loser = if keep_current { serial } else { std::mem::replace(&mut known.current, serial) };
        known.prefer_current(hops);
        if let Some(loser) = known.connections.iter().find(|c| c.serial == loser && c.ours) {
            let quic = loser.quic.clone();
            self.spent.spawn(async move {
                sleep(LINGER).await;
                quic.close(CLOSE_SUPERFLUOUS, b"another connection serves");
            });
        }
        None
    }

    fn on_closed(&mut self, peer: NodeId, serial: u64, error: &ConnectionError) -> Option<LinkEvent> {
        let known = self.peers.get_mut(&peer)?;
        for gone in known.connections.extract_if(.., |c| c.serial == serial) {
            gone.forget(self.hops.as_ref());
        }
        match known.connections.last() {
            Some(other) if known.current == serial => {
                known.current = other.serial;
                known.prefer_current(self.hops.as_ref());
            }
            Some(_) => {}
            None => {
                self.peers.remove(&peer);
                let left = matches!(error, ConnectionError::ApplicationClosed(close) if close.error_code == CLOSE_LEAVING);
                return Some(LinkEvent::Disconnected { peer, left, reason: error.to_string() });
            }
        }
        None
    }

    /// Says who is reached elsewhere by now; and whom its hop has found elsewhere, where QUIC does not follow, is dialled
    /// there: QUIC's dialler takes nothing from another address than it dialled (RFC 9000, section 9).
    fn look_for_moved(&mut self) {
        let now = Instant::now();
        let mut dials = Vec::new();
        for (peer, known) in &mut self.peers {
            let Some(current) = known.connections.iter().find(|c| c.serial == known.current) else {
                continue;
            };
            let addr = canonical(current.quic.remote_address());
            if addr != known.addr {
                known.addr = addr;
                self.own.push_back(LinkEvent::Moved { peer: *peer, addr });
            }
            let lately = |at: Instant| now.duration_since(at) < SEEK_AGAIN;
            let target = current.hop.as_ref().and_then(|hop| hop.target()).map(canonical);
            if let Some(target) = target.filter(|target| *target != addr && current.ours)
                && !known.sought.is_some_and(lately)
            {
                known.sought = Some(now);
                dials.push((target, *peer));
            }
        }
        for (addr, peer) in dials {
            self.dial(addr, Some(peer));
        }
    }

    fn beat(&mut self, cx: &mut Context<'_>) {
        let mut beats = std::mem::take(&mut self.beats);
        beats.poll(cx, &mut |to, datagram| {
            // One that cannot be sent is lost, as the next one is soon.
            let _ = self.send(to, Channel::Datagram, Bytes::copy_from_slice(datagram));
        });
        self.beats = beats;
    }

    // Detours.

    /// Sends what QUIC wants sent by way of others.
    fn send_detours(&mut self, cx: &mut Context<'_>) {
        while let Some((way, packet)) = self.detours.poll_outbound(cx) {
            self.send_frame(way.via, &Frame::Forward(way.peer, &packet));
        }
    }

    fn send_frame(&self, to: NodeId, frame: &Frame<'_>) {
        let Some(connection) = self.peers.get(&to).and_then(Peer::current) else { return };
        let bytes = frame.write();
        // What is lost is sent again by QUIC within.
        let _ = match (&self.hops, &connection.hop) {
            (Some(hops), Some(_)) => hops.send(to, &bytes, Instant::now().into_std()),
            _ if connection.is_detour() => Ok(()),
            _ => connection.send_datagram(bytes),
        };
    }

    /// Takes a datagram of a detour's; gives any other event back.
    fn take_detour(&self, event: LinkEvent) -> Option<LinkEvent> {
        let LinkEvent::Datagram { from, bytes, .. } = &event else { return Some(event) };
        match Frame::read(bytes) {
            None => return Some(event),
            Some(Frame::Forward(to, packet)) => {
                let direct = self.peers.get(&to).and_then(Peer::current).is_some_and(|c| !c.is_detour());
                if direct && self.detours.may_carry(*from, packet.len(), Instant::now()) {
                    self.send_frame(to, &Frame::Forwarded(*from, packet));
                }
            }
            Some(Frame::Forwarded(peer, packet)) => self.detours.deliver(Way { via: *from, peer }, packet),
        }
        None
    }

    fn on_task_event(&mut self, event: TaskEvent) -> Option<LinkEvent> {
        match event {
            TaskEvent::Established { connection, dialled } => self.establish(connection, dialled),
            TaskEvent::DialFailed { addr, expected, error } => {
                Some(LinkEvent::DialFailed { addr, expected, error })
            }
            TaskEvent::Closed { peer, serial, error } => self.on_closed(peer, serial, &error),
            TaskEvent::Received(event) => self.take_detour(event),
        }
    }
}

impl Drop for QuicLink {
    fn drop(&mut self) {
        // The connections' tasks hold the endpoint too, and would go on without us. No goodbye: whoever wants to say one
        // calls `shutdown`, after which this does nothing.
        self.endpoint.close(CLOSE_DROPPED, b"gone");
        // Each hop holds its connection, and so the socket.
        if let Some(hops) = &self.hops {
            hops.clear();
        }
    }
}

const CLOSE_LEAVING: VarInt = VarInt::from_u32(0);
const CLOSE_SUPERFLUOUS: VarInt = VarInt::from_u32(1);
const CLOSE_PROTOCOL: VarInt = VarInt::from_u32(2);
const CLOSE_UNREAD: VarInt = VarInt::from_u32(3);
const CLOSE_DROPPED: VarInt = VarInt::from_u32(4);
const CLOSE_DISMISSED: VarInt = VarInt::from_u32(5);

/// For QUIC that carries all datagrams: some are larger than what every path is sure to carry, and looking for what a path
/// carries takes a dozen packets of that size a connection.
fn wide_transport(keep_alive: Duration) -> Arc<TransportConfig> {
    let mut config = narrow_transport(keep_alive);
    config.mtu_discovery_config(Some(MtuDiscoveryConfig::default()));
    Arc::new(config)
}

/// Packets of the size that every path carries, and that fit into others.
fn transport(keep_alive: Duration) -> Arc<TransportConfig> {
    Arc::new(narrow_transport(keep_alive))
}

fn narrow_transport(keep_alive: Duration) -> TransportConfig {
    let mut config = TransportConfig::default();
    config
        .max_concurrent_bidi_streams(VarInt::from_u32(0))
        .max_concurrent_uni_streams(VarInt::from_u32(1))
        .stream_receive_window(VarInt::from_u32(CONTROL_WINDOW))
        .max_idle_timeout(Some(IDLE_TIMEOUT.try_into().expect("forty seconds fit a QUIC integer")))
        .keep_alive_interval(Some(keep_alive))
        .datagram_send_buffer_size(DATAGRAM_SEND_BUFFER)
        .datagram_receive_buffer_size(Some(DATAGRAM_RECEIVE_BUFFER))
        .congestion_controller_factory(Arc::new(congestion::FixedWindowFactory))
        .mtu_discovery_config(None);
    config
}

async fn accept(endpoint: Endpoint, to_driver: mpsc::Sender<TaskEvent>, spent: Spent) {
    let handshakes = Arc::new(());
    while let Some(incoming) = endpoint.accept().await {
        if endpoint.open_connections() >= CONNECTIONS_MAX {
            incoming.refuse();
            continue;
        }
        // Each handshake under way holds one clone.
        if Arc::strong_count(&handshakes) > HANDSHAKES_MAX && incoming.may_retry() {
            // Refused retries are dropped: the stranger may try again.
            let _ = incoming.retry();
            continue;
        }
        let Ok(connecting) = incoming.accept() else { continue };
        let (to_driver, token) = (to_driver.clone(), handshakes.clone());
        spent.spawn(async move {
            let handshake = timeout(DIAL_TIMEOUT, connecting).await;
            drop(token);
            if let Ok(Ok(connection)) = handshake {
                // The driver's end is gone only when the node is.
                let _ = to_driver.send(TaskEvent::Established { connection, dialled: None }).await;
            }
        });
    }
}

impl Link for QuicLink {
    fn listen_addrs(&self) -> Vec<SocketAddr> {
        concrete_addresses(self.bound)
    }

    fn dial(&mut self, addr: SocketAddr, expected: Option<NodeId>) {
        let to_driver = self.to_driver.clone();
        let (mut config, verifier) = self.tls.client(expected);
        config.transport_config(if is_detour(addr) { transport(KEEP_ALIVE) } else { self.transport.clone() });
        let connecting = mapped_for(self.bound, addr)
            .ok_or_else(|| DialError::Other("this node's socket has no way to that kind of address".into()))
            .and_then(|to| {
                self.endpoint
                    .connect_with(config, to, "alm")
                    .map_err(|error| DialError::Other(error.to_string()))
            });
        self.spent.spawn(async move {
            let outcome = match connecting {
                Ok(connecting) => timeout(DIAL_TIMEOUT, connecting).await.map_err(|_| DialError::NoAnswer),
                Err(error) => Err(error),
            };
            let error = match outcome {
                Ok(Ok(connection)) => {
                    let dialled = Some((addr, expected));
                    let _ = to_driver.send(TaskEvent::Established { connection, dialled }).await;
                    return;
                }
                Ok(Err(_)) if verifier.refused() => DialError::WrongKey,
                Ok(Err(error)) => dial_error(&error),
                Err(error) => error,
            };
            let _ = to_driver.send(TaskEvent::DialFailed { addr, expected, error }).await;
        });
    }

    fn dial_through(&mut self, via: NodeId, node: NodeId) {
        if let Some(addr) = self.detours.address(Way { via, peer: node }) {
            self.dial(addr, Some(node));
        }
    }

    fn send(&mut self, to: NodeId, channel: Channel, bytes: Bytes) -> Result<(), SendError> {
        let connection = self.peers.get(&to).and_then(Peer::current).ok_or(SendError::NotConnected)?;
        match channel {
            Channel::Control if bytes.len() > CONTROL_MESSAGE_MAX => Err(SendError::TooLong),
            Channel::Datagram if bytes.len() > DATAGRAM_MAX => Err(SendError::TooLong),
            Channel::Control => connection.send_control(bytes),
            Channel::Datagram => match &self.hops {
                Some(hops) if connection.hop.is_some() => hops.send(to, &bytes, Instant::now().into_std()),
                _ => connection.send_datagram(bytes),
            },
        }
    }

    fn flush(&mut self) {
        if let Some(hops) = &self.hops {
            hops.flush();
        }
    }

    fn send_pair(&mut self, to: NodeId, [first, second]: [Bytes; 2]) -> Result<(), SendError> {
        self.hops.as_ref().ok_or(SendError::NotConnected)?.send_pair(to, [&first, &second])
    }

    fn set_budget(&mut self, rate_bps: u64) {
        if let Some(hops) = &self.hops {
            hops.set_budget(rate_bps);
        }
    }

    fn pressed(&self) -> u64 {
        self.hops.as_ref().map_or(0, |hops| hops.pressed())
    }

    fn set_switch(&mut self, switch: Arc<dyn Switch>) {
        let keep_time = self.hops.as_ref().is_some_and(|hops| hops.keep_time());
        if !keep_time {
            self.beats.set_switch(switch.clone());
        }
        if let Some(hops) = &self.hops {
            hops.set_switch(switch);
        }
    }

    fn switch_counts(&self, peer: NodeId) -> SwitchCounts {
        let hop = self.peers.get(&peer).and_then(Peer::current).and_then(|current| current.hop.as_ref());
        hop.map(|hop| hop.counts()).unwrap_or_default()
    }

    fn poll_heard(&mut self, heard: &mut dyn FnMut(NodeId, Heard)) {
        for (peer, known) in &self.peers {
            for news in known.connections.iter().filter_map(|c| c.hop.as_ref()?.news()) {
                heard(*peer, news);
            }
        }
    }

    fn can_watch(&self) -> bool {
        self.hops.as_ref().is_some_and(|hops| hops.keep_time())
    }

    fn watch(&mut self, watched: Vec<Watched>) {
        if let Some(hops) = self.hops.as_ref().filter(|hops| hops.keep_time()) {
            hops.watch(&watched);
        }
    }

    fn poll_later(&mut self) -> Option<LinkEvent> {
        self.hops.as_ref()?.poll_later()
    }

    fn close(&mut self, peer: NodeId, reason: &str) {
        if let Some(known) = self.peers.remove(&peer) {
            for connection in known.connections {
                connection.forget(self.hops.as_ref());
                connection.quic.close(CLOSE_DISMISSED, reason.as_bytes());
            }
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<LinkEvent> {
        self.beat(cx);
        self.flush();
        while self.tick.poll_tick(cx).is_ready() {
            if let Some(hops) = &self.hops {
                hops.poll(Instant::now().into_std());
            }
            self.look_for_moved();
        }
        self.send_detours(cx);
        if let Some(event) = self.own.pop_front() {
            return Poll::Ready(event);
        }
        // Never closed while there are hops; without them nothing ever comes.
        while let Poll::Ready(Some(event)) = self.from_hops.poll_recv(cx) {
            if let Some(event) = self.take_detour(event) {
                return Poll::Ready(event);
            }
        }
        loop {
            match self.from_tasks.poll_recv(cx) {
                Poll::Ready(Some(event)) => {
                    if let Some(event) = self.on_task_event(event) {
                        return Poll::Ready(event);
                    }
                }
                // Never closed: this struct holds a sender itself.
                Poll::Ready(None) | Poll::Pending => return Poll::Pending,
            }
        }
    }

    async fn shutdown(mut self) {
        let deadline = Instant::now() + FLUSH_TIMEOUT;
        for (_, peer) in std::mem::take(&mut self.peers) {
            for connection in peer.connections {
                // One that does not answer must not hold up the others' goodbye.
                let _ = tokio::time::timeout_at(deadline, connection.flush()).await;
            }
        }
        self.endpoint.close(CLOSE_LEAVING, b"left");
        let _ = timeout(FLUSH_TIMEOUT, self.endpoint.wait_idle()).await;
    }
}

fn dial_error(error: &ConnectionError) -> DialError {
    /// The TLS alert `no_application_protocol` (RFC 7301, section 3.2) as a QUIC error code (RFC 9001, section 4.8).
    const NO_APPLICATION_PROTOCOL: u64 = 0x100 + 120;
    let code = match error {
        ConnectionError::TransportError(error) => u64::from(error.code),
        ConnectionError::ConnectionClosed(close) => u64::from(close.error_code),
        ConnectionError::VersionMismatch => return DialError::Version,
        ConnectionError::TimedOut => return DialError::NoAnswer,
        other => return DialError::Other(other.to_string()),
    };
    if code == NO_APPLICATION_PROTOCOL { DialError::Version } else { DialError::Other(error.to_string()) }
}
