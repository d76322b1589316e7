//! A relay dies, and its children find another way without asking anybody.
//!
//! ```text
//! silent for longer than usual -> the backup parent is asked to feed as well   (nothing is given up)
//! it does not answer           -> the nodes above the silent parent are asked, one after the other
//! nobody is left to be asked   -> the task manager is told already now
//! the parent is back           -> the others are told to stop; that was a false alarm
//! silent for a second          -> the parent is dead: the task manager is told, who plans without it
//! ```
//! Until that plan stands, the backup's feed carries the media; nobody but the dead relay's children does anything.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use alm_media::TreeId;

use super::carrier::Carrier;
use super::message::SessionMessage;
use super::watch::{Verdict, Watch};
use super::{Event, Lost, Output};
use crate::identity::{NodeId, SessionId};
use crate::net::{Heard, Watched};

/// See the [module](self).
#[derive(Debug, Default)]
pub struct Repairs {
    watch: Watch,
    wounds: BTreeMap<(SessionId, TreeId), Wound>,
    /// Parents that are missed: when each was last heard and when that was noticed.
    missed: BTreeMap<NodeId, Missed>,
    false_alarms: u64,
    /// Whom the link watches; `None` if it watches nobody.
    watched: Option<Vec<Watched>>,
    outputs: VecDeque<Output>,
    events: VecDeque<Event>,
}

/// A tree whose parent is silent.
#[derive(Debug)]
struct Wound {
    lost: NodeId,
    /// Whom to ask next.
    others: VecDeque<NodeId>,
    asked: Vec<NodeId>,
    /// Who feeds now.
    fed_by: Option<NodeId>,
    /// When to ask the next one, unless somebody feeds by then; when there is none left, to call for the manager.
    next_at: Instant,
    /// Nobody is left to be asked.
    forlorn: bool,
    /// The manager has been told.
    called: bool,
}

#[derive(Debug)]
struct Missed {
    what: Lost,
    last: Instant,
    noticed: Instant,
    repaired: Option<Instant>,
    dead: bool,
    told: bool,
}

/// How long a backup parent may take to feed before another one is asked: a long round trip.
const FEED_PATIENCE: Duration = Duration::from_millis(250);
/// A silence that may last so much longer or shorter than before makes no difference.
const SILENCE_STEP: Duration = Duration::from_millis(4);

impl Repairs {
    /// Something has come from a node.
    pub fn on_traffic(&mut self, from: NodeId, at: Instant) {
        self.watch.on_traffic(from, at);
    }

    /// The link has heard a node.
    pub fn on_heard(&mut self, from: NodeId, heard: &Heard) {
        self.watch.on_heard(from, heard);
    }

    /// The link watches whom [`Output::Watch`] names, and [`handle_timeout`](Self::handle_timeout) is called when they are
    /// silent.
    pub fn rely_on_alerts(&mut self) {
        self.watched = Some(Vec::new());
    }

    /// What this node carries has changed.
    pub fn on_carried(&mut self, carrier: &mut Carrier, now: Instant) {
        self.wounds.retain(|(session, tree), wound| {
            carrier.trees_below(wound.lost).iter().any(|(s, _, t, _)| (s, t) == (session, tree))
        });
        let relays = carrier.dependence().relays;
        self.watch.set(&relays, now);
        self.missed.retain(|node, _| relays.contains(node));
        // A plan that still counts on somebody who is missed.
        for lost in self.missed.keys().copied().collect::<Vec<_>>() {
            self.open_wounds(lost, carrier, now);
        }
        self.keep_watch();
    }

    /// A node cannot be talked to any more.
    pub fn on_lost(&mut self, node: NodeId, carrier: &mut Carrier, now: Instant) {
        for verdict in self.watch.on_lost(node) {
            self.on_verdict(node, verdict, carrier, now);
        }
        self.flush(carrier, now);
        self.keep_watch();
    }

