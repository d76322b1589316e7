//! The part of those who use objects: `set_ref`, `deref` and `delete` (the patent, [0036] and [0037]). A reference has a
//! key and, softly, the last known host: it is asked directly, and only if it is silent or no longer the one, the key is
//! looked up. Each answer brings the host that was right.

use std::sync::Arc;
use std::time::Duration;

use super::message::{Answer, PutOutcome, RecordMessage};
use super::record::{Claim, LIFETIME_MAX, NAME_MAX, PAYLOAD_MAX, Record, key_of};
use super::store::Refusal;
use super::{Action, Event, Records};
use crate::identity::{Identity, Position};
use crate::pool::moment::Moment;
use crate::pool::peer::Peer;

/// Refers to an object.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reference {
    /// Its key.
    pub key: Position,
    /// The last known host, soft state.
    pub host: Option<Peer>,
}

/// An object to be kept.
#[derive(Clone, Debug)]
pub struct Object {
    /// Whose it is: a machine's key, or a session's.
    pub owner: Arc<Identity>,
    /// Which of the owner's; at most [`NAME_MAX`] bytes.
    pub name: Vec<u8>,
    /// What it says; at most [`PAYLOAD_MAX`] bytes.
    pub payload: Vec<u8>,
    /// How long it stays when its owner is gone; at most [`LIFETIME_MAX`].
    pub lifetime: Duration,
}

/// An object of this node's.
#[derive(Debug)]
pub(super) struct Owned {
    owner: Arc<Identity>,
    name: Vec<u8>,
    /// Nothing: it is to be deleted.
    payload: Option<Vec<u8>>,
    version: u64,
    lifetime: Duration,
    host: Option<Peer>,
    pub(super) refresh_at: Moment,
}

/// Something that is being read or written.
#[derive(Debug)]
pub(super) struct Ask {
    ticket: u32,
    key: Position,
    /// What is written; nothing: it is read.
    record: Option<Record>,
    /// Nobody above waits for it.
    quiet: bool,
    step: Step,
    pub(super) deadline: Moment,
    tries: u8,
    /// Hosts that are still to be asked, the next one last.
    hosts: Vec<Peer>,
    asked: Vec<Position>,
    /// Hosts that have given or taken the record.
    answers: usize,
    /// At least one host has said that it has none.
    none: bool,
    best: Option<Record>,
    /// Who answers for the key.
    root: Option<Peer>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    /// The last known host has been asked.
    Direct(Position),
    /// The ring is looking.
    LookingUp,
    /// A host has been asked.
    Asking(Position),
    /// Until it is tried again.
    Waiting,
}

/// Objects of this node's own.
const OWN_MAX: usize = 64;
/// Readings and writings at once.
const ASKS_MAX: usize = 128;
/// Hosts that one of them asks.
const ASKED_MAX: usize = 12;
/// Lookups for one of them.
const TRIES: u8 = 4;
/// How long a host may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_200);
/// Longer than any lookup takes, which ends by itself.
const LOOKUP_WITHIN: Duration = Duration::from_secs(90);
/// Between two lookups of one key.
const PAUSE: Duration = Duration::from_secs(1);
/// An object that could not be written is tried again after this time.
const REFRESH_FAILED: Duration = Duration::from_secs(10);
/// An object is signed anew when between 0.35 and 0.45 of its lifetime are over, before half of it is.
const REFRESH: f64 = 0.35;
/// See `REFRESH`.
const REFRESH_SPREAD: f64 = 0.1;
/// Shorter lifetimes would be nothing but traffic.
const LIFETIME_MIN: Duration = Duration::from_secs(60);

impl Records {
    /// Makes or replaces an object of this node's and refers to it: [`Event::Referenced`] brings the reference, and the
    /// object is kept alive until it is deleted. Where the host is known, it is asked directly.
    ///
    /// # Errors
    /// When it is too large, or too much is under way.
    pub fn set_ref(&mut self, object: Object, host: Option<Peer>, now: Moment) -> Result<u32, Refusal> {
        let Object { owner, name, payload, lifetime } = object;
        if name.len() > NAME_MAX || payload.len() > PAYLOAD_MAX {
            return Err(Refusal::Oversized);
        }
        let key = key_of(&owner.node_id(), &name);
        let known = self.own.get(&key);
        if self.asks.len() >= ASKS_MAX || known.is_none() && self.own.len() >= OWN_MAX {
            return Err(Refusal::Full);
        }
        let host = host.or(known.and_then(|known| known.host));
        // An owner that has forgotten its last version has a clock.
        let version = known.map_or(0, |known| known.version + 1).max(self.unix_s(now) << VERSION_BITS);
        let lifetime = lifetime.clamp(LIFETIME_MIN, LIFETIME_MAX);
        let payload = Some(payload);
        let refresh_at = now;
        self.own.insert(key, Owned { owner, name, payload, version, lifetime, host, refresh_at });
        self.write(key, false, now).ok_or(Refusal::Full)
    }

