//! Who comes into a large session hangs from its trees as a leaf at once, before the next epoch: a graft concerns a handful of
//! nodes, an epoch all. (So do joiners of IP multicast trees: RFC 3973, section 3.1.4, calls it the same.)
//!
//! A graft adds to an epoch and has no number of its own: the trees keep theirs, and all packets go on as before. It is signed by
//! the task manager and told to the joiner, the parent, those to whom the joiner may turn when the parent falls silent, and the
//! manager's heirs. Everybody else hears of it with the next epoch, which is told as what differs from this one without grafts.
//! The parent is the same in all trees ([`slots`]).

mod slots;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::plan::{PlanDefect, SessionPlan};
use crate::identity::NodeId;

/// Grafts of one epoch. When there are as many, the next joiner has a new epoch made.
pub(super) const GRAFTS_MAX: usize = 64;

/// A member that hangs from all trees of an epoch as a leaf. See the [module](self).
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Graft {
    /// Who has come.
    pub node: NodeId,
    /// The node above it in every tree.
    pub parent: NodeId,
    /// Whom it turns to when that one falls silent.
    pub backup: Option<NodeId>,
    /// The largest latency between it and a member, one way, as foretold.
    pub worst_ms: f32,
}

/// An epoch as it was told to all, and what it has become since.
#[derive(Debug)]
pub(super) struct Grown {
    told: SessionPlan,
    grafts: Vec<Graft>,
    /// With the grafts, if there are any.
    whole: Option<SessionPlan>,
}

impl Grown {
    /// # Errors
    /// The plan is no plan, or somebody is grafted who is in the trees already, or to somebody who is not, or there are too many.
    pub(super) fn new(told: SessionPlan, grafts: Vec<Graft>) -> Result<Self, PlanDefect> {
        told.check()?;
        if grafts.len() > GRAFTS_MAX {
            return Err(PlanDefect::TooManyGrafts);
        }
        let whole = if grafts.is_empty() { None } else { Some(told.grown(&grafts)?) };
        Ok(Self { told, grafts, whole })
    }

    /// What it would be with one more.
    ///
    /// # Errors
    /// It is in the trees already, or its parent is not, or there are too many.
    pub(super) fn with(&self, graft: Graft) -> Result<SessionPlan, PlanDefect> {
        if self.grafts.len() >= GRAFTS_MAX {
            return Err(PlanDefect::TooManyGrafts);
        }
        self.plan().grown(&[graft])
    }

    /// Has become `whole` by one more.
    pub(super) fn add(&mut self, graft: Graft, whole: SessionPlan) {
        self.whole = Some(whole);
        self.grafts.push(graft);
    }

    /// What carries the media.
    pub(super) fn plan(&self) -> &SessionPlan {
        self.whole.as_ref().unwrap_or(&self.told)
    }

    /// What the next epoch is told as a change of.
    pub(super) fn told(&self) -> &SessionPlan {
        &self.told
    }

    /// Who has come since.
    pub(super) fn grafts(&self) -> &[Graft] {
        &self.grafts
    }
}

impl From<SessionPlan> for Grown {
    /// A plan that this node has made itself.
    fn from(told: SessionPlan) -> Self {
        Self { told, grafts: vec![], whole: None }
    }
}

impl SessionPlan {
    fn grown(&self, grafts: &[Graft]) -> Result<Self, PlanDefect> {
        let mut grown = self.clone();
        let mut nodes = self.nodes();
        for graft in grafts {
            if !nodes.contains(&graft.parent) || !nodes.insert(graft.node) {
                return Err(PlanDefect::NotATree);
            }
            for tree in &mut grown.trees {
                tree.edges.push((graft.parent, graft.node));
                tree.backups.extend(graft.backup.map(|backup| (graft.node, backup)));
                if tree.shared {
                    tree.sources.push(graft.node);
                }
            }
            grown.worst_ms = grown.worst_ms.max(f64::from(graft.worst_ms));
            grown.diameter_ms = grown.diameter_ms.max(f64::from(graft.worst_ms));
        }
        // A tree that does not have the parent, a backup from elsewhere.
        grown.check()?;
        Ok(grown)
    }

    /// Nobody hangs from it in any tree.
    pub(super) fn is_leaf(&self, node: NodeId) -> bool {
        !self.trees.iter().flat_map(|tree| &tree.edges).any(|(parent, _)| *parent == node)
    }

    /// Whom a graft concerns: the joiner, its parent, and all to whom it may turn.
    pub(super) fn concerned(&self, graft: &Graft) -> BTreeSet<NodeId> {
        let turns_to = self.parts_of(graft.node).into_iter().flat_map(|part| part.backups);
        turns_to.chain([graft.node, graft.parent]).collect()
    }
}

#[cfg(test)]
mod tests;
