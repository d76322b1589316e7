//! Nodes that the layers above want a connection to, and addresses to start from: when to dial them next.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::message::{ADDRS_MAX, Contact};
use crate::identity::NodeId;

/// Nodes wanted at once: the members and helpers of a session, and the neighbours in others that are helped.
const CONTACTS_MAX: usize = 1_280;
/// Addresses without a known key: bootstraps and entry points.
const BOOTSTRAPS_MAX: usize = 32;
/// The first pause after a failed dial; it doubles up to [`RETRY_MAX`].
const RETRY_MIN: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// A direct way has so long to be found before one over a third node is taken.
const DIRECT_FIRST: Duration = Duration::from_millis(1_500);

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
    /// Dials that have yet to fail.
    open: usize,
    /// All dials have failed, or what answered was no direct way.
    failed: bool,
    /// Who can carry messages to it, and from when on that is tried.
    through: Option<(NodeId, Instant)>,
    /// It is connected over a third node.
    detour: bool,
    /// Wanted until then; `None`: always.
    until: Option<Instant>,
}

/// Somebody to dial.
#[derive(Debug)]
pub(super) struct Due {
    /// The key expected there, where it is known.
    pub(super) node: Option<NodeId>,
    pub(super) addrs: Vec<SocketAddr>,
    /// It has been tried in vain.
    pub(super) again: bool,
}

impl Schedule {
    fn of(addrs: Vec<SocketAddr>) -> Self {
        Self {
            addrs,
            next_dial: None,
            failures: 0,
            open: 0,
            failed: false,
            through: None,
            detour: false,
            until: None,
        }
    }

    fn back_off(&mut self, now: Instant) {
        let pause = RETRY_MIN.saturating_mul(1 << self.failures.min(8)).min(RETRY_MAX);
        self.failures += 1;
        self.next_dial = Some(now + pause);
    }
}

impl Contacts {
    /// A node is wanted until `until`: it is dialled at `at` unless it is connected or due earlier.
    pub(super) fn want(&mut self, contact: Contact, is_connected: bool, at: Instant, until: Instant) {
        let mut addrs = contact.addrs;
        addrs.retain(|addr| addr.port() != 0 && !addr.ip().is_unspecified() && !addr.ip().is_multicast());
        addrs.truncate(ADDRS_MAX);
        if let Some(known) = self.nodes.get_mut(&contact.node) {
            if !addrs.is_empty() {
                known.addrs = addrs;
            }
            known.until = known.until.max(Some(until));
            known.next_dial = known.next_dial.map(|due| due.min(at));
        } else if self.nodes.len() < CONTACTS_MAX && (is_connected || !addrs.is_empty()) {
            let next_dial = (!is_connected).then_some(at);
            let schedule = Schedule { next_dial, until: Some(until), ..Schedule::of(addrs) };
            self.nodes.insert(contact.node, schedule);
        }
    }

    /// Takes note of an address whose key is not known; it is dialled until it answers.
    pub(super) fn learn_bootstrap(&mut self, addr: SocketAddr, now: Instant) {
        if self.bootstraps.len() < BOOTSTRAPS_MAX {
            let fresh = || Schedule { next_dial: Some(now), ..Schedule::of(vec![addr]) };
            self.bootstraps.entry(addr).or_insert_with(fresh);
        }
    }

    /// True for an address that was given as a bootstrap.
    pub(super) fn is_bootstrap(&self, addr: SocketAddr) -> bool {
        self.bootstraps.contains_key(&addr)
    }

    /// A bootstrap that does not answer is not tried again before this node is alone.
    pub(super) fn rest_bootstrap(&mut self, addr: SocketAddr) {
        if let Some(known) = self.bootstraps.get_mut(&addr) {
            known.next_dial = None;
        }
    }

    /// True while somebody above wants that node.
    pub(super) fn is_wanted(&self, node: NodeId) -> bool {
        self.nodes.contains_key(&node)
    }

