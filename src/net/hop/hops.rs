//! All hops of a node, and the way of a packet through it: opened once, looked up, sealed for each hop that it leaves by.
//!
//! The forwarding path takes no lock that anybody holds while working, and allocates nothing: the tables that it reads are
//! swapped whole.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use tokio::sync::mpsc;

use super::batch::{Batch, Out};
use super::hop::Hop;
use super::packet::{Header, Kind, PAYLOAD_MAX};
use super::vigil::Vigil;
use crate::identity::NodeId;
use crate::net::{Budget, LinkEvent, SendError, Switch, Verdict, Watched};

/// See the [module](self).
pub(in crate::net) struct Hops {
    table: ArcSwap<Table>,
    switch: ArcSwapOption<Installed>,
    vigil: ArcSwap<Vigil>,
    events: mpsc::Sender<LinkEvent>,
    later: Mutex<VecDeque<LinkEvent>>,
    /// What leaves on the node's own account, rather than forwarded.
    own: Mutex<Batch>,
    /// What the machine may send, over all its sessions.
    budget: Budget,
}

/// A table may be behind a pointer that can be swapped only if its size is known.
struct Installed(Arc<dyn Switch>);

#[derive(Clone, Default)]
struct Table {
    by_key: BTreeMap<u32, Arc<Hop>>,
    by_peer: BTreeMap<NodeId, Arc<Hop>>,
}

impl Hops {
    /// No hops yet; `events` gets what is for the node itself, and loses what it has no room for.
    pub(super) fn new(out: Out, events: mpsc::Sender<LinkEvent>) -> Arc<Self> {
        let own = Mutex::new(Batch::new(out));
        let (table, switch) = (ArcSwap::default(), ArcSwapOption::empty());
        let budget = Budget::new(u64::MAX, tokio::time::Instant::now().into_std());
        let (vigil, later) = (ArcSwap::default(), Mutex::default());
        Arc::new(Self { table, switch, vigil, events, later, own, budget })
    }

    /// Takes up a hop. Another one with the same key id stays what it is, and this one is never found by it: its peer's
    /// challenges go unanswered, and QUIC carries its datagrams.
    pub(in crate::net) fn add(&self, hop: &Arc<Hop>, now: Instant) {
        self.change(|table| {
            table.by_key.entry(hop.opener.id()).or_insert_with(|| hop.clone());
        });
        hop.poll(now, &mut self.own());
    }

    /// Datagrams to the hop's peer leave by it from now on.
    pub(in crate::net) fn prefer(&self, hop: &Arc<Hop>) {
        self.change(|table| {
            table.by_peer.insert(hop.peer, hop.clone());
        });
    }

    /// Forgets a hop.
    pub(in crate::net) fn remove(&self, hop: &Arc<Hop>) {
        self.change(|table| {
            table.by_key.retain(|_, known| !Arc::ptr_eq(known, hop));
            table.by_peer.retain(|_, known| !Arc::ptr_eq(known, hop));
        });
    }

    /// Forgets all hops.
    pub(in crate::net) fn clear(&self) {
        self.table.store(Arc::default());
        self.vigil.store(Arc::default());
    }

    /// Has datagrams switched by this table from now on.
    pub(in crate::net) fn set_switch(&self, switch: Arc<dyn Switch>) {
        self.switch.store(Some(Arc::new(Installed(switch))));
        self.own().nudge();
    }

    /// Whether the switch is asked for its beats where packets come in; otherwise somebody else has to.
    pub(in crate::net) fn keep_time(&self) -> bool {
        self.own().can_nudge()
    }

    /// Puts the switch's beats that are due into the batch, and tells what there is to know of who is watched. When to call
    /// again, unless something comes before.
    #[cfg(target_os = "linux")]
    pub(super) fn beat(&self, now: Instant, batch: &mut Batch) -> Option<Instant> {
        let (table, switch) = (self.table.load(), self.switch.load());
        let beat = (*switch).as_ref().and_then(|switch| {
            switch.0.beat(now, &mut |to, datagram| {
                if let Some(hop) = table.by_peer.get(&to) {
                    // A beat that cannot be sent is lost, as the next one is soon.
                    let _ = hop.send(datagram, &self.budget, now, batch);
                }
            })
        });
        let mut alert = |peer| self.events.try_send(LinkEvent::Alert { peer }).is_ok();
        let look = self.vigil.load().look(now, &mut alert);
        beat.into_iter().chain(look).min()
    }

    /// Watches these peers from now on, and no others.
    pub(in crate::net) fn watch(&self, watched: &[Watched]) {
        let hops: Vec<Arc<Hop>> = self.table.load().by_key.values().cloned().collect();
        self.vigil.rcu(|vigil| vigil.next(watched, &hops));
        self.own().nudge();
    }

    /// Bounds what datagrams the machine sends, bit/s.
    pub(in crate::net) fn set_budget(&self, rate_bps: u64) {
        self.budget.set_rate(rate_bps);
    }

    /// How often datagrams have found that bound near.
    pub(in crate::net) fn pressed(&self) -> u64 {
        self.budget.pressed()
    }

