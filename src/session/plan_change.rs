//! What members are told of a plan: the whole, or what differs from the one that they carry. The plan of a thousand members
//! takes 40 KB, and a joiner changes a dozen of its edges; so what a change costs a member does not grow with the session.
//!
//! Only plans of one shared tree are told so, which all large sessions have, and of those who have trees of their own beside it;
//! these name no detours. Both sides list the edges in one order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use serde::{Deserialize, Serialize};

use super::plan::{PlanTree, SessionPlan};
use crate::identity::NodeId;

/// See the [module](self).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum PlanNews {
    /// The plan.
    Whole(SessionPlan),
    /// What makes it from the one before.
    Change(Box<PlanChange>),
}

/// What differs between two plans of one shared tree each.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct PlanChange {
    /// The number of the shared tree that is changed.
    base: u32,
    /// The plan, its trees empty but for their numbers, and the own trees' sources.
    frame: SessionPlan,
    /// The node above all others.
    top: NodeId,
    /// Nodes with another parent than before, or with none any more; likewise their backups.
    parents: Patch,
    backups: Patch,
    /// Members that are new, and those that are gone.
    joined: Vec<NodeId>,
    left: Vec<NodeId>,
    /// Of each own tree.
    own: Vec<OwnTree>,
}

/// What is told of the tree of one speaker.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
enum OwnTree {
    /// What makes it from the one of that number.
    Change { base: u32, parents: Patch, backups: Patch },
    /// For each node of the shared tree, in the order of their keys, parent and backup by their place in that order, counted
    /// from one; zero for none.
    Listed { parents: Vec<u32>, backups: Vec<u32> },
}

type Patch = Vec<(NodeId, Option<NodeId>)>;
type Links = BTreeMap<NodeId, NodeId>;

impl PlanNews {
    /// What differs, where that is less than the whole.
    pub(super) fn of(plan: &SessionPlan, before: Option<&SessionPlan>) -> Self {
        let change = before.and_then(|before| PlanChange::between(before, plan));
        let is_less = |change: &PlanChange| {
            let members = change.joined.len() + change.left.len();
            let edges = shared_tree(plan).map_or(0, |tree| tree.edges.len());
            2 * (change.parents.len() + change.backups.len()) + members < edges
        };
        match change.filter(is_less) {
            Some(change) => Self::Change(Box::new(change)),
            None => Self::Whole(plan.clone()),
        }
    }

    /// The plan, for one who carries the plan that it may be a change of.
    pub fn read<'p>(self, carried: impl Iterator<Item = &'p SessionPlan>) -> Option<SessionPlan> {
        match self {
            Self::Whole(plan) => Some(plan),
            Self::Change(change) => {
                let mut carried = carried;
                let base =
                    carried.find(|plan| shared_tree(plan).is_some_and(|tree| tree.tree == change.base))?;
                change.apply(base)
            }
        }
    }
}

impl PlanChange {
    fn between(before: &SessionPlan, after: &SessionPlan) -> Option<Self> {
        let (old, new) = (shared_tree(before)?, shared_tree(after)?);
        let top = new.edges.first()?.0;
        let frame = SessionPlan { trees: after.trees.iter().map(empty).collect(), ..after.clone() };
        let (was, is): (BTreeSet<_>, BTreeSet<_>) =
            (old.sources.iter().copied().collect(), new.sources.iter().copied().collect());
        let nodes = nodes(top, &parents(new));
        let own = own_trees(after).iter().map(|tree| OwnTree::between(own_trees(before), tree, &nodes));
        Some(Self {
            base: old.tree,
            frame,
            top,
            parents: difference(&parents(old), &parents(new)),
            backups: difference(&backups(old), &backups(new)),
            joined: is.difference(&was).copied().collect(),
            left: was.difference(&is).copied().collect(),
            own: own.collect(),
        })
    }

    fn apply(mut self, base: &SessionPlan) -> Option<SessionPlan> {
        let (old, new) = (shared_tree(base)?, shared_tree(&self.frame)?.tree);
        let (mut parents, mut backups) = (parents(old), backups(old));
        patch(&mut parents, &self.parents);
        patch(&mut backups, &self.backups);
        let stay = old.sources.iter().filter(|source| !self.left.contains(*source));
        let sources: BTreeSet<NodeId> = stay.copied().chain(self.joined).collect();
        let nodes = nodes(self.top, &parents);
        self.frame.trees.pop();
        if self.frame.trees.len() != self.own.len() {
            return None;
        }
        let own = self.frame.trees.into_iter().zip(self.own);
        let mut trees =
            own.map(|(frame, own)| own.apply(frame, own_trees(base), &nodes)).collect::<Option<Vec<_>>>()?;
        trees.push(listed((new, true), self.top, &parents, backups, sources));
        Some(SessionPlan { trees, ..self.frame })
    }
}

