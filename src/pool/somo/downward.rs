//! Calls on their way down, and when they are answered.

use std::time::Duration;

use super::message::{Down, SomoMessage};
use super::{Action, Child, Parent, Somo};
use crate::pool::moment::Moment;
use crate::pool::peer::Peer;

/// What a node adds to the round trip to a child, in shares of it and besides, so that the child's answer still comes in time.
const TRIP_SHARE: f64 = 1.2;
const CALL_SLACK: Duration = Duration::from_millis(30);
/// Children whose usual pace is known are waited for half as long again, and a little.
const PATIENCE: f64 = 1.5;
const PATIENCE_MIN: Duration = Duration::from_millis(400);
/// Who is too slow for a call has this share of an interval to answer for the next one.
const NEXT_SHARE: f64 = 0.8;
/// A child's report is kept for this many calls that it does not answer.
const MISSED_MAX: u8 = 1;

impl Somo {
    pub(super) fn on_down(&mut self, from: Peer, down: Down, me: Peer, now: Moment) {
        let (Parent::Known(parent) | Parent::Asked(parent, _) | Parent::Sought(Some(parent))) = self.parent
        else {
            return;
        };
        if parent.position != from.position {
            return;
        }
        self.parent = Parent::Known(from);
        if let Some(told) = &mut self.told {
            told.on_acknowledged(from.position, down.has);
        }
        self.parent_heard = now;
        if let Some(beacons) = down.beacons
            && beacons.generation > self.beacons.generation
        {
            self.beacons = beacons;
        }
        if let Some(within_ms) = down.call {
            self.call(down.round, Duration::from_millis(within_ms.into()), me, now);
        }
    }

    /// Everybody below is to report now. Whoever takes longest is called first and the others so much later that all
    /// answers come together: what is quickly had is not old by the time the last one comes.
    ///
    /// `within` is how long the slowest may take. It is the root's less the round trips on the way, so nearly the same in every
    /// call, whenever that comes: a child that cannot answer within it is waited for in none, its answer is there for the next
    /// one, and this node takes as long as it has said. By the time that is just left, who is waited for would differ from call
    /// to call, and whoever takes longer than it said makes all others wait, up to the root.
    pub(super) fn call(&mut self, round: u32, within: Duration, me: Peer, now: Moment) {
        self.round = round.max(1);
        self.called_at = now;
        let next = self.config.interval.mul_f64(NEXT_SHARE);
        for child in &mut self.children {
            child.awaited = child.response() + CALL_SLACK <= within;
            let its = if child.awaited { within } else { next };
            child.within = its.saturating_sub(child.trip.mul_f64(TRIP_SHARE) + CALL_SLACK);
        }
        let slowest = self.slowest();
        for child in &mut self.children {
            child.call_at = now + slowest.saturating_sub(child.response());
        }
        self.gathering = Some(now + (slowest.mul_f64(PATIENCE) + PATIENCE_MIN).min(within));
        self.call_who_is_due(now);
        self.finish_if_complete(me, now);
    }

    /// How long those take that are waited for.
    pub(super) fn slowest(&self) -> Duration {
        let awaited = self.children.iter().filter(|child| child.awaited);
        awaited.map(Child::response).max().unwrap_or_default()
    }

    pub(super) fn call_who_is_due(&mut self, now: Moment) {
        if self.gathering.is_none() {
            return;
        }
        for at in 0..self.children.len() {
            let child = &mut self.children[at];
            if child.call_at <= now {
                (child.call_at, child.called_at) = (Moment::NEVER, now);
                child.missed = child.missed.saturating_add(1);
                let (peer, generation, number) = (child.peer, child.generation, child.number);
                let within = child.within;
                self.send_down(peer, generation, number, Some(within));
            }
        }
    }

    /// All who are waited for have answered.
    pub(super) fn finish_if_complete(&mut self, me: Peer, now: Moment) {
        let waiting = |child: &Child| child.awaited && (child.call_at < Moment::NEVER || child.missed > 0);
        if self.gathering.is_some() && !self.children.iter().any(waiting) {
            self.finish_gathering(me, now);
        }
    }

    pub(super) fn finish_gathering(&mut self, me: Peer, now: Moment) {
        self.gathering = None;
        self.children.retain(|child| child.missed <= MISSED_MAX);
        self.children.iter_mut().for_each(|child| child.call_at = Moment::NEVER);
        if self.is_root() {
            let round = self.round;
            self.show_view(me, now);
            self.round = round;
        } else if let Parent::Known(parent) | Parent::Asked(parent, _) = self.parent {
            self.send_up(parent, self.round, me, now);
        }
    }

