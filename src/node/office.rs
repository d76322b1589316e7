//! This node becomes its session's task manager, or is no more.

use std::time::{Duration, Instant};

use super::{Node, Notice, Role};
use crate::identity::NodeId;
use crate::pool::Contact;
use crate::session::{self, Claim, Estate, Lost, Manager, Member};

/// An heir takes over only if somebody else was heard so lately: otherwise it is itself cut off.
const OTHERS_HEARD: Duration = Duration::from_secs(1);

impl Node {
    /// The manager has been silent for so long, or wants to leave; this node is its heir.
    pub(super) fn take_over(&mut self, silent: Duration, now: Instant) {
        let Role::Member(member, session) = &mut self.role else { return };
        let (Some(before), Some((appointment, config, roster))) = (member.manager(), member.succession())
        else {
            return;
        };
        let since = now.checked_sub(OTHERS_HEARD).unwrap_or(now);
        let alone = roster.len() <= 2;
        let (appointment, config, roster) = (appointment.clone(), config.clone(), roster.clone());
        if !silent.is_zero() && !alone {
            if !self.repairs.hears_others(before, since) {
                return member.on_cut_off(now);
            }
            if member.on_return(now) {
                return self.pool.want(Contact { node: before, addrs: vec![] }, now);
            }
        }
        let session = *session;
        let estate = Estate {
            appointment,
            config,
            roster,
            plan: self.carrier.told(session).map(|(plan, grafts)| (plan.clone(), grafts.to_vec())),
            clock_us: self.clock.map_or(0, |clock| clock.offset_us()),
            group: member.take_group(),
            before: (before, silent),
        };
        if let Some(manager) = Manager::succeed(self.identity.clone(), estate, now) {
            self.role = Role::Host(Box::new(manager));
            // The session's record is to say so.
            self.tend_at = now;
            if !silent.is_zero() {
                self.on_replaced(before, silent, now);
            }
        }
    }

    /// Another node manages this node's session by a later word.
    pub(super) fn step_down(&mut self, claim: &Claim, now: Instant) {
        let Role::Host(manager) = std::mem::replace(&mut self.role, Role::Idle) else { return };
        let (session, leaving) = (manager.session(), manager.is_leaving());
        let (config, title, roster, group) = manager.retire();
        let mut member = Member::resume(&self.identity, config, claim, (title, roster, group), now);
        if leaving {
            member.leave(now);
        }
        self.role = Role::Member(Box::new(member), session);
        self.published = None;
    }

    pub(super) fn on_replaced(&mut self, manager: NodeId, silent: Duration, now: Instant) {
        self.replaced = Some((manager, now.checked_sub(silent).unwrap_or(now), silent));
    }

    /// A plan stands; if it is the first of a new manager's, the session is whole again.
    pub(super) fn tell_of_replaced(&mut self, now: Instant) {
        if let Some((lost, last, detected)) = self.replaced.take() {
            let repaired = now.saturating_duration_since(last);
            let event = session::Event::Repair { what: Lost::Host, lost, detected, repaired };
            self.notices.push_back(Notice::Session(event));
        }
    }
}
