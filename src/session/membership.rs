//! A member's place in the group that media keys come from ([`alm_media::Group`]): it applies, is admitted, follows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alm_media::{Applicant, Group, GroupSigner};

use super::Output;
use super::keyring::{EpochKey, signer};
use crate::identity::{Identity, NodeId, SessionId};

/// Who has lost the thread asks to be let in again at most this often.
const APPLY_INTERVAL: Duration = Duration::from_secs(1);

/// See the [module](self).
pub(super) struct Membership {
    session: SessionId,
    signer: GroupSigner,
    group: Option<Group>,
    /// Of the last attempt: a new one with every attempt, for each is good for one welcome.
    applicant: Option<Applicant>,
    attempt: u32,
    applied: Instant,
    /// The thread is lost: this node does not follow any more.
    is_lost: bool,
}

impl Membership {
    pub(super) fn new(identity: &Arc<Identity>, session: SessionId, now: Instant) -> Self {
        let signer = signer(identity);
        Self { session, signer, group: None, applicant: None, attempt: 0, applied: now, is_lost: false }
    }

    /// This node managed the group that others may have left for another manager's.
    pub(super) fn resume(&mut self, group: Group) {
        self.group = Some(group);
    }

    pub(super) fn take(&mut self) -> Option<Group> {
        self.is_lost = true;
        self.group.take()
    }

    /// What to ask to be let in by: the attempt, its key package, and what it is good without.
    pub(super) fn apply(&mut self, now: Instant) -> (u32, Vec<u8>, Option<[u8; 16]>) {
        let mark = self.group.as_ref().filter(|_| !self.is_lost).map(Group::mark);
        let applicant = self.applicant.insert(Applicant::new(&self.signer));
        self.attempt = self.attempt.wrapping_add(1);
        (self.applied, self.is_lost) = (now, false);
        (self.attempt, applicant.key_package().to_vec(), mark)
    }

    pub(super) fn on_admit(&mut self, attempt: u32, welcome: &[u8], manager: NodeId) -> Option<Output> {
        let applicant = self.applicant.take_if(|_| attempt == self.attempt)?;
        match applicant.join(welcome, &self.session.0, &manager.0) {
            Ok(group) => {
                self.is_lost = false;
                Some(epoch(self.group.insert(group)))
            }
            Err(_) => {
                self.is_lost = true;
                None
            }
        }
    }

    pub(super) fn on_commit(&mut self, commit: &[u8], manager: NodeId) -> Option<Output> {
        // Who waits to be let in has no use for it.
        let group = self.group.as_mut()?;
        match group.follow(commit, &manager.0) {
            Ok(true) => Some(epoch(group)),
            Ok(false) | Err(_) => {
                self.is_lost |= self.applicant.is_none();
                None
            }
        }
    }

    /// When to ask to be let in again.
    pub(super) fn asks_at(&self) -> Option<Instant> {
        self.is_lost.then(|| self.applied + APPLY_INTERVAL)
    }
}

/// What the node is to know of a group.
pub(super) fn epoch(group: &Group) -> Output {
    Output::Epoch(EpochKey::of(group), group.phrase())
}
