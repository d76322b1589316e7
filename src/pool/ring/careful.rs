//! A lookup for pools in which some nodes lie: many ways to one key, in groups side by side, no node on two of them, each
//! node asked by the origin itself.
//!
//! What a liar can do is limited: a position is hashed from a key that the transport proves, and only who answers counts.
//! So nobody can stand nearer to a key than it is; it can only hide those who are. Of all nodes that answered on all ways
//! the nearest counts, and one honest neighbour of the key on one way is enough to name it. Liars name each other and are
//! farther apart than nodes are: when the nodes found around the key are sparser than those around the origin, more ways
//! are tried (the routing failure test of Castro, Druschel, Ganesh, Rowstron, Wallach, "Secure routing for structured
//! peer-to-peer overlay networks", OSDI 2002).
//!
//! Left out: one who makes keys until many lie near one position. Only a price on identities would stop that.

use std::collections::BTreeMap;
use std::time::Duration;

use super::forward::{Lookup, Way, apart};
use super::message::{PEERS_MAX, RingMessage};
use super::{Event, RingNode};
use crate::identity::Position;
use crate::pool::moment::Moment;
use crate::pool::peer::Peer;

/// A careful lookup under way.
#[derive(Debug)]
pub(super) struct Survey {
    key: Position,
    ways: Vec<Trail>,
    /// Where further ways begin, the next one last.
    beginnings: Vec<Peer>,
    asked: BTreeMap<Position, Asked>,
    /// Who has answered, and whether it says that it is the one.
    live: Vec<(Peer, bool)>,
    /// When the nearest are asked once more, and how often they were.
    again_at: Option<Moment>,
    agains: u8,
    /// Silent ones nearer to the key than any that answered: they are asked once more before they count as dead.
    doubted: Option<Vec<Peer>>,
    /// It is the origin's own position: it joins.
    joining: bool,
}

/// One of the ways.
#[derive(Debug)]
struct Trail {
    /// Nodes named on it, the nearest to the key first.
    known: Vec<Peer>,
    asked: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Asked {
    /// On which way, and how long an answer is waited for.
    Waiting(usize, Moment),
    Silent,
    Answered,
}

/// Ways that begin together, and then again for as long as what is found is too sparse. When a quarter of all lie, one of
/// four nodes in a row does on 1 - 0.75^4 = 68 % of all ways: on all of 8 in 0.68^8 = 5 % of all lookups, on all of 24 in
/// 0.68^24 = 0.01 %.
const WAYS: usize = 8;
const WAYS_MAX: usize = 24;
/// Nodes on each side of the key that must have been asked before a way is at its end.
const SIDE: usize = 4;
/// Nodes that one way asks.
const ASKED_MAX: u8 = 20;
/// Nodes that one way keeps in mind.
const KNOWN_MAX: usize = 32;
/// How long a node may take to answer, and how long one near the key that was silent once.
const STEP_WITHIN: Duration = Duration::from_millis(800);
const DOUBTED_WITHIN: Duration = Duration::from_secs(3);
/// Nodes around the key may be so many times as far apart as those around the origin. Liars that are a quarter of all are
/// four times as far apart and pass in one of 40 cases, honest nodes fail in one of eight (a test draws them).
const SPARSE: f64 = 1.6;
/// Neighbours may need some time to agree which of them it is.
const AGAIN: Duration = Duration::from_secs(1);
const AGAINS: u8 = 4;

impl RingNode {
    /// As [`lookup`](Self::lookup), on many ways: right even when many nodes lie, for some forty times the messages.
    pub fn lookup_carefully(&mut self, key: Position, now: Moment) -> Option<u32> {
        let known: Vec<Peer> = self.peers().collect();
        self.begin_survey(key, known, false, now)
    }

    /// As a careful lookup of the own position, from nodes that are known somehow; what it finds welcomes this one.
    pub(super) fn join_carefully(&mut self, known: &[Peer], now: Moment) {
        let joins = |lookup: &Lookup| matches!(&lookup.way, Way::Careful(survey) if survey.joining);
        if !self.lookups.iter().any(joins) {
            self.begin_survey(self.me.position, known.to_vec(), true, now);
        }
    }

