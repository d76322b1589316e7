//! Grants: who may ask for priority 1 or 2 where a pool asks for more than a word, and whose a machine of the pool is. Without
//! such an authority a session has what it says that it has; with one, what the authority has signed, and priority 3
//! otherwise.
//!
//! The authority signs a [`Grant`] for a node's key, for as long as it says; whoever holds it lays it out for one of its
//! sessions ([`SessionGrant`]), and that goes along with every reservation, whoever manages the session by then. A machine
//! that lends lays its own out for the session that reserves it ([`HelperGrant`]): so its manager knows that it belongs to
//! the authority's pool. The two are signed apart, or whoever reserves a machine could go on with that machine's grant.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::degree::Priority;
use crate::identity::{Identity, NodeId, SessionId, Signature};

/// An authority's word that a node's sessions may ask for a priority.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Grant {
    /// Who signed it.
    pub authority: NodeId,
    /// Whose sessions.
    pub holder: NodeId,
    /// The highest priority that they may ask for.
    pub priority: Priority,
    /// When it ends, Unix seconds.
    pub until_s: u64,
    signature: Signature,
}

impl Grant {
    /// A grant by `authority`, until a moment in Unix seconds.
    #[must_use]
    pub fn new(authority: &Identity, holder: NodeId, priority: Priority, until_s: u64) -> Self {
        let signature = authority.sign(&signed(holder, priority, until_s));
        Self { authority: authority.node_id(), holder, priority, until_s, signature }
    }

    /// Whether the authority that it names has signed it.
    #[must_use]
    pub fn is_genuine(&self) -> bool {
        self.authority.verifies(&signed(self.holder, self.priority, self.until_s), &self.signature.0)
    }
}

/// A grant that its holder has laid out for one session.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SessionGrant {
    grant: Grant,
    signature: Signature,
}

impl SessionGrant {
    /// `holder` is who the grant is for.
    #[must_use]
    pub fn new(grant: Grant, holder: &Identity, session: SessionId) -> Self {
        let signature = holder.sign(&laid_out(SESSION_LABEL, &grant, session));
        Self { grant, signature }
    }

    /// The highest priority that `session` may ask for by it now, where `authority` counts.
    #[must_use]
    pub fn priority(&self, authority: NodeId, session: SessionId, now_s: u64) -> Priority {
        let Self { grant, signature } = self;
        let holds = grant.authority == authority
            && now_s < grant.until_s
            && grant.is_genuine()
            && grant.holder.verifies(&laid_out(SESSION_LABEL, grant, session), &signature.0);
        if holds { grant.priority } else { Priority::LOWEST }
    }
}

/// A grant that a machine of the authority's pool has laid out for a session that it is to help.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct HelperGrant {
    grant: Grant,
    signature: Signature,
}

impl HelperGrant {
    /// `helper` is who the grant is for.
    #[must_use]
    pub fn new(grant: Grant, helper: &Identity, session: SessionId) -> Self {
        let signature = helper.sign(&laid_out(HELPER_LABEL, &grant, session));
        Self { grant, signature }
    }

    /// By whose word `helper` is of that authority's pool now, as `session` was told; nothing if that does not hold.
    #[must_use]
    pub fn authority(&self, helper: NodeId, session: SessionId, now_s: u64) -> Option<NodeId> {
        let Self { grant, signature } = self;
        let holds = grant.holder == helper
            && now_s < grant.until_s
            && grant.is_genuine()
            && helper.verifies(&laid_out(HELPER_LABEL, grant, session), &signature.0);
        holds.then_some(grant.authority)
    }
}

/// Two bytes of an authority's key, by which machines say whose they are where many are listed. Two authorities may share
/// one, and anybody can say any: it saves asking strangers in vain, and proves nothing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
pub struct AuthorityMark([u8; 2]);

impl AuthorityMark {
    /// Of a machine that belongs to nobody's pool.
    pub const NONE: Self = Self([0; 2]);

    /// An authority's.
    #[must_use]
    pub fn of(authority: NodeId) -> Self {
        let [first, second, ..] = authority.0;
        // One key in 65,536 must not look like none.
        Self([first, second.max(1)])
    }

    /// One of so many classes, where there is no room for all; nothing for [`NONE`](Self::NONE).
    pub(super) fn class(self, classes: usize) -> Option<usize> {
        (self != Self::NONE).then(|| usize::from(u16::from_be_bytes(self.0)) % classes)
    }
}

