//! What a member needs who seals and opens its sound elsewhere: keys, who speaks under which number, the session's time; and,
//! where it is opened here, whose voices are not known to be their own.

use std::collections::BTreeMap;

use alm_media::{SenderKey, SourceIndex, Standing, WitnessStats};

use super::audio::ToAudio;
use crate::identity::NodeId;
use crate::session::SessionClock;

/// See the [module](self). Not printed by `Debug`: who holds it hears the conference.
#[derive(Clone, Default)]
pub struct Secrets {
    /// The member's own number.
    pub own: Option<SourceIndex>,
    /// The session's time.
    pub clock: Option<SessionClock>,
    /// What the own voice is sealed by.
    pub seal: Option<SenderKey>,
    /// What the others' voices are opened by, the latest last.
    pub open: BTreeMap<SourceIndex, Vec<SenderKey>>,
    /// Whose voices they are.
    pub nodes: BTreeMap<SourceIndex, NodeId>,
    /// How far they are known to be their own, as far as they are opened here, and digests in their names that they had not
    /// signed.
    pub standings: BTreeMap<SourceIndex, (Standing, u64)>,
}

impl Secrets {
    /// Takes up what the node says; false if it says nothing of this kind.
    pub(super) fn note(&mut self, order: &ToAudio) -> bool {
        match order {
            ToAudio::Clock(clock) => self.clock = Some(*clock),
            ToAudio::Seal(key) => self.seal = Some(key.clone()),
            ToAudio::Source(source, keys, _) => {
                self.open.insert(*source, keys.clone());
            }
            ToAudio::Name(source, node, _) => {
                self.nodes.insert(*source, *node);
            }
            ToAudio::RemoveSource(source) => {
                self.open.remove(source);
                self.nodes.remove(source);
                self.standings.remove(source);
            }
            _ => return false,
        }
        true
    }

    /// Takes up how a source stands; false if that is known.
    pub(super) fn note_standing(&mut self, source: SourceIndex, stats: WitnessStats) -> bool {
        let standing = (stats.standing, stats.bad_digests);
        self.standings.insert(source, standing) != Some(standing)
    }
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secrets(..)")
    }
}