    /// Sends a datagram with the next [`flush`](Self::flush).
    pub(in crate::net) fn send(&self, to: NodeId, datagram: &[u8], now: Instant) -> Result<(), SendError> {
        let table = self.table.load();
        let hop = table.by_peer.get(&to).ok_or(SendError::NotConnected)?;
        if datagram.len() > PAYLOAD_MAX {
            return Err(SendError::TooLong);
        }
        hop.send(datagram, &self.budget, now, &mut self.own())
    }

    /// Sends two datagrams back to back, with nothing between them.
    pub(in crate::net) fn send_pair(&self, to: NodeId, pair: [&[u8]; 2]) -> Result<(), SendError> {
        let table = self.table.load();
        let hop = table.by_peer.get(&to).ok_or(SendError::NotConnected)?;
        if pair.iter().any(|datagram| datagram.len() > PAYLOAD_MAX) {
            return Err(SendError::TooLong);
        }
        let mut own = self.own();
        own.flush();
        let sealed = pair.iter().all(|datagram| hop.seal(datagram, &mut own));
        own.flush();
        if sealed { Ok(()) } else { Err(SendError::NotConnected) }
    }

    /// Sends what has been handed in.
    pub(in crate::net) fn flush(&self) {
        let mut own = self.own();
        if !own.is_empty() {
            own.flush();
        }
    }

    /// Time passes.
    pub(in crate::net) fn poll(&self, now: Instant) {
        let mut own = self.own();
        for hop in self.table.load().by_key.values() {
            hop.poll(now, &mut own);
        }
        own.flush();
    }

    /// Takes a datagram that came by QUIC.
    pub(in crate::net) fn take_from_quic(&self, hop: &Hop, datagram: &[u8], at: Instant) {
        hop.hear(at);
        let mut own = self.own();
        self.pass(&self.table.load(), hop, datagram, at, &mut own);
        own.flush();
    }

    /// Takes a packet from the socket, in its place. What it causes to be sent is in the batch.
    pub(in crate::net) fn take(&self, packet: &mut [u8], from: SocketAddr, at: Instant, batch: &mut Batch) {
        let Some(header) = Header::read(packet) else { return };
        let table = self.table.load();
        let Some(hop) = table.by_key.get(&header.key) else { return };
        let Some(payload) = hop.open(header, packet, from, at, batch) else { return };
        match header.kind {
            Kind::Datagram => self.pass(&table, hop, payload, at, batch),
            Kind::Challenge => hop.on_challenge(payload, from, batch),
            Kind::Response => hop.on_response(payload, at),
        }
    }

    /// Has a datagram go on where the switch says, and up to the node where it is to be.
    fn pass(&self, table: &Table, hop: &Hop, datagram: &[u8], at: Instant, batch: &mut Batch) {
        let mut send = |to: NodeId, datagram: &[u8]| {
            if let Some(next) = table.by_peer.get(&to)
                && next.send(datagram, &self.budget, at, batch).is_ok()
            {
                next.counts.sent.fetch_add(1, Ordering::Relaxed);
            }
        };
        let switch = self.switch.load();
        let verdict = match &*switch {
            Some(switch) => switch.0.route(hop.peer, datagram, at, &mut send),
            None => Verdict::Keep,
        };
        let (from, bytes) = (hop.peer, || Bytes::copy_from_slice(datagram));
        // An event that finds no room is lost, as the datagram would be on a crowded line.
        match verdict {
            Verdict::Keep => {
                let _ = self.events.try_send(LinkEvent::Datagram { from, bytes: bytes(), at });
            }
            Verdict::Passed { deliver } => {
                hop.counts.received.fetch_add(1, Ordering::Relaxed);
                if deliver {
                    let _ = self.events.try_send(LinkEvent::Delivered { from, bytes: bytes(), at });
                }
            }
            Verdict::Refused => {
                hop.counts.dropped.fetch_add(1, Ordering::Relaxed);
            }
            Verdict::Noted => {}
            Verdict::Answered(answer) => {
                let _ = hop.send(&answer, &self.budget, at, batch);
            }
            Verdict::Later => {
                let mut later = self.later();
                if later.len() < LATER_MAX {
                    later.push_back(LinkEvent::Datagram { from, bytes: bytes(), at });
                }
            }
        }
    }

    /// The next event that was to wake nobody.
    pub(in crate::net) fn poll_later(&self) -> Option<LinkEvent> {
        self.later().pop_front()
    }

    fn change(&self, change: impl Fn(&mut Table)) {
        self.table.rcu(|table| {
            let mut table = Table::clone(table);
            change(&mut table);
            table
        });
        let watched = self.vigil.load().watched();
        if !watched.is_empty() {
            let hops: Vec<Arc<Hop>> = self.table.load().by_key.values().cloned().collect();
            self.vigil.rcu(|vigil| vigil.next(&watched, &hops));
        }
    }

    fn later(&self) -> MutexGuard<'_, VecDeque<LinkEvent>> {
        // A queue is whole after every statement.
        self.later.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn own(&self) -> MutexGuard<'_, Batch> {
        // A batch is whole after every statement.
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Events that may wait until the node wakes anyway, which it does every second or so: answers of as many peers.
const LATER_MAX: usize = 256;