    pub(super) fn send_down(&mut self, to: Peer, generation: u32, has: u32, call: Option<Duration>) {
        let news = generation < self.beacons.generation;
        let beacons = news.then(|| self.beacons.clone());
        let call = call.map(|within| u16::try_from(within.as_millis()).unwrap_or(u16::MAX));
        self.actions
            .push_back(Action::Send(to, SomoMessage::Down(Down { round: self.round, has, call, beacons })));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{NodeId, Position};
    use crate::pool::position::Zone;
    use crate::pool::somo::upward::UNASKED;
    use crate::pool::somo::{Content, Gather, Offer, Pace, Point, Report, SomoConfig};

    fn peer(node: u8) -> Peer {
        Peer::new(NodeId([node; 32]), ([10, 0, 0, node], 1).into())
    }

    fn up(node: u8, number: u32, round: u32, children_ms: u16) -> SomoMessage {
        let point = Point::root(SomoConfig::default().fanout).key();
        let content = Content::Whole(Box::new(Report::of(peer(node), Offer::default())));
        SomoMessage::Up {
            point,
            number,
            round,
            generation: 0,
            pace: Pace { held_ms: 0, children_ms },
            content,
        }
    }

    /// Who is called, and how long each has.
    fn called(somo: &mut Somo) -> Vec<(u8, u16)> {
        let calls = std::iter::from_fn(|| somo.poll_action()).filter_map(|action| match action {
            Action::Send(to, SomoMessage::Down(Down { call: Some(within_ms), .. })) => {
                Some((to.node.0[0], within_ms))
            }
            _ => None,
        });
        calls.collect()
    }

    fn root_of(config: SomoConfig) -> Somo {
        let root = Point::root(config.fanout).key().0;
        let zone = Zone { after: Position(root - 9), upto: Position(root + 9) };
        let mut somo = Somo::new(config, 1.0, Moment::ZERO);
        somo.on_zone(Some(zone), Moment::ZERO);
        somo
    }

    #[test]
    fn answers_come_together_and_who_is_too_slow_holds_nobody_up() {
        let config = SomoConfig { gather: Gather::Call, ..SomoConfig::default() };
        let at = |ms: u64| Moment::ZERO + config.interval + Duration::from_millis(ms);
        let (me, mut somo) = (peer(9), root_of(config));
        // Where no place is known a trip counts as 120 ms.
        for (node, pace_ms) in [(1, 300), (2, 100), (3, 9_000)] {
            somo.on_message(peer(node), up(node, 1, UNASKED, pace_ms), me, Moment::ZERO);
        }
        called(&mut somo);
        somo.on_timeout(me, at(0));
        let first = called(&mut somo);
        assert_eq!(first.iter().map(|(node, _)| *node).collect::<Vec<_>>(), [1, 3], "the slowest first");
        assert_eq!(somo.poll_timeout(), at(200));
        somo.on_timeout(me, at(200));
        let other = called(&mut somo);
        assert_eq!(other.len(), 1, "and the other so much later");
        let may_take = 4_000 - 174;
        assert!(first.iter().chain(&other).all(|(_, within_ms)| *within_ms == may_take), "whenever it comes");
        let round = somo.round;
        for node in [1, 2] {
            somo.on_message(peer(node), up(node, 2, round, 100), me, at(420));
        }
        let view = std::iter::from_fn(|| somo.poll_action()).find_map(|action| match action {
            Action::View(view) => Some(view),
            _ => None,
        });
        assert_eq!(view.map(|view| view.nodes), Some(4), "all are in it");
    }

    #[test]
    fn a_call_of_little_time_waits_for_whom_it_has_time_for_and_says_so() {
        let config = SomoConfig { gather: Gather::Call, ..SomoConfig::default() };
        let at = |ms: u64| Moment::ZERO + config.interval + Duration::from_millis(ms);
        let waits_for = |within_ms| {
            let (me, mut somo) = (peer(9), root_of(config));
            for (node, pace_ms) in [(1, 500), (2, 1_500)] {
                somo.on_message(peer(node), up(node, 1, UNASKED, pace_ms), me, Moment::ZERO);
            }
            called(&mut somo);
            somo.call(7, Duration::from_millis(within_ms), me, at(0));
            let mut calls = called(&mut somo);
            somo.call_who_is_due(at(3_000));
            calls.extend(called(&mut somo));
            calls.sort_unstable();
            (somo.slowest().as_millis(), calls)
        };
        assert_eq!(waits_for(2_000), (1_620, vec![(1, 1_826), (2, 1_826)]));
        // Who is too slow has until the next call.
        assert_eq!(waits_for(1_000), (620, vec![(1, 826), (2, 3_826)]));
        assert_eq!(waits_for(100), (0, vec![(1, 3_826), (2, 3_826)]));
    }

    #[test]
    fn a_parent_far_away_is_one_however_late_it_answers() {
        let config = SomoConfig { gather: Gather::Call, ..SomoConfig::default() };
        let (me, mut somo) = (peer(9), Somo::new(config, 0.0, Moment::ZERO));
        somo.on_zone(Some(Zone { after: Position(1 << 90), upto: Position(1 << 100) }), Moment::ZERO);
        let at = |ms: u64| Moment::ZERO + Duration::from_millis(ms);
        let actions = |somo: &mut Somo| std::iter::from_fn(|| somo.poll_action()).collect::<Vec<_>>();
        somo.on_timeout(me, at(1));
        let [Action::LookUp(key)] = actions(&mut somo)[..] else { panic!("its parent is looked up") };
        somo.on_parent(key, Some(peer(1)), me, at(100));
        assert!(matches!(actions(&mut somo)[..], [Action::Send(_, SomoMessage::Up { .. })]));
        somo.on_timeout(me, at(1_900));
        assert!(matches!(actions(&mut somo)[..], [Action::LookUp(again)] if again == key));
        let call = || SomoMessage::Down(Down { round: 3, has: 1, call: Some(900), beacons: None });
        somo.on_message(peer(2), call(), me, at(2_000));
        assert!(actions(&mut somo).is_empty(), "nobody else is its parent");
        somo.on_message(peer(1), call(), me, at(2_000));
        let said = actions(&mut somo);
        let [Action::Send(to, SomoMessage::Up { round: 3, .. })] = &said[..] else { panic!("{said:?}") };
        assert_eq!(to.position, peer(1).position);
    }
}
