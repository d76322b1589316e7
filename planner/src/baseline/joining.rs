//! A tree that members join one after the other, under their degree bounds.
//!
//! As long as pairs are not forbidden, nobody is left over if the degrees suffice at all: a node of degree one waits
//! where it would take the last free link (`keeps_open`).

use crate::critical::HelperLimits;
use crate::draft::{Draft, NONE};
use crate::instance::Instance;
use crate::plan_error::PlanError;
use crate::search::check_degrees;

/// A tree below node 0 in the making.
pub(super) struct Joining<'a> {
    pub(super) instance: &'a Instance<'a>,
    pub(super) parent: Vec<usize>,
    /// In the tree, parents before their children as long as nobody moves.
    pub(super) inside: Vec<usize>,
    /// Not in the tree yet, in the order in which they ask.
    pub(super) outside: Vec<usize>,
    /// Free links of those in the tree.
    pub(super) free: Vec<u32>,
    slots: u64,
}

impl<'a> Joining<'a> {
    /// The root alone, and all other members waiting.
    pub(super) fn new(instance: &'a Instance<'a>) -> Result<Self, PlanError> {
        check_degrees(instance, HelperLimits::NONE)?;
        let mut free = vec![0; instance.len()];
        free[0] = instance.degree[0];
        Ok(Self {
            instance,
            parent: vec![NONE; instance.len()],
            inside: vec![0],
            outside: (1..instance.members).collect(),
            slots: u64::from(free[0]),
            free,
        })
    }

    /// Whether a free link is left once `node` is in, or nobody needs one.
    pub(super) fn keeps_open(&self, node: usize) -> bool {
        self.outside.len() == 1 || self.slots + u64::from(self.instance.degree[node]) > 2
    }

    /// Those in the tree below which `node` may hang.
    pub(super) fn open_to(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        (self.inside.iter().copied())
            .filter(move |&parent| self.free[parent] > 0 && self.instance.may_link(parent, node))
    }

    /// The first of those outside that may join now.
    pub(super) fn next(&self) -> Result<usize, PlanError> {
        (self.outside.iter().copied())
            .find(|&node| self.keeps_open(node) && self.open_to(node).next().is_some())
            .ok_or_else(|| PlanError::Stuck(self.instance.nodes[self.outside[0]]))
    }

    /// Puts `node` below `parent`, which has a free link.
    pub(super) fn attach(&mut self, node: usize, parent: usize) {
        debug_assert!(self.free[parent] > 0 && self.instance.degree[node] > 0);
        self.parent[node] = parent;
        self.outside.retain(|&other| other != node);
        self.inside.push(node);
        self.free[parent] -= 1;
        self.free[node] = self.instance.degree[node] - 1;
        self.slots = self.slots + u64::from(self.free[node]) - 1;
    }

    /// The finished tree.
    pub(super) fn into_draft(self) -> Draft {
        Draft::hung_from_root(self.instance.len(), &links(&self.inside, &self.parent))
    }
}

/// The links of a tree given by its nodes, the top first, and their parents.
pub(super) fn links(nodes: &[usize], parent: &[usize]) -> Vec<(usize, usize)> {
    nodes[1..].iter().map(|&node| (parent[node], node)).collect()
}
