//! One who looks at the pool without being of it: asks SOMO's root, and has nodes measure each other.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use alm_planner::{RoundTrip, RoundTrips};
use tokio::time::{Instant, sleep_until, timeout_at};

use super::DriverConfig;
use crate::identity::NodeId;
use crate::net::{Channel, DialError, Link, LinkEvent, Mdns, next_event};
use crate::pool::somo::{Helper, Report};
use crate::pool::{Answer, Contact, Event, Output, PoolConfig, PoolNode, Question, Reach};
use crate::wire::Message;

/// See the [module](self).
pub struct Onlooker<L> {
    link: L,
    pool: PoolNode,
    mdns: Option<Mdns>,
    /// Bootstraps that do not answer, and why.
    failed: BTreeMap<SocketAddr, DialError>,
}

/// Between two questions while nobody answers.
const ASK_AGAIN: Duration = Duration::from_secs(2);
/// Nodes that measure at the same time, and what each measures at once: more would measure each other's traffic.
const PROBERS: usize = 8;
const TARGETS: usize = 12;
/// Connections to nodes that are to measure are waited for so long.
const CONNECTED_WITHIN: Duration = Duration::from_secs(6);
/// Tries of one pair.
const TRIES: usize = 2;

impl<L: Link> Onlooker<L> {
    /// On a link of its own.
    #[must_use]
    pub fn new(link: L, config: DriverConfig, mdns: Option<Mdns>) -> Self {
        let now = Instant::now().into_std();
        let me = config.identity.node_id();
        let looking = PoolConfig { observer: true, lends: false, ..config.pool };
        let mut pool = PoolNode::new(me, link.listen_addrs(), looking, config.random, now);
        config.bootstrap.iter().for_each(|addr| pool.add_bootstrap(*addr, now));
        Self { link, pool, mdns, failed: BTreeMap::new() }
    }

    /// The pool as SOMO's root sees it, and who that is; nothing if nobody answers in time.
    pub async fn view(&mut self, within: Duration) -> Option<(NodeId, Box<Report>)> {
        let deadline = Instant::now() + within;
        while Instant::now() < deadline {
            self.pool.ask(Question::View, Instant::now().into_std());
            let again = deadline.min(Instant::now() + ASK_AGAIN);
            while let Some(event) = self.next(again).await {
                if let Event::Answered(root, Answer::View(report)) = event {
                    return Some((root, report));
                }
            }
        }
        None
    }

    /// Bootstraps that did not answer, and why.
    #[must_use]
    pub fn failed(&self) -> &BTreeMap<SocketAddr, DialError> {
        &self.failed
    }

    /// Talks to nodes, so that they say where they see this one.
    pub async fn meet(&mut self, nodes: &[Helper], within: Duration) {
        let deadline = Instant::now() + within;
        for Helper { peer, .. } in nodes {
            let contact = Contact { node: peer.node, addrs: peer.addrs().collect() };
            self.pool.want(contact, Instant::now().into_std());
        }
        while !nodes.iter().all(|helper| self.pool.is_joined(helper.peer.node)) {
            if self.next(deadline).await.is_none() {
                return;
            }
        }
    }

    /// What stands before this machine as far as those it has talked to tell, and where they see it.
    #[must_use]
    pub fn seen(&self) -> (Reach, SocketAddr) {
        self.pool.seen()
    }

    /// Has nodes measure the round trips to each other, each pair once; `progress` hears how many pairs are done.
    pub async fn measure(&mut self, nodes: &[Helper], mut progress: impl FnMut(usize)) -> Option<RoundTrips> {
        let mut trips = RoundTrips::new(nodes.len())?;
        let index: BTreeMap<NodeId, usize> =
            nodes.iter().enumerate().map(|(i, helper)| (helper.peer.node, i)).collect();
        (0..nodes.len()).for_each(|i| set(&mut trips, i, i, 0.0));
        let mut done = 0;
        for _ in 0..TRIES {
            let mut work: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
            for a in 0..nodes.len() {
                for b in (0..a).filter(|b| trips.get(a, *b).is_none()) {
                    // Each measures as many as any other.
                    let (by, to) = if (a + b) % 2 == 0 { (a, b) } else { (b, a) };
                    work.entry(by).or_default().push(to);
                }
            }
            let mut batches: Vec<(usize, Vec<usize>)> = Vec::new();
            for (by, targets) in &work {
                batches.extend(targets.chunks(TARGETS).map(|some| (*by, some.to_vec())));
            }
            // One node's batches are far apart.
            batches.sort_by_key(|(by, targets)| (targets.first().copied(), *by));
            for some in batches.chunks(PROBERS) {
                for (by, round_trips_ms) in self.probe(nodes, some).await {
                    for (to, ms) in round_trips_ms {
                        if let (Some(a), Some(b)) = (index.get(&by), index.get(&to)) {
                            set(&mut trips, *a, *b, ms);
                        }
                    }
                }
                done += some.iter().map(|(_, targets)| targets.len()).sum::<usize>();
                progress(done);
            }
        }
        Some(trips)
    }

