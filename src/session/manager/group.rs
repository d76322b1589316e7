//! The members' group as its manager keeps it: whoever is in the roster, and nobody else, in as few changes as will do.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use alm_media::{Group, GroupSigner, NodeKey};

use super::Manager;
use crate::identity::{Identity, NodeId, SessionId};
use crate::session::keyring::signer;
use crate::session::membership::epoch;
use crate::session::message::{Refusal, SessionMessage};
use crate::session::{Event, Output};

/// Between two changes of the group: who comes or goes in between does so in one.
const CHANGE_INTERVAL: Duration = Duration::from_millis(250);

/// See the [module](self).
pub(super) struct Members {
    signer: GroupSigner,
    group: Group,
    /// Wait to be let in: the attempt, and the key package.
    applicants: BTreeMap<NodeId, (u32, Vec<u8>)>,
    /// Somebody in the group is not in the roster any more.
    is_crowded: bool,
    /// The next change comes no sooner.
    not_before: Instant,
}

impl Members {
    pub(super) fn new(
        identity: &Arc<Identity>,
        session: SessionId,
        group: Option<Group>,
        now: Instant,
    ) -> Self {
        let signer = signer(identity);
        let group = group.unwrap_or_else(|| Group::create(&session.0, &signer));
        Self { signer, group, applicants: BTreeMap::new(), is_crowded: false, not_before: now }
    }

    pub(super) fn into_group(self) -> Group {
        self.group
    }

    pub(super) fn epoch(&self) -> Output {
        epoch(&self.group)
    }

    /// Why a joiner cannot be let in by its key package.
    pub(super) fn refusal(&self, node: NodeId, key_package: &[u8]) -> Option<Refusal> {
        self.group.check(&node.0, key_package).err().map(|_| Refusal::KeyPackage)
    }

    /// A member is let in, unless it shows that it is in as it is.
    pub(super) fn on_join(&mut self, node: NodeId, package: (u32, Vec<u8>), mark: Option<[u8; 16]>) {
        if mark != Some(self.group.mark()) {
            self.applicants.insert(node, package);
        }
    }

    pub(super) fn on_gone(&mut self, node: NodeId) {
        self.applicants.remove(&node);
        self.is_crowded = true;
    }

    /// The next change is to come no sooner, but not much later either.
    pub(super) fn wait_until(&mut self, at: Instant) {
        self.not_before = at;
    }

    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        (self.is_crowded || !self.applicants.is_empty()).then_some(self.not_before)
    }
}

impl Manager {
    /// Lets those in who wait, and those out who are gone, once it is time.
    pub(super) fn change_group(&mut self, now: Instant) {
        if self.members.poll_timeout().is_none_or(|at| at > now) {
            return;
        }
        let applicants = std::mem::take(&mut self.members.applicants);
        (self.members.is_crowded, self.members.not_before) = (false, now + CHANGE_INTERVAL);
        let Members { signer, group, .. } = &mut self.members;
        let roster: BTreeSet<NodeKey> = self.roster.iter().map(|member| member.node.0).collect();
        let before: BTreeSet<NodeKey> = group.members().into_iter().collect();
        let leaving: Vec<NodeKey> = before.difference(&roster).copied().collect();
        let joining: Vec<(NodeKey, &[u8])> =
            applicants.iter().map(|(node, (_, package))| (node.0, package.as_slice())).collect();
        if joining.is_empty() && leaving.is_empty() {
            return;
        }
        let change = match group.change(signer, &joining, &leaving) {
            Ok(change) => change,
            Err(error) => {
                return self.events.push_back(Event::Trouble(format!("keys are not renewed: {error}")));
            }
        };
        self.outputs.push_back(epoch(group));
        let session = self.session;
        for other in self.others() {
            let message = match (applicants.get(&other), &change.welcome) {
                (Some((attempt, _)), Some(welcome)) => {
                    SessionMessage::Admit { session, attempt: *attempt, welcome: welcome.clone() }
                }
                _ if before.contains(&other.0) => {
                    SessionMessage::Commit { session, commit: change.commit.clone() }
                }
                _ => continue,
            };
            self.send(other, message);
        }
    }
}