impl OwnTree {
    /// What is told of `tree` where those `before` are known, and the `nodes` of the shared one: whichever is less.
    fn between(before: &[PlanTree], tree: &PlanTree, nodes: &[NodeId]) -> Self {
        let (parents, backups) = (parents(tree), backups(tree));
        if let Some(old) = before.iter().find(|old| old.sources == tree.sources) {
            let parents = difference(&self::parents(old), &parents);
            let backups = difference(&self::backups(old), &backups);
            if (parents.len() + backups.len()) * LISTED_FOR_ONE_CHANGED < nodes.len() {
                return Self::Change { base: old.tree, parents, backups };
            }
        }
        let places = |links: &Links| -> Vec<u32> {
            let place = |node: &NodeId| nodes.binary_search(links.get(node)?).ok();
            nodes.iter().map(|node| place(node).map_or(0, |place| place as u32 + 1)).collect()
        };
        Self::Listed { parents: places(&parents), backups: places(&backups) }
    }

    fn apply(self, frame: PlanTree, before: &[PlanTree], nodes: &[NodeId]) -> Option<PlanTree> {
        let [source] = frame.sources[..] else { return None };
        let (parents, backups) = match self {
            Self::Change { base, parents: changed, backups: others } => {
                let old = before.iter().find(|old| old.tree == base)?;
                let (mut parents, mut backups) = (parents(old), backups(old));
                patch(&mut parents, &changed);
                patch(&mut backups, &others);
                (parents, backups)
            }
            Self::Listed { parents, backups } => {
                let links = |places: Vec<u32>| -> Option<Links> {
                    let known = nodes.iter().zip(places).filter(|(_, place)| *place > 0);
                    known.map(|(node, place)| Some((*node, *nodes.get(place as usize - 1)?))).collect()
                };
                (links(parents)?, links(backups)?)
            }
        };
        Some(listed((frame.tree, false), source, &parents, backups, [source].into()))
    }
}

/// Nodes of a whole list that take as many bytes as one that is named with its parent.
const LISTED_FOR_ONE_CHANGED: usize = 16;

impl SessionPlan {
    /// The same plan; the edges of its trees in the order in which a change of it comes out.
    pub(super) fn listed(mut self) -> Self {
        if shared_tree(&self).is_some() {
            for tree in &mut self.trees {
                let Some((top, _)) = tree.edges.first().copied() else { continue };
                let sources = tree.sources.iter().copied().collect();
                *tree = listed((tree.tree, tree.shared), top, &parents(tree), backups(tree), sources);
            }
        }
        self
    }
}

/// The one that carries all others, if there is one; it is the last.
fn shared_tree(plan: &SessionPlan) -> Option<&PlanTree> {
    let (last, own) = plan.trees.split_last()?;
    (last.shared && own.iter().all(|tree| !tree.shared)).then_some(last)
}

/// All but the last.
fn own_trees(plan: &SessionPlan) -> &[PlanTree] {
    plan.trees.split_last().map_or(&[], |(_, own)| own)
}

fn empty(tree: &PlanTree) -> PlanTree {
    let sources = if tree.shared { vec![] } else { tree.sources.clone() };
    let (tree, shared) = (tree.tree, tree.shared);
    PlanTree { tree, shared, sources, edges: vec![], backups: vec![], detours: vec![] }
}

/// All nodes of a tree, in the order of their keys.
fn nodes(top: NodeId, parents: &Links) -> Vec<NodeId> {
    let all: BTreeSet<NodeId> = parents.keys().copied().chain([top]).collect();
    all.into_iter().collect()
}

/// Parents first, brothers in the order of their keys.
fn listed(
    (tree, shared): (u32, bool),
    top: NodeId,
    parents: &Links,
    backups: Links,
    sources: BTreeSet<NodeId>,
) -> PlanTree {
    let mut below: BTreeMap<NodeId, Vec<NodeId>> = BTreeMap::new();
    for (child, parent) in parents {
        below.entry(*parent).or_default().push(*child);
    }
    let (mut edges, mut open) = (Vec::with_capacity(parents.len()), VecDeque::from([top]));
    while let Some(node) = open.pop_front() {
        // Taken out, so that a ring comes to an end.
        for child in below.remove(&node).unwrap_or_default() {
            edges.push((node, child));
            open.push_back(child);
        }
    }
    let backups = backups.into_iter().collect();
    let sources = sources.into_iter().collect();
    PlanTree { tree, shared, sources, edges, backups, detours: vec![] }
}

fn parents(tree: &PlanTree) -> Links {
    tree.edges.iter().map(|(parent, child)| (*child, *parent)).collect()
}

fn backups(tree: &PlanTree) -> Links {
    tree.backups.iter().copied().collect()
}

