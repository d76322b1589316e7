//! What is told of an epoch, and to whom: the plan, the same to all members and signed once, and to each helper its part.

use std::collections::BTreeSet;
use std::time::Instant;

use super::Manager;
use super::cycle::{INSTALL_TIMEOUT, Phase};
use crate::identity::NodeId;
use crate::pool::Contact;
use crate::session::graft::Grown;
use crate::session::keys::Signed;
use crate::session::plan::{Installation, SessionPlan, Share, TreePart};
use crate::session::plan_change::PlanNews;
use crate::session::{Output, SessionMessage};

impl Manager {
    /// Has all nodes of a plan take it up.
    pub(super) fn install(&mut self, plan: SessionPlan, now: Instant) {
        self.told_again.clear();
        debug_assert_eq!(
            plan.check(),
            Ok(()),
            "the planner makes trees over exactly the members and helpers"
        );
        let mut waiting: BTreeSet<NodeId> = plan.nodes();
        waiting.extend(self.roster.iter().map(|member| member.node));
        let plan = if plan.is_large() { plan.listed() } else { plan };
        let before = self.installed.as_ref().filter(|before| before.told().is_large() && plan.is_large());
        let known: BTreeSet<NodeId> = before
            .iter()
            .flat_map(|before| &before.plan().trees)
            .flat_map(|tree| tree.sources.iter().copied())
            .collect();
        let tell = |news| self.sign(plan.epoch, Share::Plan(news, vec![]));
        let whole = tell(PlanNews::Whole(plan.clone()));
        let change = before.map(|before| tell(PlanNews::of(&plan, Some(before.told()))));
        let mut parts = plan.parts();
        for node in &waiting {
            let trees = parts.remove(node).unwrap_or_default();
            let contacts = self.contacts(*node, &trees, plan.is_large());
            let signed = if self.roster.by_node(*node).is_none() {
                self.sign(plan.epoch, Share::Part { to: *node, trees })
            } else {
                // Who does not have the plan before says so, and is sent the whole.
                change.as_ref().filter(|_| known.contains(node)).unwrap_or(&whole).clone()
            };
            self.outputs.push_back(Output::Message(*node, SessionMessage::Install { signed, contacts }));
        }
        self.phase = Phase::Installing { plan, waiting, deadline: now + INSTALL_TIMEOUT };
    }

    /// Tells a member the plan and who has come since, whatever it has.
    pub(super) fn send_whole(&mut self, to: NodeId, grown: &Grown) {
        let told = grown.told();
        let contacts = self.contacts(to, &grown.plan().parts_of(to), told.is_large());
        let share = Share::Plan(PlanNews::Whole(told.clone()), grown.grafts().to_vec());
        let signed = self.sign(told.epoch, share);
        self.send(to, SessionMessage::Install { signed, contacts });
    }

    pub(super) fn sign(&self, epoch: u64, share: Share) -> Signed {
        let content = Installation { session: self.session, epoch, share };
        let content = postcard::to_stdvec(&content).expect("a plan holds nothing that postcard cannot write");
        Signed::new(content, &self.identity, self.delegation.clone())
    }

    /// Where those listen whom a node is to be connected to; members know where members do.
    fn contacts(&self, to: NodeId, trees: &[TreePart], is_large: bool) -> Vec<Contact> {
        let mut met: BTreeSet<NodeId> = trees.iter().flat_map(|part| part.neighbours()).collect();
        if is_large {
            met.extend(trees.iter().flat_map(|part| part.reserves()));
        }
        if self.roster.by_node(to).is_some() {
            met.retain(|node| self.roster.by_node(*node).is_none());
        }
        met.into_iter().map(|node| self.contact(node)).collect()
    }

    pub(super) fn contact(&self, node: NodeId) -> Contact {
        let listed = self.roster.by_node(node).map(|member| member.addrs.clone());
        let reported =
            || self.reports.iter().find(|report| report.node == node).map(|report| report.addrs.clone());
        Contact { node, addrs: listed.or_else(reported).unwrap_or_default() }
    }
}
