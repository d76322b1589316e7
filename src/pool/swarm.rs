//! One node of the pool as the network sees it: the ring, and SOMO and records on top of it. They know nothing of each other;
//! here zones and neighbours go up from the ring, and lookups and their answers back.

mod asking;
mod liars;
mod message;
mod regency;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use rand::RngExt;
use rand::rngs::StdRng;

use self::asking::Sought;
pub use self::liars::{betray, forge};
pub use self::message::SwarmMessage;
pub(super) use self::message::VERSION;
use self::regency::Regency;
use super::asks::Asks;
use super::bandwidth::{Bandwidth, BandwidthConfig};
use super::moment::Moment;
use super::outbox::Outbox;
use super::peer::{Endpoint, Local, Peer};
use super::polls::Polls;
use super::records::{self, Object, Records, RecordsConfig, Reference, Refusal};
use super::ring::{self, RingConfig, RingNode};
use super::somo::{Action, Answer, News, Offer, Region, Report, Search, Somo, SomoConfig, SomoMessage};
use crate::identity::{Identity, Position};

/// What happens to a node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A message has come; the transport has proven whose it is.
    Message(Peer, SwarmMessage),
    /// A node to join through, or to find a lost ring by.
    Bootstrap(Peer),
    /// This node listens elsewhere, or is seen elsewhere by others.
    Moved(Endpoint, Local),
    /// What was to go to that node has to wait for a connection.
    Dialling(Position),
    /// It leaves now.
    Departed(Position),
    /// What this machine has to offer by now.
    Offer(Offer),
    /// Leave the pool politely.
    Leave,
    /// [`SwarmNode::poll_timeout`] has come.
    Timeout,
}

/// What the layer above needs to know.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// Of the ring.
    Ring(ring::Event),
    /// This node is SOMO's root, and this is the whole pool as it knows it.
    View(Box<Report>),
    /// Of the data overlay.
    Records(records::Event),
    /// The answer to a question of this node's, by number, and whose it is; nothing if nobody answers. To a registered one others may follow.
    Answered(u32, Option<(Peer, Box<Answer>)>),
    /// What was said to all nodes of a region that this one lies in.
    News(News),
}

/// See the [module](self).
pub struct SwarmNode {
    ring: RingNode,
    somo: Somo,
    /// The lookup of a parent that is under way.
    seeking: Option<Sought>,
    records: Records,
    asks: Asks,
    polls: Polls,
    /// This node acts as the root.
    regency: Option<Box<Regency>>,
    somo_config: SomoConfig,
    born_s: u64,
    /// With its own key a node that owns the root's point can sign it away.
    identity: Option<Arc<Identity>>,
    search: Search,
    /// The lookup of a candidate's neighbours.
    searching: Option<u32>,
    /// Lookups for questions that are under way, and the question's number.
    hosts: Vec<(Sought, u32)>,
    bandwidth: Option<Box<Bandwidth>>,
    /// What the owner of this machine offers, and whether it is to be said anew.
    offer: Offer,
    careful: bool,
    /// Lookups for records that are under way: the ring's number, and the ticket.
    fetching: Vec<(u32, u32)>,
    /// Which neighbours the records have been told of.
    leaf_changes: u32,
    outbox: Outbox<(Peer, SwarmMessage)>,
    events: Outbox<Event>,
}

impl SwarmNode {
    /// A node that knows nobody: alone until it is given a bootstrap. `born_s` is the Unix time at [`Moment::ZERO`].
    #[must_use]
    pub fn new(
        me: Peer,
        ring: RingConfig,
        somo: SomoConfig,
        records: RecordsConfig,
        born_s: u64,
        mut random: StdRng,
        now: Moment,
    ) -> Self {
        let phase = random.random_range(0.0..1.0);
        let mut node = Self {
            ring: RingNode::new(me, ring, random, now),
            somo: Somo::new(somo, phase, now),
            seeking: None,
            records: Records::new(me, records, phase, born_s),
            asks: Asks::default(),
            polls: Polls::default(),
            regency: None,
            somo_config: somo,
            born_s,
            identity: None,
            search: Search::default(),
            searching: None,
            hosts: Vec::new(),
            bandwidth: None,
            offer: Offer::default(),
            careful: records.asked > 1,
            fetching: Vec::new(),
            leaf_changes: 0,
            outbox: Outbox::new(),
            events: Outbox::new(),
        };
        node.somo.on_zone(node.ring.zone(), now);
        node.tell_records(now);
        node
    }

