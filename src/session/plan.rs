//! A plan as a session installs it: a set of trees over nodes, and each node's part of them.

use std::collections::{BTreeMap, BTreeSet};

use alm_planner::Objective;
use ring::digest;
use serde::{Deserialize, Serialize};

use super::graft::Graft;
use super::plan_change::PlanNews;
use super::plan_wire::WirePlan;
use super::roster::MESH_MEMBERS_MAX;
use crate::identity::{NodeId, SessionId};

/// One installed plan, whole: what members see. Helpers see their own [`TreePart`]s only.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(try_from = "WirePlan", into = "WirePlan")]
pub struct SessionPlan {
    /// Counts the plans of a session.
    pub epoch: u64,
    /// What it was made small for.
    pub objective: Objective,
    /// The task manager.
    pub root: NodeId,
    /// The trees. A source sends along the first one that names it, and along both where two protect each other.
    pub trees: Vec<PlanTree>,
    /// Nodes that carry media for a session that they are not members of.
    pub helpers: Vec<NodeId>,
    /// The largest latency from any source to any member, one way.
    pub worst_ms: f64,
    /// The largest latency from the root to a member.
    pub height_ms: f64,
    /// The largest latency between two members.
    pub diameter_ms: f64,
    /// That rests on links which nobody has measured yet.
    pub is_guess: bool,
    /// How long the planning took.
    pub planned_us: u64,
    /// Round trips to helpers measured for this plan alone.
    pub probes: u32,
    /// Why it was made.
    pub reason: String,
}

/// One tree of a plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PlanTree {
    /// Its number in packets.
    pub tree: u32,
    /// Media flows both ways along every edge; otherwise from parent to child only.
    pub shared: bool,
    /// Who sends along it.
    pub sources: Vec<NodeId>,
    /// Parent and child, parents first.
    pub edges: Vec<(NodeId, NodeId)>,
    /// Child and backup parent: whom to turn to when the parent falls silent.
    pub backups: Vec<(NodeId, NodeId)>,
    /// Child and detour: over whom what comes from the parent goes while the way from there is bad. No deeper in the tree than
    /// the child: since who is on a detour is nobody else's, no packet goes round.
    pub detours: Vec<(NodeId, NodeId)>,
}

/// A node's part of one tree.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TreePart {
    /// Its number in packets.
    pub tree: u32,
    /// Media flows both ways.
    pub shared: bool,
    /// The node above; `None` at the root.
    pub parent: Option<NodeId>,
    /// The nodes below.
    pub children: Vec<NodeId>,
    /// Whom to turn to when the parent falls silent, in this order; nobody, when nothing can be missed then.
    pub backups: Vec<NodeId>,
    /// Who may turn to this node then, and whom they miss.
    pub standby: Vec<(NodeId, NodeId)>,
    /// Over whom what comes from the parent goes while the way from there is bad.
    pub detour: Option<NodeId>,
    /// Whose detour this node is.
    pub around: Vec<NodeId>,
}

/// What the task manager signs of an epoch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Installation {
    /// Whose epoch.
    pub session: SessionId,
    /// Which.
    pub epoch: u64,
    /// For whom, and what they are told.
    pub share: Share,
}

/// What a node is told of an epoch.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Share {
    /// A helper: what it carries, and nothing else.
    Part {
        /// Which helper.
        to: NodeId,
        /// What it carries.
        trees: Vec<TreePart>,
    },
    /// Members, all the same: the plan, in which each finds its part, and who has been grafted to it since.
    Plan(PlanNews, Vec<Graft>),
    /// Members that have the plan: who is grafted to it now.
    Graft(Graft),
}

