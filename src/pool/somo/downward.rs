//! Calls on their way down, and when they are answered.

use std::time::Duration;

use super::message::{Down, SomoMessage};
use super::{Action, Child, Parent, Somo};
use crate::pool::moment::Moment;
use crate::pool::peer::Peer;

/// What a node adds to the round trip to a child, so that the child's answer still comes in time.
const CALL_SLACK: Duration = Duration::from_millis(30);
/// Children whose usual pace is known are waited for half as long again, and a little.
const PATIENCE: f64 = 1.5;
const PATIENCE_MIN: Duration = Duration::from_millis(400);
/// A child's report is kept for this many calls that it does not answer.
const MISSED_MAX: u8 = 1;

impl Somo {
    pub(super) fn on_down(&mut self, from: Peer, down: Down, me: Peer, now: Moment) {
        let (Parent::Known(parent) | Parent::Asked(parent, _)) = self.parent else { return };
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
    pub(super) fn call(&mut self, round: u32, within: Duration, me: Peer, now: Moment) {
        self.round = round.max(1);
        self.called_at = now;
        let slowest = self.slowest();
        let patience = slowest.mul_f64(PATIENCE) + PATIENCE_MIN;
        let until = now + patience.min(within);
        for child in &mut self.children {
            // However slow another one may be, each is called early enough to answer.
            let latest = until.since(now).saturating_sub(child.response().mul_f64(PATIENCE));
            child.call_at = now + (slowest - child.response()).min(latest);
        }
        self.gathering = Some(until);
        self.call_who_is_due(now);
        self.finish_if_complete(me, now);
    }

    pub(super) fn slowest(&self) -> Duration {
        self.children.iter().map(Child::response).max().unwrap_or_default()
    }

    pub(super) fn call_who_is_due(&mut self, now: Moment) {
        let Some(until) = self.gathering else { return };
        for at in 0..self.children.len() {
            let child = &mut self.children[at];
            if child.call_at <= now {
                (child.call_at, child.called_at) = (Moment::NEVER, now);
                child.missed = child.missed.saturating_add(1);
                let (peer, generation, number) = (child.peer, child.generation, child.number);
                let left = until.since(now).saturating_sub(child.trip.mul_f64(1.2) + CALL_SLACK);
                self.send_down(peer, generation, number, Some(left));
            }
        }
    }

    /// All who were called have answered.
    pub(super) fn finish_if_complete(&mut self, me: Peer, now: Moment) {
        let waiting = |child: &Child| child.call_at < Moment::NEVER || child.missed > 0;
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
        let call = call.map(|within| within.as_millis() as u16);
        self.actions
            .push(Action::Send(to, SomoMessage::Down(Down { round: self.round, has, call, beacons })));
    }
}
