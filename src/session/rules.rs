//! What the host has laid down: who is banned, whether anybody new is let in, whether anybody but the host is heard.
//!
//! The rules are signed by the task manager, sent to every member and kept by every one of them; nothing is asked of
//! whom they are aimed at. They pass on with the office.

use serde::{Deserialize, Serialize};

use super::keys::{Delegation, Signed};
use crate::identity::{Identity, NodeId, SessionId};

/// Nodes that a session keeps out for good; more are refused.
pub(super) const BANNED_MAX: usize = 256;
/// In front of signed rules, so that they are never taken for anything else that a manager signs.
const TAG: [u8; 12] = *b"alm rules v1";

/// See the [module](self).
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Rules {
    /// Counts the rules of a session.
    pub version: u64,
    /// Nobody new is let in.
    pub locked: bool,
    /// Nobody but the host is heard.
    pub quiet: bool,
    /// Who is not let in again.
    pub banned: Vec<NodeId>,
}

/// What a host can do to others.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Moderation {
    /// Puts somebody out. The id that was good until now admits nobody any more.
    Kick(NodeId),
    /// The same for good.
    Ban(NodeId),
    /// Lets nobody in, or lets people in again.
    Lock(bool),
    /// Has nobody but the host heard, or everybody again.
    Quiet(bool),
}

impl Rules {
    pub(crate) fn signed(&self, session: SessionId, by: &Identity, delegation: &Delegation) -> Signed {
        let content = postcard::to_stdvec(&(TAG, session, self))
            .expect("rules hold nothing that postcard cannot write");
        Signed::new(content, by, delegation.clone())
    }

    /// The rules of `session`; `None` where it is not its manager who has signed, or they are no rules.
    pub(crate) fn read(signed: &Signed, session: SessionId) -> Option<Self> {
        let (tag, of, rules): ([u8; 12], SessionId, Self) = postcard::from_bytes(&signed.content).ok()?;
        let bounded = rules.banned.len() <= BANNED_MAX;
        (tag == TAG && of == session && bounded && signed.session() == Some(session)).then_some(rules)
    }

    /// True for a node that is kept out for good.
    #[must_use]
    pub fn bans(&self, node: NodeId) -> bool {
        self.banned.contains(&node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_the_managers_and_of_one_session() {
        let [key, host, other] = [1, 2, 3].map(|seed| Identity::from_seed([seed; 32]));
        let session = SessionId::of(&key.node_id());
        let delegation = Delegation::new(&key, host.node_id(), 1);
        let rules = Rules { version: 1, locked: true, quiet: false, banned: vec![other.node_id()] };
        let signed = rules.signed(session, &host, &delegation);
        assert_eq!(Rules::read(&signed, session), Some(rules.clone()));
        assert_eq!(Rules::read(&signed, SessionId([0; 20])), None);
        assert_eq!(Rules::read(&rules.signed(session, &other, &delegation), session), None);
        let mut forged = signed;
        forged.content[12 + 20 + 1] ^= 1;
        assert_eq!(Rules::read(&forged, session), None);
    }
}