/// What is wrong with a plan.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum PlanDefect {
    /// Edges that close a loop, or a child with two parents.
    #[error("the edges are no tree")]
    NotATree,
    /// A source that a tree does not reach.
    #[error("a source is not in the tree")]
    SourceOutside,
    /// A tree whose media flows down only, with a source that is not at its top.
    #[error("a source is not at the top of its tree")]
    SourceBelow,
    /// A backup parent, or its child, that is not in the tree.
    #[error("a backup parent is not in the tree")]
    BackupOutside,
    /// A detour, or its child, that is not in the tree, or one that is deeper in it than its child.
    #[error("a detour could lead in a circle")]
    DetourBelow,
    /// More leaves than one epoch takes in.
    #[error("too many have come since the plan was made")]
    TooManyGrafts,
}

impl PlanTree {
    /// One node's part, if it has any: what [`parts`](Self::parts) has for it, without the others'.
    #[must_use]
    pub fn part_of(&self, node: NodeId) -> Option<TreePart> {
        let (up, backup_of) = (self.parents(), self.backups.iter().copied().collect());
        let parent = up.get(&node).copied();
        let below = |(above, child): &(NodeId, NodeId)| (*above == node).then_some(*child);
        let children: Vec<NodeId> = self.edges.iter().filter_map(below).collect();
        let stands_by = |(parent, child): &(NodeId, NodeId)| {
            self.turns_to(*child, &up, &backup_of).contains(&node).then_some((*child, *parent))
        };
        let standby: Vec<(NodeId, NodeId)> = self.edges.iter().filter_map(stands_by).collect();
        let around: Vec<NodeId> =
            self.detours.iter().filter(|(_, over)| *over == node).map(|(child, _)| *child).collect();
        let is_in = parent.is_some() || !children.is_empty() || !standby.is_empty() || !around.is_empty();
        is_in.then(|| TreePart {
            tree: self.tree,
            shared: self.shared,
            parent,
            children,
            backups: self.turns_to(node, &up, &backup_of),
            standby,
            detour: self.detours.iter().rev().find(|(child, _)| *child == node).map(|(_, over)| *over),
            around,
        })
    }

    fn parents(&self) -> BTreeMap<NodeId, NodeId> {
        self.edges.iter().map(|(parent, child)| (*child, *parent)).collect()
    }

    /// The parts of all nodes of the tree.
    #[must_use]
    pub fn parts(&self) -> BTreeMap<NodeId, TreePart> {
        let up = self.parents();
        let backup_of: BTreeMap<NodeId, NodeId> = self.backups.iter().copied().collect();
        let detour_of: BTreeMap<NodeId, NodeId> = self.detours.iter().copied().collect();
        let mut parts: BTreeMap<NodeId, TreePart> = BTreeMap::new();
        let empty = |node: NodeId| TreePart {
            tree: self.tree,
            shared: self.shared,
            parent: up.get(&node).copied(),
            children: vec![],
            backups: self.turns_to(node, &up, &backup_of),
            standby: vec![],
            detour: detour_of.get(&node).copied(),
            around: vec![],
        };
        for (parent, child) in &self.edges {
            parts.entry(*parent).or_insert_with(|| empty(*parent)).children.push(*child);
            let backups = parts.entry(*child).or_insert_with(|| empty(*child)).backups.clone();
            for backup in backups {
                parts.entry(backup).or_insert_with(|| empty(backup)).standby.push((*child, *parent));
            }
        }
        for (child, over) in &self.detours {
            parts.entry(*over).or_insert_with(|| empty(*over)).around.push(*child);
        }
        parts
    }

    /// Whom a node turns to when its parent falls silent: its backup, then the nodes above the parent. The top of a large
    /// tree cannot stand by for everybody.
    fn turns_to(
        &self,
        node: NodeId,
        up: &BTreeMap<NodeId, NodeId>,
        backup_of: &BTreeMap<NodeId, NodeId>,
    ) -> Vec<NodeId> {
        let Some(parent) = up.get(&node) else { return Vec::new() };
        if !self.shared && self.sources.contains(parent) {
            return Vec::new();
        }
        let is_large = self.sources.len() > MESH_MEMBERS_MAX || self.edges.len() > 2 * MESH_MEMBERS_MAX;
        let top = self.edges.first().map(|(top, _)| top).filter(|top| *top != parent && !is_large);
        let mut found: Vec<NodeId> = Vec::new();
        for candidate in backup_of.get(&node).into_iter().chain(up.get(parent)).chain(top) {
            if !found.contains(candidate) {
                found.push(*candidate);
            }
        }
        found
    }

