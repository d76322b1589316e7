//! Feeds beside the plan's: what a child that misses its parent gets from a backup parent, and what a backup parent gives.
//!
//! Only edges that the task manager has signed for that case are carried, and only while the child asks. A ring of
//! repairs, which takes two deaths at once, would send the same packets round and round; so what has come by such a feed
//! once is not taken from it again.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use alm_media::{TreeId, TreeLinks};

use super::carrier::{Carrier, Epoch, Stage};
use super::plan::{SPEAKERS, TreePart, degrees_of};
use super::routes::Routes;
use crate::identity::{NodeId, SessionId};

/// A node's part of a tree, and what is added to it while somebody is missed.
#[derive(Debug)]
pub(super) struct CarriedTree {
    pub(super) part: TreePart,
    /// Backup parents that feed this node.
    feeding: BTreeSet<NodeId>,
    /// Children of others that this node feeds, and whom they miss.
    fed: BTreeMap<NodeId, NodeId>,
}

impl CarriedTree {
    pub(super) fn new(part: TreePart) -> Self {
        Self { part, feeding: BTreeSet::new(), fed: BTreeMap::new() }
    }

    pub(super) fn id(&self) -> TreeId {
        TreeId(self.part.tree)
    }

    pub(super) fn links(&self, routes: &Routes, deliver: bool) -> TreeLinks {
        let link = |node: &NodeId| routes.link(*node);
        TreeLinks {
            tree: self.id(),
            links: self.part.children.iter().chain(self.fed.keys()).filter_map(link).collect(),
            shared: self.part.shared,
            parents: self.part.parent.iter().chain(&self.feeding).filter_map(link).collect(),
            deliver,
        }
    }

    /// The part as it is now, without the links to those who are missed.
    fn part_now(&self, missed: NodeId) -> TreePart {
        let mut part = self.part.clone();
        part.children.extend(self.fed.keys());
        part.children.retain(|child| *child != missed && !self.fed.values().any(|gone| gone == child));
        part
    }
}

/// The relays and the dependants of one node, over all that it carries.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Dependence {
    /// Who relays to it: nodes that it can replace when they fall silent.
    pub relays: BTreeSet<NodeId>,
    /// Whom it relays to.
    pub dependants: BTreeSet<NodeId>,
}

impl Carrier {
    /// Who relays to this node and to whom it relays.
    #[must_use]
    pub fn dependence(&self) -> Dependence {
        let mut found = Dependence::default();
        for epoch in self.carried.values().flatten() {
            for tree in &epoch.trees {
                // At its top a directed tree is a voice's own: when that dies, nothing is missed.
                if tree.part.shared || tree.part.parent.is_some() {
                    found.dependants.extend(tree.part.children.iter().chain(tree.fed.keys()));
                }
                if epoch.stage == Stage::Active && !tree.part.backups.is_empty() {
                    found.relays.extend(tree.part.parent);
                    found.relays.extend(&tree.feeding);
                }
            }
        }
        found
    }

    /// Has those who depend on this node now hear from it often.
    pub fn mark_dependants(&mut self) {
        let dependants = self.dependence().dependants;
        let links: Vec<_> = dependants.iter().filter_map(|node| self.routes.link(*node)).collect();
        if links != self.routes.dependants {
            Arc::make_mut(&mut self.routes).dependants = links;
        }
    }

    /// The trees in which `parent` relays to this node now, and whom to turn to instead: (session, epoch, tree, others).
    pub(super) fn trees_below(&self, parent: NodeId) -> Vec<(SessionId, u64, TreeId, Vec<NodeId>)> {
        let active = |(session, epochs): (&SessionId, &Vec<Epoch>)| {
            let epoch = epochs.iter().find(|epoch| epoch.stage == Stage::Active)?;
            let below = epoch.trees.iter().filter(|tree| tree.part.parent == Some(parent));
            let below = below.filter(|tree| !tree.part.backups.is_empty());
            Some(
                below
                    .map(|tree| (*session, epoch.number, tree.id(), tree.part.backups.clone()))
                    .collect::<Vec<_>>(),
            )
        };
        self.carried.iter().filter_map(active).flatten().collect()
    }

    /// True for a node that is lent to a session, as far as this node is told plans.
    pub(super) fn is_helper(&self, node: NodeId) -> bool {
        self.sessions().filter_map(|session| self.plan(session)).any(|plan| plan.helpers.contains(&node))
    }

