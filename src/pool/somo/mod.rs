//! SOMO, the self-organised metadata overlay (the patent, sections B and C): a tree of even fan-out drawn over the position
//! space. Each node computes its representative and that one's parent point from its own zone alone, looks up who hosts the
//! point, and reports to it; reports are merged on the way up, and what all should know goes down.
//!
//! A link is a pair of logical points, so nothing is repaired: when a zone changes, children whose point is no longer in it
//! are dropped at once and look again, and a node whose own point is another one looks for that one's parent. All state is
//! soft. Both gather modes of [0063]: unsynchronised, each node in its own rhythm, and the call, which runs down the tree at
//! once and is answered upwards, each node waiting for its children no longer than it was given.

mod ages;
mod change;
mod delegate;
mod downward;
pub(super) mod lie;
mod message;
mod plausible;
mod query;
mod region;
mod report;
mod tree;
mod upward;

use std::time::Duration;

pub use self::ages::Ages;
use self::change::Told;
pub use self::change::{Change, Content};
pub use self::delegate::Delegation;
pub(super) use self::delegate::Search;
pub use self::message::{Answer, Down, NEWS_MAX, News, Pace, Question, SOMO_MESSAGE_MAX, SomoMessage};
use self::query::Desk;
pub use self::query::{HELPERS_MAX, HelperQuery, PLACES_MAX};
pub use self::region::Region;
pub use self::report::{BEACONS_MAX, BUCKETS, Beacons, HELPERS_PER_CELL, Helper, Offer, Report, bucket};
pub use self::tree::{Fanout, Point};
use super::budget::Budgets;
use super::moment::Moment;
use super::outbox::Outbox;
use super::peer::Peer;
use super::position::Zone;
use crate::identity::Position;

/// How reports are gathered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Gather {
    /// Each node reports in its own rhythm: the root's view lags by an interval a level.
    Periodic,
    /// The root calls, and the call is answered at once: the view lags by the way down and up.
    Call,
}

/// How a node gathers.
#[derive(Clone, Copy, Debug)]
pub struct SomoConfig {
    /// Children of a logical point. More: a shallower tree, more reports to merge at each node.
    pub fanout: Fanout,
    /// Between two reports of a node, or two calls of the root. Shorter: a fresher view, more idle traffic.
    pub interval: Duration,
    /// See [`Gather`]. All nodes of a pool must agree.
    pub gather: Gather,
}

impl Default for SomoConfig {
    fn default() -> Self {
        Self { fanout: Fanout::default(), interval: Duration::from_secs(5), gather: Gather::Periodic }
    }
}