    /// Reads what a reference refers to: [`Event::Dereferenced`] brings it, with the reference as it is now. Nothing if
    /// too much is under way.
    pub fn deref(&mut self, reference: Reference, now: Moment) -> Option<u32> {
        let ticket = self.ask(reference, None, false, now);
        self.talk_to_oneself(now);
        ticket
    }

    /// Deletes an object of this node's: a version without content takes its place until no older one counts any more.
    /// Nothing if it is not this node's, or too much is under way.
    pub fn delete(&mut self, key: Position, now: Moment) -> Option<u32> {
        let owned = self.own.get_mut(&key)?;
        owned.payload = None;
        owned.version += 1;
        owned.lifetime = LIFETIME_MAX;
        self.write(key, false, now)
    }

    /// Has a record of somebody's kept who is not on the ring. False if it is none, or too much is under way.
    pub fn put(&mut self, record: Record, now: Moment) -> bool {
        let key = record.key();
        let good = record.is_bounded() && record.check(self.unix_s(now)).is_ok();
        let taken = good && self.ask(Reference { key, host: None }, Some(record), true, now).is_some();
        self.talk_to_oneself(now);
        taken
    }

    /// Objects of this node's whose time has come are signed anew.
    pub(super) fn refresh(&mut self, now: Moment) {
        let due = self.own.iter().filter(|(_, owned)| owned.refresh_at <= now);
        for key in due.map(|(key, _)| *key).collect::<Vec<_>>() {
            if self.write(key, true, now).is_none()
                && let Some(owned) = self.own.get_mut(&key)
            {
                owned.refresh_at = now + REFRESH_FAILED;
            }
        }
    }

    fn write(&mut self, key: Position, quiet: bool, now: Moment) -> Option<u32> {
        let (now_s, phase) = (self.unix_s(now), self.phase);
        let owned = self.own.get_mut(&key)?;
        owned.refresh_at = now + owned.lifetime.mul_f64(REFRESH + REFRESH_SPREAD * phase);
        let claim = Claim {
            owner: owned.owner.node_id(),
            name: owned.name.clone(),
            version: owned.version,
            expires_s: now_s.saturating_add(owned.lifetime.as_secs()),
            payload: owned.payload.clone(),
        };
        let (record, host) = (Record::sign(claim, &owned.owner), owned.host);
        let ticket = self.ask(Reference { key, host }, Some(record), quiet, now);
        self.talk_to_oneself(now);
        ticket
    }

    fn ask(&mut self, to: Reference, record: Option<Record>, quiet: bool, now: Moment) -> Option<u32> {
        if self.asks.len() >= ASKS_MAX {
            return None;
        }
        self.tickets = self.tickets.wrapping_add(1);
        let ticket = self.tickets;
        self.asks.push(Ask {
            ticket,
            key: to.key,
            record,
            quiet,
            step: Step::Waiting,
            deadline: now,
            tries: 0,
            hosts: Vec::new(),
            asked: Vec::new(),
            answers: 0,
            none: false,
            best: None,
            root: None,
        });
        match to.host {
            Some(host) => self.ask_host(self.asks.len() - 1, host, true, now),
            None => self.look_up(self.asks.len() - 1, now),
        }
        Some(ticket)
    }

    fn ask_host(&mut self, at: usize, host: Peer, direct: bool, now: Moment) {
        let ask = &mut self.asks[at];
        ask.deadline = now + ANSWER_WITHIN;
        ask.step = if direct { Step::Direct(host.position) } else { Step::Asking(host.position) };
        // The first of them is to answer for the key; of the others copies will do.
        let copy = !direct && !ask.asked.is_empty();
        ask.asked.push(host.position);
        let request = ask.ticket;
        let message = match &ask.record {
            Some(record) => RecordMessage::Put { request, record: record.clone() },
            None => RecordMessage::Get { request, key: ask.key, copy },
        };
        self.send(host, message);
    }

    fn look_up(&mut self, at: usize, now: Moment) {
        let ask = &mut self.asks[at];
        ask.step = Step::LookingUp;
        ask.deadline = now + LOOKUP_WITHIN;
        ask.tries += 1;
        ask.answers = 0;
        ask.asked.clear();
        ask.hosts.clear();
        let (ticket, key) = (ask.ticket, ask.key);
        self.actions.push_back(Action::LookUp { ticket, key });
    }

    pub(super) fn ask_hosts(&mut self, ticket: u32, roots: &[Peer], now: Moment) {
        let looking = |ask: &Ask| ask.ticket == ticket && ask.step == Step::LookingUp;
        let Some(at) = self.asks.iter().position(looking) else { return };
        self.asks[at].hosts = roots.iter().rev().copied().collect();
        self.go_on(at, now);
    }