    /// Takes a tree from a backup parent as well, or no more.
    pub(super) fn take_feed(&mut self, session: SessionId, tree: TreeId, from: NodeId, on: bool) {
        let Self { carried, routes, repeats, .. } = self;
        let routes = Arc::make_mut(routes);
        let epochs = carried.get_mut(&session).into_iter().flatten();
        for epoch in epochs {
            let deliver = epoch.deliver;
            for found in epoch.trees.iter_mut().filter(|found| found.id() == tree) {
                if !on {
                    found.feeding.remove(&from);
                    repeats.forget(tree, from);
                } else if found.part.backups.contains(&from) {
                    found.feeding.insert(from);
                    repeats.watch(tree, from);
                }
                routes.guard(tree, !found.feeding.is_empty());
                let links = found.links(routes, deliver);
                routes.table.amend(&links);
            }
        }
    }

    /// A child of `missed` asks to be fed along trees, or to be fed no more. Which of them it is fed along now: those
    /// for which the manager has named it, while this node can carry them.
    pub fn give_feed(
        &mut self,
        session: SessionId,
        trees: &[u32],
        child: NodeId,
        missed: NodeId,
        on: bool,
    ) -> Vec<u32> {
        let Self { carried, routes, .. } = self;
        let routes = Arc::make_mut(routes);
        let mut given = Vec::new();
        for epoch in carried.get_mut(&session).into_iter().flatten() {
            for at in 0..epoch.trees.len() {
                let tree = &epoch.trees[at];
                if !trees.contains(&tree.part.tree) || !tree.part.standby.contains(&(child, missed)) {
                    continue;
                }
                if !on {
                    epoch.trees[at].fed.remove(&child);
                } else {
                    if !tree.fed.contains_key(&child) && !epoch.can_feed(at, child, missed) {
                        continue;
                    }
                    epoch.trees[at].fed.insert(child, missed);
                    given.push(epoch.trees[at].part.tree);
                }
                let links = epoch.trees[at].links(routes, epoch.deliver);
                routes.table.amend(&links);
            }
        }
        given
    }

    /// True for a packet that came by the same feed before; to be asked once a packet.
    pub fn is_repeat(&mut self, tree: TreeId, from: NodeId, packet: &[u8]) -> bool {
        self.repeats.is_repeat(tree, from, packet)
    }
}

impl Epoch {
    /// True if one more child of `missed` fits into what this node may carry, the copies for `missed` being spared.
    fn can_feed(&self, at: usize, child: NodeId, missed: NodeId) -> bool {
        let mut parts: Vec<TreePart> = self.trees.iter().map(|tree| tree.part_now(missed)).collect();
        parts[at].children.push(child);
        let copies_before = degrees_of(&self.trees.iter().map(|tree| tree.part.clone()).collect::<Vec<_>>());
        degrees_of(&parts) <= self.held.max(copies_before)
    }
}

/// Packets that came lately by feeds beside the plan's.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    seen: BTreeMap<(TreeId, NodeId), VecDeque<u64>>,
}

/// Packets remembered of each feed: more than a ring of relays holds of as many voices as are carried at once.
const SEEN_MAX: usize = 128 * SPEAKERS;
/// Where source and counter stand in a packet, eight bytes together.
const NAME_AT: usize = 5;

impl Repeats {
    fn watch(&mut self, tree: TreeId, from: NodeId) {
        self.seen.entry((tree, from)).or_default();
    }

    fn forget(&mut self, tree: TreeId, from: NodeId) {
        self.seen.remove(&(tree, from));
    }

    /// Forgets all feeds of a tree.
    pub(super) fn forget_tree(&mut self, tree: TreeId) {
        self.seen.retain(|(known, _), _| *known != tree);
    }

    fn is_repeat(&mut self, tree: TreeId, from: NodeId, packet: &[u8]) -> bool {
        if self.seen.is_empty() {
            return false;
        }
        let Some(seen) = self.seen.get_mut(&(tree, from)) else { return false };
        let Some(name) = packet.get(NAME_AT..).and_then(|rest| rest.first_chunk()) else { return false };
        let name = u64::from_be_bytes(*name);
        if seen.contains(&name) {
            return true;
        }
        if seen.len() == SEEN_MAX {
            seen.pop_front();
        }
        seen.push_back(name);
        false
    }
}
