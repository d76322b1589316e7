//! Senders wide enough to fill this node's line downwards: those that others name, and those that it can name to others.
//!
//! Few homes have wide lines upwards, so a line downwards is often wider than those of all who happen to measure it. Whoever has
//! heard a burst names one of the widest senders that it has heard, and a node that is told of one wider than its own line has
//! looked so far asks that one next. A claim moves nothing by itself: a line is as wide as pairs have come in. Nobody is believed
//! about itself, who was named has no say on the line upwards, and to name somebody that is not so wide costs one burst of those
//! that are sent anyway, of which every second goes to one of those that the node knows. When some that should be wider have shown nothing new, the line itself is the limit,
//! and no more are asked.

use std::collections::VecDeque;

use super::message::Wide;
use super::vouchers::NEAR;
use crate::identity::Position;
use crate::pool::peer::Peer;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Widest {
    /// Those that this node has heard itself, the widest first.
    heard: Vec<Wide>,
    /// Those that others have named and that were not asked yet, the latest last.
    named: VecDeque<Wide>,
    /// Those that were asked and were not heard since, the latest last.
    asked: VecDeque<Position>,
    /// For how wide the line was taken, kbit/s, while so many that should have been wider have shown nothing new.
    line_kbit_s: u32,
    agreeing: u8,
}

/// Senders that a node can name.
const HEARD_MAX: usize = 4;
/// Senders that it remembers being told of; each answer to a burst names one.
const NAMED_MAX: usize = 8;
/// Senders that were asked in vain and are not asked again: liars who name each other would be for ever.
const ASKED_MAX: usize = 16;
/// So many must agree that the line is no wider.
const AGREEING: u8 = 3;

impl Widest {
    /// A burst has come in.
    pub(super) fn on_heard(&mut self, peer: Peer, kbit_s: u32) {
        let is_it = |wide: &Wide| wide.peer.position == peer.position;
        self.named.retain(|named| !is_it(named));
        self.heard.retain(|heard| !is_it(heard));
        let at = self.heard.partition_point(|heard| heard.kbit_s >= kbit_s);
        self.heard.insert(at, Wide { peer, kbit_s });
        self.heard.truncate(HEARD_MAX);
        if let Some(at) = self.asked.iter().position(|asked| *asked == peer.position) {
            self.asked.remove(at);
            self.agreeing = self.agreeing.saturating_add(is_alike(kbit_s, self.line_kbit_s).into());
        }
    }

    /// Another node has named one that this one has not heard.
    pub(super) fn on_named(&mut self, wide: Wide) {
        let position = wide.peer.position;
        if !self.named.iter().any(|named| named.peer.position == position) && !self.asked.contains(&position)
        {
            if self.named.len() == NAMED_MAX {
                self.named.pop_front();
            }
            self.named.push_back(wide);
        }
    }

    /// One to name to `to`; those that are about as wide as the widest take turns.
    pub(super) fn to_name(&self, to: Position, turn: u32) -> Option<Wide> {
        let widest = self.heard.first()?.kbit_s;
        let alike = |wide: &&Wide| wide.peer.position != to && is_alike(wide.kbit_s, widest);
        let count = self.heard.iter().filter(alike).count();
        self.heard.iter().filter(alike).nth(turn as usize % count.max(1)).copied()
    }

    /// One to ask that is said to be wider than the line is known to be.
    pub(super) fn ask_next(&mut self, line_kbit_s: u32) -> Option<Peer> {
        if !is_alike(line_kbit_s, self.line_kbit_s) {
            (self.line_kbit_s, self.agreeing) = (line_kbit_s, 0);
        }
        let is_wider = |wide: &Wide| wide.kbit_s > line_kbit_s && !is_alike(wide.kbit_s, line_kbit_s);
        let at = self.named.iter().position(is_wider).filter(|_| self.agreeing < AGREEING)?;
        let peer = self.named.remove(at)?.peer;
        if self.asked.len() == ASKED_MAX {
            self.asked.pop_front();
        }
        self.asked.push_back(peer.position);
        Some(peer)
    }
}

/// Two measurements may be of the same line.
fn is_alike(one: u32, other: u32) -> bool {
    f64::from(one.min(other)) >= f64::from(one.max(other)) * NEAR
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::NodeId;

    fn wide(node: u8, kbit_s: u32) -> Wide {
        Wide { peer: Peer::new(NodeId([node; 32]), ([10, 0, 0, node], 1).into()), kbit_s }
    }

    #[test]
    fn who_is_said_to_be_wider_is_asked_until_some_show_nothing_new() {
        let mut widest = Widest::default();
        (1..=7).for_each(|node| widest.on_named(wide(node, 900)));
        widest.on_named(wide(8, 110));
        let mut ask = |line, heard| {
            let peer = widest.ask_next(line)?;
            widest.on_heard(peer, heard);
            Some(peer.node.0[0])
        };
        assert_eq!(ask(100, 300), Some(1), "wider it is");
        assert_eq!(ask(300, 60), Some(2), "not as wide as was said: that says nothing");
        assert_eq!([310, 290, 300].map(|heard| ask(300, heard)), [3, 4, 5].map(Some));
        assert_eq!(ask(310, 310), None, "the line is no wider");
        assert_eq!(ask(30, 30), Some(6), "it is another one by now");
        assert_eq!(widest.named.iter().map(|named| named.kbit_s).collect::<Vec<_>>(), [900, 110]);
    }

    #[test]
    fn the_widest_take_turns_and_nothing_grows() {
        let mut widest = Widest::default();
        for node in 0..50 {
            widest.on_named(wide(100 + node, u32::MAX));
            widest.ask_next(7);
            let Wide { peer, kbit_s } = wide(node, 100 + u32::from(node));
            widest.on_heard(peer, kbit_s);
            assert!(widest.named.len() <= NAMED_MAX && widest.heard.len() <= HEARD_MAX);
            assert!(widest.asked.len() <= ASKED_MAX);
        }
        widest.on_named(wide(149, u32::MAX));
        assert_eq!(widest.ask_next(7), None, "it was asked and has not been heard");
        widest.on_heard(wide(60, 50).peer, 50);
        let to_name = |to, turn| widest.to_name(wide(to, 0).peer.position, turn).unwrap().kbit_s;
        assert_eq!([0, 1, 2, 3, 4].map(|turn| to_name(7, turn)), [149, 148, 147, 146, 149]);
        assert_eq!(
            [0, 1, 2, 3].map(|turn| to_name(49, turn)),
            [148, 147, 146, 148],
            "nobody is named itself"
        );
    }
}
