//! The ring beneath connections: what it sends waits for one where there is none, and what comes is its peers' own.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::introducing::looks_translated;
use super::{Event, Output, PoolNode, Standing};
use crate::identity::{NodeId, SessionId};
use crate::net::DATAGRAM_MAX;
use crate::pool::degree::Priority;
use crate::pool::links::Way;
use crate::pool::message::PoolMessage;
use crate::pool::moment::Moment;
use crate::pool::peer::{Peer, Place};
use crate::pool::ring::{RingConfig, RingMessage};
use crate::pool::somo::Offer;
use crate::pool::swarm::{self, SwarmMessage};

/// A place that moved less, by each of its numbers, is no news: a millisecond.
const PLACE_STEP: i16 = 10;

impl PoolNode {
    pub(super) fn moment(&self, now: Instant) -> Moment {
        Moment::from_micros(now.saturating_duration_since(self.started).as_micros() as u64)
    }

    pub(super) fn swarm_wake(&self) -> Instant {
        // Far enough for never.
        const LATEST: Duration = Duration::from_secs(3_600);
        let wake = Duration::from_micros(self.swarm.poll_timeout().micros());
        let latest = self.wake + LATEST;
        self.started.checked_add(wake).map_or(latest, |at| at.min(latest))
    }

    /// Something has happened to the ring.
    pub(super) fn drive(&mut self, input: swarm::Input, now: Instant) {
        let moment = self.moment(now);
        self.swarm.handle(input, moment);
        self.drain_swarm(now);
    }

    /// Takes all that the ring has to say.
    pub(super) fn drain_swarm(&mut self, now: Instant) {
        let moment = self.moment(now);
        loop {
            while let Some((to, message)) = self.swarm.poll_transmit() {
                if message.is_measuring() {
                    self.carry_pair(to.node, &message);
                } else if self.carry(to, message, now) {
                    self.swarm.handle(swarm::Input::Dialling(to.position), moment);
                }
            }
            let Some(event) = self.swarm.poll_event() else { break };
            self.on_swarm_event(event, now);
        }
    }

    /// Sends a message on its way. True when it has to wait for a connection.
    fn carry(&mut self, to: Peer, message: SwarmMessage, now: Instant) -> bool {
        if self.is_off_ring() {
            return false;
        }
        match self.links.way(&to, message, now) {
            Way::Open(message) => {
                self.send_swarm(to.node, &message);
                false
            }
            Way::Waits => true,
            Way::Dial => {
                for addr in to.addrs() {
                    self.dial(addr, Some(to.node), now);
                }
                if looks_translated(to.addrs()) {
                    self.ask_for_introduction(to.node, now);
                }
                true
            }
            Way::None => false,
        }
    }

    /// A packet of a pair waits for the other one, and the two leave together, where there is a direct way.
    fn carry_pair(&mut self, to: NodeId, message: &SwarmMessage) {
        let bytes = message.encode();
        match self.pair.take() {
            Some((first_to, first)) if first_to == to => {
                if self.is_direct(to) {
                    self.outputs.push_back(Output::Pair(to, [first, bytes]));
                }
            }
            _ => self.pair = Some((to, bytes)),
        }
    }

    fn send_swarm(&mut self, to: NodeId, message: &SwarmMessage) {
        let bytes: Bytes = message.encode();
        if message.is_streamed() || bytes.len() > DATAGRAM_MAX {
            self.tell(to, PoolMessage::Swarm(bytes.into()));
        } else {
            self.outputs.push_back(Output::Datagram(to, bytes));
        }
    }

    /// A node that was dialled has said hello: what waited for it leaves.
    pub(super) fn flush(&mut self, node: NodeId, now: Instant) {
        let Some(waiting) = self.links.take_waiting(node) else { return };
        for message in &waiting {
            self.send_swarm(node, message);
        }
        self.drive(swarm::Input::Departed(node.position()), now);
    }

