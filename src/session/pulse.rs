//! The other side of [`watch`](super::watch): a sign of life every [`BEAT`] to those who depend on this node's relaying, when
//! no media have gone to them anyway.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use super::watch::BEAT;
use crate::identity::NodeId;

/// The datagram, one byte: told from media (0x80 to 0xbf) and from the pool's probes.
pub const PULSE: u8 = 0x03;

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Pulse {
    /// Who depends on this node, and when it was last sent something.
    dependants: BTreeMap<NodeId, Instant>,
}

impl Pulse {
    /// Says who depends on this node from now on.
    pub fn set(&mut self, dependants: &BTreeSet<NodeId>, now: Instant) {
        self.dependants.retain(|node, _| dependants.contains(node));
        for node in dependants {
            self.dependants.entry(*node).or_insert(now);
        }
    }

    /// Something has been sent to a node.
    pub fn on_sent(&mut self, to: NodeId, at: Instant) {
        if let Some(last) = self.dependants.get_mut(&to) {
            *last = (*last).max(at);
        }
    }

    /// Who is to be sent a pulse now. `passed_at` says when the link last passed something on to a node by itself.
    ///
    /// Once one is due, those that will be soon are sent theirs too: from then on all fall due at one time, and a node with many
    /// dependants wakes no more often than one that has a single one.
    pub fn due(&mut self, now: Instant, passed_at: impl Fn(NodeId) -> Option<Instant>) -> Vec<NodeId> {
        if self.poll_timeout().is_none_or(|at| at > now) {
            return Vec::new();
        }
        for (node, last) in &mut self.dependants {
            *last = passed_at(*node).map_or(*last, |at| at.max(*last));
        }
        if self.poll_timeout().is_none_or(|at| at > now) {
            return Vec::new();
        }
        let due = self.dependants.iter_mut().filter(|(_, last)| **last + BEAT / 2 <= now);
        due.map(|(node, last)| {
            *last = now;
            *node
        })
        .collect()
    }

    /// When to call [`due`](Self::due).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.dependants.values().min().map(|last| *last + BEAT)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::testing::origin;

    const SECOND: Duration = Duration::from_secs(1);

    /// Pulses and wakings of a second in which the link passes something on to everybody every `pace` and the node itself had
    /// sent to each at another time before.
    fn second(nodes: u8, pace: Option<Duration>) -> (usize, usize) {
        let (start, mut pulse) = (origin(), Pulse::default());
        pulse.set(&(0..nodes).map(|n| NodeId([n; 32])).collect(), start);
        for n in 0..nodes {
            pulse.on_sent(NodeId([n; 32]), start + BEAT * u32::from(n) / u32::from(nodes));
        }
        let (mut pulses, mut wakings) = (0, 0);
        while let Some(now) = pulse.poll_timeout().filter(|now| *now < start + BEAT + SECOND) {
            wakings += 1;
            let passed = |pace: Duration| {
                now - Duration::from_nanos(((now - start).as_nanos() % pace.as_nanos()) as u64)
            };
            pulses += pulse.due(now, |_| pace.map(passed)).len();
        }
        (pulses, wakings)
    }

    #[test]
    fn many_dependants_are_one_waking_and_media_are_sign_enough() {
        let beats = (SECOND.as_millis() / BEAT.as_millis()) as usize;
        let (pulses, wakings) = second(6, None);
        assert!((6 * beats..=6 * beats + 12).contains(&pulses) && wakings <= beats + 2, "{pulses} {wakings}");
        let (pulses, wakings) = second(6, Some(BEAT / 2));
        assert!(pulses == 0 && wakings <= 2 * beats, "{pulses} {wakings}");
    }
}
