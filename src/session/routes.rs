//! Where a node's packets go, as a table that is never changed while it is read: a new one takes its place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use alm_media::{ForwardingTable, LinkId, Route, TreeId, TreeLinks};

use crate::identity::NodeId;
use crate::net::Budget;

/// The forwarding table of all epochs that a node carries, and the peers behind its links.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    pub(super) table: ForwardingTable,
    /// What each tree's session may send here.
    budgets: BTreeMap<TreeId, Arc<Budget>>,
    link_of: BTreeMap<NodeId, LinkId>,
    node_of: Vec<NodeId>,
    /// When something of a tree, or a pulse, last went to each, microseconds from a start that is the node's; 0 for never.
    passed_us: Vec<Arc<AtomicU64>>,
    /// Links to those who are to hear from this node often ([`pulse`](super::pulse)).
    pub(super) dependants: Vec<LinkId>,
    /// Trees with feeds beside the plan's: what comes by them is looked at twice.
    guarded: BTreeSet<TreeId>,
}

impl Routes {
    /// Where a packet goes that came from `from` (`None`: from this node's own source).
    #[must_use]
    pub fn route(&self, tree: TreeId, from: Option<NodeId>) -> Option<Route<'_>> {
        let from = match from {
            Some(node) => Some(*self.link_of.get(&node)?),
            None => None,
        };
        self.table.route(tree, from)
    }

    /// The peer at the other end of a link of a [`Route`].
    #[must_use]
    pub fn peer(&self, link: LinkId) -> NodeId {
        self.node_of[link.0 as usize]
    }

    /// A packet has gone to a peer, so long after the node's start.
    pub(crate) fn on_passed(&self, link: LinkId, since_start: Duration) {
        self.passed_us[link.0 as usize].store(since_start.as_micros() as u64, Ordering::Relaxed);
    }

    /// When the last packet has gone to a peer, from the node's start; zero for never.
    pub(super) fn passed_at(&self, link: LinkId) -> Duration {
        Duration::from_micros(self.passed_us[link.0 as usize].load(Ordering::Relaxed))
    }

    /// What the session that a tree belongs to may send at this node.
    #[must_use]
    pub fn budget(&self, tree: TreeId) -> Option<&Budget> {
        self.budgets.get(&tree).map(|budget| &**budget)
    }

    /// Counts the trees' packets against a session's budget.
    pub(super) fn charge(&mut self, trees: &[TreeLinks], budget: &Arc<Budget>) {
        self.budgets.extend(trees.iter().map(|part| (part.tree, budget.clone())));
    }

    /// Forgets an epoch.
    pub(super) fn retire(&mut self, handle: u64, trees: &[TreeId]) {
        self.table.retire(handle);
        for tree in trees {
            self.budgets.remove(tree);
        }
    }

    /// True for a tree of which packets may come more than once.
    #[must_use]
    pub fn is_guarded(&self, tree: TreeId) -> bool {
        !self.guarded.is_empty() && self.guarded.contains(&tree)
    }

    pub(super) fn guard(&mut self, tree: TreeId, on: bool) {
        if on {
            self.guarded.insert(tree);
        } else {
            self.guarded.remove(&tree);
        }
    }

    /// The link to a peer that has one.
    pub(super) fn link(&self, node: NodeId) -> Option<LinkId> {
        self.link_of.get(&node).copied()
    }

    /// The link to a peer, numbered at its first use.
    pub(super) fn link_to(&mut self, node: NodeId) -> LinkId {
        *self.link_of.entry(node).or_insert_with(|| {
            self.node_of.push(node);
            self.passed_us.push(Arc::default());
            LinkId(self.node_of.len() as u32 - 1)
        })
    }

    /// Peers that have ever been linked.
    pub(super) fn links_known(&self) -> usize {
        self.node_of.len()
    }
}
