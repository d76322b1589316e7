//! Control messages in: whose they are, and what a peer may not do.

use std::time::{Duration, Instant};

use alm_media::TREES_MAX;

use super::mending::{REPLAYED, REPLAYED_UPWARDS};
use super::{CONTROL_MESSAGES_PER_SECOND_MAX, Node, Notice, Output, Role};
use crate::identity::{NodeId, SessionId};
use crate::net::LinkEvent;
use crate::pool::Contact;
use crate::session::{self, Delegation, Installation, Readiness, SessionMessage, Signed};
use crate::wire::Message;

impl Node {
    pub(super) fn handle_link(&mut self, event: LinkEvent, now: Instant) {
        match event {
            LinkEvent::Connected { peer, addr } => {
                self.pool.on_connected(peer, addr, now);
                if let Role::Member(member, _) = &mut self.role {
                    member.on_connected(peer, now);
                }
                // The hello goes first.
                self.drain_pool();
            }
            LinkEvent::Moved { peer, addr } => self.pool.on_moved(peer, addr, now),
            LinkEvent::Disconnected { peer, left, .. } => {
                self.heard.remove(&peer);
                self.pool.on_disconnected(peer, left, now);
            }
            LinkEvent::DialFailed { addr, expected, error } => {
                if let Role::Member(member, _) = &mut self.role {
                    member.on_unanswered(addr, now);
                }
                self.pool.on_dial_failed(addr, expected, error, now);
            }
            LinkEvent::Control { from, bytes } => {
                self.pool.on_traffic(from, now);
                if !self.may_speak(from, now) {
                    return self.cut_off(from, "too many messages", now);
                }
                match Message::decode(&bytes) {
                    Ok(Message::Pool(message)) => self.pool.handle_message(from, message, now),
                    Ok(Message::Session(message)) if self.pool.is_joined(from) => {
                        self.handle_session(from, message, now);
                    }
                    Ok(Message::Session(_)) => self.cut_off(from, "the first message was no hello", now),
                    Err(_) => self.cut_off(from, "malformed message", now),
                }
            }
            LinkEvent::Alert { .. } => self.detours.on_alert(now),
            LinkEvent::Datagram { .. } | LinkEvent::Delivered { .. } => {}
        }
    }