    pub(super) fn on_got(&mut self, from: Peer, request: u32, answer: Answer, now: Moment) {
        let Some(at) = self.asked(from, request, false) else { return };
        let now_s = self.unix_s(now);
        let ask = &mut self.asks[at];
        match answer {
            Answer::Record(record) if record.key() == ask.key => {
                match record.check(now_s) {
                    Ok(()) => {
                        ask.answers += 1;
                        ask.root = ask.root.or(Some(from));
                        if ask.best.as_ref().is_none_or(|best| record.is_newer_than(best)) {
                            ask.best = Some(record);
                        }
                    }
                    Err(reason) => self.refusals.count(reason),
                }
                self.go_on(at, now);
            }
            Answer::None(heirs) => {
                ask.none = true;
                ask.root = ask.root.or(Some(from));
                let new = |peer: &Peer| {
                    !ask.asked.contains(&peer.position)
                        && !ask.hosts.iter().any(|host| host.position == peer.position)
                };
                let heirs: Vec<Peer> = heirs.into_iter().rev().filter(new).collect();
                ask.hosts.splice(0..0, heirs);
                self.go_on(at, now);
            }
            Answer::Record(_) | Answer::Elsewhere => self.elsewhere(at, now),
        }
    }

    pub(super) fn on_put_done(&mut self, from: Peer, request: u32, outcome: PutOutcome, now: Moment) {
        let Some(at) = self.asked(from, request, true) else { return };
        match outcome {
            PutOutcome::Kept => {
                let ask = &mut self.asks[at];
                ask.answers += 1;
                ask.root = ask.root.or(Some(from));
                self.go_on(at, now);
            }
            PutOutcome::Refused | PutOutcome::Elsewhere => self.elsewhere(at, now),
        }
    }

    /// The ask that waits for an answer of `from`: nobody else's is taken.
    fn asked(&self, from: Peer, request: u32, writes: bool) -> Option<usize> {
        self.asks.iter().position(|ask| {
            let waits = [Step::Direct(from.position), Step::Asking(from.position)].contains(&ask.step);
            ask.ticket == request && ask.record.is_some() == writes && waits
        })
    }

    /// The host that was asked is not the one, or no longer.
    fn elsewhere(&mut self, at: usize, now: Moment) {
        if matches!(self.asks[at].step, Step::Direct(_)) {
            self.look_up(at, now);
        } else {
            self.go_on(at, now);
        }
    }

    /// Asks the next host, or is done, or looks again after a while.
    fn go_on(&mut self, at: usize, now: Moment) {
        let ask = &mut self.asks[at];
        if ask.answers >= self.config.asked {
            self.finish(at);
        } else if let Some(host) = ask.hosts.pop().filter(|_| ask.asked.len() < ASKED_MAX) {
            self.ask_host(at, host, false, now);
        } else if (ask.answers > 0 || ask.none) && ask.tries > 0 {
            self.finish(at);
        } else if ask.answers > 0 || ask.none {
            // A host of old knows of none: the one that answers for the key by now is to say so. Or it is one of several that
            // are to be asked: the others have to be found.
            self.look_up(at, now);
        } else {
            ask.step = Step::Waiting;
            ask.deadline = now + PAUSE;
        }
    }

    pub(super) fn retry(&mut self, now: Moment) {
        let mut at = 0;
        while at < self.asks.len() {
            let ask = &self.asks[at];
            let (ticket, step) = (ask.ticket, ask.step);
            if ask.deadline > now {
                at += 1;
                continue;
            }
            match step {
                Step::Direct(_) => self.look_up(at, now),
                Step::Asking(_) => self.go_on(at, now),
                Step::Waiting if ask.tries < TRIES => self.look_up(at, now),
                Step::Waiting | Step::LookingUp => self.fail(at, now),
            }
            // What is over has left its place to another.
            at += usize::from(self.asks.get(at).is_some_and(|ask| ask.ticket == ticket));
        }
    }

    fn finish(&mut self, at: usize) {
        let Ask { ticket, key, record, quiet, best, root, .. } = self.asks.swap_remove(at);
        let reference = Reference { key, host: root };
        let Some(written) = record else {
            self.events.push_back(Event::Dereferenced(ticket, reference, best));
            return;
        };
        let Some(owned) = self.own.get_mut(&key) else { return };
        owned.host = root;
        let event = if written.payload().is_some() {
            Event::Referenced(ticket, reference)
        } else {
            if owned.version == written.claim().version {
                self.own.remove(&key);
            }
            Event::Deleted(ticket)
        };
        if !quiet || matches!(event, Event::Deleted(_)) {
            self.events.push_back(event);
        }
    }

    fn fail(&mut self, at: usize, now: Moment) {
        let Ask { ticket, key, record, quiet, .. } = self.asks.swap_remove(at);
        if record.is_some()
            && let Some(owned) = self.own.get_mut(&key)
        {
            owned.host = None;
            owned.refresh_at = owned.refresh_at.min(now + REFRESH_FAILED);
        }
        if !quiet {
            self.events.push_back(Event::Failed(ticket));
        }
    }
}

/// Versions begin at the Unix time, this many bits further up: an owner may make so many changes a second.
const VERSION_BITS: u32 = 10;
