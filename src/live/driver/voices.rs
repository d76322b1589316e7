//! Whose voices are heard here and how: the keys that open them, how loud each is played, and what is said when one stays
//! silent for want of a key.

use std::time::Instant;

use alm_media::{Level, MediaPacket, SourceIndex, Standing, WitnessStats};
use bytes::Bytes;

use super::{Driver, ToAudio};
use crate::event::Event;
use crate::identity::NodeId;
use crate::live::audio::Author;
use crate::net::Link;
use crate::node::Input;
use crate::session::Keys;

impl<L: Link> Driver<L> {
    /// The group has come to another epoch, or one of its keys has had its time.
    pub(super) fn on_keys(&mut self, keys: Keys) {
        if self.keys.as_ref().is_none_or(|before| before.phrase != keys.phrase) {
            self.tell(Event::Phrase { words: keys.phrase.clone() });
        }
        self.keys = Some(keys);
        self.hand_own_key();
        for source in self.met.iter().copied().collect::<Vec<_>>() {
            self.hand_keys(source);
        }
    }

    /// Hands a packet to the ears, and first the keys of its source where they do not have them yet.
    pub(super) fn play(&mut self, packet: Bytes, at: Instant) {
        if let Ok(read) = MediaPacket::parse(&packet) {
            self.meet(read.source.voice());
        }
        self.hand_audio(ToAudio::Packet(packet, at));
    }

    /// The audio is to hear that source, if it is a member's.
    pub(super) fn meet(&mut self, source: SourceIndex) {
        if self.sources.contains_key(&source) && self.met.insert(source) {
            self.hand_keys(source);
        }
    }

    pub(super) fn hand_own_key(&mut self) {
        if let (Some(keys), Some(own)) = (&self.keys, &self.own) {
            let key = keys.seal.sender(own.node, &own.salt);
            self.hand_audio(ToAudio::Seal(key));
        }
    }

    fn hand_keys(&mut self, source: SourceIndex) {
        if let (Some(keys), Some((node, salt))) = (&self.keys, self.sources.get(&source)) {
            let keys = keys.open.iter().map(|key| key.sender(*node, salt)).collect();
            let volume = self.volumes.get(node).copied();
            let author = Author { node: *node, salt: *salt };
            self.hand_audio(ToAudio::Source(source, keys, author));
            if let Some(percent) = volume {
                self.hand_audio(ToAudio::Volume(source, f32::from(percent) / 100.0));
            }
        }
    }

    /// The task manager is to know who speaks.
    pub(super) fn tell_speakers(&mut self, input: Level, voices: &[(SourceIndex, Level)]) {
        let loud = voices.iter().filter(|(_, level)| level.is_voice());
        let others = loud.filter_map(|(source, _)| self.sources.get(source).map(|(node, _)| *node));
        let own = (!self.muted && input.is_voice()).then_some(self.me);
        let speaking = own.into_iter().chain(others).collect();
        self.handle(Input::Speaking(speaking));
    }

    /// For whoever is in now or comes back.
    pub(super) fn set_volume(&mut self, node: NodeId, percent: u16) {
        if self.volumes.len() >= VOLUMES_MAX && !self.volumes.contains_key(&node) {
            return;
        }
        let percent = percent.min(VOLUME_PERCENT_MAX);
        self.volumes.insert(node, percent);
        if let Some((source, _)) = self.sources.iter().find(|(_, (known, _))| *known == node) {
            let source = *source;
            self.hand_audio(ToAudio::Volume(source, f32::from(percent) / 100.0));
        }
        self.tell(Event::Volume { node: node.to_string(), percent });
    }

    /// Says whose voice is silence here for want of a key, once until it is heard again.
    pub(super) fn watch_keys(&mut self, source: SourceIndex, node: NodeId, unknown: u64) {
        // Who leaves is out of the group before it is let go.
        if self.stopping {
            return;
        }
        let (before, was_said) = self.unopened.get(&source).copied().unwrap_or_default();
        let came = unknown.saturating_sub(before);
        let is_said = came >= UNOPENED_MIN || was_said && came > 0;
        self.unopened.insert(source, (unknown, is_said));
        if is_said && !was_said {
            let name = self.name_of(node);
            let message =
                format!("{name} is not heard: the voice comes under a key that this node does not have");
            self.tell(Event::Error { message });
        }
    }

    /// Says whose voice is not known to be its own, when that begins and when it ends.
    pub(super) fn watch_standing(&mut self, source: SourceIndex, node: NodeId, witness: &WitnessStats) {
        let (before, bad_before) = self.standings.get(&source).copied().unwrap_or_default();
        self.standings.insert(source, (witness.standing, witness.bad_digests));
        let name = self.name_of(node);
        if witness.bad_digests > bad_before {
            let message = format!("somebody in this session signs in {name}'s name, and not by {name}'s key");
            self.tell(Event::Error { message });
        }
        if witness.standing == before {
            return;
        }
        let message = match witness.standing {
            Standing::Silenced if witness.contradicted > 0 => {
                format!(
                    "somebody in this session speaks as {name}: the voice is silent until {name} signs for it"
                )
            }
            Standing::Silenced => format!("{name} is silent: nothing of the voice has been signed for 10 s"),
            Standing::Unconfirmed => {
                format!("{name} is not confirmed: nothing of the voice has been signed for 3 s")
            }
            Standing::Confirmed if matches!(before, Standing::Silenced | Standing::Unconfirmed) => {
                format!("{name} is confirmed again")
            }
            Standing::Confirmed | Standing::New => return,
        };
        self.tell(Event::Error { message });
    }

    fn name_of(&self, node: NodeId) -> String {
        let member = self.node.roster().and_then(|roster| roster.by_node(node));
        member.map_or_else(|| node.short(), |member| member.name.clone())
    }
}

/// Members whose loudness is remembered.
const VOLUMES_MAX: usize = 1_024;
/// The loudest that somebody quiet can be made.
const VOLUME_PERCENT_MAX: u16 = 400;
/// Packets in a second: half of a voice's. A change of keys costs less.
const UNOPENED_MIN: u64 = 25;