    /// `voices` are the sources of all trees: whoever speaks listens to the others as well.
    fn check(&self, voices: &BTreeSet<NodeId>) -> Result<(), PlanDefect> {
        let top = self.edges.first().map(|(root, _)| *root);
        let mut depth: BTreeMap<NodeId, u32> = top.into_iter().map(|top| (top, 0)).collect();
        for (parent, child) in &self.edges {
            let Some(above) = depth.get(parent) else { return Err(PlanDefect::NotATree) };
            if depth.insert(*child, above + 1).is_some() {
                return Err(PlanDefect::NotATree);
            }
        }
        let circles = |(child, over): &(NodeId, NodeId)| {
            let deeper = |over| depth.get(child).is_none_or(|child| over > child);
            child == over || depth.get(over).is_none_or(deeper)
        };
        if self.detours.iter().any(circles) {
            return Err(PlanDefect::DetourBelow);
        }
        if !self.shared && top.is_some_and(|top| self.sources != [top]) {
            return Err(PlanDefect::SourceBelow);
        }
        if self
            .backups
            .iter()
            .any(|(child, backup)| !depth.contains_key(child) || !depth.contains_key(backup))
        {
            return Err(PlanDefect::BackupOutside);
        }
        let lonely = self.edges.is_empty() && voices.len() <= 1;
        if lonely || voices.iter().all(|voice| depth.contains_key(voice)) {
            Ok(())
        } else {
            Err(PlanDefect::SourceOutside)
        }
    }
}

impl TreePart {
    /// The nodes above and below.
    pub fn neighbours(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.parent.iter().chain(&self.children).copied()
    }

    /// The nodes that become neighbours when others are missed.
    pub fn reserves(&self) -> impl Iterator<Item = NodeId> + '_ {
        let standing_by = self.standby.iter().map(|(child, _)| *child);
        self.backups.iter().copied().chain(standing_by).chain(self.detour).chain(self.around.iter().copied())
    }
}