    /// Counts a control message against its sender's budget.
    fn may_speak(&mut self, from: NodeId, now: Instant) -> bool {
        let (since, count) = self.heard.entry(from).or_insert((now, 0));
        if now.saturating_duration_since(*since) >= Duration::from_secs(1) {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        *count <= CONTROL_MESSAGES_PER_SECOND_MAX
    }

    /// Has nothing more to do with a peer that does not keep to the protocol, unless it comes back.
    fn cut_off(&mut self, peer: NodeId, reason: &'static str, now: Instant) {
        self.heard.remove(&peer);
        self.outputs.push_back(Output::Close(peer, reason));
        self.pool.on_disconnected(peer, true, now);
    }

    pub(super) fn handle_session(&mut self, from: NodeId, message: SessionMessage, now: Instant) {
        if self.rules().is_some_and(|rules| rules.bans(from))
            && !matches!(message, SessionMessage::Join { .. })
        {
            return;
        }
        let addrs = self.pool.addrs(from);
        match message {
            SessionMessage::Install { signed, contacts } => self.on_install(from, &signed, &contacts, now),
            SessionMessage::Chat { session, sealed } if self.own_session() == Some(session) => {
                self.on_chat(from, &sealed);
            }
            SessionMessage::Activate { session, epoch } => self.on_activate(from, session, epoch, now),
            SessionMessage::Feed { session, trees, missed, on } if trees.len() <= TREES_MAX => {
                let given = self.carrier.give_feed(session, &trees, from, missed, on);
                self.on_carried(now);
                if on {
                    if missed.is_some() {
                        self.replay(&given, from, REPLAYED, now);
                    }
                    self.send(from, SessionMessage::Fed { session, trees: given });
                }
            }
            SessionMessage::Fed { session, trees } if trees.len() <= TREES_MAX => {
                let healed = self.repairs.on_fed(from, session, &trees, &mut self.carrier, now);
                self.detours.on_fed(from, session, &trees, &mut self.carrier, now);
                self.on_carried(now);
                // What has gone up a shared tree meanwhile has gone to the dead.
                self.replay(&healed, from, REPLAYED_UPWARDS, now);
            }
            SessionMessage::Rest { session, trees, on } if trees.len() <= TREES_MAX => {
                self.carrier.rest(session, &trees, from, on);
                self.on_carried(now);
            }
            message => match (&mut self.role, subject(&message)) {
                (Role::Host(manager), Some(session)) if session == manager.session() => {
                    manager.handle_message(from, message, addrs, now);
                }
                (Role::Member(member, own), Some(session)) if session == *own => {
                    member.handle_message(from, message, now);
                }
                (_, Some(session)) if matches!(message, SessionMessage::Find { .. }) => {
                    // Who helps a session knows who manages it.
                    let known = self.carrier.delegation(session).cloned().map(|delegation| {
                        let addrs = self.pool.addrs(delegation.manager);
                        SessionMessage::Found { delegation, addrs }
                    });
                    self.send(from, known.unwrap_or(SessionMessage::NotFound { session }));
                }
                _ => {}
            },
        }
    }

    fn on_install(&mut self, from: NodeId, signed: &Signed, contacts: &[Contact], now: Instant) {
        let session = SessionId::of(&signed.delegation.key);
        let is_member = self.own_session() == Some(session);
        let lease = || self.pool.degrees().holdings().find(|holding| holding.session == session);
        let held = if is_member { Some(self.pool.degrees().bound()) } else { lease().map(|h| h.degrees) };
        // Nothing is verified for a session that this node has nothing to do with.
        let Some(held) = held else { return };
        let pool = &self.pool;
        let outcome =
            self.carrier.install(signed, self.me, held, is_member, |node| pool.is_direct(node), now);
        self.on_carried(now);
        match outcome {
            Ok(installed) => {
                for node in installed.wanted {
                    let told = contacts.iter().find(|contact| contact.node == node);
                    let told = told.map(|contact| contact.addrs.clone());
                    let listed = || Some(self.roster()?.by_node(node)?.addrs.clone());
                    let addrs = told.or_else(listed).unwrap_or_default();
                    self.pool.named(node, from, now);
                    self.pool.want(Contact { node, addrs }, now);
                }
                if installed.is_graft {
                    self.on_tree(session, now);
                } else if !installed.waits {
                    let (epoch, missing) = (installed.epoch, vec![]);
                    self.report(Readiness { session, epoch, manager: from, missing });
                }
            }
            Err(error) => {
                let (epoch, missing, refused) = (signed_epoch(signed), vec![], Some(error.to_string()));
                self.send(from, SessionMessage::Installed { session, epoch, missing, refused });
            }
        }
    }

    fn on_activate(&mut self, from: NodeId, session: SessionId, epoch: u64, now: Instant) {
        let is_news = self.carrier.activate(session, epoch, from, now).is_some();
        self.on_carried(now);
        if is_news {
            self.on_tree(session, now);
            self.tell_of_replaced(now);
        }
    }

    /// Another plan carries the media of this node's session, or it has a leaf more.
    fn on_tree(&mut self, session: SessionId, now: Instant) {
        let plan = self.carrier.plan(session).filter(|_| self.own_session() == Some(session));
        if let Some(plan) = plan.cloned() {
            self.pool.hold_own(session, plan.degree_of(self.me), now);
            self.notices.push_back(Notice::Session(session::Event::Tree(plan)));
        }
    }

    /// What this node carries has changed, or may have.
    pub(super) fn on_carried(&mut self, now: Instant) {
        self.carrier.mark_dependants();
        self.repairs.on_carried(&mut self.carrier, now);
        self.detours.on_carried(&mut self.carrier, now);
    }

    pub(super) fn report(&mut self, readiness: Readiness) {
        let Readiness { session, epoch, manager, missing } = readiness;
        self.send(manager, SessionMessage::Installed { session, epoch, missing, refused: None });
    }
}

/// The session that a message is about; `None` for what is told apart by its signature.
fn subject(message: &SessionMessage) -> Option<SessionId> {
    match message {
        SessionMessage::Find { session }
        | SessionMessage::NotFound { session }
        | SessionMessage::Join { session, .. }
        | SessionMessage::Refused { session, .. }
        | SessionMessage::Welcome { session, .. }
        | SessionMessage::Admit { session, .. }
        | SessionMessage::Commit { session, .. }
        | SessionMessage::Chat { session, .. }
        | SessionMessage::Joined { session, .. }
        | SessionMessage::Left { session, .. }
        | SessionMessage::Leave { session }
        | SessionMessage::Farewell { session }
        | SessionMessage::Installed { session, .. }
        | SessionMessage::Activate { session, .. }
        | SessionMessage::Feed { session, .. }
        | SessionMessage::Fed { session, .. }
        | SessionMessage::Rest { session, .. }
        | SessionMessage::Poor { session, .. }
        | SessionMessage::Silent { session, .. }
        | SessionMessage::Secret { session, .. }
        | SessionMessage::Reign { session }
        | SessionMessage::Abdicate { session }
        | SessionMessage::End { session } => Some(*session),
        // Proven by whom it concerns, not by everybody who is sent one.
        SessionMessage::Rules(signed) => Some(SessionId::of(&signed.delegation.key)),
        SessionMessage::Claim(claim) => Some(SessionId::of(&claim.delegation.key)),
        SessionMessage::Appoint(appointment) => Some(SessionId::of(&appointment.delegation.key)),
        SessionMessage::Found { delegation, .. } => Delegation::session(delegation),
        SessionMessage::Install { .. } => None,
    }
}

/// The epoch that an installation is for, as far as it can be read: to name it in a refusal.
fn signed_epoch(signed: &Signed) -> u64 {
    postcard::from_bytes::<Installation>(&signed.content).map_or(0, |content| content.epoch)
}
