//! Questions about helpers that are put to several nodes. Whoever acts as SOMO's root could name its friends alone, and nobody
//! could tell: so the hosts of some regions, drawn by lot and found on other ways, are asked beside it, and the asker takes from
//! each what could be true. As long as one of them is honest, honest helpers are among those named; whether a helper is one
//! shows when it is asked for a reservation.
//!
//! The price is as many lookups, questions and answers more for every query as regions are asked.

use std::collections::BTreeSet;
use std::time::Duration;

use super::moment::Moment;
use super::peer::Peer;
use super::somo::{Answer, Fanout, Helper, HelperQuery, Region};
use crate::identity::Position;

/// An answer, and whose it is.
pub(super) type Answered = Option<(Peer, Box<Answer>)>;

/// Questions that wait for several answers.
#[derive(Debug, Default)]
pub(super) struct Polls(Vec<Poll>);

#[derive(Debug)]
struct Poll {
    /// The number of the question to the root: that of the whole.
    number: u32,
    query: HelperQuery,
    fanout: Fanout,
    /// Who has yet to answer: the question's number, and what it is about.
    missing: Vec<(u32, Region)>,
    root: Answered,
    regions: Vec<(Peer, Box<Answer>)>,
    until: Moment,
}

/// Regions that are asked beside the root, by lot; of level 1, so that each knows enough.
pub(super) const REGIONS: usize = 2;
pub(super) const LEVEL: u8 = 1;
/// One that has answered may be the one that lies: another is waited for so long. With a second one, the rest is a bonus.
const SECOND_WITHIN: Duration = Duration::from_millis(2_000);
const OTHERS_WITHIN: Duration = Duration::from_millis(500);

impl Polls {
    /// A question has been put to the root by `number`, and to regions by numbers of their own.
    pub(super) fn open(
        &mut self,
        number: u32,
        query: HelperQuery,
        fanout: Fanout,
        regions: Vec<(u32, Region)>,
    ) {
        let missing = [(number, Region::WHOLE)].into_iter().chain(regions).collect();
        let (root, regions, until) = (None, Vec::new(), Moment::NEVER);
        self.0.push(Poll { number, query, fanout, missing, root, regions, until });
    }

    /// A question has been answered, or nobody answers it: what is to be told of it by now, under which number.
    pub(super) fn on_answered(
        &mut self,
        number: u32,
        answer: Answered,
        now: Moment,
    ) -> Option<(u32, Answered)> {
        let of = |poll: &Poll| poll.missing.iter().position(|(missing, _)| *missing == number);
        let Some((at, part)) = self.0.iter().enumerate().find_map(|(at, poll)| Some((at, of(poll)?))) else {
            return Some((number, answer));
        };
        let poll = &mut self.0[at];
        let (_, region) = poll.missing.swap_remove(part);
        if let Some(answer) = answer {
            let is_first = poll.root.is_none() && poll.regions.is_empty();
            let within = if is_first { SECOND_WITHIN } else { OTHERS_WITHIN };
            poll.until = poll.until.min(now + within);
            match region {
                Region::WHOLE => poll.root = Some(answer),
                _ => poll.regions.push(poll.credible(region, answer)),
            }
        }
        poll.missing.is_empty().then(|| self.0.swap_remove(at).result())
    }

    pub(super) fn poll_timeout(&self) -> Moment {
        self.0.iter().map(|poll| poll.until).fold(Moment::NEVER, Moment::min)
    }

    /// Those that have waited long enough.
    pub(super) fn on_timeout(&mut self, now: Moment) -> Vec<(u32, Answered)> {
        self.0.extract_if(.., |poll| poll.until <= now).map(Poll::result).collect()
    }
}

impl Poll {
    /// Of a region's answer what the region may know.
    fn credible(&self, region: Region, (from, mut answer): (Peer, Box<Answer>)) -> (Peer, Box<Answer>) {
        if let Answer::Helpers { helpers, .. } = answer.as_mut() {
            helpers.retain(|helper| region.may_name(self.fanout, helper.peer.position));
        }
        (from, answer)
    }

    /// What has come, as one answer. The root's numbers are kept; where it is silent, a region speaks for its like.
    fn result(self) -> (u32, Answered) {
        let helpers = self.helpers();
        let like_it = self.fanout.children().try_into().unwrap_or(u32::MAX);
        let one = self.root.map(|root| (root, 1));
        let one = one.or_else(|| self.regions.into_iter().next().map(|region| (region, like_it)));
        let answer = one.map(|((from, answer), times)| match *answer {
            Answer::Helpers { nodes, age_ms, kept, .. } => {
                let nodes = nodes.saturating_mul(times);
                (from, Box::new(Answer::Helpers { nodes, age_ms, helpers, kept }))
            }
            report @ Answer::Report(_) => (from, Box::new(report)),
        });
        (self.number, answer)
    }