impl SessionPlan {
    /// Checks what a receiver relies on.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), PlanDefect> {
        let voices = self.trees.iter().flat_map(|tree| tree.sources.iter().copied()).collect();
        self.trees.iter().try_for_each(|tree| tree.check(&voices))
    }

    /// Every node of the plan: the root, members and helpers.
    #[must_use]
    pub fn nodes(&self) -> BTreeSet<NodeId> {
        let edges = self.trees.iter().flat_map(|tree| tree.edges.iter().flat_map(|(a, b)| [*a, *b]));
        edges.chain([self.root]).collect()
    }

    /// A node's parts of all trees.
    #[must_use]
    pub fn parts_of(&self, node: NodeId) -> Vec<TreePart> {
        self.trees.iter().filter_map(|tree| tree.part_of(node)).collect()
    }

    /// All nodes' parts of all trees.
    #[must_use]
    pub fn parts(&self) -> BTreeMap<NodeId, Vec<TreePart>> {
        let mut parts: BTreeMap<NodeId, Vec<TreePart>> = BTreeMap::new();
        for (node, part) in self.trees.iter().flat_map(PlanTree::parts) {
            parts.entry(node).or_default().push(part);
        }
        parts
    }

    /// One shared tree for all, the last of the trees, and too many are in for everybody to be connected to everybody.
    #[must_use]
    pub fn is_large(&self) -> bool {
        let [own @ .., shared] = self.trees.as_slice() else { return false };
        shared.shared && shared.sources.len() > MESH_MEMBERS_MAX && own.iter().all(|tree| !tree.shared)
    }

    /// How many trees at the beginning are those of single speakers, beside a shared one for all.
    pub(super) fn own_trees(&self) -> usize {
        let count = self.trees.iter().take_while(|tree| !tree.shared).count();
        if count < self.trees.len() { count } else { 0 }
    }

    /// The degrees that each node carries all its parts with.
    #[must_use]
    pub fn degrees(&self) -> BTreeMap<NodeId, u32> {
        self.parts().into_iter().map(|(node, parts)| (node, degrees_of(&parts))).collect()
    }

    /// The same of one node.
    #[must_use]
    pub fn degree_of(&self, node: NodeId) -> u32 {
        degrees_of(&self.parts_of(node))
    }

    /// How many voices may speak at once, each of so many bit/s a copy on the wire: what every node's budget carries of them,
    /// and [`SPEAKERS`] at least.
    #[must_use]
    pub fn voices_carried(&self, copy_bps: u64) -> usize {
        let voices: BTreeSet<NodeId> =
            self.trees.iter().flat_map(|tree| tree.sources.iter().copied()).collect();
        let carried = |parts: &Vec<TreePart>| {
            let copies = budget_bps(degrees_of(parts)) / copy_bps.max(1);
            let mut sent = 0;
            copies_of(parts, voices.len().min(VOICES_COUNTED_MAX))
                .into_iter()
                .take_while(|more| {
                    sent += *more as u64;
                    sent <= copies
                })
                .count()
        };
        self.parts().values().map(carried).min().unwrap_or(0).max(SPEAKERS)
    }

    /// Two trees carry each voice.
    #[must_use]
    pub fn is_protected(&self) -> bool {
        let mut sources = self.trees.iter().flat_map(|tree| &tree.sources);
        let first = sources.next();
        sources.any(|source| Some(source) == first)
    }

    /// How many links a frame of `source` crosses to reach `node`.
    #[must_use]
    pub fn hops(&self, source: NodeId, node: NodeId) -> Option<u32> {
        let tree = self.trees.iter().find(|tree| tree.sources.contains(&source))?;
        let up = tree.parents();
        let path = |from| std::iter::successors(Some(from), |at| up.get(at).copied()).collect::<Vec<_>>();
        let (from, to) = (path(source), path(node));
        let shared = from.iter().rev().zip(to.iter().rev()).take_while(|(a, b)| a == b).count();
        (shared > 0).then(|| (from.len() + to.len() - 2 * shared) as u32)
    }
}

/// Copies that the node of these parts sends of each voice that costs it the most, the most first; as many voices as are asked
/// for.
fn copies_of(parts: &[TreePart], voices: usize) -> Vec<usize> {
    // Every voice goes along all shared trees, and a node's own along all that it is at the top of: two, where they
    // protect each other.
    let (mut shared, mut own, mut copies) = (0, 0, Vec::new());
    for part in parts {
        match part.parent {
            _ if part.shared => shared += part.neighbours().count(),
            None => own += part.children.len(),
            Some(_) => copies.push(part.children.len()),
        }
    }
    copies.extend(std::iter::repeat_n(shared, voices));
    copies.push(own);
    copies.sort_unstable_by(|a, b| b.cmp(a));
    copies.truncate(voices);
    copies
}

/// The degrees that it takes to carry these parts. A degree is a link of a shared tree, or [`SPEAKERS`] copies: what
/// that link would carry of as many voices at once. Counted are the voices that cost the node the most copies.
pub(super) fn degrees_of(parts: &[TreePart]) -> u32 {
    copies_of(parts, SPEAKERS).iter().sum::<usize>().div_ceil(SPEAKERS) as u32
}

/// More voices at once than anybody can follow.
const VOICES_COUNTED_MAX: usize = 64;