    /// A backup parent feeds this node along these trees. Those of them that nobody fed before. [`on_carried`](Self::on_carried)
    /// is due after it.
    pub fn on_fed(
        &mut self,
        from: NodeId,
        session: SessionId,
        trees: &[u32],
        carrier: &mut Carrier,
        now: Instant,
    ) -> Vec<u32> {
        let mut healed = Vec::new();
        for tree in trees {
            if let Some(wound) = self.wounds.get_mut(&(session, TreeId(*tree)))
                && wound.asked.contains(&from)
            {
                carrier.count_on_feed(session, TreeId(*tree), from);
                if wound.fed_by.is_none() {
                    wound.fed_by = Some(from);
                    healed.push(*tree);
                }
                if let Some(missed) = self.missed.get_mut(&wound.lost) {
                    missed.repaired.get_or_insert(now);
                }
            }
        }
        // Who has no room says so: the next one is asked at once.
        for ((_, tree), wound) in self.wounds.iter_mut().filter(|((of, _), _)| *of == session) {
            if wound.fed_by.is_none() && wound.asked.last() == Some(&from) && !trees.contains(&tree.0) {
                wound.next_at = now;
            }
        }
        self.tell();
        healed
    }

    /// Does what is due. A call too early does no harm.
    pub fn handle_timeout(&mut self, carrier: &mut Carrier, now: Instant) {
        for (node, verdict) in self.watch.handle_timeout(now) {
            self.on_verdict(node, verdict, carrier, now);
        }
        self.flush(carrier, now);
        self.keep_watch();
    }

    /// When to call [`handle_timeout`](Self::handle_timeout).
    #[must_use]
    pub fn poll_timeout(&self) -> Option<Instant> {
        let waiting = self.wounds.values().filter(|wound| wound.fed_by.is_none() && !wound.called);
        waiting.map(|wound| wound.next_at).chain(self.watch.poll_timeout(self.watched.is_some())).min()
    }

    /// Has the link watch who is well.
    fn keep_watch(&mut self) {
        let Some(watched) = &mut self.watched else { return };
        let now: Vec<Watched> = self.watch.well().collect();
        let alike =
            |(a, b): (&Watched, &Watched)| a.peer == b.peer && a.silence.abs_diff(b.silence) < SILENCE_STEP;
        if now.len() != watched.len() || !now.iter().zip(&*watched).all(alike) {
            watched.clone_from(&now);
            self.outputs.push_back(Output::Watch(now));
        }
    }

    /// The next thing to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// The next thing to know.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// True if anybody but `node` has been heard since then.
    #[must_use]
    pub fn hears_others(&self, node: NodeId, since: Instant) -> bool {
        self.watch.hears_others(node, since)
    }

    /// True while a relay is not to be counted on.
    #[must_use]
    pub fn is_doubted(&self, node: NodeId) -> bool {
        self.watch.is_doubted(node)
    }

    /// How often a relay was suspected that lived.
    #[must_use]
    pub fn false_alarms(&self) -> u64 {
        self.false_alarms
    }

    fn on_verdict(&mut self, node: NodeId, verdict: Verdict, carrier: &mut Carrier, now: Instant) {
        match verdict {
            Verdict::Suspected => {
                let last = self.watch.last_heard(node).unwrap_or(now);
                let is_helper = carrier.is_helper(node);
                let what = if is_helper { Lost::Helper } else { Lost::Relay };
                let missed = Missed { what, last, noticed: now, repaired: None, dead: false, told: false };
                self.missed.insert(node, missed);
                self.open_wounds(node, carrier, now);
                // Whoever feeds beside a dead parent may die as well: others are asked then.
                for wound in self.wounds.values_mut().filter(|wound| wound.fed_by == Some(node)) {
                    (wound.fed_by, wound.next_at) = (None, now);
                }
            }
            Verdict::Back => {
                let given_up = self.missed.remove(&node).is_some_and(|missed| missed.dead);
                self.false_alarms += 1;
                self.events.push_back(Event::FalseAlarm { relay: node, given_up });
                self.close_wounds(node, carrier, now);
            }
            Verdict::Dead => {
                if let Some(missed) = self.missed.get_mut(&node) {
                    missed.dead = true;
                }
                let mut sessions: Vec<SessionId> =
                    carrier.trees_below(node).into_iter().map(|(session, ..)| session).collect();
                sessions.dedup();
                for session in sessions {
                    if let Some(manager) = carrier.manager(session) {
                        let silent = SessionMessage::Silent { session, node };
                        self.outputs.push_back(Output::Message(manager, silent));
                    }
                }
                self.tell();
            }
        }
    }