    /// The node is connected over a third one: a direct way is looked for now and then.
    pub(super) fn on_detour(&mut self, node: NodeId, now: Instant) {
        if let Some(known) = self.nodes.get_mut(&node) {
            (known.next_dial, known.through) = (Some(now + RETRY_MAX), None);
            (known.failed, known.detour) = (true, true);
        }
    }

    /// Somebody can carry messages to that node, should no dial lead to it.
    pub(super) fn on_introduced(&mut self, node: NodeId, by: NodeId, now: Instant) {
        if let Some(known) = self.nodes.get_mut(&node)
            && known.next_dial.is_some()
            && !known.detour
            && known.through.is_none()
        {
            known.through = Some((by, now + DIRECT_FIRST));
        }
    }

    /// Who is to be dialled by way of whom.
    pub(super) fn due_through(&mut self, now: Instant) -> Vec<(NodeId, NodeId)> {
        let due = |known: &Schedule| known.through.is_some_and(|(_, at)| at <= now);
        let due = self.nodes.iter_mut().filter(|(_, known)| due(known));
        due.filter_map(|(node, known)| Some((known.through.take()?.0, *node))).collect()
    }

    /// The node is connected, by this address.
    pub(super) fn on_connected(&mut self, node: NodeId, addr: SocketAddr) {
        for known in self.nodes.get_mut(&node).into_iter().chain(self.bootstraps.get_mut(&addr)) {
            (known.next_dial, known.failures, known.failed) = (None, 0, false);
            (known.through, known.detour) = (None, false);
        }
    }

    /// A dial to that node has come to nothing.
    pub(super) fn on_dial_failed(&mut self, node: NodeId) {
        if let Some(known) = self.nodes.get_mut(&node) {
            known.open = known.open.saturating_sub(1);
            known.failed |= known.open == 0 && known.next_dial.is_some();
        }
    }

    /// Nodes that are wanted and could not be reached, whatever was tried.
    pub(super) fn unreachable(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.nodes.iter().filter(|(_, known)| known.failed).map(|(node, _)| *node)
    }

    /// The connection is gone; a node that is wanted is dialled again, and so are bootstraps if this node has nobody else.
    pub(super) fn on_lost(&mut self, node: NodeId, is_alone: bool, now: Instant) {
        if let Some(known) = self.nodes.get_mut(&node) {
            known.detour = false;
            known.back_off(now);
        }
        for bootstrap in self.bootstraps.values_mut().filter(|b| is_alone && b.next_dial.is_none()) {
            bootstrap.back_off(now);
        }
    }

    /// The node has said goodbye.
    pub(super) fn forget(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    /// Whom to dial now.
    pub(super) fn due(&mut self, now: Instant) -> Vec<Due> {
        let due = |schedule: &Schedule| schedule.next_dial.is_some_and(|at| at <= now);
        self.nodes.retain(|_, known| known.until.is_none_or(|until| until > now));
        let mut dials = Vec::new();
        for (node, known) in self.nodes.iter_mut().filter(|(_, known)| due(known)) {
            let again = known.failures > 0;
            known.back_off(now);
            known.open = known.addrs.len();
            dials.push(Due { node: Some(*node), addrs: known.addrs.clone(), again });
        }
        for (addr, bootstrap) in self.bootstraps.iter_mut().filter(|(_, bootstrap)| due(bootstrap)) {
            bootstrap.back_off(now);
            dials.push(Due { node: None, addrs: vec![*addr], again: false });
        }
        dials
    }

    /// When the next dial is due, or a wish ends.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let all = self.nodes.values().chain(self.bootstraps.values());
        let through = |schedule: &Schedule| schedule.through.map(|(_, at)| at);
        all.flat_map(|schedule| [schedule.next_dial, schedule.until, through(schedule)]).flatten().min()
    }

    /// Where a node is said to listen.
    pub(super) fn addrs(&self, node: NodeId) -> &[SocketAddr] {
        self.nodes.get(&node).map_or(&[], |known| &known.addrs)
    }
}