    /// Some nodes measure, side by side.
    async fn probe(
        &mut self,
        nodes: &[Helper],
        batches: &[(usize, Vec<usize>)],
    ) -> Vec<(NodeId, Vec<(NodeId, f32)>)> {
        let contact = |i: usize| {
            let peer = nodes[i].peer;
            Contact { node: peer.node, addrs: peer.addrs().collect() }
        };
        let deadline = Instant::now() + CONNECTED_WITHIN;
        let mut left: Vec<(usize, Vec<usize>)> = batches.to_vec();
        let mut asked: BTreeSet<NodeId> = BTreeSet::new();
        let mut answers = Vec::new();
        for (by, _) in batches {
            self.pool.want(contact(*by), Instant::now().into_std());
        }
        while !left.is_empty() || !asked.is_empty() {
            let now = Instant::now();
            let busy = asked.clone();
            let ready = |(by, _): &mut (usize, Vec<usize>)| {
                let node = nodes[*by].peer.node;
                self.pool.is_joined(node) && !busy.contains(&node)
            };
            for (by, targets) in left.extract_if(.., ready).collect::<Vec<_>>() {
                let node = nodes[by].peer.node;
                if asked.insert(node) {
                    let targets = targets.into_iter().map(contact).collect();
                    self.pool.probe(node, targets, now.into_std());
                } else {
                    left.push((by, targets));
                }
            }
            match self.next(deadline).await {
                Some(Event::Probed(by, round_trips_ms)) => {
                    asked.remove(&by);
                    answers.push((by, round_trips_ms));
                }
                Some(Event::Lost(node)) => {
                    asked.remove(&node);
                }
                Some(_) => {}
                None => break,
            }
        }
        answers
    }

    /// The next thing that the pool says; nothing by the deadline.
    async fn next(&mut self, deadline: Instant) -> Option<Event> {
        loop {
            self.drain();
            match self.pool.poll_event() {
                Some(Event::BootstrapFailed(addr, error)) => {
                    self.failed.insert(addr, error);
                    continue;
                }
                Some(event) => return Some(event),
                None => {}
            }
            let wake = self.pool.poll_timeout();
            let arrival = async {
                tokio::select! {
                    biased;
                    () = sleep_until(wake.into()) => None,
                    found = super::driver::discovered(self.mdns.as_ref()) => Some(Err(found)),
                    event = next_event(&mut self.link) => Some(Ok(event)),
                }
            };
            let arrived = timeout_at(deadline, arrival).await.ok()?;
            let now = Instant::now().into_std();
            match arrived {
                None => self.pool.handle_timeout(now),
                Some(Err(found)) => self.pool.add_contact(found, now),
                Some(Ok(event)) => self.on_link(event, now),
            }
        }
    }

    fn on_link(&mut self, event: LinkEvent, now: std::time::Instant) {
        match event {
            LinkEvent::Connected { peer, addr } => self.pool.on_connected(peer, addr, now),
            LinkEvent::Disconnected { peer, left, .. } => self.pool.on_disconnected(peer, left, now),
            LinkEvent::Moved { peer, addr } => self.pool.on_moved(peer, addr, now),
            LinkEvent::DialFailed { addr, expected, error } => {
                self.pool.on_dial_failed(addr, expected, error, now);
            }
            LinkEvent::Control { from, bytes } => {
                self.pool.on_traffic(from, now);
                if let Ok(Message::Pool(message)) = Message::decode(&bytes) {
                    self.pool.handle_message(from, message, now);
                }
            }
            LinkEvent::Datagram { from, bytes, at } => {
                self.pool.on_traffic(from, at);
                if PoolNode::is_pools(&bytes) {
                    self.pool.handle_datagram(from, &bytes, at);
                }
            }
            // Media, which nobody sends to one who only looks, and who watches nobody.
            LinkEvent::Delivered { .. } | LinkEvent::Alert { .. } => {}
        }
    }

    fn drain(&mut self) {
        self.pool.handle_timeout(Instant::now().into_std());
        while let Some(output) = self.pool.poll_output() {
            match output {
                // A peer that is gone is reported by the link itself.
                Output::Message(to, message) => {
                    let _ = self.link.send(to, Channel::Control, Message::Pool(message).encode());
                }
                Output::Datagram(to, bytes) => {
                    let _ = self.link.send(to, Channel::Datagram, bytes);
                }
                Output::Pair(..) => {}
                Output::Dial(addr, node) => self.link.dial(addr, node),
                Output::DialThrough(via, node) => self.link.dial_through(via, node),
                Output::Close(node, reason) => self.link.close(node, reason),
            }
        }
    }

    /// Says goodbye.
    pub async fn end(self) {
        self.link.shutdown().await;
    }
}

fn set(trips: &mut RoundTrips, a: usize, b: usize, ms: f32) {
    if let Some(trip) = RoundTrip::from_ms(f64::from(ms)) {
        trips.set(a, b, trip);
        trips.set(b, a, trip);
    }
}