/// Whose machines a session takes help from.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub enum HelpersFrom {
    /// Anybody's.
    #[default]
    Anybody,
    /// Those of these authorities' pools, as far as they prove it; at most four.
    PoolsOf(Vec<NodeId>),
}

/// Authorities that a session takes helpers of.
pub(super) const AUTHORITIES_MAX: usize = 4;

impl HelpersFrom {
    /// True for a machine of that authority's pool.
    #[must_use]
    pub fn take(&self, authority: Option<NodeId>) -> bool {
        match self {
            Self::Anybody => true,
            Self::PoolsOf(authorities) => authority.is_some_and(|authority| authorities.contains(&authority)),
        }
    }

    /// True for a machine that bears such a mark, so that it is worth asking.
    #[must_use]
    pub fn may_take(&self, mark: AuthorityMark) -> bool {
        *self == Self::Anybody || self.marks().contains(&mark)
    }

    /// How such machines are marked; none: any will do.
    #[must_use]
    pub fn marks(&self) -> Vec<AuthorityMark> {
        match self {
            Self::Anybody => Vec::new(),
            Self::PoolsOf(authorities) => authorities
                .iter()
                .take(AUTHORITIES_MAX)
                .map(|authority| AuthorityMark::of(*authority))
                .collect(),
        }
    }
}

fn signed(holder: NodeId, priority: Priority, until_s: u64) -> Vec<u8> {
    [GRANT_LABEL, &holder.0, &[priority.into()], &until_s.to_be_bytes()].concat()
}

fn laid_out(label: &[u8], grant: &Grant, session: SessionId) -> Vec<u8> {
    [label, &session.0, &grant.authority.0, &signed(grant.holder, grant.priority, grant.until_s)].concat()
}

/// A word that is no grant.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotAGrant {
    /// Not made by this program, or by a newer one.
    #[error("that is not a grant")]
    Foreign,
    /// A letter is wrong or missing.
    #[error("the grant is cut short or mistyped")]
    Damaged,
}

impl fmt::Display for Grant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let priority = [self.priority.into()];
        let until = self.until_s.to_be_bytes();
        let bytes = [&[VERSION][..], &self.authority.0, &self.holder.0, &priority, &until, &self.signature.0];
        write!(f, "{PREFIX}{}", data_encoding::BASE32_NOPAD.encode(&bytes.concat()).to_ascii_lowercase())
    }
}

impl FromStr for Grant {
    type Err = NotAGrant;

    /// The signature is checked, so that a slip of the pen is told apart from a grant that does not hold.
    fn from_str(text: &str) -> Result<Self, NotAGrant> {
        let text = text.trim().to_ascii_lowercase();
        let body = text.strip_prefix(PREFIX).ok_or(NotAGrant::Foreign)?;
        if text.len() > TEXT_MAX {
            return Err(NotAGrant::Foreign);
        }
        let bytes = data_encoding::BASE32_NOPAD
            .decode(body.to_ascii_uppercase().as_bytes())
            .map_err(|_| NotAGrant::Damaged)?;
        let (version, rest) = bytes.split_first().ok_or(NotAGrant::Damaged)?;
        if *version != VERSION {
            return Err(NotAGrant::Foreign);
        }
        let (authority, rest) = rest.split_first_chunk::<32>().ok_or(NotAGrant::Damaged)?;
        let (holder, rest) = rest.split_first_chunk::<32>().ok_or(NotAGrant::Damaged)?;
        let (&priority, rest) = rest.split_first().ok_or(NotAGrant::Damaged)?;
        let (until, signature) = rest.split_first_chunk::<8>().ok_or(NotAGrant::Damaged)?;
        let grant = Self {
            authority: NodeId(*authority),
            holder: NodeId(*holder),
            priority: Priority::try_from(priority).map_err(|_| NotAGrant::Damaged)?,
            until_s: u64::from_be_bytes(*until),
            signature: Signature(signature.to_vec()),
        };
        if grant.is_genuine() { Ok(grant) } else { Err(NotAGrant::Damaged) }
    }
}

const PREFIX: &str = "almgrant";
const VERSION: u8 = 1;
/// Longer words are not looked at; a grant has 229 letters.
const TEXT_MAX: usize = 256;
const GRANT_LABEL: &[u8] = b"alm grant 1";
const SESSION_LABEL: &[u8] = b"alm grant, laid out for a session 1";
const HELPER_LABEL: &[u8] = b"alm grant, laid out by a helper 1";

#[cfg(test)]
mod tests {
    use super::*;

    fn high() -> Priority {
        Priority::try_from(1).unwrap()
    }

