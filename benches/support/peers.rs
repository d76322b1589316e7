//! Real nodes on real QUIC inside the bench: like the live driver, without sound, and with every packet's time read.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::task::{Context, Poll, Waker};

use alm::identity::{Identity, NodeId, SessionId};
use alm::net::quic::{QuicLink, Socket};
use alm::net::{Link, bind_udp, next_event};
use alm::node::{Input, Node, Output};
use alm::pool::{HelpersFrom, PoolConfig, Priority};
use alm::session::{Invite, ManagerConfig, MemberConfig, Participant};
use alm_planner::Objective;
use quinn::{Runtime, TokioRuntime};
use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::runtime::{Builder, Handle};
use tokio::sync::{mpsc, oneshot};
use tokio::time::sleep_until;

use super::pace::{Ears, Pace};
use super::{PATIENCE, now, wait_until};

/// A thread with a runtime of its own, on which the peers of one role live.
pub struct Group {
    handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Group {
    /// Starts the thread.
    pub fn start(name: &str) -> Self {
        let runtime =
            Builder::new_current_thread().enable_all().build().expect("a runtime needs few resources");
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let body = move || drop(runtime.block_on(stopped));
        let thread =
            std::thread::Builder::new().name(name.to_owned()).spawn(body).expect("a thread can be had");
        Self { handle, stop: Some(stop), thread: Some(thread) }
    }

    /// Starts a task there.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.handle.spawn(task);
    }

    /// Runs something there and waits for what it gives back.
    pub fn run<T: Send + 'static>(&self, task: impl Future<Output = T> + Send + 'static) -> T {
        let (sender, answer) = channel();
        // The other end waits.
        self.spawn(async move { drop(sender.send(task.await)) });
        answer.recv_timeout(PATIENCE).expect("what a bench asks a group of peers for ends soon")
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic there has been printed there.
            let _ = thread.join();
        }
    }
}

type Question = Box<dyn FnOnce(&Node) + Send>;

enum Command {
    Ask(Question),
    Speak(Pace),
}

/// What a peer is there for.
pub enum Part {
    /// Host of a session, which starts from these addresses.
    Host(Vec<SocketAddr>),
    /// Member of one.
    Member(Invite),
}

/// A live node. It ends, without goodbye, when this is dropped.
pub struct Peer {
    /// Where it listens.
    pub addrs: Vec<SocketAddr>,
    commands: mpsc::UnboundedSender<Command>,
}

const SECRET: [u8; 16] = [7; 16];

impl Peer {
    /// Brings a node to life in `group`. `number` tells it from all others of the bench.
    pub fn start(group: &Group, number: u8, part: Part, degree: u32, ears: Ears) -> Self {
        let (commands, incoming) = mpsc::unbounded_channel();
        let addrs = group.run(async move {
            let identity = Arc::new(Identity::from_seed([number; 32]));
            let socket =
                bind_udp(Some(SocketAddr::from(([127, 0, 0, 1], 0)))).expect("loopback has a free port");
            let link =
                QuicLink::open(&identity, sleeping(socket, number)).expect("a UDP socket carries QUIC");
            let addrs = link.listen_addrs();
            let config = PoolConfig { degree, ..PoolConfig::default() };
            let (me, random) = (identity.node_id(), StdRng::seed_from_u64(number.into()));
            let mut node = Node::new(identity, addrs.clone(), config, random, now());
            enter(&mut node, me, number, part, degree, &addrs);
            tokio::spawn(live(link, node, incoming, ears));
            addrs
        });
        Self { addrs, commands }
    }

    /// Asks the node something.
    pub fn ask<T: Send + 'static>(&self, question: impl FnOnce(&Node) -> T + Send + 'static) -> T {
        let (sender, answer) = channel();
        let question = Box::new(move |node: &Node| drop(sender.send(question(node))));
        assert!(self.commands.send(Command::Ask(question)).is_ok(), "a peer lives as long as the bench");
        answer.recv_timeout(PATIENCE).expect("a live peer answers")
    }

    /// Sends at a pace; returns at once.
    pub fn speak(&self, pace: Pace) {
        assert!(self.commands.send(Command::Speak(pace)).is_ok(), "a peer lives as long as the bench");
    }
}

/// A socket on which the group's runtime waits, as it does on the bare forwarder's: on loopback the sender pays for waking
/// its receivers, and a thread for each would be on the relay's bill alone.
fn sleeping(socket: std::net::UdpSocket, number: u8) -> Socket {
    let socket = TokioRuntime.wrap_udp_socket(socket).expect("a bound socket can be waited for");
    Socket::Abstract(socket, [number; 32])
}

