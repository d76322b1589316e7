//! What a machine has promised to whom (the patent's Table C): its degree, split by session and priority.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::identity::{NodeId, SessionId};

/// Who may take from whom: 1 is the highest, 3 the lowest (the patent, paragraph 88).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

impl Priority {
    /// What every session has on the machines of its own members.
    pub const OWN: Self = Self(1);
    /// What a session has elsewhere unless it asks for more.
    pub const LOWEST: Self = Self(3);
}

impl TryFrom<u8> for Priority {
    type Error = &'static str;

    fn try_from(value: u8) -> Result<Self, Self::Error> {
        if (1..=3).contains(&value) { Ok(Self(value)) } else { Err("a priority is 1, 2 or 3") }
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}

/// What one session holds at a node.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Holding {
    /// The session.
    pub session: SessionId,
    /// Its task manager, who is told when it loses this.
    pub owner: NodeId,
    /// At which priority.
    pub priority: Priority,
    /// Tree links.
    pub degrees: u32,
}

/// A reservation that was not granted. The table is unchanged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Refused {
    /// What could have been had, tree links.
    pub free: u32,
}

/// Sessions that a node serves at once, whatever its owner allows.
pub(super) const SESSIONS_MAX: usize = 64;
/// The longest lease.
const LEASE_MAX: Duration = Duration::from_secs(300);

/// A node's degree and who holds how much of it.
#[derive(Debug)]
pub struct DegreeTable {
    bound: u32,
    sessions_max: usize,
    held: BTreeMap<SessionId, (Holding, Instant)>,
}

impl DegreeTable {
    /// A table of `bound` tree links for so many sessions, all free.
    #[must_use]
    pub fn new(bound: u32, sessions_max: usize) -> Self {
        Self { bound, sessions_max: sessions_max.min(SESSIONS_MAX), held: BTreeMap::new() }
    }

    /// All tree links that the node can carry.
    #[must_use]
    pub fn bound(&self) -> u32 {
        self.bound
    }

    /// Sets it. What does not fit any more is taken from the lowest priority first, whole holdings at a time, and returned.
    pub fn set_bound(&mut self, bound: u32) -> Vec<Holding> {
        self.bound = bound;
        self.cut(None)
    }

    /// What is held, by session.
    pub fn holdings(&self) -> impl Iterator<Item = &Holding> {
        self.held.values().map(|(holding, _)| holding)
    }

    /// What a session of this priority could get: all that is free or held at a lower priority, or by itself.
    #[must_use]
    pub fn available(&self, session: SessionId, priority: Priority) -> u32 {
        let firm = self.holdings().filter(|h| h.session != session && h.priority <= priority);
        let (sessions, degrees) = firm.fold((0, 0), |(sessions, sum), h| (sessions + 1, sum + h.degrees));
        if sessions >= self.sessions_max { 0 } else { self.bound.saturating_sub(degrees) }
    }

    /// Sets what a session holds, until its lease ends; to renew, ask again. Equal priorities hold first come; what
    /// does not fit beside it is taken from the lowest priority first, whole holdings at a time, and returned.
    ///
    /// # Errors
    /// [`Refused`] when even so there is too little.
    pub fn reserve(
        &mut self,
        wanted: Holding,
        lease: Duration,
        now: Instant,
    ) -> Result<Vec<Holding>, Refused> {
        let free = self.available(wanted.session, wanted.priority);
        if wanted.degrees > free || free == 0 {
            return Err(Refused { free });
        }
        let evicted = self.cut(Some(&wanted));
        self.held.insert(wanted.session, (wanted, now + lease.min(LEASE_MAX)));
        Ok(evicted)
    }

    /// Takes from the lowest priority until what is held fits, with what one of the sessions wants in place of what it holds.
    fn cut(&mut self, wanted: Option<&Holding>) -> Vec<Holding> {
        let asks = wanted.map(|wanted| wanted.session);
        let mut losers: Vec<Holding> = self.holdings().filter(|h| Some(h.session) != asks).cloned().collect();
        losers.sort_by_key(|h| (h.priority, h.session));
        let held: u32 = losers.iter().map(|h| h.degrees).sum();
        let mut total = held + wanted.map_or(0, |wanted| wanted.degrees);
        let mut evicted = Vec::new();
        let sessions = usize::from(wanted.is_some());
        while total > self.bound || losers.len() + sessions > self.sessions_max {
            let Some(loser) = losers.pop() else { break };
            total -= loser.degrees;
            self.held.remove(&loser.session);
            evicted.push(loser);
        }
        evicted
    }

    /// Ends what `owner` holds for `session`. `false` when it holds nothing.
    pub fn release(&mut self, session: SessionId, owner: NodeId) -> bool {
        let held = self.held.get(&session).is_some_and(|(holding, _)| holding.owner == owner);
        held && self.held.remove(&session).is_some()
    }

    /// Ends all that others than `owner` hold.
    pub fn take_back(&mut self, owner: NodeId) -> Vec<Holding> {
        let others = |_: &SessionId, (holding, _): &mut (Holding, Instant)| holding.owner != owner;
        self.held.extract_if(.., others).map(|(_, (holding, _))| holding).collect()
    }

