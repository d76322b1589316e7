//! Who answers for a key: looked up for SOMO's parent and for questions, once more where the answer can hardly be true; and the
//! questions that this node puts to whom it finds.

use rand::seq::index::sample;

use super::{Event, SwarmMessage, SwarmNode};
use crate::identity::Position;
use crate::pool::asks;
use crate::pool::moment::Moment;
use crate::pool::peer::Peer;
use crate::pool::polls;
use crate::pool::somo::{HelperQuery, Question, Region, SomoMessage};

/// A lookup of who answers for a key.
#[derive(Clone, Copy)]
pub(super) struct Sought {
    request: u32,
    pub(super) key: Position,
    pub(super) careful: bool,
}

impl SwarmNode {
    /// Asks who hosts a region's point; [`Event::Answered`] brings the number that is returned, or nothing if too many
    /// questions are open. Helpers of the whole are asked for in two regions as well, drawn by lot: see `polls.rs`.
    pub fn ask(&mut self, region: Region, question: Question, now: Moment) -> Option<u32> {
        let number = self.ask_one(region, question.clone(), now);
        // Who has room for everybody in its leaf set need not ask whom there is.
        if let (Some(number), Region::WHOLE, Question::Helpers { query, .. }, Some(_)) =
            (number, region, question, self.ring.crowd())
        {
            self.ask_regions(number, query, now);
        }
        self.wire(now);
        number
    }

    fn ask_one(&mut self, region: Region, question: Question, now: Moment) -> Option<u32> {
        let key = region.key(self.somo.fanout())?;
        self.asks.ask(key, region, question, now)
    }

    fn ask_regions(&mut self, number: u32, query: HelperQuery, now: Moment) {
        let fanout = self.somo.fanout();
        let all = fanout.children().try_into().unwrap_or(usize::MAX);
        let drawn = sample(self.ring.random(), all, polls::REGIONS.min(all));
        let mut regions = Vec::new();
        for index in drawn {
            let region = Region { level: polls::LEVEL, index: index as u64 };
            let question = Question::Helpers { query: query.clone(), keep_s: 0 };
            regions.extend(self.ask_one(region, question, now).map(|number| (number, region)));
        }
        self.polls.open(number, query, fanout, regions);
    }

    pub(super) fn do_for_asker(&mut self, action: asks::Action, now: Moment) {
        match action {
            asks::Action::LookUp(number, key) => match self.look_for(key, false, now) {
                Some(sought) => self.hosts.push((sought, number)),
                None => self.asks.on_host(number, None),
            },
            // This node hosts the point itself.
            asks::Action::Send(to, SomoMessage::Ask { number, region, question })
                if to.position == self.ring.me().position =>
            {
                let ask = SomoMessage::Ask { number, region, question };
                self.on_somo(to, ask, now);
            }
            asks::Action::Send(to, message) => self.outbox.push_back((to, SwarmMessage::Somo(message))),
            asks::Action::Answered(number, answer) => {
                let told = self.polls.on_answered(number, answer, now);
                self.events.extend(told.map(|(number, answer)| Event::Answered(number, answer)));
            }
        }
    }

    pub(super) fn look_for(&mut self, key: Position, careful: bool, now: Moment) -> Option<Sought> {
        let request =
            if careful { self.ring.lookup_carefully(key, now) } else { self.ring.lookup(key, now) }?;
        Some(Sought { request, key, careful })
    }

    pub(super) fn is_sought(&self, request: u32) -> bool {
        let hosts = self.hosts.iter().map(|(sought, _)| sought);
        hosts.chain(&self.seeking).any(|sought| sought.request == request)
    }

    /// Somebody says that it answers for a key, or nobody does. Where that can hardly be, some node on the way lies, and the
    /// key is looked up once more on many ways.
    pub(super) fn on_sought(&mut self, request: u32, root: Option<Peer>, now: Moment) {
        let asked = self.hosts.iter().position(|(sought, _)| sought.request == request);
        let asked = asked.map(|at| self.hosts.swap_remove(at));
        let Some(sought) = asked.map(|(sought, _)| sought).or_else(|| self.seeking.take()) else { return };
        let is_good = |root: Peer| self.ring.may_answer_for(sought.key, root.position);
        if !sought.careful
            && !root.is_some_and(is_good)
            && let Some(again) = self.look_for(sought.key, true, now)
        {
            match asked {
                Some((_, number)) => self.hosts.push((again, number)),
                None => self.seeking = Some(again),
            }
            return;
        }
        match asked {
            Some((_, number)) => self.asks.on_host(number, root),
            None => self.somo.on_parent(sought.key, root, self.ring.me(), now),
        }
    }
}