    fn begin_survey(
        &mut self,
        key: Position,
        mut beginnings: Vec<Peer>,
        joining: bool,
        now: Moment,
    ) -> Option<u32> {
        beginnings.sort_unstable_by_key(|peer| std::cmp::Reverse((apart(peer.position, key), peer.position)));
        beginnings.dedup_by_key(|peer| peer.position);
        let survey = Survey {
            key,
            ways: Vec::new(),
            beginnings,
            asked: BTreeMap::new(),
            live: Vec::new(),
            again_at: None,
            agains: 0,
            doubted: None,
            joining,
        };
        let request = self.begin_lookup(key, Way::Careful(Box::new(survey)), now)?;
        self.survey(request, now, |_, _| {});
        self.wake = self.next_wake();
        Some(request)
    }

    pub(super) fn on_survey_steps(
        &mut self,
        from: Peer,
        request: u32,
        root: bool,
        peers: &[Peer],
        now: Moment,
    ) {
        let me = self.me.position;
        self.survey(request, now, |survey, _| survey.on_answer(from, root, peers, me));
    }

    /// Nodes did not answer in time, or it is time to ask again.
    pub(super) fn on_survey_late(&mut self, request: u32, now: Moment) {
        self.survey(request, now, Survey::on_late);
    }

    /// Changes a survey and does what follows from it.
    fn survey(&mut self, request: u32, now: Moment, change: impl FnOnce(&mut Survey, Moment)) {
        let Some(at) = self.lookups.iter().position(|lookup| lookup.request == request) else { return };
        let Way::Careful(mut survey) = std::mem::replace(&mut self.lookups[at].way, Way::Passed) else {
            return;
        };
        change(&mut survey, now);
        let key = survey.key;
        let mut questions = survey.go_on(now);
        let mut ended = None;
        while questions.is_empty() && !survey.is_waiting() {
            if !self.is_sparse(&survey) || !survey.begin_ways() {
                ended = self.conclude(&mut survey, now);
                break;
            }
            questions = survey.go_on(now);
        }
        for to in questions {
            self.send(to, RingMessage::Step { request, key }, now);
        }
        let Some(roots) = ended else {
            self.lookups[at].deadline = survey.deadline();
            self.lookups[at].way = Way::Careful(survey);
            return;
        };
        self.lookups.swap_remove(at);
        if survey.joining {
            if self.is_seeking() && !roots.is_empty() {
                self.on_welcome(&roots, now);
            }
            return;
        }
        match roots.split_first() {
            Some((root, heirs)) => {
                let hops = survey.asked.len().min(u8::MAX.into()) as u8;
                if root.position == self.me.position {
                    let (origin, hops) = (self.me, 0);
                    self.events.push_back(Event::Delivered { key, origin, request, hops });
                }
                self.events.push_back(Event::Found { request, root: *root, hops, heirs: heirs.to_vec() });
            }
            None => self.events.push_back(Event::LookupFailed { request }),
        }
    }

    /// The node that answers for the key and those after it; nobody: the lookup has failed. Nothing: it goes on.
    fn conclude(&self, survey: &mut Survey, now: Moment) -> Option<Vec<Peer>> {
        let key = survey.key;
        if survey.doubt(now) {
            return None;
        }
        if survey.joining {
            return Some(survey.around());
        }
        if survey.live.is_empty() && self.leaves.len() > 0 {
            return Some(Vec::new());
        }
        let here = self.zone().is_some_and(|zone| zone.contains(key));
        let mut live: Vec<(Peer, bool)> = survey.live.iter().copied().chain([(self.me, here)]).collect();
        live.sort_unstable_by_key(|(peer, _)| key.way_to(peer.position));
        if live[0].1 || survey.agains >= AGAINS {
            return Some(live.into_iter().map(|(peer, _)| peer).take(2 * SIDE).collect());
        }
        // It may be about to join, or not know yet that it inherits. A liar that denies it gains nothing but a pause.
        survey.agains += 1;
        survey.again_at = Some(now + AGAIN);
        None
    }

