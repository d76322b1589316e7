//! What the parts of a node have to say to each other: the pool's events to the session, the session's wishes to the pool.

use std::time::Instant;

use super::{Node, Notice, Output, Role};
use alm_media::SourceIndex;

use crate::identity::NodeId;
use crate::net::Channel;
use crate::pool;
use crate::session;
use crate::wire::Message;

impl Node {
    /// Passes on what the parts have to say to each other until all is quiet.
    pub(super) fn settle(&mut self, now: Instant) {
        loop {
            let mut quiet = true;
            while let Some(event) = self.pool.poll_event() {
                self.on_pool_event(event, now);
                quiet = false;
            }
            while let Some(output) = self.repairs.poll_output().or_else(|| self.poll_role_output()) {
                self.on_role_output(output, now);
                quiet = false;
            }
            while let Some(message) = self.loopback.pop_front() {
                self.handle_session(self.me, message, now);
                quiet = false;
            }
            if quiet {
                break;
            }
        }
        self.alone = self.only_source();
        while let Some(output) = self.pool.poll_output() {
            self.outputs.push_back(match output {
                pool::Output::Message(to, message) => {
                    Output::Send(to, Channel::Control, Message::Pool(message).encode())
                }
                pool::Output::Datagram(to, bytes) => Output::Send(to, Channel::Datagram, bytes),
                pool::Output::Dial(addr, node) => Output::Dial(addr, node),
                pool::Output::Close(node, reason) => {
                    self.heard.remove(&node);
                    Output::Close(node, reason)
                }
            });
        }
        self.switch();
        while let Some(event) = self.repairs.poll_event().or_else(|| self.poll_role_event()) {
            if let session::Event::Entered { manager, .. } = &event {
                self.read_clock(*manager);
            }
            self.notices.push_back(Notice::Session(event));
        }
    }

    /// Whose voice alone is to be heard, where the host has said so.
    fn only_source(&self) -> Option<SourceIndex> {
        if !self.rules()?.quiet {
            return None;
        }
        let host = match &self.role {
            Role::Host(_) => self.me,
            Role::Member(member, _) => member.manager()?,
            Role::Idle => return None,
        };
        self.roster()?.by_node(host).map(|host| SourceIndex(host.index))
    }

    fn on_pool_event(&mut self, event: pool::Event, now: Instant) {
        match event {
            pool::Event::Joined(peer) => {
                for complete in self.carrier.on_joined(peer) {
                    self.report(complete);
                }
                match &mut self.role {
                    Role::Host(manager) => manager.on_joined(peer),
                    Role::Member(member, _) => member.on_joined(peer, now),
                    Role::Idle => {}
                }
                self.notices.push_back(Notice::PoolSize(self.pool.joined().count() + 1));
            }
            pool::Event::Lost(peer) => {
                self.repairs.on_lost(peer, &mut self.carrier, now);
                match &mut self.role {
                    Role::Host(manager) => manager.on_lost(peer, now),
                    Role::Member(member, _) => member.on_lost(peer, now),
                    Role::Idle => {}
                }
                self.notices.push_back(Notice::PoolSize(self.pool.joined().count() + 1));
            }
            pool::Event::Measured(peer) => self.read_clock(peer),
            pool::Event::Evicted(session) => {
                if self.own_session() != Some(session) {
                    self.carrier.drop_session(session);
                    self.on_carried(now);
                }
            }
            pool::Event::BootstrapFailed(addr, error) => {
                let trouble = format!("no way to bootstrap {addr}: {error}; trying again");
                self.notices.push_back(Notice::Trouble(trouble));
            }
            pool::Event::Snapshot(reports) => {
                if let Role::Host(manager) = &mut self.role {
                    manager.on_snapshot(reports, now);
                }
            }
            pool::Event::Reserved { helper, granted, .. } => {
                if let Role::Host(manager) = &mut self.role {
                    manager.on_reserved(helper, granted, now);
                }
            }
            pool::Event::Preempted { helper, session } => {
                if let Role::Host(manager) = &mut self.role
                    && manager.session() == session
                {
                    manager.on_preempted(helper, now);
                }
            }
        }
    }

    fn on_role_output(&mut self, output: session::Output, now: Instant) {
        match output {
            session::Output::Message(to, message) => self.send(to, message),
            session::Output::Query => self.pool.query(now),
            session::Output::Plan(job) => self.outputs.push_back(Output::Plan(job)),
            session::Output::Reserve(helper, reservation) => self.pool.reserve(helper, reservation),
            session::Output::Release(helper) => {
                if let Some(session) = self.own_session() {
                    self.pool.release(helper, session);
                }
            }
            session::Output::Want(contact) => {
                let node = contact.node;
                self.pool.want(contact, now);
                if self.pool.is_joined(node)
                    && let Role::Member(member, _) = &mut self.role
                {
                    member.on_joined(node, now);
                }
            }
            session::Output::AskAround => {
                let peers: Vec<NodeId> = self.pool.joined().collect();
                if let Role::Member(member, _) = &mut self.role {
                    peers.into_iter().for_each(|peer| member.on_joined(peer, now));
                }
            }
            session::Output::TakeOver(silent) => self.take_over(silent, now),
            session::Output::StepDown(claim) => self.step_down(&claim, now),
            session::Output::Replaced(manager, silent) => self.on_replaced(manager, silent, now),
            session::Output::Doubt(node) => self.pool.doubt(node, now),
            session::Output::Bootstrap(addr) => self.pool.add_bootstrap(addr, now),
        }
    }

    fn poll_role_output(&mut self) -> Option<session::Output> {
        match &mut self.role {
            Role::Host(manager) => manager.poll_output(),
            Role::Member(member, _) => member.poll_output(),
            Role::Idle => None,
        }
    }

    fn poll_role_event(&mut self) -> Option<session::Event> {
        match &mut self.role {
            Role::Host(manager) => manager.poll_event(),
            Role::Member(member, _) => member.poll_event(),
            Role::Idle => None,
        }
    }
}
