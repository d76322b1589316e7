//! Degrees that this node asks of others, and those that it gives.

use std::time::{Duration, Instant};

use super::{Event, PoolNode};
use crate::identity::{NodeId, SessionId};
use crate::pool::degree::{Holding, Priority, Refused};
use crate::pool::grant::{AuthorityMark, Grant, HelperGrant, SessionGrant};
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

    /// Offers what the line upwards carries, as far as that is known and wanted.
    pub(super) fn fit_line(&mut self) {
        let (Some(link_kbit_s), (Some(up_kbit_s), _)) = (self.config.link_kbit_s, self.swarm.line_kbit_s())
        else {
            return;
        };
        let bound = fitting(up_kbit_s, link_kbit_s, self.degrees.bound()).min(self.config.degree);
        if bound != self.degrees.bound() {
            self.degrees.set_bound(bound).into_iter().for_each(|loser| self.evict(loser));
        }
    }

    pub(super) fn on_reserve(&mut self, from: NodeId, asked: &Reservation, now: Instant) {
        let Reservation { request, session, degrees, lease_ms, .. } = *asked;
        let priority = self.priority_of(asked, now);
        // A machine that does not lend serves its own session only.
        self.mind_the_hour(now);
        let outcome = if self.lending {
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
        let grant = self.own_grant(now).filter(|_| refused.is_none());
        let lay_out =
            |identity| grant.cloned().map(|grant| Box::new(HelperGrant::new(grant, identity, session)));
        let grant = self.identity.as_deref().and_then(lay_out);
        self.tell(from, PoolMessage::Reserved { request, session, refused, grant });
        self.publish_offer(now);
        self.wake = now;
    }

    /// Outside its owner's hours a machine serves nobody else: what others hold here ends.
    pub(super) fn mind_the_hour(&mut self, now: Instant) {
        let lending = self.config.lends && self.config.hours.is_none_or(|hours| hours.hold(self.unix_s(now)));
        if self.lending && !lending {
            self.degrees.take_back(self.me).into_iter().for_each(|loser| self.evict(loser));
        }
        self.lending = lending;
    }

    /// What makes this machine one of an authority's pool, unless it has ended.
    fn own_grant(&self, now: Instant) -> Option<&Grant> {
        self.config.grant.as_ref().filter(|grant| self.unix_s(now) < grant.until_s)
    }

    /// Of whose pool it is.
    pub(super) fn mark(&self, now: Instant) -> AuthorityMark {
        self.own_grant(now).map(|grant| AuthorityMark::of(grant.authority)).unwrap_or_default()
    }

    /// Unix time, seconds.
    #[must_use]
    pub fn unix_s(&self, now: Instant) -> u64 {
        self.config.born_s + now.saturating_duration_since(self.started).as_secs()
    }

    /// What a session has here: what it asks for, or no more than its grant says where an authority is asked for that.
    fn priority_of(&self, asked: &Reservation, now: Instant) -> Priority {
        let Some(authority) = self.config.authority else { return asked.priority };
        let by_grant = |grant: &SessionGrant| grant.priority(authority, asked.session, self.unix_s(now));
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

/// How many links a line carries where `now` are offered, one at least. More are offered only where they fit with ease, so that
/// a measurement that wavers takes nothing from anybody and gives it back a moment later.
fn fitting(up_kbit_s: u32, link_kbit_s: u32, now: u32) -> u32 {
    let with_share = |(part, of): (u32, u32)| (up_kbit_s / of * part / link_kbit_s.max(1)).max(1);
    let (at_most, with_ease) = (with_share(LINE_SHARE), with_share(LINE_SHARE_WITH_EASE));
    now.clamp(with_ease, at_most)
}

/// Of a line upwards, what is offered at most, and what more is offered up to: the rest is the owner's.
const LINE_SHARE: (u32, u32) = (4, 5);
const LINE_SHARE_WITH_EASE: (u32, u32) = (3, 5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_follow_the_line_without_wavering() {
        assert_eq!(fitting(400, 186, 6), 1);
        assert_eq!(fitting(1_000, 186, 6), 4);
        assert_eq!(fitting(1_000, 186, 1), 3);
        assert_eq!(fitting(20_000, 186, 6), 64);
        let mut offered = 6;
        let mut changes = 0;
        for up_kbit_s in [1_000, 920, 1_000, 920, 1_000, 920, 1_060] {
            let next = fitting(up_kbit_s, 186, offered);
            changes += u32::from(next != offered);
            offered = next;
        }
        assert_eq!((offered, changes), (3, 2));
    }
}