    /// True when nodes around the key are farther apart than those around here. In a ring that is known whole, nothing is.
    fn is_sparse(&self, survey: &Survey) -> bool {
        let [Some(left), Some(right)] = self.leaves.ends().map(|end| end.map(|leaf| leaf.peer.position))
        else {
            return false;
        };
        if self.covers(survey.key) {
            return false;
        }
        let here = left.way_to(right) as f64 / self.leaves.len() as f64;
        survey.spacing().is_none_or(|there| there > here * SPARSE)
    }
}

impl Survey {
    fn on_answer(&mut self, from: Peer, root: bool, peers: &[Peer], me: Position) {
        // Only who was asked may answer, once.
        let Some(Asked::Waiting(way, _)) = self.asked.get(&from.position).copied() else { return };
        self.asked.insert(from.position, Asked::Answered);
        self.live.retain(|(peer, _)| peer.position != from.position);
        self.live.push((from, root));
        if let Some(trail) = self.ways.get_mut(way) {
            trail.learn(peers.iter().filter(|peer| peer.position != me), self.key);
        }
    }

    fn on_late(&mut self, now: Moment) {
        for state in self.asked.values_mut() {
            if matches!(state, Asked::Waiting(_, until) if *until <= now) {
                *state = Asked::Silent;
            }
        }
        let asked = &self.asked;
        self.live.retain(|(peer, _)| asked.get(&peer.position) != Some(&Asked::Silent));
    }

    /// Whom to ask now.
    fn go_on(&mut self, now: Moment) -> Vec<Peer> {
        if let Some(at) = self.again_at {
            if at > now {
                return Vec::new();
            }
            self.again_at = None;
            return match self.doubted.as_mut().map(std::mem::take) {
                Some(doubted) if !doubted.is_empty() => self.ask_again(doubted, DOUBTED_WITHIN, now),
                _ => self.ask_nearest_again(now),
            };
        }
        if self.ways.is_empty() {
            self.begin_ways();
        }
        let mut questions = Vec::new();
        for way in 0..self.ways.len() {
            let waits = |state: &Asked| matches!(state, Asked::Waiting(of, _) if *of == way);
            if self.asked.values().any(waits) {
                continue;
            }
            if let Some(next) = self.ways[way].next(self.key, &self.asked) {
                self.ways[way].asked += 1;
                self.asked.insert(next.position, Asked::Waiting(way, now + STEP_WITHIN));
                questions.push(next);
            }
        }
        questions
    }

    fn ask_nearest_again(&mut self, now: Moment) -> Vec<Peer> {
        self.live.sort_unstable_by_key(|(peer, _)| self.key.way_to(peer.position));
        let nearest: Vec<Peer> = self.live.iter().take(2).map(|(peer, _)| *peer).collect();
        self.ask_again(nearest, STEP_WITHIN, now)
    }

    fn ask_again(&mut self, peers: Vec<Peer>, within: Duration, now: Moment) -> Vec<Peer> {
        for peer in &peers {
            self.asked.insert(peer.position, Asked::Waiting(0, now + within));
        }
        peers
    }

    /// True when somebody who did not answer stands nearer to the key than all who did: it may only be far away, or a message
    /// was lost. It happens once.
    fn doubt(&mut self, now: Moment) -> bool {
        if self.doubted.is_some() {
            return false;
        }
        let nearest = self.live.iter().map(|(peer, _)| self.key.way_to(peer.position)).min();
        let known = self.ways.iter().flat_map(|trail| &trail.known);
        let mut silent: Vec<Peer> = known
            .filter(|peer| self.asked.get(&peer.position) == Some(&Asked::Silent))
            .filter(|peer| nearest.is_none_or(|nearest| self.key.way_to(peer.position) < nearest))
            .copied()
            .collect();
        silent.sort_unstable_by_key(|peer| self.key.way_to(peer.position));
        silent.dedup_by_key(|peer| peer.position);
        silent.truncate(SIDE);
        let doubts = !silent.is_empty();
        self.doubted = Some(silent);
        self.again_at = doubts.then_some(now);
        doubts
    }

