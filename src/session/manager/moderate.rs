//! What the host does to others: out, out for good, nobody in, nobody heard.

use std::time::Instant;

use super::Manager;
use crate::identity::NodeId;
use crate::session::Event;
use crate::session::message::{Departure, Refusal, SessionMessage};
use crate::session::roster::Participant;
use crate::session::rules::{BANNED_MAX, Moderation, Rules};

impl Manager {
    /// Does it; `fresh` is the secret that admits from now on, should somebody be put out.
    pub fn moderate(&mut self, what: Moderation, fresh: [u8; 16], now: Instant) {
        match what {
            Moderation::Kick(node) => self.kick(node, fresh, now),
            Moderation::Ban(node) => {
                if !self.rules.bans(node) && self.rules.banned.len() < BANNED_MAX && node != self.me {
                    self.rules.banned.push(node);
                }
                self.kick(node, fresh, now);
            }
            Moderation::Lock(locked) => self.rules.locked = locked,
            Moderation::Quiet(quiet) => self.rules.quiet = quiet,
        }
        self.rules.version += 1;
        let rules = SessionMessage::Rules(self.rules.signed(self.session, &self.identity, &self.delegation));
        for other in self.others() {
            self.send(other, rules.clone());
        }
        self.appoint_heirs();
    }

    /// What is laid down.
    #[must_use]
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The secret that admits now.
    #[must_use]
    pub fn secret(&self) -> [u8; 16] {
        self.config.secret
    }

    /// Why somebody who knows the secret is not let in all the same.
    pub(super) fn refusal(&self, applicant: &Participant) -> Option<Refusal> {
        let was_in = |member: &Participant| member.node == applicant.node && member.salt == applicant.salt;
        if self.rules.bans(applicant.node) {
            Some(Refusal::Banned)
        } else if self.rules.locked && !self.roster.iter().chain(self.former.values()).any(was_in) {
            Some(Refusal::Locked)
        } else {
            None
        }
    }

    fn kick(&mut self, node: NodeId, fresh: [u8; 16], now: Instant) {
        if node == self.me || self.roster.by_node(node).is_none() {
            return;
        }
        let session = self.session;
        self.remove(node, Departure::Kicked);
        // It does not come back as the one that it was.
        self.former.retain(|_, former| former.node != node);
        self.send(node, SessionMessage::Left { session, node, departure: Departure::Kicked });
        self.config.secret = fresh;
        for other in self.others() {
            self.send(other, SessionMessage::Secret { session, secret: fresh });
        }
        self.events.push_back(Event::Secret(fresh));
        self.plan_without(node, "kicked", now);
    }
}