/// Voices at once that a node's degree is for.
pub(super) const SPEAKERS: usize = 3;

/// What a session may send at a node where it holds so many degrees, bit/s.
pub(super) fn budget_bps(degrees: u32) -> u64 {
    u64::from(degrees) * SPEAKERS as u64 * COPY_BPS_MAX
}

/// The most that a copy of a voice takes, bit/s: 256 kbit/s in frames of 20 ms, or 64 kbit/s in frames of 2.5 ms, each with
/// the headers of hop, UDP and IP, and a quarter to spare.
const COPY_BPS_MAX: u64 = 450_000;

/// The number of a tree in packets. Hashed, so that a helper can serve many sessions without a common count; of the term
/// and the manager as well: a new one does not know how far the one before has counted, and two sides of a cut may have
/// managers of one term.
pub(super) fn tree_number(session: SessionId, manager: NodeId, (term, epoch): (u64, u64), tree: u32) -> u32 {
    let counts = [&term.to_be_bytes()[..], &epoch.to_be_bytes(), &tree.to_be_bytes()].concat();
    let name = [&session.0[..], &manager.0, &counts].concat();
    let hash = digest::digest(&digest::SHA256, &name);
    u32::from_be_bytes(std::array::from_fn(|i| hash.as_ref()[i]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(n: u8) -> NodeId {
        NodeId([n; 32])
    }

    fn tree(edges: &[(u8, u8)]) -> PlanTree {
        let edges = edges.iter().map(|(a, b)| (node(*a), node(*b))).collect();
        PlanTree {
            tree: 1,
            shared: true,
            sources: vec![node(0), node(3)],
            edges,
            backups: vec![],
            detours: vec![],
        }
    }

    /// The tree of a source whose media flows down only.
    fn down(source: u8, edges: &[(u8, u8)]) -> PlanTree {
        PlanTree { shared: false, sources: vec![node(source)], ..tree(edges) }
    }

    fn plan(trees: Vec<PlanTree>) -> SessionPlan {
        SessionPlan {
            epoch: 1,
            objective: Objective::Diameter,
            root: node(0),
            trees,
            helpers: vec![],
            worst_ms: 0.0,
            height_ms: 0.0,
            diameter_ms: 0.0,
            is_guess: false,
            planned_us: 0,
            probes: 0,
            reason: String::new(),
        }
    }

    #[test]
    fn loops_double_parents_and_outsiders_are_noticed() {
        let check = |tree: PlanTree| plan(vec![tree]).check();
        assert_eq!(check(tree(&[(0, 1), (1, 2), (1, 3)])), Ok(()));
        assert_eq!(check(tree(&[(0, 1), (1, 3), (0, 3)])), Err(PlanDefect::NotATree));
        assert_eq!(check(tree(&[(0, 3), (3, 0)])), Err(PlanDefect::NotATree));
        assert_eq!(check(tree(&[(0, 1), (2, 3)])), Err(PlanDefect::NotATree));
        assert_eq!(check(tree(&[(0, 1), (1, 2)])), Err(PlanDefect::SourceOutside));
    }

    #[test]
    fn a_forest_has_every_source_at_the_top_and_all_others_below() {
        let good = [down(0, &[(0, 1), (0, 2)]), down(1, &[(1, 0), (0, 2)]), down(2, &[(2, 1), (1, 0)])];
        assert_eq!(plan(good.to_vec()).check(), Ok(()));
        let mut below = good.to_vec();
        below[1].edges = vec![(node(0), node(1)), (node(0), node(2))];
        assert_eq!(plan(below).check(), Err(PlanDefect::SourceBelow));
        let mut short = good.to_vec();
        short[2].edges.pop();
        assert_eq!(plan(short).check(), Err(PlanDefect::SourceOutside));
        let mut silent = good.to_vec();
        silent[2].edges.clear();
        assert_eq!(plan(silent).check(), Err(PlanDefect::SourceOutside));
        assert_eq!(plan(vec![down(0, &[])]).check(), Ok(()), "alone");
    }

    #[test]
    fn a_degree_is_a_link_or_as_many_copies_as_may_speak_at_once() {
        // Node 0 sends 4, 3, 2 and 1 copies of four voices: of three of them 9 at most.
        let star = |source: u8, to: &[u8]| {
            let from = if source == 0 { vec![] } else { vec![(source, 0)] };
            down(source, &from.into_iter().chain(to.iter().map(|to| (0, *to))).collect::<Vec<_>>())
        };
        let trees = [star(0, &[1, 2, 3, 4]), star(1, &[2, 3, 4]), star(2, &[3, 4]), star(3, &[4])];
        assert_eq!(plan(trees.to_vec()).degree_of(node(0)), 3);
        assert_eq!(plan(trees[..1].to_vec()).degree_of(node(0)), 2, "4 copies are more than one degree");
        assert_eq!(plan(trees.to_vec()).degree_of(node(4)), 0, "who sends nothing on needs none");
        assert_eq!(plan(vec![tree(&[(0, 1), (1, 2), (1, 3)])]).degree_of(node(1)), 3);
    }

    #[test]
    fn a_part_names_whom_to_turn_to_and_who_may_come() {
        let chain = down(0, &[(0, 1), (1, 2), (2, 3), (0, 4)]);
        let tree = PlanTree { backups: vec![(node(3), node(4))], ..chain };
        let part = |n| tree.parts().remove(&node(n)).unwrap();
        assert_eq!(part(3).backups, [node(4), node(1), node(0)]);
        assert_eq!(part(2).backups, [node(0)]);
        assert_eq!(part(1).backups, [], "when the voice itself has died, nothing is missed");
        assert_eq!(part(4).standby, [(node(3), node(2))]);
        assert_eq!(part(0).standby, [(node(2), node(1)), (node(3), node(2))]);
        (0..6).for_each(|n| assert_eq!(tree.part_of(node(n)), tree.parts().remove(&node(n))));
        let outside = PlanTree { backups: vec![(node(3), node(9))], ..tree.clone() };
        assert_eq!(plan(vec![outside]).check(), Err(PlanDefect::BackupOutside));
    }

    #[test]
    fn a_detour_is_no_deeper_than_whom_it_leads_to() {
        let with = |detours: &[(u8, u8)]| {
            let chains = down(0, &[(0, 1), (1, 2), (0, 3), (3, 4)]);
            let detours = detours.iter().map(|(child, over)| (node(*child), node(*over))).collect();
            PlanTree { sources: vec![node(0)], detours, ..chains }
        };
        let good = with(&[(1, 3), (3, 1), (2, 4), (4, 1)]);
        assert_eq!(good.check(&BTreeSet::new()), Ok(()));
        let part = |n| good.parts().remove(&node(n)).unwrap();
        assert_eq!((part(4).detour, part(1).around), (Some(node(1)), vec![node(3), node(4)]));
        (0..6).for_each(|n| assert_eq!(good.part_of(node(n)), good.parts().remove(&node(n))));
        for bad in [(1, 4), (1, 2), (1, 1), (1, 9), (9, 1)] {
            assert_eq!(with(&[bad]).check(&BTreeSet::new()), Err(PlanDefect::DetourBelow), "{bad:?}");
        }
    }

    #[test]
    fn hops_are_counted_along_the_tree() {
        let plan = plan(vec![tree(&[(0, 1), (1, 2), (1, 3), (0, 4)])]);
        assert_eq!(plan.hops(node(0), node(3)), Some(2));
        assert_eq!(plan.hops(node(3), node(2)), Some(2));
        assert_eq!(plan.hops(node(3), node(4)), Some(3));
        assert_eq!(plan.hops(node(3), node(9)), None);
        assert_eq!(plan.degree_of(node(1)), 3);
    }
}