    // The four doors.

    /// Something has happened.
    pub fn handle(&mut self, input: Input, now: Moment) {
        match input {
            Input::Message(from, SwarmMessage::Ring(message)) => {
                self.ring.handle(ring::Input::Message(from, message), now);
            }
            Input::Message(from, SwarmMessage::Somo(SomoMessage::Answer { number, answer })) => {
                self.ring.handle(ring::Input::SignOfLife(from), now);
                self.asks.on_answer(from, number, answer, now);
            }
            Input::Message(from, SwarmMessage::Somo(message)) => {
                self.ring.handle(ring::Input::SignOfLife(from), now);
                self.on_somo(from, message, now);
            }
            Input::Message(from, SwarmMessage::Records(message)) => {
                self.ring.handle(ring::Input::SignOfLife(from), now);
                self.records(now).on_message(from, message, now);
            }
            Input::Message(from, SwarmMessage::Bandwidth(message)) => {
                self.ring.handle(ring::Input::SignOfLife(from), now);
                if let Some(bandwidth) = &mut self.bandwidth {
                    bandwidth.on_message(from, message, now);
                    self.publish_offer();
                }
            }
            Input::Bootstrap(peer) => self.ring.handle(ring::Input::Bootstrap(peer), now),
            Input::Moved(endpoint, local) => {
                self.ring.handle(ring::Input::Moved(endpoint, local), now);
                self.records.on_moved(self.ring.me());
            }
            Input::Dialling(position) => self.ring.handle(ring::Input::Dialling(position), now),
            Input::Departed(position) => self.ring.handle(ring::Input::Departed(position), now),
            Input::Offer(offer) => {
                self.offer = offer;
                self.publish_offer();
            }
            Input::Leave => self.ring.handle(ring::Input::Leave, now),
            Input::Timeout => self.ring.handle(ring::Input::Timeout, now),
        }
        if self.somo.poll_timeout() <= now {
            self.somo.on_timeout(self.ring.me(), now);
        }
        if self.records.poll_timeout() <= now {
            self.records.on_timeout(now);
        }
        self.go_on_reigning(now);
        if self.search.poll_timeout() <= now {
            self.end_search(now);
        }
        if self.asks.poll_timeout() <= now {
            self.asks.on_timeout(now);
        }
        let told = self.polls.on_timeout(now).into_iter();
        self.events.extend(told.map(|(number, answer)| Event::Answered(number, answer)));
        if let Some(bandwidth) = &mut self.bandwidth
            && bandwidth.poll_timeout() <= now
        {
            bandwidth.on_timeout(self.ring.peers(), now);
        }
        self.wire(now);
    }

    /// The next message to send. Drain it after every call of [`handle`](Self::handle) or [`lookup`](Self::lookup).
    pub fn poll_transmit(&mut self) -> Option<(Peer, SwarmMessage)> {
        self.outbox.pop_front().or_else(|| {
            let ring::Transmit { to, message } = self.ring.poll_transmit()?;
            Some((to, SwarmMessage::Ring(message)))
        })
    }

    /// The next thing to know. Drain it likewise.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When to give [`Input::Timeout`].
    #[must_use]
    pub fn poll_timeout(&self) -> Moment {
        let bandwidth = self.bandwidth.as_ref().map_or(Moment::NEVER, |bandwidth| bandwidth.poll_timeout());
        let others = self.somo.poll_timeout().min(self.records.poll_timeout()).min(bandwidth);
        let regency = self.regency.as_ref().map_or(Moment::NEVER, |regency| regency.somo.poll_timeout());
        let others = others.min(self.asks.poll_timeout()).min(self.polls.poll_timeout());
        let others = others.min(regency).min(self.search.poll_timeout());
        self.ring.poll_timeout().min(others)
    }

    // What the layer above asks.

    /// From now on the node's line is measured, where the network can carry pairs of packets as they are.
    pub fn measure_line(&mut self, config: BandwidthConfig, phase: f64, now: Moment) {
        self.bandwidth = Some(Box::new(Bandwidth::new(self.ring.me().position, config, phase, now)));
    }

    /// The node's own key: with it a node that owns the root's point lets the most capable node act as the root.
    pub fn set_identity(&mut self, identity: Arc<Identity>) {
        self.identity = Some(identity);
    }