    #[test]
    fn a_grant_holds_for_its_holder_one_session_and_its_time() {
        let [authority, holder, other] = [1, 2, 3].map(|seed| Identity::from_seed([seed; 32]));
        let session = SessionId([7; 20]);
        let grant = Grant::new(&authority, holder.node_id(), high(), 1_000);
        let laid_out = SessionGrant::new(grant.clone(), &holder, session);
        assert_eq!(laid_out.priority(authority.node_id(), session, 999), high());
        assert_eq!(laid_out.priority(authority.node_id(), session, 1_000), Priority::LOWEST, "it has ended");
        assert_eq!(laid_out.priority(other.node_id(), session, 0), Priority::LOWEST, "another's pool");
        assert_eq!(laid_out.priority(authority.node_id(), SessionId([8; 20]), 0), Priority::LOWEST);
        let stolen = SessionGrant::new(grant.clone(), &other, session);
        assert_eq!(stolen.priority(authority.node_id(), session, 0), Priority::LOWEST, "another's grant");
        let raised = Grant { until_s: u64::MAX, ..grant };
        let raised = SessionGrant::new(raised, &holder, session);
        assert_eq!(raised.priority(authority.node_id(), session, 0), Priority::LOWEST, "a forged end");
    }

    #[test]
    fn a_machine_proves_whose_pool_it_is_of_to_one_session_and_nobody_gains_a_priority_by_that() {
        let [authority, helper, other] = [1, 2, 3].map(|seed| Identity::from_seed([seed; 32]));
        let (session, another) = (SessionId([7; 20]), SessionId([8; 20]));
        let grant = Grant::new(&authority, helper.node_id(), high(), 1_000);
        let shown = HelperGrant::new(grant.clone(), &helper, session);
        let own = HelpersFrom::PoolsOf(vec![authority.node_id()]);
        let by = |shown: &HelperGrant, helper: &Identity, session, now_s| {
            shown.authority(helper.node_id(), session, now_s)
        };
        assert_eq!(by(&shown, &helper, session, 999), Some(authority.node_id()));
        assert!(own.take(by(&shown, &helper, session, 999)));
        assert_eq!(by(&shown, &helper, session, 1_000), None, "it has ended");
        assert_eq!(by(&shown, &other, session, 0), None, "another machine shows it");
        assert_eq!(by(&shown, &helper, another, 0), None, "it was shown to another session");
        let stolen = HelperGrant::new(grant.clone(), &other, session);
        assert_eq!(by(&stolen, &helper, session, 0), None, "who has the grant but not the key");
        let made_up = Grant::new(&other, helper.node_id(), high(), 1_000);
        let foreign =
            HelperGrant::new(Grant { authority: authority.node_id(), ..made_up.clone() }, &helper, session);
        assert_eq!(by(&foreign, &helper, session, 0), None, "not signed by whom it names");
        let others = by(&HelperGrant::new(made_up, &helper, session), &helper, session, 0);
        assert!(others == Some(other.node_id()) && !own.take(others), "of another's pool");
        assert!(!own.take(None) && HelpersFrom::Anybody.take(None));

        // Whoever reserves the machine has seen this, and it is no claim on other machines.
        let HelperGrant { grant, signature } = shown;
        let reused = SessionGrant { grant, signature };
        assert_eq!(reused.priority(authority.node_id(), session, 0), Priority::LOWEST);
    }

    #[test]
    fn no_authority_is_marked_as_none() {
        assert_ne!(AuthorityMark::of(NodeId([0; 32])), AuthorityMark::NONE);
        assert_eq!(AuthorityMark::NONE.class(3), None);
        assert!(AuthorityMark::of(NodeId([255; 32])).class(3).is_some_and(|class| class < 3));
    }

    #[test]
    fn a_grant_survives_text_and_a_slip_of_the_pen_is_noticed() {
        let authority = Identity::from_seed([1; 32]);
        let grant = Grant::new(&authority, NodeId([2; 32]), high(), 1_000);
        let text = grant.to_string();
        assert_eq!(text.parse(), Ok(grant));
        assert_eq!(text.to_ascii_uppercase().parse::<Grant>().map(|grant| grant.until_s), Ok(1_000));
        for at in [8, 60, 120, 200, text.len() - 1] {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
            assert!(String::from_utf8(bytes).unwrap().parse::<Grant>().is_err(), "letter {at}");
        }
        assert!(text[..text.len() - 8].parse::<Grant>().is_err());
        assert_eq!("almae7".parse::<Grant>(), Err(NotAGrant::Foreign));
    }
}