    /// Ends the leases that have run out.
    pub fn expire(&mut self, now: Instant) -> Vec<Holding> {
        let ended: Vec<SessionId> =
            self.held.iter().filter(|(_, (_, until))| *until <= now).map(|(session, _)| *session).collect();
        ended.iter().filter_map(|session| self.held.remove(session)).map(|(holding, _)| holding).collect()
    }

    /// When the next lease runs out.
    #[must_use]
    pub fn next_expiry(&self) -> Option<Instant> {
        self.held.values().map(|(_, until)| *until).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::origin;

    const LEASE: Duration = Duration::from_secs(60);

    fn holding(session: u8, priority: u8, degrees: u32) -> Holding {
        let priority = Priority::try_from(priority).unwrap();
        Holding { session: SessionId([session; 20]), owner: NodeId([session; 32]), priority, degrees }
    }

    #[test]
    fn the_patents_table_c() {
        let now = origin();
        let mut x = DegreeTable::new(4, 64);
        assert_eq!(x.reserve(holding(4, 1, 2), LEASE, now), Ok(vec![]));
        assert_eq!(x.reserve(holding(12, 3, 1), LEASE, now), Ok(vec![]));
        assert_eq!(x.available(SessionId([9; 20]), Priority::LOWEST), 1, "one free degree");
        assert_eq!(
            x.available(SessionId([9; 20]), Priority::try_from(2).unwrap()),
            2,
            "and what priority 3 holds"
        );
        let mut y = DegreeTable::new(2, 64);
        assert_eq!(y.reserve(holding(5, 1, 2), LEASE, now), Ok(vec![]));
        assert_eq!(y.reserve(holding(9, 1, 1), LEASE, now), Err(Refused { free: 0 }));
    }

    #[test]
    fn a_higher_priority_takes_from_the_lowest_and_equals_hold_first_come() {
        let now = origin();
        let mut table = DegreeTable::new(4, 64);
        table.reserve(holding(1, 3, 2), LEASE, now).unwrap();
        table.reserve(holding(2, 2, 2), LEASE, now).unwrap();
        assert_eq!(table.reserve(holding(3, 2, 3), LEASE, now), Err(Refused { free: 2 }));
        assert_eq!(table.reserve(holding(3, 2, 2), LEASE, now), Ok(vec![holding(1, 3, 2)]));
        assert_eq!(table.reserve(holding(3, 2, 1), LEASE, now), Ok(vec![]), "asking again sets the amount");
        assert_eq!(table.available(SessionId([1; 20]), Priority::LOWEST), 1);
    }

    #[test]
    fn a_narrower_line_is_taken_from_the_lowest_priority() {
        let now = origin();
        let mut table = DegreeTable::new(6, 64);
        table.reserve(holding(1, 1, 2), LEASE, now).unwrap();
        table.reserve(holding(2, 3, 1), LEASE, now).unwrap();
        table.reserve(holding(3, 2, 3), LEASE, now).unwrap();
        assert_eq!(table.set_bound(5), [holding(2, 3, 1)]);
        assert_eq!(table.set_bound(4), [holding(3, 2, 3)]);
        assert_eq!(table.set_bound(6), []);
        assert_eq!(table.available(SessionId([4; 20]), Priority::LOWEST), 4);
    }

    #[test]
    fn leases_end_and_only_the_owner_releases() {
        let now = origin();
        let mut table = DegreeTable::new(4, 64);
        table.reserve(holding(1, 3, 2), LEASE, now).unwrap();
        assert_eq!(table.next_expiry(), Some(now + LEASE));
        assert!(!table.release(SessionId([1; 20]), NodeId([9; 32])));
        assert_eq!(table.expire(now + LEASE / 2), []);
        assert_eq!(table.expire(now + LEASE), [holding(1, 3, 2)]);
        table.reserve(holding(1, 3, 2), LEASE, now).unwrap();
        assert!(table.release(SessionId([1; 20]), NodeId([1; 32])));
        assert_eq!(table.next_expiry(), None);
    }
    #[test]
    fn so_many_sessions_and_no_more_but_a_higher_priority_takes_a_place() {
        let now = origin();
        let mut table = DegreeTable::new(9, 2);
        table.reserve(holding(1, 3, 1), LEASE, now).unwrap();
        table.reserve(holding(2, 2, 1), LEASE, now).unwrap();
        assert_eq!(table.reserve(holding(3, 3, 1), LEASE, now), Err(Refused { free: 0 }));
        assert_eq!(table.reserve(holding(2, 2, 3), LEASE, now), Ok(vec![]), "asking again takes no place");
        assert_eq!(table.reserve(holding(3, 2, 1), LEASE, now), Ok(vec![holding(1, 3, 1)]));
        assert_eq!(table.available(SessionId([9; 20]), Priority::try_from(2).unwrap()), 0);
        assert_eq!(table.take_back(NodeId([2; 32])), vec![holding(3, 2, 1)]);
        assert_eq!(table.holdings().count(), 1);
    }
}
