//! Nodes that are known but not connected, and when to dial them next.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::message::Contact;
use crate::identity::NodeId;

/// Nodes known at once. In full view each of them is a connection.
pub(super) const CONTACTS_MAX: usize = 128;
/// Addresses of one node.
pub(super) const ADDRS_MAX: usize = 8;
/// Addresses without a known key: bootstraps and entry points.
const BOOTSTRAPS_MAX: usize = 32;
/// The first pause after a failed dial; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// Failed dials after which a node is forgotten, unless somebody names it again.
const FAILURES_MAX: u32 = 8;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Contacts {
    nodes: BTreeMap<NodeId, Schedule>,
    bootstraps: BTreeMap<SocketAddr, Schedule>,
}

#[derive(Debug)]
struct Schedule {
    addrs: Vec<SocketAddr>,
    /// `None` while connected.
    next_dial: Option<Instant>,
    failures: u32,
}

impl Schedule {
    fn at(addrs: Vec<SocketAddr>, next_dial: Instant) -> Self {
        Self { addrs, next_dial: Some(next_dial), failures: 0 }
    }

    fn back_off(&mut self, now: Instant) {
        let pause = RETRY_MIN.saturating_mul(1 << self.failures.min(8)).min(RETRY_MAX);
        self.failures += 1;
        self.next_dial = Some(now + pause);
    }
}

impl Contacts {
    /// Takes note of a node; it is dialled at `at` unless it is connected or due earlier.
    pub(super) fn learn(&mut self, contact: Contact, at: Instant) {
        let mut addrs = contact.addrs;
        addrs.retain(|addr| addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast());
        addrs.truncate(ADDRS_MAX);
        if let Some(known) = self.nodes.get_mut(&contact.node) {
            if !addrs.is_empty() {
                known.addrs = addrs;
            }
            known.next_dial = known.next_dial.map(|due| due.min(at));
        } else if self.nodes.len() < CONTACTS_MAX && !addrs.is_empty() {
            self.nodes.insert(contact.node, Schedule::at(addrs, at));
        }
    }

    /// Takes note of an address whose key is not known; it is dialled until it answers.
    pub(super) fn learn_bootstrap(&mut self, addr: SocketAddr, now: Instant) {
        if self.bootstraps.len() < BOOTSTRAPS_MAX {
            self.bootstraps.entry(addr).or_insert_with(|| Schedule::at(vec![addr], now));
        }
    }

    /// True for an address that was given as a bootstrap.
    pub(super) fn is_bootstrap(&self, addr: SocketAddr) -> bool {
        self.bootstraps.contains_key(&addr)
    }

    /// The node is connected, by this address.
    pub(super) fn on_connected(&mut self, node: NodeId, addr: SocketAddr) {
        let entry = self.nodes.entry(node).or_insert_with(|| Schedule {
            addrs: vec![addr],
            next_dial: None,
            failures: 0,
        });
        (entry.next_dial, entry.failures) = (None, 0);
        if let Some(bootstrap) = self.bootstraps.get_mut(&addr) {
            (bootstrap.next_dial, bootstrap.failures) = (None, 0);
        }
    }

    /// The connection is gone; the node is dialled again.
    pub(super) fn on_lost(&mut self, node: NodeId, now: Instant) {
        if let Some(known) = self.nodes.get_mut(&node) {
            known.back_off(now);
        }
        // Which of them it was is not known; one dial too many does no harm.
        for bootstrap in self.bootstraps.values_mut().filter(|b| b.next_dial.is_none()) {
            bootstrap.back_off(now);
        }
    }

    /// The node has said goodbye.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    /// Addresses to dial now, with the key expected there.
    pub(super) fn due(&mut self, now: Instant) -> Vec<(SocketAddr, Option<NodeId>)> {
        let due = |schedule: &Schedule| schedule.next_dial.is_some_and(|at| at <= now);
        self.nodes.retain(|_, known| !(due(known) && known.failures >= FAILURES_MAX));
        let mut dials = Vec::new();
        for (node, known) in self.nodes.iter_mut().filter(|(_, known)| due(known)) {
            known.back_off(now);
            dials.extend(known.addrs.iter().map(|addr| (*addr, Some(*node))));
        }
        for (addr, bootstrap) in self.bootstraps.iter_mut().filter(|(_, bootstrap)| due(bootstrap)) {
            bootstrap.back_off(now);
            dials.push((*addr, None));
        }
        dials
    }

    /// When the next dial is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.nodes.values().chain(self.bootstraps.values()).filter_map(|schedule| schedule.next_dial).min()
    }

    /// Where a node is said to listen.
    pub(super) fn addrs(&self, node: NodeId) -> &[SocketAddr] {
        self.nodes.get(&node).map_or(&[], |known| &known.addrs)
    }
}
