//! Who manages the session when its manager is gone: heirs, named and signed by the manager while it lives.
//!
//! Heirs stand in an order: those who have been there longest first. The manager's word to each of them is good for a term
//! of its own, so that of two who take over at once the later term counts, and a manager who comes back finds a later
//! one than its own. The first heirs hear from the manager several times a second; an heir takes over when that has
//! stopped and it still hears others. Media go on meanwhile.

use std::time::{Duration, Instant};

use alm_planner::Objective;
use serde::{Deserialize, Serialize};

use super::keys::Delegation;
use super::rules::Rules;
use crate::identity::NodeId;
use crate::pool::{HelpersFrom, Priority, SessionGrant};

/// Heirs that a manager names.
pub(super) const HEIRS_MAX: usize = 8;
/// Of those, whom it tells all the time that it lives.
pub(super) const WATCHING_MAX: usize = 3;
/// How often.
pub(super) const REIGN_INTERVAL: Duration = Duration::from_millis(200);
/// The first heir takes over after this silence: five words and a stall of the line.
const REIGN_PATIENCE: Duration = Duration::from_millis(1_200);
/// Each further heir leaves the ones before it this much time.
const RANK_PATIENCE: Duration = Duration::from_millis(800);
/// Who was cut off itself leaves the manager so long from when it hears others again: two dials.
const RETURN_PATIENCE: Duration = Duration::from_secs(4);
/// What the first heir waits when the connection to the manager is gone.
const LOSS_PATIENCE: Duration = Duration::from_millis(100);

/// What the next manager must know and members do not.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Charter {
    /// The session's name.
    pub title: String,
    /// What its trees are made small for.
    pub objective: Objective,
    /// What it has on helpers.
    pub priority: Priority,
    /// By whose word.
    pub grant: Option<Box<SessionGrant>>,
    /// Whose machines may help.
    pub helpers: HelpersFrom,
    /// Whether two trees carry every voice.
    pub protect: bool,
    /// The next number of a source.
    pub next_index: u16,
    /// What is laid down.
    pub rules: Rules,
}

/// The manager's word to an heir.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Appointment {
    /// What makes it the manager.
    pub delegation: Delegation,
    /// How many stand before it.
    pub rank: u8,
    /// What it needs to know then.
    pub charter: Charter,
}

/// An heir's word that it is the manager.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Claim {
    /// By whose word.
    pub delegation: Delegation,
    /// The session's clock minus the sender's own, microseconds.
    pub clock_us: i64,
    /// For how long the manager before had been silent.
    pub silent_ms: u32,
}

/// An heir and its manager.
#[derive(Clone, Debug)]
pub(super) struct Heir {
    pub(super) appointment: Appointment,
    heard: Instant,
    /// From when on its silence counts: this node may have been cut off itself.
    counts: Instant,
    /// The connection is gone since.
    lost: Option<Instant>,
    /// Nobody was heard when it last was to take over.
    cut_off: bool,
}

impl Heir {
    pub(super) fn new(appointment: Appointment, now: Instant) -> Self {
        Self { appointment, heard: now, counts: now, lost: None, cut_off: false }
    }

    pub(super) fn on_reign(&mut self, now: Instant) {
        (self.heard, self.counts, self.lost, self.cut_off) = (now, now, None, false);
    }

    pub(super) fn on_lost(&mut self, now: Instant) {
        self.lost.get_or_insert(now);
    }

    /// Not now.
    pub(super) fn postpone(&mut self, now: Instant) {
        self.counts = now;
        self.lost = self.lost.map(|_| now + RANK_PATIENCE);
    }

    /// Nobody else is heard: it is this node that is cut off.
    pub(super) fn on_cut_off(&mut self, now: Instant) {
        self.postpone(now);
        self.cut_off = true;
    }

    /// Others are heard. True if that was not so before: then the manager, who has given this node up, has time to be reached
    /// again, or one who was away would overrule all who were not.
    pub(super) fn on_return(&mut self, now: Instant) -> bool {
        if self.cut_off {
            self.counts = now + RETURN_PATIENCE;
            self.lost = self.lost.map(|_| now + RETURN_PATIENCE);
        }
        std::mem::take(&mut self.cut_off)
    }

    /// When to take over, as it looks now.
    pub(super) fn due(&self) -> Option<Instant> {
        let rank = u32::from(self.appointment.rank);
        let wait = RANK_PATIENCE * rank;
        let watching = self.appointment.rank < WATCHING_MAX as u8;
        let silent = watching.then(|| self.counts + REIGN_PATIENCE + wait);
        let lost = self.lost.map(|at| at + LOSS_PATIENCE + wait);
        silent.into_iter().chain(lost).min()
    }

    pub(super) fn silent(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.heard)
    }
}

/// The heirs among the members, first to last: those who came first, as far as they can relay at all. Who carries one link
/// alone, such as a browser, whose node another machine runs and which ends with a tab, comes after all others.
pub(super) fn heirs(members: impl Iterator<Item = (u16, NodeId, u32)>, manager: NodeId) -> Vec<NodeId> {
    let mut able: Vec<(bool, u16, NodeId)> = members
        .filter(|(_, node, degree)| *node != manager && *degree > 0)
        .map(|(index, node, degree)| (degree == 1, index, node))
        .collect();
    able.sort_unstable();
    able.into_iter().map(|(.., node)| node).take(HEIRS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_first_and_can_relay_is_the_first_heir() {
        let [a, b, c, d, e] = [1, 2, 3, 4, 5].map(|byte| NodeId([byte; 32]));
        let members = [(5, d, 6), (1, a, 6), (2, b, 1), (3, c, 0), (4, e, 2)];
        assert_eq!(heirs(members.into_iter(), a), [e, d, b], "who has one link alone comes last");
    }
}
