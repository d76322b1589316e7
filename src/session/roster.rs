//! Who is in a session.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::identity::NodeId;

/// Members of one session.
pub const MEMBERS_MAX: usize = 1_000;
/// Up to so many, each member is connected to all others and measures them, so that any can come to feed any. In larger
/// sessions a member is connected to the task manager and its neighbours in the plan.
pub const MESH_MEMBERS_MAX: usize = 50;
/// Nodes that were in once and are remembered.
const GONE_MAX: usize = 1_024;
/// Letters of a name.
const NAME_MAX: usize = 64;
/// Addresses that a roster entry carries.
pub(super) const ADDRS_MAX: usize = 4;

/// A member as all members see it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Participant {
    /// Its number as a source of media; never given twice in a session.
    pub index: u16,
    /// Its node.
    pub node: NodeId,
    /// What it calls itself; harmless in a terminal once through [`clean_name`].
    pub name: String,
    /// New for every start of its program: with the session's secret it makes the key of its media.
    pub salt: [u8; 16],
    /// Tree links that it can carry.
    pub degree: u32,
    /// It keeps what is said: everybody is told.
    pub records: bool,
    /// Where it listens.
    pub addrs: Vec<SocketAddr>,
}

/// All members, by source index and by node.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Roster {
    members: BTreeMap<u16, Participant>,
    index: BTreeMap<NodeId, u16>,
    /// Who was in, the last to go last: the other side of a cut is known again by it.
    gone: VecDeque<NodeId>,
}

impl Roster {
    /// Takes a member in, or renews its entry.
    pub fn insert(&mut self, mut member: Participant) {
        if self.members.len() < MEMBERS_MAX || self.members.contains_key(&member.index) {
            member.name = clean_name(&member.name);
            member.addrs.truncate(ADDRS_MAX);
            let (node, index) = (member.node, member.index);
            if let Some(before) = self.members.insert(index, member) {
                self.index.remove(&before.node);
            }
            self.index.insert(node, index);
        }
    }

    /// Takes a member out.
    pub fn remove(&mut self, node: NodeId) -> Option<Participant> {
        let index = self.by_node(node)?.index;
        self.remember(node);
        self.index.remove(&node);
        self.members.remove(&index)
    }

    /// True for a node that was in once, as far as is remembered.
    #[must_use]
    pub fn knew(&self, node: NodeId) -> bool {
        self.gone.contains(&node)
    }

    /// Takes over what another roster remembers, and whom it has.
    pub(super) fn remember_all(&mut self, other: &Self) {
        for node in other.gone.iter().copied().chain(other.members.values().map(|member| member.node)) {
            self.remember(node);
        }
    }

    fn remember(&mut self, node: NodeId) {
        self.gone.retain(|known| *known != node);
        self.gone.push_back(node);
        if self.gone.len() > GONE_MAX {
            self.gone.pop_front();
        }
    }

    /// A member's entry.
    #[must_use]
    pub fn by_node(&self, node: NodeId) -> Option<&Participant> {
        self.members.get(self.index.get(&node)?)
    }

    /// The entry of that number.
    #[must_use]
    pub fn by_index(&self, index: u16) -> Option<&Participant> {
        self.members.get(&index)
    }

    /// All entries, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = &Participant> {
        self.members.values()
    }

    /// How many members there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Each member is connected to all others.
    #[must_use]
    pub fn is_mesh(&self) -> bool {
        self.members.len() <= MESH_MEMBERS_MAX
    }

    /// True before the first and after the last member.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

/// A name without anything that a terminal or a reader's eye could take for more than letters: no control, format or
/// bidirectional characters, no blanks at the ends, at most 64 letters; "guest" when nothing is left.
#[must_use]
pub fn clean_name(name: &str) -> String {
    let kept: String =
        name.chars().map(|c| if c.is_whitespace() { ' ' } else { c }).filter(|c| is_visible(*c)).collect();
    let short: String = kept.trim().chars().take(NAME_MAX).collect();
    let short = short.trim();
    if short.is_empty() { "guest".to_owned() } else { short.to_owned() }
}

/// Neither a control nor a format character.
pub(super) fn is_visible(c: char) -> bool {
    !c.is_control() && !is_format(c)
}

/// Unicode's format characters (general category Cf) that can reorder, hide or impersonate text, and separators.
fn is_format(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_harmless() {
        assert_eq!(clean_name("  Ada \u{1b}[31m\u{202e}Lovelace\n"), "Ada [31mLovelace");
        assert_eq!(clean_name("\u{200b}\t\u{7}"), "guest");
        assert_eq!(clean_name(&"x".repeat(100)).len(), 64);
    }
}
