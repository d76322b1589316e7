//! Degrees that this node asks of others, and those that it gives.

use std::time::{Duration, Instant};

use super::{Event, PoolNode};
use crate::identity::{NodeId, SessionId};
use crate::pool::degree::{Holding, Priority, Refused};
use crate::pool::grant::SessionGrant;
use crate::pool::message::{PoolMessage, Reservation};

impl PoolNode {
    /// Asks a helper for degrees, or renews them; [`Event::Reserved`] brings the answer.
    pub fn reserve(&mut self, helper: NodeId, reservation: Reservation) {
        self.tell(helper, PoolMessage::Reserve(reservation));
    }

    /// Gives a helper's degrees back.
    pub fn release(&mut self, helper: NodeId, session: SessionId) {
        self.tell(helper, PoolMessage::Release { session });
    }

    /// Sets what this node's own session holds here, at the highest priority; zero ends it.
    pub fn hold_own(&mut self, session: SessionId, degrees: u32, now: Instant) {
        if degrees == 0 {
            self.degrees.release(session, self.me);
        } else {
            let own = Holding { session, owner: self.me, priority: Priority::OWN, degrees };
            if let Ok(evicted) = self.degrees.reserve(own, Duration::MAX, now) {
                evicted.into_iter().for_each(|loser| self.evict(loser));
            }
        }
        self.wake = now;
    }

    pub(super) fn on_reserve(&mut self, from: NodeId, asked: &Reservation, now: Instant) {
        let Reservation { request, session, degrees, lease_ms, .. } = *asked;
        let priority = self.priority_of(asked, now);
        // A machine that does not lend serves its own session only.
        let outcome = if self.config.lends {
            let wanted = Holding { session, owner: from, priority, degrees };
            self.degrees.reserve(wanted, Duration::from_millis(lease_ms.into()), now)
        } else {
            Err(Refused { free: 0 })
        };
        let refused = match outcome {
            Ok(evicted) => {
                evicted.into_iter().for_each(|loser| self.evict(loser));
                None
            }
            Err(Refused { free }) => Some(free),
        };
        self.tell(from, PoolMessage::Reserved { request, session, refused });
        self.publish_offer(now);
        self.wake = now;
    }

    /// What a session has here: what it asks for, or no more than its grant says where an authority is asked for that.
    fn priority_of(&self, asked: &Reservation, now: Instant) -> Priority {
        let Some(authority) = self.config.authority else { return asked.priority };
        let by_grant = |grant: &SessionGrant| {
            let now_s = self.config.born_s + now.saturating_duration_since(self.started).as_secs();
            grant.priority(authority, asked.session, now_s)
        };
        let most = match &asked.grant {
            Some(grant) if asked.priority < Priority::LOWEST => by_grant(grant),
            _ => Priority::LOWEST,
        };
        asked.priority.max(most)
    }

    pub(super) fn evict(&mut self, loser: Holding) {
        self.events.push_back(Event::Evicted(loser.session));
        if self.is_joined(loser.owner) {
            self.tell(loser.owner, PoolMessage::Preempted { session: loser.session });
        }
    }
}