fn enter(node: &mut Node, me: NodeId, number: u8, part: Part, degree: u32, addrs: &[SocketAddr]) {
    let (name, salt) = (format!("m{number}"), [number; 16]);
    match part {
        Part::Host(bootstrap) => {
            let addrs = addrs.to_vec();
            let own = Participant { index: 0, node: me, name, salt, degree, records: false, addrs };
            let (objective, priority) = (Objective::Diameter, Priority::LOWEST);
            let config = ManagerConfig {
                title: "bench".to_owned(),
                objective,
                priority,
                grant: None,
                helpers: HelpersFrom::Anybody,
                protect: false,
                secret: SECRET,
                own,
            };
            bootstrap.into_iter().for_each(|addr| node.handle(Input::Bootstrap(addr), now()));
            node.host(&session_key(number), config, now());
        }
        Part::Member(invite) => node.join(MemberConfig { invite, name, salt, degree, records: false }, now()),
    }
}

fn session_key(host: u8) -> Identity {
    Identity::from_seed([!host; 32])
}

/// Link events that are handled in a row before anything else gets a look in; as in the live driver.
const LINK_EVENTS_IN_A_ROW: usize = 64;

async fn live(
    mut link: QuicLink,
    mut node: Node,
    mut commands: mpsc::UnboundedReceiver<Command>,
    ears: Ears,
) {
    let mut pace: Option<Pace> = None;
    loop {
        drain(&mut node, &mut link, &ears);
        let (wake, _) = node.poll_timeout();
        tokio::select! {
            biased;
            () = sleep_until(wake.into()) => {
                node.catch_up(&mut link, now());
                node.handle(Input::Timeout, now());
            }
            command = commands.recv() => match command {
                Some(Command::Ask(question)) => question(&node),
                Some(Command::Speak(wanted)) => pace = Some(wanted),
                None => return,
            },
            () = due(pace.as_ref()) => {
                while let Some(packet) = pace.as_mut().and_then(|pace| pace.packet(ears.started)) {
                    node.handle(Input::Own(packet), now());
                    drain(&mut node, &mut link, &ears);
                }
            }
            event = next_event(&mut link) => {
                node.handle(Input::Link(event), now());
                let mut context = Context::from_waker(Waker::noop());
                for _ in 1..LINK_EVENTS_IN_A_ROW {
                    drain(&mut node, &mut link, &ears);
                    // Whoever polls last is woken: the select above polls again before it waits.
                    let Poll::Ready(event) = link.poll_event(&mut context) else { break };
                    node.handle(Input::Link(event), now());
                }
            }
        }
    }
}

async fn due(pace: Option<&Pace>) {
    match pace {
        Some(pace) => pace.due().await,
        None => std::future::pending().await,
    }
}

fn drain(node: &mut Node, link: &mut QuicLink, ears: &Ears) {
    while let Some(output) = node.poll_output() {
        match output {
            // A packet that finds no connection is missed by its receiver.
            Output::Send(to, channel, bytes) => drop(link.send(to, channel, bytes)),
            Output::Pair(..) => {}
            Output::Dial(addr, to) => link.dial(addr, to),
            Output::DialThrough(via, to) => link.dial_through(via, to),
            Output::Close(peer, reason) => link.close(peer, reason),
            Output::Switch(switch) => link.set_switch(switch),
            Output::Watch(watched) => link.watch(watched),
            Output::Play(packet, _) => ears.hear(&packet),
            Output::Plan(job) => {
                let begun = now();
                let planned = job.run();
                node.handle(Input::Planned(planned, now() - begun), now());
            }
        }
    }
    link.flush();
    while node.poll_notice().is_some() {}
}

/// A session of a host who speaks and members who listen.
pub struct Session {
    pub host: Peer,
    pub members: Vec<Peer>,
}

impl Session {
    /// Starts it and waits until its tree stands: through the helper at `helper`, with the host and all members at degree
    /// 1, or without one, the host serving everybody. `number` is the host's, and the members' follow.
    pub fn start(
        sender: &Group,
        receivers: &Group,
        number: u8,
        listeners: usize,
        helper: Option<SocketAddr>,
        ears: &Ears,
    ) -> Self {
        let degree = if helper.is_some() { 1 } else { listeners as u32 };
        let host =
            Peer::start(sender, number, Part::Host(helper.into_iter().collect()), degree, ears.clone());
        if helper.is_some() {
            wait_until("the helper", || host.ask(|node| node.pool().joined().next().is_some()));
        }
        let session = SessionId::of(&session_key(number).node_id());
        let invite = Invite { session, secret: SECRET, entry_points: host.addrs.clone() };
        let members: Vec<Peer> = (1..=listeners as u8)
            .map(|i| Peer::start(receivers, number + i, Part::Member(invite.clone()), 1, ears.clone()))
            .collect();
        let helpers = usize::from(helper.is_some());
        for peer in std::iter::once(&host).chain(&members) {
            wait_until("a tree of all members", || {
                peer.ask(move |node| {
                    node.plan().is_some_and(|plan| {
                        plan.helpers.len() == helpers && plan.trees[0].sources.len() == listeners + 1
                    })
                })
            });
        }
        Self { host, members }
    }
}
