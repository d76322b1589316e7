//! What the parts of a node have to say to each other: the pool's events to the session, the session's wishes to the pool.

use std::time::Instant;

use super::{Node, Notice, Output, Role};
use alm_media::SourceIndex;

use crate::identity::NodeId;
use crate::net::Channel;
use crate::pool::records::Record;
use crate::pool::{self, Contact, WANTED_FOR};
use crate::session::{self, Roster, SessionRecord, record_key};
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
            let poll = |node: &mut Self| {
                let own = node.repairs.poll_output().or_else(|| node.detours.poll_output());
                own.or_else(|| node.poll_role_output())
            };
            while let Some(output) = poll(self) {
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
        self.drain_pool();
        self.switch();
        let poll = |node: &mut Self| {
            let own = node.repairs.poll_event().or_else(|| node.detours.poll_event());
            own.or_else(|| node.poll_role_event())
        };
        while let Some(event) = poll(self) {
            match &event {
                session::Event::Entered { manager, .. } => {
                    self.read_clock(*manager);
                    self.pool.fetch(None, now);
                }
                // Members measure each other: any of them may come to feed any other.
                session::Event::MemberJoined(member) => {
                    let contact = Contact { node: member.node, addrs: member.addrs.clone() };
                    if matches!(self.role, Role::Host(_)) || self.roster().is_some_and(Roster::is_mesh) {
                        self.named_by_manager(member.node, now);
                        self.pool.want_mutually(contact, now);
                    }
                    self.set_pace(member.node, now);
                    self.remember_to_show(member.node, now);
                }
                // Whoever manages the session goes on to look for it.
                session::Event::MemberLeft(node, _) if matches!(self.role, Role::Member(..)) => {
                    self.pool.unwant(*node);
                }
                _ => {}
            }
            self.notices.push_back(Notice::Session(event));
        }
        let keys = self.keyring.poll_keys().map(session::Event::Keys);
        self.notices.extend(keys.map(Notice::Session));
    }

    /// Hands on what the pool has to say.
    pub(super) fn drain_pool(&mut self) {
        while let Some(output) = self.pool.poll_output() {
            self.outputs.push_back(match output {
                pool::Output::Message(to, message) => {
                    Output::Send(to, Channel::Control, Message::Pool(message).encode())
                }
                pool::Output::Datagram(to, bytes) => Output::Send(to, Channel::Datagram, bytes),
                pool::Output::Pair(to, pair) => Output::Pair(to, pair),
                pool::Output::Dial(addr, node) => Output::Dial(addr, node),
                pool::Output::DialThrough(via, node) => Output::DialThrough(via, node),
                pool::Output::Close(node, reason) => {
                    self.heard.remove(&node);
                    Output::Close(node, reason)
                }
            });
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
                self.set_pace(peer, now);
                if self.pool.is_direct(peer) {
                    self.on_direct(peer);
                }
                match &mut self.role {
                    Role::Host(manager) => manager.on_joined(peer),
                    Role::Member(member, _) => {
                        if !member.is_in() {
                            // Perhaps the task manager: its clock is wanted soon.
                            self.pool.want(Contact { node: peer, addrs: vec![] }, now);
                        }
                        member.on_joined(peer, now);
                    }
                    Role::Idle => {}
                }
            }
            pool::Event::Direct(peer) => self.on_direct(peer),
            pool::Event::Lost(peer) => {
                self.repairs.on_lost(peer, &mut self.carrier, now);
                self.detours.on_lost(peer, &mut self.carrier, now);
                match &mut self.role {
                    Role::Host(manager) => manager.on_lost(peer, now),
                    Role::Member(member, _) => member.on_lost(peer, now),
                    Role::Idle => {}
                }
            }
            pool::Event::Measured(peer) => self.read_clock(peer),
            pool::Event::Evicted(session) => {
                if self.own_session() != Some(session) {
                    self.carrier.give_notice(session, now);
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
            pool::Event::Probed(by, round_trips_ms) => {
                if let Role::Host(manager) = &mut self.role {
                    manager.on_probed(by, &round_trips_ms, now);
                }
            }
            pool::Event::Fetched(record) => self.on_record(&record, now),
            pool::Event::Answered(root, answer) => self.notices.push_back(Notice::Answered(root, answer)),
            pool::Event::Standing(standing) => self.notices.push_back(Notice::Pool(standing)),
            pool::Event::Placed(place, error) => self.notices.push_back(Notice::Place(place, error)),
            pool::Event::Reserved { helper, session, granted, grant } => {
                let now_s = self.pool.unix_s(now);
                if let Role::Host(manager) = &mut self.role {
                    let authority = || grant.and_then(|grant| grant.authority(helper, session, now_s));
                    manager.on_reserved(helper, granted, authority, now);
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

    fn on_direct(&mut self, peer: NodeId) {
        for complete in self.carrier.on_joined(peer) {
            self.report(complete);
        }
    }

    fn on_role_output(&mut self, output: session::Output, now: Instant) {
        match output {
            session::Output::Message(to, message) => self.send(to, message),
            session::Output::Query(members, wide, from) => self.pool.query(members, wide, &from, now),
            session::Output::Probe(by, targets) => self.pool.probe(by, targets, now),
            session::Output::Plan(mut job) => {
                job.refresh(self.pool.report());
                self.outputs.push_back(Output::Plan(job));
            }
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
            session::Output::Replaced(manager, silent) => {
                self.on_replaced(manager, silent, now);
                // Another one's signs of life count from now on.
                self.tend_at = now;
            }
            session::Output::Epoch(key, phrase) => self.keyring.on_epoch(key, phrase, now),
            session::Output::Doubt(node) => self.pool.doubt(node, now),
            session::Output::Watch(watched) => self.outputs.push_back(Output::Watch(watched)),
            session::Output::Measure(node) => self.pool.look_at(node, now),
            session::Output::Bootstrap(addr) => self.pool.add_bootstrap(addr, now),
        }
    }

    /// A record has been found that may say who manages the session.
    fn on_record(&mut self, record: &Record, now: Instant) {
        if let Role::Member(member, _) = &mut self.role {
            member.on_record(record, now);
        }
    }

    /// Keeps the session's record as it should be, at the one who manages it.
    fn publish_record(&mut self, now: Instant) {
        let Role::Host(manager) = &self.role else { return };
        let record =
            SessionRecord { delegation: manager.delegation().clone(), addrs: self.pool.addrs(self.me) };
        let (session, secret) = (manager.session(), manager.secret());
        let record = (record_key(session, &secret), record);
        if self.published.as_ref() == Some(&record) {
            return;
        }
        // A new secret has another place, and whoever has only the old one is to find nothing.
        if let Some((before, _)) = self.published.take().filter(|(before, _)| *before != record.0) {
            self.pool.withdraw(before, now);
        }
        self.published = self.pool.publish(record.1.seal(session, &secret), now).is_ok().then_some(record);
    }

    /// Says again whom this node is to stay connected to: the members and helpers of its own session, and its neighbours
    /// in those that it helps.
    pub(super) fn tend(&mut self, now: Instant) {
        if self.tend_at > now {
            return;
        }
        self.tend_at = now + WANTED_FOR / 3;
        self.publish_record(now);
        if let Role::Host(manager) = &mut self.role {
            // Whoever was in once may follow another manager, and may have become one since they met.
            self.pool.joined().for_each(|peer| manager.remind(peer));
        }
        let mut peers = match &self.role {
            Role::Host(manager) => manager.peers(),
            Role::Member(member, _) => member.peers(),
            Role::Idle => vec![],
        };
        let neighbours = self
            .carrier
            .sessions()
            .flat_map(|session| self.carrier.neighbours(session).chain(self.carrier.reserves(session)));
        peers.extend(neighbours.map(|node| Contact { node, addrs: vec![] }));
        for contact in peers {
            let node = contact.node;
            self.named_by_manager(node, now);
            self.pool.want_mutually(contact, now);
            self.set_pace(node, now);
        }
    }

    /// Who manages a session waits for signs of life of all, and they for its own. Two other members only want to know how far
    /// they are from each other: where one feeds the other, that is watched on the way itself.
    fn set_pace(&mut self, peer: NodeId, now: Instant) {
        let is_loose = match &self.role {
            Role::Member(member, _) => {
                member.manager() != Some(peer) && member.roster().by_node(peer).is_some()
            }
            Role::Host(_) | Role::Idle => false,
        };
        self.pool.set_loose(peer, is_loose, now);
    }

    /// The manager reaches all that are in.
    fn named_by_manager(&mut self, node: NodeId, now: Instant) {
        if let Role::Member(member, _) = &self.role
            && let Some(manager) = member.manager()
        {
            self.pool.named(node, manager, now);
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