/// What the node around it is to do.
#[derive(Debug)]
pub(super) enum Action {
    Send(Peer, SomoMessage),
    /// Find who answers for a key and say so by [`Somo::on_parent`].
    LookUp(Position),
    /// This node is the root, and this is what it knows.
    View(Box<Report>),
    /// News that are meant for this node.
    News(News),
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Somo {
    config: SomoConfig,
    offer: Offer,
    zone: Option<Zone>,
    point: Option<Point>,
    parent: Parent,
    /// When the parent was heard last.
    parent_heard: Moment,
    /// What it has been told last, and how many reports have been sent to any.
    told: Option<Box<Told>>,
    number: u32,
    children: Vec<Child>,
    beacons: Beacons,
    round: u32,
    gathering: Option<Moment>,
    /// When the last call came.
    called_at: Moment,
    due: Moment,
    /// Who acts as the root for this node, which owns its point, and until when.
    delegated: Option<(Box<Delegation>, Moment)>,
    /// This is not a node of the tree but one that acts as its root.
    acts: bool,
    desk: Desk,
    /// Nodes that there would be if all the space were as full as it is here.
    crowd: Option<f64>,
    /// Reports that could not be true.
    disbelieved: u64,
    /// What strangers have asked lately.
    asked: Budgets,
    /// News said, and heard.
    news: u32,
    heard: Vec<(Position, u32)>,
    actions: Outbox<Action>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Parent {
    /// Not known, or this node is the root.
    None,
    /// It is being looked up. Whoever was asked before may only be far away, and answer yet.
    Sought(Option<Peer>),
    Known(Peer),
    /// It has been sent an unasked report and must answer until then.
    Asked(Peer, Moment),
}

#[derive(Debug)]
struct Child {
    peer: Peer,
    /// The point of this node's that it reports to.
    point: Position,
    heard: Moment,
    /// The last round that it answered.
    round: u32,
    /// Of the beacons that it knows.
    generation: u32,
    /// Its last report, and which one that is.
    number: u32,
    report: Box<Report>,
    /// When it is to be called next, and when it was called last; no more, or not yet: never.
    call_at: Moment,
    called_at: Moment,
    /// The round trip to it, as calls have measured it, or else as its place foretells it.
    trip: Duration,
    measured: bool,
    /// How long its own children take to answer it.
    pace: Duration,
    /// How long they may, by the last call.
    within: Duration,
    /// The call waits for its answer.
    awaited: bool,
    /// Calls since the last that it answered.
    missed: u8,
}

impl Child {
    /// How long it takes to answer a call.
    fn response(&self) -> Duration {
        self.trip + self.pace
    }
}

/// What anybody may ask at once, and how often again: an answer may be as large as a report.
const ASKED_AT_ONCE: u16 = 6;
const ASKED_EVERY: Duration = Duration::from_secs(2);
/// A child's report is kept for this many intervals.
const INTERVALS_KEPT: f64 = 1.8;
/// A parent that does not call for this many intervals is asked whether it is still there.
const INTERVALS_SILENT: f64 = 1.3;
/// How long the root's call may take, in shares of the interval, and at most.
const CALL_SHARE: f64 = 0.8;
const CALL_WITHIN: Duration = Duration::from_secs(4);

impl Somo {
    /// `phase`, 0 to 1, is where in its interval the node's rhythm begins.
    pub(super) fn new(config: SomoConfig, phase: f64, now: Moment) -> Self {
        Self {
            config,
            offer: Offer::default(),
            zone: None,
            point: None,
            parent: Parent::None,
            parent_heard: now,
            told: None,
            number: 0,
            children: Vec::new(),
            beacons: Beacons::default(),
            round: 0,
            gathering: None,
            called_at: now,
            due: now + config.interval.mul_f64(phase),
            delegated: None,
            acts: false,
            desk: Desk::default(),
            crowd: None,
            disbelieved: 0,
            asked: Budgets::new(ASKED_AT_ONCE, ASKED_EVERY),
            news: 0,
            heard: Vec::new(),
            actions: Outbox::new(),
        }
    }

    pub(super) fn set_offer(&mut self, offer: Offer) {
        self.offer = offer;
    }

    pub(super) fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    pub(super) fn poll_timeout(&self) -> Moment {
        let answer = if let Parent::Asked(_, until) = self.parent { until } else { Moment::NEVER };
        let gathering = self.gathering.unwrap_or(Moment::NEVER);
        let calls = self.children.iter().map(|child| child.call_at);
        let next = calls.fold(self.due.min(answer).min(gathering), Moment::min);
        if self.point.is_some() { next } else { Moment::NEVER }
    }

    /// The zone is another one, and with it perhaps the representative.
    pub(super) fn on_zone(&mut self, zone: Option<Zone>, now: Moment) {
        self.zone = zone;
        let point = zone.and_then(|zone| Point::representative(self.config.fanout, zone));
        let children = self.children.len();
        self.children.retain(|child| zone.is_some_and(|zone| zone.contains(child.point)));
        if self.children.len() < children {
            self.tell_of_change(now);
        }
        let moved = point.and_then(Point::parent) != self.point.and_then(Point::parent);
        self.point = point;
        if moved || !self.owns_root() {
            self.delegated = None;
        }
        if moved || self.is_root() {
            if let Parent::Known(parent) | Parent::Asked(parent, _) = self.parent {
                self.actions.push_back(Action::Send(parent, SomoMessage::Quit));
            }
            self.parent = Parent::None;
        }
        if moved {
            self.report_anew(now);
        }
    }

    /// A neighbour has been found dead.
    pub(super) fn on_dead(&mut self, position: Position, me: Peer, now: Moment) {
        let children = self.children.len();
        self.children.retain(|child| child.peer.position != position);
        if let Parent::Known(parent) | Parent::Asked(parent, _) = self.parent
            && parent.position == position
        {
            self.seek_parent(None);
        }
        if self.children.len() < children {
            self.tell_of_change(now);
            self.finish_if_complete(me, now);
        }
    }

    /// Who answers for the parent's point; nobody was found if it is none.
    pub(super) fn on_parent(&mut self, key: Position, peer: Option<Peer>, me: Peer, now: Moment) {
        if !matches!(self.parent, Parent::Sought(_)) || self.parent_key() != Some(key) {
            return;
        }
        match peer {
            Some(peer) if peer.position != me.position => {
                self.parent_heard = now;
                self.ask(peer, me, now);
            }
            _ => self.parent = Parent::None,
        }
    }

    pub(super) fn on_message(&mut self, from: Peer, message: SomoMessage, me: Peer, now: Moment) {
        match message {
            SomoMessage::Up { point, number, round, generation, pace, content } => {
                self.on_up(from, point, (number, round, generation, pace), content, me, now);
            }
            SomoMessage::Unknown { round } => self.on_unknown(from, round, me, now),
            SomoMessage::Down(down) => self.on_down(from, down, me, now),
            SomoMessage::Astray { point } => {
                let parent = if let Parent::Known(peer) | Parent::Asked(peer, _) = self.parent {
                    Some(peer)
                } else {
                    None
                };
                let is_parent = parent.is_some_and(|parent| parent.position == from.position);
                if is_parent && self.parent_key() == Some(point) {
                    self.seek_parent(None);
                }
            }
            // Whoever wires this tree to others hears these.
            SomoMessage::Regent { .. } | SomoMessage::Vouch { .. } | SomoMessage::Vouched { .. } => {}
            SomoMessage::News(news) => self.on_news(from, news, me),
            SomoMessage::Ask { number, region, question } => {
                self.on_ask(from, (number, region), question, me, now);
            }
            // Whoever asked around this tree hears it.
            SomoMessage::Answer { .. } => {}
            SomoMessage::Quit => {
                self.children.retain(|child| child.peer.position != from.position);
                self.tell_of_change(now);
                self.finish_if_complete(me, now);
            }
        }
    }

    pub(super) fn on_timeout(&mut self, me: Peer, now: Moment) {
        self.call_who_is_due(now);
        if self.gathering.is_some_and(|until| until <= now) {
            self.finish_gathering(me, now);
        }
        if let Parent::Asked(asked, until) = self.parent
            && until <= now
        {
            self.seek_parent(Some(asked));
        }
        if self.delegated.as_ref().is_some_and(|(_, until)| *until <= now) {
            self.give_up_delegate();
        }
        if self.due > now || self.point.is_none() {
            return;
        }
        self.due = now + self.config.interval;
        if self.config.gather == Gather::Periodic
            || !self.is_root() && now.since(self.parent_heard) > self.config.interval * 2
        {
            let kept = self.config.interval.mul_f64(INTERVALS_KEPT);
            self.children.retain(|child| now.since(child.heard) <= kept);
        }
        if self.is_root() {
            match self.config.gather {
                Gather::Periodic => self.show_view(me, now),
                Gather::Call => {
                    let within = self.config.interval.mul_f64(CALL_SHARE).min(CALL_WITHIN);
                    self.call(self.round.wrapping_add(1), within, me, now);
                }
            }
            return;
        }
        let silent = now.since(self.parent_heard) > self.config.interval.mul_f64(INTERVALS_SILENT);
        match self.parent {
            Parent::Known(peer) if silent || self.config.gather == Gather::Periodic => {
                self.ask(peer, me, now)
            }
            // A lookup that the crash has swallowed waits ever longer to be repeated: another one goes out beside it.
            Parent::None => self.seek_parent(None),
            Parent::Sought(asked) => self.seek_parent(asked),
            Parent::Known(_) | Parent::Asked(..) => {}
        }
    }

    /// True when this node acts as the root: its logical point is in its zone, and nobody acts for it.
    pub(super) fn is_root(&self) -> bool {
        self.owns_root() && self.delegated.is_none()
    }

    /// True when the root's logical point is in this node's zone.
    pub(super) fn owns_root(&self) -> bool {
        self.point.is_some_and(|point| point.level() == 0)
    }

    // Parents.

    fn parent_key(&self) -> Option<Position> {
        let point = self.point?;
        // The owner of the root's point reports to who acts as the root.
        if self.delegated.is_some() { Some(point.key()) } else { point.parent().map(Point::key) }
    }

    fn seek_parent(&mut self, asked: Option<Peer>) {
        if self.give_up_delegate() {
            return;
        }
        if let Some(key) = self.parent_key() {
            self.parent = Parent::Sought(asked);
            self.actions.push_back(Action::LookUp(key));
        }
    }

    /// Other nodes are below this one than it has reported. A call gathers that by itself; else all the way up would take an
    /// interval at each level.
    fn tell_of_change(&mut self, now: Moment) {
        if self.config.gather == Gather::Periodic {
            self.report_anew(now);
        }
    }

    /// Another parent than before: it should hear of this node soon, but not in the middle of a crowd of changes.
    fn report_anew(&mut self, now: Moment) {
        self.due = self.due.min(now + self.config.interval / 10);
    }
}