    /// The line upwards and downwards, kbit/s, as far as it is known.
    #[must_use]
    pub fn line_kbit_s(&self) -> (Option<u32>, Option<u32>) {
        let line = self.bandwidth.as_ref();
        (line.and_then(|line| line.up_kbit_s()), line.and_then(|line| line.down_kbit_s()))
    }

    /// The ring beneath.
    #[must_use]
    pub fn ring(&self) -> &RingNode {
        &self.ring
    }

    /// Questions of strangers that were not answered because they asked too many. What was refused of records:
    /// [`Records::refusals`].
    #[must_use]
    pub fn questions_refused(&self) -> u64 {
        self.somo.refused()
    }

    /// True when this node acts as the root of SOMO's tree.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.somo.is_root() || self.regency.is_some()
    }

    /// What this node knows of itself and, if it has children in SOMO's tree, of all below it.
    #[must_use]
    pub fn gathered(&self, now: Moment) -> Report {
        self.somo.gathered(self.ring.me(), now)
    }

    /// See [`RingNode::lookup`].
    pub fn lookup(&mut self, key: Position, now: Moment) -> Option<u32> {
        let request = self.ring.lookup(key, now);
        self.wire(now);
        request
    }

    /// Tells all nodes of a region. False unless this node hosts its point, and what it says is no larger than
    /// [`NEWS_MAX`](super::somo::NEWS_MAX).
    pub fn tell(&mut self, region: Region, payload: Vec<u8>, now: Moment) -> bool {
        let told = self.somo.tell(region, payload, self.ring.me());
        self.wire(now);
        told
    }

    /// See [`Records::set_ref`].
    ///
    /// # Errors
    /// As there.
    pub fn set_ref(&mut self, object: Object, host: Option<Peer>, now: Moment) -> Result<u32, Refusal> {
        let ticket = self.records(now).set_ref(object, host, now);
        self.wire(now);
        ticket
    }

    /// See [`Records::put`].
    pub fn put(&mut self, record: records::Record, now: Moment) -> bool {
        let taken = self.records(now).put(record, now);
        self.wire(now);
        taken
    }

    /// See [`Records::deref`].
    pub fn deref(&mut self, reference: Reference, now: Moment) -> Option<u32> {
        let ticket = self.records(now).deref(reference, now);
        self.wire(now);
        ticket
    }

    /// See [`Records::delete`].
    pub fn delete(&mut self, key: Position, now: Moment) -> Option<u32> {
        let ticket = self.records(now).delete(key, now);
        self.wire(now);
        ticket
    }

    /// See [`RingNode::lookup_carefully`].
    pub fn lookup_carefully(&mut self, key: Position, now: Moment) -> Option<u32> {
        let request = self.ring.lookup_carefully(key, now);
        self.wire(now);
        request
    }

    // Helpers.

    /// Lets ring, SOMO and records talk until none of them has anything to say.
    fn wire(&mut self, now: Moment) {
        loop {
            while let Some(event) = self.ring.poll_event() {
                self.on_ring_event(event, now);
            }
            if self.leaf_changes != self.ring.leaf_changes() {
                self.tell_records(now);
            }
            let regency = self.regency.as_mut().and_then(|regency| regency.somo.poll_action());
            if let Some(action) = self.somo.poll_action().or(regency) {
                match action {
                    Action::Send(to, SomoMessage::Answer { number, answer })
                        if to.position == self.ring.me().position =>
                    {
                        self.asks.on_answer(to, number, answer, now);
                    }
                    // The owner of the root's point asks, and knows who acts for it.
                    Action::Send(to, SomoMessage::Regent { delegation, .. })
                        if to.position == self.ring.me().position =>
                    {
                        self.asks.on_regent(to, delegation.delegate);
                    }
                    Action::Send(to, message) => self.outbox.push_back((to, SwarmMessage::Somo(message))),
                    Action::View(report) => {
                        self.look_for_delegate(&report, now);
                        self.events.push_back(Event::View(report));
                    }
                    Action::News(news) => self.events.push_back(Event::News(news)),
                    // A careful one may take longer than the pause before it is asked for again.
                    Action::LookUp(key)
                        if self.seeking.is_some_and(|sought| sought.careful && sought.key == key) => {}
                    Action::LookUp(key) => match self.look_for(key, false, now) {
                        Some(sought) => self.seeking = Some(sought),
                        None => self.somo.on_parent(key, None, self.ring.me(), now),
                    },
                }
                continue;
            }
            if let Some(action) = self.asks.poll_action() {
                self.do_for_asker(action, now);
                continue;
            }
            match self.records.poll_action() {
                Some(records::Action::Send(to, message)) => {
                    self.outbox.push_back((to, SwarmMessage::Records(message)));
                }
                Some(records::Action::LookUp { ticket, key }) => self.fetch(ticket, key, now),
                None => break,
            }
        }
        while let Some((to, message)) = self.bandwidth.as_mut().and_then(|line| line.poll_transmit()) {
            self.outbox.push_back((to, SwarmMessage::Bandwidth(message)));
        }
        while let Some(event) = self.records.poll_event() {
            self.events.push_back(Event::Records(event));
        }
    }

    /// What the owner offers, and the line as it was measured: what its owner allows of it is never exceeded.
    fn publish_offer(&mut self) {
        let (up, down) = self.line_kbit_s();
        let allowed = |allowed: u32, measured: Option<u32>| match (allowed, measured) {
            (0, measured) => measured.unwrap_or(0),
            (allowed, measured) => measured.map_or(allowed, |measured| measured.min(allowed)),
        };
        let up_kbit_s = allowed(self.offer.up_kbit_s, up);
        let down_kbit_s = allowed(self.offer.down_kbit_s, down);
        self.somo.set_offer(Offer { up_kbit_s, down_kbit_s, ..self.offer });
    }

    fn on_ring_event(&mut self, event: ring::Event, now: Moment) {
        match event {
            ring::Event::ZoneChanged => {
                self.somo.on_zone(self.ring.zone(), now);
                self.tell_records(now);
            }
            ring::Event::Died(position) => {
                self.somo.on_dead(position, self.ring.me(), now);
                return;
            }
            ring::Event::Found { request, root, ref heirs, .. } if self.fetched(request).is_some() => {
                let roots: Vec<Peer> = [root].into_iter().chain(heirs.iter().copied()).collect();
                self.on_fetched(request, &roots, now);
                return;
            }
            ring::Event::LookupFailed { request } if self.fetched(request).is_some() => {
                self.on_fetched(request, &[], now);
                return;
            }
            ring::Event::Found { request, root, ref heirs, .. } if self.searching == Some(request) => {
                let around: Vec<Peer> = [root].into_iter().chain(heirs.iter().copied()).collect();
                self.searching = None;
                for (to, message) in self.search.on_neighbours(&around, now) {
                    self.outbox.push_back((to, SwarmMessage::Somo(message)));
                }
                return;
            }
            ring::Event::LookupFailed { request } if self.searching == Some(request) => {
                self.searching = None;
                return;
            }
            ring::Event::Found { request, root, .. } if self.is_sought(request) => {
                self.on_sought(request, Some(root), now);
                return;
            }
            ring::Event::LookupFailed { request } if self.is_sought(request) => {
                self.on_sought(request, None, now);
                return;
            }
            _ => {}
        }
        self.events.push_back(Event::Ring(event));
    }

    fn tell_records(&mut self, now: Moment) {
        self.leaf_changes = self.ring.leaf_changes();
        if let Some(nodes) = self.ring.crowd() {
            self.somo.set_crowd(nodes);
        }
        if self.records.is_idle() {
            self.records.forget_ring();
        } else {
            self.records.on_ring(self.ring.zone(), self.ring.leaves(), now);
        }
    }

    /// Records, which know who is near by: most nodes have none most of the time.
    fn records(&mut self, now: Moment) -> &mut Records {
        if self.records.is_idle() {
            self.records.on_ring(self.ring.zone(), self.ring.leaves(), now);
        }
        &mut self.records
    }

    fn fetch(&mut self, ticket: u32, key: Position, now: Moment) {
        let careful = self.careful;
        let request = if careful { self.ring.lookup_carefully(key, now) } else { self.ring.lookup(key, now) };
        match request {
            Some(request) => self.fetching.push((request, ticket)),
            None => self.records.on_roots(ticket, &[], now),
        }
    }

    fn fetched(&self, request: u32) -> Option<usize> {
        self.fetching.iter().position(|(of, _)| *of == request)
    }

    fn on_fetched(&mut self, request: u32, roots: &[Peer], now: Moment) {
        if let Some(at) = self.fetched(request) {
            let (_, ticket) = self.fetching.swap_remove(at);
            self.records.on_roots(ticket, roots, now);
        }
    }
}
