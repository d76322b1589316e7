//! Reports on their way up: what children say, what this node makes of it, and what it says to its parent.

use std::time::Duration;

use super::change::{Content, Told};
use super::message::{Pace, SomoMessage};
use super::report::{BEACONS_MAX, Beacons, Report};
use super::tree::Point;
use super::{Action, Child, Parent, Somo};
use crate::identity::Position;
use crate::pool::moment::Moment;
use crate::pool::peer::Peer;

/// The round of a report that nobody has called for.
pub(super) const UNASKED: u32 = 0;
/// Children of one node: a logical point has `k`, and a zone may hold points of several levels.
const CHILDREN_MAX: usize = 256;
/// How long a parent may take to answer an unasked report.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_500);
/// A round trip that is longer than the one known is believed by this share: a packet may have been lost.
const SLOWER: f64 = 0.25;
/// One way, where no place foretells it.
const WAY: Duration = Duration::from_millis(60);
/// The root looks for new beacons when its pool has grown or shrunk by half, or after so many rounds.
const BEACON_ROUNDS: u32 = 240;

impl Somo {
    pub(super) fn on_up(
        &mut self,
        from: Peer,
        point: Position,
        (number, round, generation, pace): (u32, u32, u32, Pace),
        content: Content,
        me: Peer,
        now: Moment,
    ) {
        if !self.zone.is_some_and(|zone| zone.contains(point)) {
            self.actions.push_back(Action::Send(from, SomoMessage::Astray { point }));
            return;
        }
        if self.delegated.is_some() && Some(point) == self.point.map(Point::key) {
            self.send_to_delegate(from);
            return;
        }
        let known = self.children.iter().position(|child| child.peer.position == from.position);
        let before = known.map(|at| &self.children[at]);
        let is_late = before.is_some_and(|before| before.number >= number);
        let Some(report) = content.applied(before.map(|before| (before.number, &*before.report))) else {
            if !is_late {
                self.actions.push_back(Action::Send(from, SomoMessage::Unknown { round }));
            }
            return;
        };
        if !report.is_bounded() || !self.believes(point, &report) {
            self.disbelieved += 1;
            return;
        }
        let mut child = Child {
            peer: from,
            point,
            heard: now,
            round,
            generation,
            number,
            report,
            call_at: before.map_or(Moment::NEVER, |before| before.call_at),
            called_at: before.map_or(Moment::NEVER, |before| before.called_at),
            trip: me.place.round_trip(from.place).unwrap_or(2 * WAY),
            measured: false,
            pace: Duration::from_millis(pace.children_ms.into()),
            within: before.map_or(Duration::ZERO, |before| before.within),
            awaited: true,
            missed: 0,
        };
        if let Some(before) = before {
            if before.measured {
                (child.trip, child.measured) = (before.trip, true);
            }
            if round == self.round && before.round != round && before.missed > 0 {
                let held = Duration::from_millis(pace.held_ms.into());
                let trip = now.since(before.called_at).saturating_sub(held);
                let slower = trip.saturating_sub(child.trip).mul_f64(SLOWER);
                child.trip = if child.measured { trip.min(child.trip) + slower } else { trip };
                child.measured = true;
            }
        }
        child.report.ages.grow_older((child.trip / 2).as_millis() as u32);
        if before.map(|before| before.report.nodes) != Some(child.report.nodes) {
            self.tell_of_change(now);
        }
        match known {
            Some(at) => self.children[at] = child,
            None if self.children.len() < CHILDREN_MAX => {
                self.children.reserve_exact(1);
                self.children.push(child);
            }
            None => return,
        }
        if round == UNASKED {
            self.send_down(from, generation, number, None);
        }
        self.finish_if_complete(me, now);
    }

    /// An unasked report, which the parent answers.
    pub(super) fn ask(&mut self, parent: Peer, me: Peer, now: Moment) {
        self.parent = Parent::Asked(parent, now + ANSWER_WITHIN);
        self.send_up(parent, UNASKED, me, now);
    }

    pub(super) fn send_up(&mut self, parent: Peer, round: u32, me: Peer, now: Moment) {
        if let Some(point) = self.parent_key() {
            let generation = self.beacons.generation;
            self.number = self.number.wrapping_add(1);
            let report = self.gathered(me, now);
            let (told, content) =
                Told::next(self.told.take().map(|told| *told), parent.position, self.number, report);
            self.told = Some(Box::new(told));
            let held = if round == UNASKED { Duration::ZERO } else { now.since(self.called_at) };
            let [held_ms, children_ms] =
                [held, self.slowest()].map(|time| u16::try_from(time.as_millis()).unwrap_or(u16::MAX));
            let pace = Pace { held_ms, children_ms };
            let number = self.number;
            let up = SomoMessage::Up { point, number, round, generation, pace, content };
            self.actions.push_back(Action::Send(parent, up));
        }
    }

    /// The parent does not have what a change was told of.
    pub(super) fn on_unknown(&mut self, from: Peer, round: u32, me: Peer, now: Moment) {
        let is_parent = matches!(self.parent, Parent::Known(parent) | Parent::Asked(parent, _)
            if parent.position == from.position);
        // Once for each that was told: who asks on and on gets nothing.
        if is_parent && self.told.take().is_some() {
            self.send_up(from, round, me, now);
        }
    }

    /// What this node knows: itself, and what its children said last.
    pub(in crate::pool) fn gathered(&self, me: Peer, now: Moment) -> Report {
        let mut all = if self.acts { Report::default() } else { Report::of(me, self.offer) };
        self.merge_children(&mut all, |_| true, now);
        all
    }

    pub(super) fn merge_children(&self, all: &mut Report, counts: impl Fn(&Child) -> bool, now: Moment) {
        for child in self.children.iter().filter(|child| counts(child)) {
            all.merge(&child.report, now.since(child.heard).as_millis() as u32);
        }
        all.prune(&self.beacons);
    }

    pub(super) fn show_view(&mut self, me: Peer, now: Moment) {
        let view = self.gathered(me, now);
        self.round = self.round.wrapping_add(1);
        let due = self.round.is_multiple_of(BEACON_ROUNDS)
            || self.beacons.places.len() * 2 < view.helpers.len().min(BEACONS_MAX);
        if due && view.helpers.len() > self.beacons.places.len() {
            self.beacons = Beacons::among(&view.helpers, self.beacons.generation + 1);
        }
        for (to, answer) in self.desk.on_view(&view, now) {
            self.actions.push_back(Action::Send(to, answer));
        }
        self.actions.push_back(Action::View(Box::new(view)));
    }
}