fn difference(before: &Links, after: &Links) -> Patch {
    let gone = before.keys().filter(|node| !after.contains_key(*node)).map(|node| (*node, None));
    let fresh = after.iter().filter(|(node, other)| before.get(*node) != Some(*other));
    fresh.map(|(node, other)| (*node, Some(*other))).chain(gone).collect()
}

fn patch(links: &mut Links, patch: &Patch) {
    for (node, other) in patch {
        match other {
            Some(other) => drop(links.insert(*node, *other)),
            None => drop(links.remove(node)),
        }
    }
}

#[cfg(test)]
mod tests {
    use alm_planner::Objective;
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn node(n: u16) -> NodeId {
        let mut key = [0; 32];
        key[..2].copy_from_slice(&n.to_be_bytes());
        NodeId(key)
    }

    /// A tree at random over these members.
    fn plan(members: &[u16], tree: u32, random: &mut StdRng) -> SessionPlan {
        let mut edges: Vec<(NodeId, NodeId)> = Vec::new();
        for at in 1..members.len() {
            edges.push((node(members[random.random_range(0..at)]), node(members[at])));
        }
        let backups = members.iter().skip(1).map(|child| (node(*child), node(members[0]))).collect();
        let sources = members.iter().map(|member| node(*member)).collect();
        SessionPlan {
            epoch: u64::from(tree),
            objective: Objective::Diameter,
            root: node(members[0]),
            trees: vec![PlanTree { tree, shared: true, sources, edges, backups, detours: vec![] }],
            helpers: vec![],
            worst_ms: 1.0,
            height_ms: 1.0,
            diameter_ms: 1.0,
            is_guess: false,
            planned_us: 1,
            probes: 0,
            reason: "joined".to_owned(),
        }
        .listed()
    }

    #[test]
    fn a_change_makes_the_plan_from_the_one_before_and_from_no_other() {
        let random = &mut StdRng::seed_from_u64(1);
        let members: Vec<u16> = (0..300).collect();
        let before = plan(&members, 1, random);
        let mut after = SessionPlan { epoch: 2, ..before.clone() };
        after.trees[0].tree = 2;
        // One has left that nobody hung from, two are new, and one of those has taken over a child.
        let (_, leaf) = *after.trees[0].edges.last().unwrap();
        after.trees[0].edges.retain(|(_, child)| *child != leaf);
        after.trees[0].sources.retain(|member| *member != leaf);
        after.trees[0].backups.retain(|(child, _)| *child != leaf);
        after.trees[0].sources.extend([node(900), node(901)]);
        let (parent, child) = after.trees[0].edges[0];
        after.trees[0].edges[0] = (node(900), child);
        after.trees[0].edges.insert(0, (parent, node(900)));
        after.trees[0].edges.push((child, node(901)));
        let after = after.listed();
        assert_eq!(after.check(), Ok(()));
        let news = PlanNews::of(&after, Some(&before));
        let bytes = postcard::to_stdvec(&news).unwrap();
        assert!(bytes.len() < 600, "{} bytes", bytes.len());
        let read = |carried: &[&SessionPlan]| -> Option<SessionPlan> {
            postcard::from_bytes::<PlanNews>(&bytes).unwrap().read(carried.iter().copied())
        };
        assert_eq!(read(&[&after, &before]), Some(after.clone()));
        assert_eq!((read(&[&after]), read(&[])), (None, None));
        // Somebody has a tree of her own for the first time, and then another one a little different.
        let own = |tree, from: &SessionPlan, random: &mut StdRng| {
            let mut order: Vec<u16> = vec![5];
            order.extend(members.iter().filter(|member| **member != 5));
            let mut own = plan(&order, tree, random).trees.remove(0);
            (own.shared, own.sources) = (false, vec![node(5)]);
            SessionPlan { trees: vec![own, from.trees[from.trees.len() - 1].clone()], ..from.clone() }
                .listed()
        };
        let first = own(11, &before, random);
        assert_eq!(first.check(), Ok(()));
        let mut second = first.clone();
        (second.trees[0].tree, second.trees[1].tree) = (12, 13);
        let (_, leaf) = *second.trees[0].edges.last().unwrap();
        second.trees[0].edges.last_mut().unwrap().0 = node(5);
        assert_ne!(leaf, node(5));
        let second = second.listed();
        for (plan, base, most) in [(&first, &before, 2_000), (&second, &first, 400), (&before, &first, 400)] {
            let news = PlanNews::of(plan, Some(base));
            let bytes = postcard::to_stdvec(&news).unwrap();
            assert!(bytes.len() < most, "{} bytes", bytes.len());
            let read = postcard::from_bytes::<PlanNews>(&bytes).unwrap().read([base].into_iter());
            assert_eq!(read.as_ref(), Some(plan));
        }
        let other = plan(&members, 7, random);
        assert!(matches!(PlanNews::of(&other, Some(&before)), PlanNews::Whole(_)), "all is different");
    }
}
