//! Feeds beside the plan's: what a child that misses its parent gets from a backup parent, and what a backup parent gives;
//! and what a child to which the way from its parent is bad gets over its detour instead.
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
    /// Backup parents that were asked to feed this node, and whether they have said that they do.
    feeding: BTreeMap<NodeId, bool>,
    /// Children of others that this node feeds, and whom they miss; nobody, where it is their detour.
    fed: BTreeMap<NodeId, Option<NodeId>>,
    /// Children that are fed by others for now.
    resting: BTreeSet<NodeId>,
    /// How what comes from above comes.
    from_above: FromAbove,
}

/// How a node gets what comes from above.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) enum FromAbove {
    /// From its parent.
    #[default]
    Direct,
    /// From its parent still; its detour has been asked.
    Asked,
    /// From its parent, and over its detour as well. What goes up goes by the latter alone.
    Both,
    /// Over its detour.
    Around,
}

impl CarriedTree {
    pub(super) fn new(part: TreePart) -> Self {
        let (feeding, fed, resting) = (BTreeMap::new(), BTreeMap::new(), BTreeSet::new());
        Self { part, feeding, fed, resting, from_above: FromAbove::Direct }
    }

    pub(super) fn id(&self) -> TreeId {
        TreeId(self.part.tree)
    }

    pub(super) fn links(&self, routes: &Routes, deliver: bool) -> TreeLinks {
        let link = |node: &NodeId| routes.link(*node);
        let children = self.part.children.iter().filter(|child| !self.resting.contains(*child));
        let parents = self.parent_now().into_iter().chain(self.feeding.keys().copied());
        TreeLinks {
            tree: self.id(),
            links: children.chain(self.fed.keys()).filter_map(link).collect(),
            shared: self.part.shared,
            parents: parents.chain(self.detour_now()).filter_map(|node| link(&node)).collect(),
            deliver,
        }
    }

    /// The parent, while something is taken from it. In a shared tree what goes up must not go by two ways.
    fn parent_now(&self) -> Option<NodeId> {
        let takes = match self.from_above {
            FromAbove::Direct | FromAbove::Asked => true,
            FromAbove::Both => !self.part.shared,
            FromAbove::Around => false,
        };
        self.part.parent.filter(|_| takes)
    }

    /// The detour, while something is taken from it.
    fn detour_now(&self) -> Option<NodeId> {
        self.part.detour.filter(|_| matches!(self.from_above, FromAbove::Both | FromAbove::Around))
    }

