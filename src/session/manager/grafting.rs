//! Who comes into a large session, and who goes that nobody hangs from, without a new epoch for all.

use std::time::Instant;

use super::Manager;
use super::cycle::{EXCLUSION, JOIN_REASON, Phase};
use crate::identity::NodeId;
use crate::session::SessionMessage;
use crate::session::graft::{GRAFTS_MAX, Graft, Grown};
use crate::session::plan::Share;
use crate::session::succession::WATCHING_MAX;

impl Manager {
    /// Whom to graft to what carries the media: all that are not in it, where a plan is wanted for their sake alone.
    pub(super) fn joiners(&self, reason: &str) -> Vec<NodeId> {
        let Some(grown) = self.installed.as_ref().filter(|grown| grown.told().is_large()) else {
            return vec![];
        };
        let nodes = grown.plan().nodes();
        let is_in = |node: &NodeId| self.roster.by_node(*node).is_some();
        let joiners: Vec<NodeId> =
            self.roster.iter().map(|member| member.node).filter(|node| !nodes.contains(node)).collect();
        let gone = |node: &&NodeId| !is_in(node) && !grown.plan().helpers.contains(node);
        let bare = nodes.iter().filter(gone).all(|node| grown.plan().is_leaf(*node));
        let fits = grown.grafts().len() + joiners.len() <= GRAFTS_MAX;
        if reason == JOIN_REASON && bare && fits { joiners } else { vec![] }
    }

    /// Hangs joiners where the planner has found room.
    pub(super) fn graft(&mut self, grafts: &[Graft], now: Instant) {
        for graft in grafts {
            // Either may have gone meanwhile.
            if self.roster.by_node(graft.node).is_none() {
                continue;
            }
            if self.roster.by_node(graft.parent).is_none() {
                self.wanted.get_or_insert(JOIN_REASON);
                continue;
            }
            let Some(grown) = &mut self.installed else { return };
            let Ok(whole) = grown.with(*graft) else { continue };
            let mut concerned = whole.concerned(graft);
            concerned.extend(self.office.heirs().iter().take(WATCHING_MAX));
            concerned.insert(self.me);
            concerned.remove(&graft.node);
            grown.add(*graft, whole);
            let epoch = grown.told().epoch;
            let signed = self.sign(epoch, Share::Graft(*graft));
            // Helpers are told nothing of who is in: they stand by for nobody who came after the plan.
            concerned.retain(|node| self.roster.by_node(*node).is_some());
            for node in concerned {
                let (signed, contacts) = (signed.clone(), vec![]);
                self.send(node, SessionMessage::Install { signed, contacts });
            }
            self.tell_grown(graft.node);
        }
        self.reviews.on_change(false, now);
    }

    /// Tells a member what carries the media, whatever it has, and has it take part.
    fn tell_grown(&mut self, to: NodeId) {
        let Some(grown) = self.installed.take() else { return };
        self.send_whole(to, &grown);
        self.send(to, SessionMessage::Activate { session: self.session, epoch: grown.told().epoch });
        self.installed = Some(grown);
    }

    /// A node's answer about the epoch that carries the media: nobody waits for it, but it may lack something.
    pub(super) fn on_grafted(
        &mut self,
        node: NodeId,
        epoch: u64,
        missing: &[NodeId],
        refused: Option<String>,
        now: Instant,
    ) {
        let Some(grown) = self.installed.as_ref().filter(|grown| grown.told().epoch == epoch) else { return };
        let graft = grown.grafts().iter().find(|graft| graft.node == node).copied();
        if refused.is_some() {
            let is_above = grown.grafts().iter().any(|graft| graft.parent == node);
            if self.roster.by_node(node).is_some() && self.told_again.insert(node) {
                self.tell_grown(node);
            }
            if is_above {
                self.want("refused", now);
            }
        } else if let Some(graft) = graft.filter(|graft| missing.contains(&graft.parent)) {
            self.forbidden.insert((node, graft.parent), now + EXCLUSION);
            self.want("edge unreachable", now);
        }
    }

    /// True if nobody loses anything when that node goes, and nobody waits for it: the next review is soon enough.
    pub(super) fn may_just_go(&self, node: NodeId) -> bool {
        let waits = matches!(self.phase, Phase::Reserving { .. } | Phase::Installing { .. });
        let is_bare = |grown: &Grown| grown.told().is_large() && grown.plan().is_leaf(node);
        !waits && self.installed.as_ref().is_some_and(is_bare)
    }
}