    /// Helpers that will do, from all answers in turn, the root's every other time: no answer can crowd the others out.
    fn helpers(&self) -> Vec<Helper> {
        let named = |answer: &Answer| match answer {
            Answer::Helpers { helpers, .. } => helpers.clone(),
            Answer::Report(_) => Vec::new(),
        };
        let root = self.root.as_ref().map(|(_, answer)| named(answer)).unwrap_or_default();
        let mut lists = vec![root.into_iter()];
        lists.extend(self.regions.iter().map(|(_, answer)| named(answer).into_iter()));
        let mut seen: BTreeSet<Position> = BTreeSet::new();
        let mut helpers = Vec::new();
        let others = lists.len().max(2) - 1;
        for turn in 0.. {
            let list = if turn % 2 == 0 { 0 } else { 1 + turn / 2 % others };
            let next = lists.get_mut(list).and_then(|list| {
                list.find(|helper| self.query.is_met_by(helper) && seen.insert(helper.peer.position))
            });
            helpers.extend(next);
            let over = next.is_none() && lists.iter().all(|list| list.as_slice().is_empty());
            if over || helpers.len() >= usize::from(self.query.most) {
                break;
            }
        }
        helpers.truncate(self.query.most.into());
        helpers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::NodeId;
    use crate::pool::somo::Offer;

    fn helper(position: u128, free: u8) -> Helper {
        let peer = Peer::new(NodeId([7; 32]), ([10, 0, 0, 1], 1).into());
        let peer = Peer { position: Position(position << 64), ..peer };
        Helper { peer, offer: Offer { lends: true, free: [free; 3], ..Offer::default() } }
    }

    fn answer(nodes: u32, helpers: Vec<Helper>) -> Answered {
        Some((
            helper(nodes.into(), 0).peer,
            Box::new(Answer::Helpers { nodes, age_ms: 5, helpers, kept: false }),
        ))
    }

    fn polls(most: u8) -> Polls {
        let (near, of) = (Vec::new(), Vec::new());
        let query = HelperQuery { near, within_ms: u16::MAX, degree: 2, priority: 3, most, of };
        let mut polls = Polls::default();
        let regions = [0, 4].map(|index| (10 + index as u32, Region { level: LEVEL, index }));
        polls.open(7, query, Fanout::default(), regions.into());
        polls
    }

    fn named(told: Option<(u32, Answered)>) -> (u32, Vec<u128>) {
        let Some((7, Some((_, answer)))) = told else { panic!("{told:?}") };
        let Answer::Helpers { nodes, helpers, .. } = *answer else { panic!("{answer:?}") };
        (nodes, helpers.iter().map(|helper| helper.peer.position.0 >> 64).collect())
    }

    /// Of the first eighth of the space, and of the fifth.
    const FIRST: u128 = 1 << 59;
    const FIFTH: u128 = (1 << 63) | FIRST;

    #[test]
    fn who_lies_as_the_root_does_not_hide_what_others_know() {
        let at = Moment::from_micros;
        let mut polls = polls(5);
        let friends = (1..=9).map(|i| helper(i, 255)).collect();
        assert_eq!(polls.on_answered(99, None, at(0)), Some((99, None)), "no part of it");
        assert_eq!(polls.on_answered(7, answer(300, friends), at(0)), None);
        assert_eq!(polls.poll_timeout(), at(0) + SECOND_WITHIN);
        let first = vec![helper(FIRST, 9), helper(1, 9), helper(FIRST + 1, 1), helper(FIFTH + 8, 9)];
        assert_eq!(polls.on_answered(10, answer(30, first), at(0)), None);
        assert_eq!(polls.poll_timeout(), at(0) + OTHERS_WITHIN);
        let told = polls.on_answered(14, answer(30, vec![helper(FIFTH, 9), helper(FIFTH + 1, 9)]), at(0));
        // Each once, nobody who has too little to give, nobody from elsewhere.
        assert_eq!(named(told), (300, vec![1, FIRST, 2, FIFTH, 3]));
        assert_eq!(polls.poll_timeout(), Moment::NEVER);
    }

    #[test]
    fn one_answer_is_enough_after_a_while() {
        let at = Moment::from_micros;
        let mut polls = polls(9);
        assert_eq!(polls.on_answered(10, None, at(0)), None);
        assert_eq!(polls.poll_timeout(), Moment::NEVER, "nobody has answered");
        assert_eq!(polls.on_answered(14, answer(30, vec![helper(FIFTH, 9)]), at(50)), None);
        assert_eq!(polls.poll_timeout(), at(50) + SECOND_WITHIN);
        assert!(polls.on_timeout(at(60)).is_empty());
        let told = polls.on_timeout(at(50) + SECOND_WITHIN).pop();
        assert_eq!(named(told), (240, vec![FIFTH]), "an eighth of the space speaks for all");
        assert_eq!(polls.on_answered(7, None, at(70)), Some((7, None)), "it comes too late");
    }
}