    /// The part as it is now, without the links to those who are missed.
    fn part_now(&self, missed: Option<NodeId>) -> TreePart {
        let mut part = self.part.clone();
        part.children.retain(|child| !self.resting.contains(child));
        part.children.extend(self.fed.keys());
        let is_gone =
            |child: NodeId| missed == Some(child) || self.fed.values().any(|gone| *gone == Some(child));
        part.children.retain(|child| !is_gone(*child));
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
                // Who is on a detour counts on it, whoever it is, and sees by the parent when the direct way is good again.
                found.dependants.extend(tree.fed.keys().chain(&tree.resting));
                if epoch.stage == Stage::Active {
                    // Who has no room feeds nothing: its silence is no death.
                    let feeders = tree.feeding.iter().filter(|(_, feeds)| **feeds).map(|(node, _)| *node);
                    let relays = tree.parent_now().into_iter().chain(feeders);
                    found.relays.extend(relays.filter(|_| !tree.part.backups.is_empty()));
                    found.relays.extend(tree.detour_now());
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
            let below = epoch.trees.iter().filter(|tree| tree.parent_now() == Some(parent));
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
                    found.feeding.entry(from).or_insert(false);
                    repeats.watch(tree, from);
                }
                routes.guard(tree, !found.feeding.is_empty());
                let links = found.links(routes, deliver);
                routes.table.amend(&links);
            }
        }
    }

    /// A backup parent says that it feeds this node: from now on its silence means something.
    pub(super) fn count_on_feed(&mut self, session: SessionId, tree: TreeId, from: NodeId) {
        let trees = self.carried.get_mut(&session).into_iter().flatten().flat_map(|epoch| &mut epoch.trees);
        let asked = trees.filter(|found| found.id() == tree).filter_map(|found| found.feeding.get_mut(&from));
        asked.for_each(|feeds| *feeds = true);
    }

    /// Takes what comes from above another way.
    pub(super) fn take_from_above(&mut self, session: SessionId, tree: TreeId, how: FromAbove) {
        let Self { carried, routes, .. } = self;
        for epoch in carried.get_mut(&session).into_iter().flatten() {
            let deliver = epoch.deliver;
            for found in epoch.trees.iter_mut().filter(|found| found.id() == tree) {
                found.from_above = how;
                let routes = Arc::make_mut(routes);
                let links = found.links(routes, deliver);
                routes.table.amend(&links);
            }
        }
    }

    /// A child has others feed it along trees for now, or no more.
    pub fn rest(&mut self, session: SessionId, trees: &[u32], child: NodeId, on: bool) {
        let Self { carried, routes, .. } = self;
        for epoch in carried.get_mut(&session).into_iter().flatten() {
            let deliver = epoch.deliver;
            let named = |found: &&mut CarriedTree| trees.contains(&found.part.tree);
            for found in epoch.trees.iter_mut().filter(named) {
                let changes = if on {
                    found.part.children.contains(&child) && found.resting.insert(child)
                } else {
                    found.resting.remove(&child)
                };
                if changes {
                    let routes = Arc::make_mut(routes);
                    let links = found.links(routes, deliver);
                    routes.table.amend(&links);
                }
            }
        }
    }

    /// The trees in which something comes from `parent` by the plan, whether or not it does so now: (session, tree, detour).
    pub(super) fn trees_from(&self, parent: NodeId) -> Vec<(SessionId, TreeId, Option<NodeId>)> {
        let from = self.active_trees().filter(|(_, tree)| tree.part.parent == Some(parent));
        from.map(|(session, tree)| (session, tree.id(), tree.part.detour)).collect()
    }

    /// All nodes above this one in the plans that carry media.
    pub(super) fn parents(&self) -> BTreeSet<NodeId> {
        self.active_trees().filter_map(|(_, tree)| tree.part.parent).collect()
    }

    fn active_trees(&self) -> impl Iterator<Item = (SessionId, &CarriedTree)> {
        let active = self.carried.iter().flat_map(|(session, epochs)| {
            epochs.iter().filter(|epoch| epoch.stage == Stage::Active).map(|epoch| (*session, epoch))
        });
        active.flat_map(|(session, epoch)| epoch.trees.iter().map(move |tree| (session, tree)))
    }

    /// A child of `missed`, or one to which the way from its parent is bad, asks to be fed along trees, or to be fed no more.
    /// Which of them it is fed along now: those for which the manager has named it, while this node can carry them.
    pub fn give_feed(
        &mut self,
        session: SessionId,
        trees: &[u32],
        child: NodeId,
        missed: Option<NodeId>,
        on: bool,
    ) -> Vec<u32> {
        let Self { carried, routes, .. } = self;
        let routes = Arc::make_mut(routes);
        let mut given = Vec::new();
        for epoch in carried.get_mut(&session).into_iter().flatten() {
            for at in 0..epoch.trees.len() {
                let tree = &epoch.trees[at];
                let is_named = match missed {
                    Some(missed) => tree.part.standby.contains(&(child, missed)),
                    None => tree.part.around.contains(&child),
                };
                if !trees.contains(&tree.part.tree) || !is_named {
                    continue;
                }
                if !on {
                    epoch.trees[at].fed.remove(&child);
                } else {
                    // Who is on a detour is nobody else's, so that no two lead round in a circle.
                    let circles = missed.is_none() && tree.from_above != FromAbove::Direct;
                    if circles || !tree.fed.contains_key(&child) && !epoch.can_feed(at, child, missed) {
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
    fn can_feed(&self, at: usize, child: NodeId, missed: Option<NodeId>) -> bool {
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
