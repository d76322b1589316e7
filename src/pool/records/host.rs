//! The part of those who keep records: answers, copies, and comparisons between hosts.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Records;
use super::message::{Answer, ENTRIES_MAX, HEIRS_MAX, PutOutcome, RecordMessage};
use super::record::{Record, Stamp};
use super::store::Refusal;
use crate::identity::Position;
use crate::pool::moment::Moment;
use crate::pool::peer::Peer;

/// Comparisons after a change: the first at once, the second in case that messages were lost.
const COMPARE_SOON: u8 = 2;
/// Between the two.
const COMPARE_AGAIN: Duration = Duration::from_secs(4);
/// A node that is so many places too far from a key still keeps its record: it may be needed again soon.
const SLACK: usize = 3;

impl Records {
    // Answers.

    pub(super) fn on_get(&mut self, from: Peer, request: u32, key: Position, copy: bool, now: Moment) {
        let now_s = self.unix_s(now);
        let kept = self.store.get(key).filter(|record| !record.is_over(now_s));
        let answer = match kept {
            _ if !copy && !self.answers_for(key) => Answer::Elsewhere,
            Some(record) => Answer::Record(record.clone()),
            // Who has come to answer for the key a moment ago may not have heard of it; its heirs may.
            None if !copy => Answer::None(self.other_hosts(key)),
            None => Answer::None(Vec::new()),
        };
        self.send(from, RecordMessage::Got { request, answer });
    }

    pub(super) fn on_put(&mut self, from: Peer, request: u32, record: Record, now: Moment) {
        let key = record.key();
        let outcome = if from.position != self.me.position && !self.puts.spend(from.position, now) {
            self.refusals.count(Refusal::Budget);
            PutOutcome::Refused
        } else if self.rank(key) >= self.config.copies {
            self.refusals.count(Refusal::Elsewhere);
            PutOutcome::Elsewhere
        } else if self.store.get(key) == Some(&record) {
            PutOutcome::Kept
        } else if self.keep(record.clone(), now) {
            for host in self.other_hosts(key) {
                self.send(host, RecordMessage::Keep(record.clone()));
            }
            PutOutcome::Kept
        } else {
            PutOutcome::Refused
        };
        self.send(from, RecordMessage::PutDone { request, outcome });
    }

    pub(super) fn on_keep(&mut self, record: Record, now: Moment) {
        if self.rank(record.key()) >= self.config.copies + SLACK {
            self.refusals.count(Refusal::Elsewhere);
        } else if self.store.get(record.key()) != Some(&record) {
            self.keep(record, now);
        }
    }

    fn keep(&mut self, record: Record, now: Moment) -> bool {
        let now_s = self.unix_s(now);
        match self.store.insert(record, now_s) {
            Ok(_) => {
                self.compare_at = self.compare_at.min(now + self.compare_pause());
                true
            }
            Err(reason) => {
                self.refusals.count(reason);
                false
            }
        }
    }

    // Comparisons.

    pub(super) fn compare_soon(&mut self) {
        self.compare_soon = COMPARE_SOON;
    }

    /// Who answers for a key tells the other hosts what they should have; each of these tells it what it should have.
    pub(super) fn compare(&mut self, now: Moment) {
        let now_s = self.unix_s(now);
        let settled = self.compare_soon == 0;
        let places: BTreeMap<Position, usize> =
            self.store.iter().map(|(key, _)| (key, self.rank(key))).collect();
        let too_far = self.config.copies + SLACK;
        self.store.retain(|key, record| {
            let needless = settled && places.get(&key).is_some_and(|rank| *rank >= too_far);
            !record.is_over(now_s) && !needless
        });
        let mut offers: BTreeMap<Position, (Peer, Vec<(Position, Stamp)>)> = BTreeMap::new();
        for (key, record) in self.store.iter() {
            let hosts = self.hosts(key);
            let told = if self.answers_for(key) { hosts.len() } else { 1 };
            for host in hosts.iter().take(told).filter(|host| host.position != self.me.position) {
                let (_, entries) = offers.entry(host.position).or_insert_with(|| (*host, Vec::new()));
                entries.push((key, record.stamp()));
            }
        }
        for (host, entries) in offers.into_values() {
            for some in entries.chunks(ENTRIES_MAX) {
                self.send(host, RecordMessage::Offer(some.to_vec()));
            }
        }
        self.compare_soon = self.compare_soon.saturating_sub(1);
        self.compare_at = match self.compare_soon {
            _ if self.store.is_empty() => Moment::NEVER,
            0 => now + self.compare_pause(),
            _ => now + COMPARE_AGAIN,
        };
    }

    pub(super) fn on_offer(&mut self, from: Peer, entries: &[(Position, Stamp)], now: Moment) {
        if !self.is_near(from) {
            return;
        }
        let now_s = self.unix_s(now);
        let mut wanted = Vec::new();
        for (key, stamp) in entries {
            let kept = self.store.get(*key).filter(|record| !record.is_over(now_s));
            match kept {
                Some(record) if record.stamp() > *stamp => {
                    let newer = record.clone();
                    self.send(from, RecordMessage::Keep(newer));
                }
                Some(record) if record.stamp() == *stamp => {}
                _ if self.rank(*key) < self.config.copies => wanted.push(*key),
                _ => {}
            }
        }
        if !wanted.is_empty() {
            self.send(from, RecordMessage::Want(wanted));
        }
    }

    pub(super) fn on_want(&mut self, from: Peer, keys: &[Position], now: Moment) {
        if !self.is_near(from) {
            return;
        }
        let now_s = self.unix_s(now);
        for key in keys {
            if let Some(record) = self.store.get(*key).filter(|record| !record.is_over(now_s)) {
                let record = record.clone();
                self.send(from, RecordMessage::Keep(record));
            }
        }
    }

    // Who keeps what.

    /// The nodes that keep the record of a key, as far as this one sees; the one that answers for it first.
    fn hosts(&self, key: Position) -> Vec<Peer> {
        let mut hosts: Vec<Peer> = self.near.iter().copied().chain([self.me]).collect();
        hosts.sort_unstable_by_key(|peer| key.way_to(peer.position));
        hosts.dedup_by_key(|peer| peer.position);
        hosts.truncate(self.config.copies);
        hosts
    }

    fn other_hosts(&self, key: Position) -> Vec<Peer> {
        let mut hosts = self.hosts(key);
        hosts.retain(|host| host.position != self.me.position);
        hosts.truncate(HEIRS_MAX);
        hosts
    }

    /// How many nodes come before this one among those that keep the record of a key.
    fn rank(&self, key: Position) -> usize {
        let way = key.way_to(self.me.position);
        self.near.iter().filter(|peer| key.way_to(peer.position) < way).count()
    }

    fn answers_for(&self, key: Position) -> bool {
        self.zone.is_some_and(|zone| zone.contains(key))
    }

    fn is_near(&self, peer: Peer) -> bool {
        peer.position == self.me.position || self.near.iter().any(|near| near.position == peer.position)
    }

    /// The nodes that share records with this one.
    pub(super) fn heirs_and_predecessors(&self) -> Vec<Position> {
        let here = self.me.position;
        let mut near: Vec<Position> = self.near.iter().map(|peer| peer.position).collect();
        near.sort_unstable_by_key(|position| here.way_to(*position));
        let each = self.config.copies.saturating_sub(1);
        if near.len() > 2 * each {
            near.drain(each..near.len() - each);
        }
        near
    }

    fn compare_pause(&self) -> Duration {
        self.config.compare.mul_f64(0.9 + 0.2 * self.phase)
    }
}