    fn open_wounds(&mut self, lost: NodeId, carrier: &mut Carrier, now: Instant) {
        for (session, _, tree, others) in carrier.trees_below(lost) {
            self.wounds.entry((session, tree)).or_insert_with(|| Wound {
                lost,
                others: others.into(),
                asked: Vec::new(),
                fed_by: None,
                next_at: now,
                forlorn: false,
                called: false,
            });
        }
        self.flush(carrier, now);
    }

    fn close_wounds(&mut self, back: NodeId, carrier: &mut Carrier, now: Instant) {
        let mut asks: BTreeMap<(SessionId, NodeId), Vec<u32>> = BTreeMap::new();
        let healed = |(_, wound): &(&(SessionId, TreeId), &Wound)| wound.lost == back;
        let healed: Vec<(SessionId, TreeId)> =
            self.wounds.iter().filter(healed).map(|(name, _)| *name).collect();
        for (session, tree) in healed {
            let asked = self.wounds.remove(&(session, tree)).map(|wound| wound.asked);
            for other in asked.into_iter().flatten() {
                carrier.take_feed(session, tree, other, false);
                asks.entry((session, other)).or_default().push(tree.0);
            }
        }
        self.ask(asks, back, false);
        self.watch.set(&carrier.dependence().relays, now);
    }

    /// Asks whom it is time to ask.
    fn flush(&mut self, carrier: &mut Carrier, now: Instant) {
        let mut asks: BTreeMap<NodeId, BTreeMap<(SessionId, NodeId), Vec<u32>>> = BTreeMap::new();
        let mut calls: BTreeSet<(SessionId, NodeId)> = BTreeSet::new();
        let watch = &self.watch;
        for ((session, tree), wound) in &mut self.wounds {
            if wound.fed_by.is_some() || wound.next_at > now {
                continue;
            }
            let missed = &self.missed;
            wound.others.retain(|other| !missed.contains_key(other) && !watch.is_doubted(*other));
            let Some(other) = wound.others.pop_front() else {
                if !wound.forlorn {
                    (wound.forlorn, wound.next_at) = (true, now + FEED_PATIENCE);
                } else if !wound.called {
                    wound.called = true;
                    calls.insert((*session, wound.lost));
                }
                continue;
            };
            wound.asked.push(other);
            wound.next_at = now + FEED_PATIENCE;
            carrier.take_feed(*session, *tree, other, true);
            asks.entry(wound.lost).or_default().entry((*session, other)).or_default().push(tree.0);
        }
        // Without anybody to feed it, a child has nothing to wait for.
        for (session, node) in calls {
            let manager = carrier.manager(session).filter(|manager| *manager != node);
            let silent = manager.map(|to| Output::Message(to, SessionMessage::Silent { session, node }));
            self.outputs.extend(silent);
        }
        if asks.is_empty() {
            return;
        }
        for (lost, asks) in asks {
            self.ask(asks, lost, true);
        }
        self.watch.set(&carrier.dependence().relays, now);
    }

    fn ask(&mut self, asks: BTreeMap<(SessionId, NodeId), Vec<u32>>, missed: NodeId, on: bool) {
        for ((session, to), trees) in asks {
            let feed = SessionMessage::Feed { session, trees, missed: Some(missed), on };
            self.outputs.push_back(Output::Message(to, feed));
        }
    }

    /// Tells of repairs that are whole: somebody is dead, and others feed.
    fn tell(&mut self) {
        for (lost, missed) in &mut self.missed {
            if let (true, false, Some(repaired)) = (missed.dead, missed.told, missed.repaired) {
                missed.told = true;
                self.events.push_back(Event::Repair {
                    what: missed.what,
                    lost: *lost,
                    detected: missed.noticed.saturating_duration_since(missed.last),
                    repaired: repaired.saturating_duration_since(missed.last),
                });
            }
        }
    }
}

#[cfg(test)]
mod tests;
