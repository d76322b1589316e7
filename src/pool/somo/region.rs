//! A part of the position space, asked or told alone (the patent, [0069] and [0070]): the share of one logical point. Who hosts
//! the point has gathered what is below it, and passes down what is meant for it. Zones that lie across a region's border
//! belong to one side with all that reports to them: in a region of few nodes some are missed.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::message::{Answer, News, Question, SomoMessage};
use super::report::Report;
use super::tree::{Fanout, Point};
use super::{Action, Parent, Somo};
use crate::identity::Position;
use crate::pool::moment::Moment;
use crate::pool::peer::Peer;

/// The share of a logical point: of level 0 all, of level 1 an eighth of the space, and so on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Region {
    /// How far below the root.
    pub level: u8,
    /// Which of the level's shares, clockwise from zero.
    pub index: u64,
}

/// News that a node remembers, so as to say none twice.
const NEWS_KEPT: usize = 16;

impl Region {
    /// Everything.
    pub const WHOLE: Self = Self { level: 0, index: 0 };

    /// Its point; nothing if there is no such region.
    pub(super) fn point(self, fanout: Fanout) -> Option<Point> {
        Point::at(fanout, self.level, self.index)
    }

    /// Where to ask for it.
    pub(in crate::pool) fn key(self, fanout: Fanout) -> Option<Position> {
        self.point(fanout).map(Point::key)
    }

    /// True of a node that whoever hosts its point may know of: see [`Point::may_have_below`].
    pub(in crate::pool) fn may_name(self, fanout: Fanout, position: Position) -> bool {
        self.point(fanout).is_some_and(|point| point.may_have_below(position))
    }

    /// True when a position lies in it.
    #[must_use]
    pub fn holds(self, fanout: Fanout, position: Position) -> bool {
        self.point(fanout).is_some_and(|point| point.holds(position))
    }
}

impl Somo {
    /// Questions that were too many for who asked them, and reports that could not be true.
    pub(in crate::pool) fn refused(&self) -> u64 {
        self.asked.refused() + self.disbelieved
    }

    pub(in crate::pool) fn fanout(&self) -> Fanout {
        self.config.fanout
    }

    pub(super) fn on_ask(
        &mut self,
        from: Peer,
        (number, region): (u32, Region),
        question: Question,
        me: Peer,
        now: Moment,
    ) {
        let Some(point) = region.point(self.config.fanout) else { return };
        if !self.asked.spend(from.position, now) {
            return;
        }
        if !self.zone.is_some_and(|zone| zone.contains(point.key())) {
            self.actions.push_back(Action::Send(from, SomoMessage::Astray { point: point.key() }));
            return;
        }
        if self.delegated.is_some() && self.point == Some(point) {
            self.send_to_delegate(from);
            return;
        }
        let report = self.gathered_in(point, me, now);
        let answer = match question {
            Question::Report => SomoMessage::Answer { number, answer: Answer::Report(Box::new(report)) },
            Question::Helpers { query, keep_s } => {
                // Only the root sees all that may change.
                let keep = Duration::from_secs(if region == Region::WHOLE { keep_s.into() } else { 0 });
                self.desk.on_query(from, number, query, keep, &report, now)
            }
        };
        self.actions.push_back(Action::Send(from, answer));
    }

    /// Tells all nodes of a region. False unless this node hosts its point.
    pub(in crate::pool) fn tell(&mut self, region: Region, payload: Vec<u8>, me: Peer) -> bool {
        let hosts = region.point(self.config.fanout).is_some_and(|point| {
            self.point.is_some() && self.zone.is_some_and(|zone| zone.contains(point.key()))
        });
        self.news = self.news.wrapping_add(1);
        let news = News { origin: me, number: self.news, region, payload };
        let told = hosts && news.is_bounded();
        if told {
            self.pass_down(news, me);
        }
        told
    }

    pub(super) fn on_news(&mut self, from: Peer, news: News, me: Peer) {
        let parent = matches!(self.parent, Parent::Known(parent) | Parent::Asked(parent, _)
            if parent.position == from.position);
        if parent {
            self.pass_down(news, me);
        }
    }

    fn pass_down(&mut self, news: News, me: Peer) {
        let name = (news.origin.position, news.number);
        let Some(point) = news.region.point(self.config.fanout) else { return };
        if self.heard.contains(&name) {
            return;
        }
        if self.heard.len() == NEWS_KEPT {
            self.heard.remove(0);
        }
        self.heard.push(name);
        for child in self.children.iter().filter(|child| point.holds(child.point)) {
            self.actions.push_back(Action::Send(child.peer, SomoMessage::News(news.clone())));
        }
        if point.holds(me.position) {
            self.actions.push_back(Action::News(news));
        }
    }

    /// What this node knows of a point's share.
    fn gathered_in(&self, point: Point, me: Peer, now: Moment) -> Report {
        if self.point == Some(point) {
            return self.gathered(me, now);
        }
        let mut all = if point.holds(me.position) { Report::of(me, self.offer) } else { Report::default() };
        self.merge_children(&mut all, |child| point.holds(child.point), now);
        all
    }
}
