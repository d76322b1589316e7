//! Grants: who may ask for priority 1 or 2 where a pool asks for more than a word. Without such an authority a session
//! has what it says that it has; with one, what the authority has signed, and priority 3 otherwise.
//!
//! The authority signs a [`Grant`] for a node's key, for as long as it says; whoever holds it lays it out for one of its
//! sessions ([`SessionGrant`]), and that goes along with every reservation, whoever manages the session by then.

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
        let signature = holder.sign(&laid_out(&grant, session));
        Self { grant, signature }
    }

    /// The highest priority that `session` may ask for by it now, where `authority` counts.
    #[must_use]
    pub fn priority(&self, authority: NodeId, session: SessionId, now_s: u64) -> Priority {
        let Self { grant, signature } = self;
        let holds = grant.authority == authority
            && now_s < grant.until_s
            && grant.is_genuine()
            && grant.holder.verifies(&laid_out(grant, session), &signature.0);
        if holds { grant.priority } else { Priority::LOWEST }
    }
}

fn signed(holder: NodeId, priority: Priority, until_s: u64) -> Vec<u8> {
    [GRANT_LABEL, &holder.0, &[priority.into()], &until_s.to_be_bytes()].concat()
}

fn laid_out(grant: &Grant, session: SessionId) -> Vec<u8> {
    [SESSION_LABEL, &session.0, &grant.authority.0, &signed(grant.holder, grant.priority, grant.until_s)]
        .concat()
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