    /// Bytes that claim to be a message of the ring's or what is on it.
    pub(super) fn on_swarm_bytes(&mut self, from: NodeId, bytes: &[u8], now: Instant) {
        if self.is_off_ring() {
            return;
        }
        let Some(link) = self.links.get_mut(from) else { return };
        if link.hello.as_ref().is_none_or(|hello| hello.observer) || !link.may_speak(now) {
            return;
        }
        let Ok(message) = SwarmMessage::decode(bytes) else { return };
        match &message {
            SwarmMessage::Ring(RingMessage::Ping(ping)) => link.place = ping.view.place,
            SwarmMessage::Ring(RingMessage::Pong(pong)) => link.place = pong.view.place,
            _ => {}
        }
        link.last_used = now;
        let peer = link.peer(from);
        self.note_names(from, &message, now);
        self.drive(swarm::Input::Message(peer, message), now);
    }

    /// A peer ends, and has said so: its leaves need not find out for themselves.
    pub(super) fn on_left(&mut self, peer: Peer, now: Instant) {
        let message = SwarmMessage::Ring(RingMessage::Leave);
        self.drive(swarm::Input::Message(peer, message), now);
    }

    fn on_swarm_event(&mut self, event: swarm::Event, now: Instant) {
        match event {
            swarm::Event::Ring(event) => self.on_ring_event(event),
            swarm::Event::Records(event) => self.on_records_event(event, now),
            swarm::Event::Answered(number, answer) => self.on_ring_answer(number, answer, now),
            swarm::Event::View(_) | swarm::Event::News(_) => {}
        }
    }

    /// Tells the tree what this machine has to offer, when that has changed.
    pub(super) fn publish_offer(&mut self, now: Instant) {
        let nobody = SessionId([0; 20]);
        let free = [1, 2, 3].map(|priority| {
            let priority = Priority::try_from(priority).unwrap_or(Priority::LOWEST);
            let free = if self.lending { self.degrees.available(nobody, priority) } else { 0 };
            u8::try_from(free).unwrap_or(u8::MAX)
        });
        let up_kbit_s = self.config.uplink_kbit_s;
        let offer = Offer { lends: self.lending, free, up_kbit_s, of: self.mark(now), ..Offer::default() };
        if offer != self.offer {
            self.offer = offer;
            self.drive(swarm::Input::Offer(offer), now);
        }
    }

    /// How the pool stands, and where this node is in it, if either is news.
    pub(super) fn look_around(&mut self, now: Instant) {
        self.ask_how_it_stands(now);
        if let Some(standing) = self.standing_now(now)
            && self.standing.is_none_or(|known| (known.size, known.root) != (standing.size, standing.root))
        {
            self.standing = Some(standing);
            self.events.push_back(Event::Standing(standing));
        }
        let place = self.swarm.ring().me().place;
        let moved = |(a, b): (&i16, &i16)| a.abs_diff(*b) >= PLACE_STEP.unsigned_abs();
        let news = place.0.iter().zip(&self.placed.0).any(moved);
        if place != Place::UNKNOWN && (news || self.placed == Place::UNKNOWN) {
            self.placed = place;
            self.events.push_back(Event::Placed(place, self.swarm.ring().place_error()));
        }
    }

    fn standing_now(&self, now: Instant) -> Option<Standing> {
        let ring = self.swarm.ring();
        if self.is_off_ring() || !ring.is_active() {
            return None;
        }
        let told = self.standing_told(now);
        if ring.known() > 2 * RingConfig::default().side {
            return told;
        }
        // All are known, and so is who answers for the root's point; it may have another one act as the root.
        let size = ring.leaves().count() + 1;
        let age = told.map_or(Duration::ZERO, |told| told.age);
        let root = told.map(|told| told.root).or(self.root_nearby().map(|root| root.node))?;
        Some(Standing { size, root, age })
    }
}