    /// The nearest on both sides of the key that have answered.
    fn around(&self) -> Vec<Peer> {
        let mut live: Vec<Peer> = self.live.iter().map(|(peer, _)| *peer).collect();
        live.sort_unstable_by_key(|peer| (apart(peer.position, self.key), peer.position));
        live.truncate(PEERS_MAX);
        live
    }

    /// Some more ways. False when there are enough, or nowhere to begin.
    fn begin_ways(&mut self) -> bool {
        let before = self.ways.len();
        while self.ways.len() < (before + WAYS).min(WAYS_MAX)
            && let Some(beginning) = self.beginnings.pop()
        {
            if !self.asked.contains_key(&beginning.position) {
                self.ways.push(Trail { known: vec![beginning], asked: 0 });
            }
        }
        self.ways.len() > before
    }

    fn is_waiting(&self) -> bool {
        self.again_at.is_some() || self.asked.values().any(|state| matches!(state, Asked::Waiting(..)))
    }

    fn deadline(&self) -> Moment {
        let waiting = self.asked.values().filter_map(|state| match state {
            Asked::Waiting(_, until) => Some(*until),
            Asked::Silent | Asked::Answered => None,
        });
        waiting.chain(self.again_at).fold(Moment::NEVER, Moment::min)
    }

    /// How far the nodes around the key that have answered are apart; nothing if they are too few to tell.
    fn spacing(&self) -> Option<f64> {
        let nth = |mut ways: Vec<u128>| {
            ways.sort_unstable();
            ways.get(SIDE - 1).map(|way| *way as f64)
        };
        let positions = || self.live.iter().map(|(peer, _)| peer.position);
        let after = nth(positions().map(|position| self.key.way_to(position)).collect())?;
        let before = nth(positions().map(|position| position.way_to(self.key)).collect())?;
        Some((after + before) / (2 * SIDE) as f64)
    }
}

impl Trail {
    fn learn<'a>(&mut self, peers: impl Iterator<Item = &'a Peer>, key: Position) {
        let way = |position: Position| (apart(position, key), position);
        for peer in peers {
            let found = self.known.binary_search_by_key(&way(peer.position), |known| way(known.position));
            if let Err(at) = found {
                self.known.insert(at, *peer);
            }
        }
        self.known.truncate(KNOWN_MAX);
    }

    /// The nearest that nobody has asked, of those near enough: no more of them than belong around the key.
    fn next(&self, key: Position, asked: &BTreeMap<Position, Asked>) -> Option<Peer> {
        if self.asked >= ASKED_MAX {
            return None;
        }
        let (mut after, mut before) = (0, 0);
        let heard_of = self.known.iter().filter(|peer| asked.get(&peer.position) != Some(&Asked::Silent));
        heard_of
            .filter(|peer| {
                let is_after = key.way_to(peer.position) <= peer.position.way_to(key);
                let side = if is_after { &mut after } else { &mut before };
                *side += 1;
                *side <= SIDE
            })
            .find(|peer| !asked.contains_key(&peer.position))
            .copied()
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    #[test]
    fn liars_are_sparser_than_honest_nodes_and_one_in_eight_honest_places_looks_like_theirs() {
        let random = &mut StdRng::seed_from_u64(3);
        // Ways between neighbours of a ring are exponential.
        let mut spacing = |nodes: usize| {
            let way = |_| -(1.0 - random.random::<f64>()).ln();
            (0..nodes).map(way).sum::<f64>() / nodes as f64
        };
        let cases = 4_000_u32;
        let (mut honest, mut liars) = (0, 0);
        for _ in 0..cases {
            // Sixteen leaves here; four on each side there.
            let here = spacing(16) * SPARSE;
            honest += usize::from(spacing(2 * SIDE) > here);
            liars += usize::from(4.0 * spacing(2 * SIDE) <= here);
        }
        let [honest, liars] = [honest, liars].map(|count| count as f64 / f64::from(cases));
        assert!((0.10..0.15).contains(&honest), "{honest}");
        assert!((0.015..0.035).contains(&liars), "{liars}");
    }
}
