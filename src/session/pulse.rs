//! The other side of [`watch`](super::watch): a sign of life every [`BEAT`] to those who depend on this node's relaying, when
//! no media have gone to them anyway.
//!
//! The link asks for it, since it is the link that passes media on: whoever waits for packets knows best for how long none
//! has come, and the node need not be woken to find that all is well.

use std::time::Duration;

use super::routes::Routes;
use super::watch::BEAT;
use crate::identity::NodeId;

/// The datagram, one byte: told from media (0x80 to 0xbf) and from the pool's probes.
pub const PULSE: u8 = 0x03;

impl Routes {
    /// Gives `send` each dependant that is to be sent a pulse, so long after the node's start. The time, from that start, at
    /// which to call again; `None` while nobody depends on this node.
    ///
    /// Once one is due, those that will be soon are sent theirs too: from then on all fall due at one time, and a node with many
    /// dependants wakes no more often than one that has a single one.
    pub(crate) fn pulse(&self, since_start: Duration, send: &mut dyn FnMut(NodeId)) -> Option<Duration> {
        let next = || Some(self.dependants.iter().map(|link| self.passed_at(*link)).min()? + BEAT);
        if next()? > since_start {
            return next();
        }
        for link in &self.dependants {
            if self.passed_at(*link) + BEAT / 2 <= since_start {
                self.on_passed(*link, since_start);
                send(self.peer(*link));
            }
        }
        next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Pulses and wakings of a second in which the link passes something on to everybody every `pace` and the node itself had
    /// sent to each at another time before.
    fn second(nodes: u8, pace: Option<Duration>) -> (usize, usize) {
        let mut routes = Routes::default();
        let links: Vec<_> = (0..nodes).map(|n| routes.link_to(NodeId([n; 32]))).collect();
        routes.dependants.clone_from(&links);
        for (n, link) in (0..).zip(&links) {
            routes.on_passed(*link, BEAT * n / u32::from(nodes));
        }
        let (mut pulses, mut wakings, mut passed) = (0, 0, Duration::ZERO);
        let mut now = Duration::ZERO;
        while let Some(next) = routes.pulse(now, &mut |_| pulses += 1).filter(|at| *at < BEAT + SECOND) {
            // Packets are occasions to ask as well.
            let packet = pace.map(|pace| passed + pace).filter(|at| *at <= next);
            if let Some(at) = packet {
                passed = at;
                links.iter().for_each(|link| routes.on_passed(*link, at));
            } else {
                wakings += 1;
            }
            now = packet.unwrap_or(next);
        }
        (pulses, wakings)
    }

    #[test]
    fn many_dependants_are_one_waking_and_media_are_sign_enough() {
        let beats = (SECOND.as_millis() / BEAT.as_millis()) as usize;
        let (pulses, wakings) = second(6, None);
        assert!((6 * beats..=6 * beats + 12).contains(&pulses) && wakings <= beats + 2, "{pulses} {wakings}");
        assert_eq!(second(6, Some(BEAT / 2)), (0, 0));
        assert_eq!(Routes::default().pulse(SECOND, &mut |_| ()), None);
    }
}
