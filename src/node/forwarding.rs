//! The forwarding path: from datagram in to datagrams out by one look-up, without a copy. The link walks it by itself as
//! soon as a datagram arrives ([`Forwarding`]); where it cannot, the node does.

use std::sync::Arc;
use std::time::Instant;

use alm_media::{Carried, MediaPacket, SourceIndex, TreeId, peek_tree, set_tree};
use bytes::{Bytes, BytesMut};

use super::mending::Mending;
use super::sources::SourceBudgets;
use super::{Node, Output};
use crate::identity::NodeId;
use crate::net::{Channel, Switch, Verdict};
use crate::pool::round_trip::{self, AtOnce};
use crate::session::{PULSE, Routes};

/// The switch that a node gives its link: media goes where the installed epochs say, within what its source and its session
/// may send, and all else to the node.
#[derive(Debug)]
pub(super) struct Forwarding {
    routes: Arc<Routes>,
    sources: Arc<SourceBudgets>,
    mending: Mending,
    /// When the node was started: its clock begins there.
    started: Instant,
}

impl Switch for Forwarding {
    fn route(
        &self,
        from: NodeId,
        datagram: &[u8],
        at: Instant,
        send: &mut dyn FnMut(NodeId, &[u8]),
    ) -> Verdict {
        if self.mending.on_told(from, datagram, &self.routes, at, send) {
            return Verdict::Passed { deliver: false };
        }
        if datagram.first() == Some(&PULSE) {
            return Verdict::Noted;
        }
        match round_trip::at_once(datagram, at.saturating_duration_since(self.started)) {
            Some(AtOnce::Answer(pong)) => return Verdict::Answered(pong),
            Some(AtOnce::Later) => return Verdict::Later,
            None => {}
        }
        // A tree under repair is the node's affair, which knows what has come before.
        let Some(tree) = peek_tree(datagram).filter(|tree| !self.routes.is_guarded(*tree)) else {
            return Verdict::Keep;
        };
        let Some(route) = self.routes.route(tree, Some(from)) else { return Verdict::Refused };
        let copies = datagram.len() * route.links.len();
        let budget = self.routes.budget(tree);
        if !self.sources.draw(tree, datagram, at)
            || budget.is_some_and(|budget| !budget.draw_media(copies, datagram, at))
        {
            return Verdict::Refused;
        }
        let (copies, is_heard) = (route.links.len(), route.deliver);
        let carried = Carried { datagram, came_by: Some(from), copies, is_heard };
        if !self.mending.on_packet(carried, at, send) {
            return Verdict::Passed { deliver: false };
        }
        let since_start = at.saturating_duration_since(self.started);
        for link in route.links {
            self.routes.on_passed(*link, since_start);
            send(self.routes.peer(*link), datagram);
        }
        Verdict::Passed { deliver: route.deliver }
    }

    fn beat(&self, now: Instant, send: &mut dyn FnMut(NodeId, &[u8])) -> Option<Instant> {
        let since_start = now.saturating_duration_since(self.started);
        let next = self.routes.pulse(since_start, &mut |to| send(to, &[PULSE]))?;
        Some(self.started + next)
    }
}

impl Node {
    pub(super) fn forward(&mut self, from: NodeId, packet: Bytes, at: Instant) {
        let mut said = Vec::new();
        let mut say = |to, bytes: &[u8]| said.push((to, Bytes::copy_from_slice(bytes)));
        if self.mending.on_told(from, &packet, self.carrier.routes(), at, &mut say) {
            return self.say_all(said);
        }
        let tree = peek_tree(&packet).filter(|tree| !self.carrier.is_repeat(*tree, from, &packet));
        let routes = self.carrier.routes();
        let Some(route) = tree.and_then(|tree| routes.route(tree, Some(from))) else {
            if let Some(counts) = self.counts.get_mut(&from) {
                counts.dropped += 1;
            }
            return;
        };
        let (copies, is_heard) = (route.links.len(), route.deliver);
        let carried = Carried { datagram: &packet, came_by: Some(from), copies, is_heard };
        if !self.mending.on_packet(carried, at, &mut say) {
            return;
        }
        for link in route.links {
            let to = routes.peer(*link);
            self.counts.entry(to).or_default().sent += 1;
            routes.on_passed(*link, at.saturating_duration_since(self.started));
            self.outputs.push_back(Output::Send(to, Channel::Datagram, packet.clone()));
        }
        self.counts.entry(from).or_default().received += 1;
        if route.deliver && self.is_heard(&packet) {
            self.outputs.push_back(Output::Play(packet, at));
        }
        self.say_all(said);
    }

    pub(super) fn send_own(&mut self, packet: &[u8], now: Instant) {
        let Some(session) = self.own_session() else { return };
        if self.alone.is_some_and(|alone| peek_source(packet) != Some(alone)) {
            return;
        }
        let routes = self.carrier.routes();
        for tree in self.carrier.own_trees(session, now) {
            if let Some(route) = routes.route(tree, None) {
                let packet = addressed(packet, tree);
                let copies = route.links.len();
                let carried = Carried { datagram: &packet, came_by: None, copies, is_heard: false };
                self.mending.on_packet(carried, now, &mut |_, _| {});
                for link in route.links {
                    let to = routes.peer(*link);
                    self.counts.entry(to).or_default().sent += 1;
                    routes.on_passed(*link, now.saturating_duration_since(self.started));
                    self.outputs.push_back(Output::Send(to, Channel::Datagram, packet.clone()));
                }
            }
        }
    }

    /// True unless the host has somebody else heard alone.
    pub(super) fn is_heard(&self, packet: &[u8]) -> bool {
        self.alone.is_none_or(|alone| peek_source(packet) == Some(alone))
    }

    /// Hands the link a new table when where packets go has changed.
    pub(super) fn switch(&mut self) {
        let routes = self.carrier.routes();
        if !Arc::ptr_eq(routes, &self.switched) {
            self.switched = routes.clone();
            self.hand_out_switch();
        }
    }

    pub(super) fn hand_out_switch(&mut self) {
        let (routes, sources) = (self.switched.clone(), self.sources.clone());
        let (mending, started) = (self.mending.clone(), self.started);
        self.outputs.push_back(Output::Switch(Arc::new(Forwarding { routes, sources, mending, started })));
    }
}

fn peek_source(packet: &[u8]) -> Option<SourceIndex> {
    MediaPacket::parse(packet).ok().map(|packet| packet.source.voice())
}

/// A copy of a packet, set on its tree.
fn addressed(packet: &[u8], tree: TreeId) -> Bytes {
    let mut packet = BytesMut::from(packet);
    set_tree(&mut packet, tree);
    packet.freeze()
}
