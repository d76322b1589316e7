//! A few nodes that keep records, on a ring that everybody sees at once; messages are carried by hand.

use std::collections::BTreeMap;
use std::sync::Arc;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::message::{Answer, PutOutcome};
use super::record::{PAYLOAD_MAX, tests::record};
use super::*;
use crate::identity::{Identity, NodeId};

const ONE_WAY: Duration = Duration::from_millis(20);
const SIDE: usize = 8;
const BORN_S: u64 = 1_700_000_000;

struct Net {
    nodes: BTreeMap<Position, Records>,
    under_way: BTreeMap<(Moment, u64), (Peer, Peer, RecordMessage)>,
    sent: u64,
    now: Moment,
    lookups: usize,
    loss: f64,
    random: StdRng,
    events: Vec<Event>,
}

impl Net {
    fn new(nodes: u8) -> Self {
        let random = StdRng::seed_from_u64(1);
        let (nodes_map, under_way, events) = (BTreeMap::new(), BTreeMap::new(), Vec::new());
        let (sent, now, lookups, loss) = (0, Moment::ZERO, 0, 0.0);
        let mut net = Self { nodes: nodes_map, under_way, sent, now, lookups, loss, random, events };
        for node in 0..nodes {
            net.join(node);
        }
        net
    }

    fn peer(node: u8) -> Peer {
        Peer::new(NodeId([node; 32]), ([10, 0, 0, node], 4_433).into())
    }

    fn join(&mut self, node: u8) -> Position {
        let me = Self::peer(node);
        let records = Records::new(me, RecordsConfig::default(), self.random.random(), BORN_S);
        self.nodes.insert(me.position, records);
        self.tell_all();
        me.position
    }

    fn crash(&mut self, position: Position) {
        self.nodes.remove(&position);
        self.tell_all();
    }

    /// Everybody hears who is near by.
    fn tell_all(&mut self) {
        let ring: Vec<Peer> = self.nodes.values().map(|node| node.me).collect();
        let count = ring.len();
        for (at, peer) in ring.iter().enumerate() {
            let others = (1..count).filter(|by| *by <= SIDE || *by >= count.saturating_sub(SIDE));
            let near: Vec<Peer> = others.map(|by| ring[(at + by) % count]).collect();
            let after = ring[(at + count - 1) % count].position;
            let zone = Zone { after, upto: peer.position };
            let now = self.now;
            self.act(peer.position, |node| node.on_ring(Some(zone), near.into_iter(), now));
        }
    }

    fn act<T>(&mut self, at: Position, act: impl FnOnce(&mut Records) -> T) -> T {
        let node = self.nodes.get_mut(&at).unwrap();
        let result = act(node);
        self.drain(at);
        result
    }

    fn drain(&mut self, at: Position) {
        let node = self.nodes.get_mut(&at).unwrap();
        let (me, mut sought) = (node.me, Vec::new());
        while let Some(action) = node.poll_action() {
            match action {
                Action::Send(to, message) => {
                    assert!(message.is_bounded());
                    self.sent += 1;
                    if !self.random.random_bool(self.loss) {
                        self.under_way.insert((self.now + ONE_WAY, self.sent), (me, to, message));
                    }
                }
                Action::LookUp { ticket, key } => sought.push((ticket, key)),
            }
        }
        while let Some(event) = node.poll_event() {
            self.events.push(event);
        }
        for (ticket, key) in sought {
            self.lookups += 1;
            let (root, now) = (self.root(key), self.now);
            self.act(at, |node| node.on_roots(ticket, &[root], now));
        }
    }

    fn root(&self, key: Position) -> Peer {
        self.nodes.range(key..).chain(&self.nodes).next().unwrap().1.me
    }

    fn run(&mut self, duration: Duration) {
        let until = self.now + duration;
        loop {
            let waking = self.nodes.iter().map(|(at, node)| (node.poll_timeout(), *at)).min();
            let arriving = self.under_way.first_key_value().map(|((at, _), _)| *at);
            let (wake, node) = waking.unwrap();
            let next = wake.min(arriving.unwrap_or(Moment::NEVER)).max(self.now);
            if next > until {
                self.now = until;
                return;
            }
            self.now = next;
            if arriving.is_some_and(|at| at <= wake) {
                let (_, (from, to, message)) = self.under_way.pop_first().unwrap();
                if self.nodes.contains_key(&to.position) {
                    self.act(to.position, |node| node.on_message(from, message, next));
                }
            } else {
                self.act(node, |node| node.on_timeout(next));
            }
        }
    }

    fn set(&mut self, at: Position, says: &str) -> Reference {
        let now = self.now;
        let ticket = self.act(at, |node| node.set_ref(object(says), None, now)).unwrap();
        self.run(Duration::from_secs(10));
        let found = self.events.drain(..).find_map(|event| match event {
            Event::Referenced(of, reference) if of == ticket => Some(reference),
            _ => None,
        });
        found.unwrap()
    }

    /// What the reference leads to, with the reference as it is afterwards.
    fn get(&mut self, at: Position, reference: Reference) -> (Reference, Option<String>) {
        let now = self.now;
        let ticket = self.act(at, |node| node.deref(reference, now)).unwrap();
        self.run(Duration::from_secs(10));
        let found = self.events.drain(..).find_map(|event| match event {
            Event::Dereferenced(of, reference, record) if of == ticket => Some((reference, record)),
            _ => None,
        });
        let (reference, record) = found.unwrap();
        let text = |record: Record| record.payload().map(|bytes| String::from_utf8(bytes.to_vec()).unwrap());
        (reference, record.and_then(text))
    }

    fn hosts(&self, key: Position) -> Vec<Position> {
        let kept = self.nodes.iter().filter(|(_, node)| node.store().get(key).is_some());
        kept.map(|(at, _)| *at).collect()
    }

    fn any(&self, nth: usize) -> Position {
        *self.nodes.keys().nth(nth).unwrap()
    }
}

fn object(says: &str) -> Object {
    let owner = Arc::new(Identity::from_seed([9; 32]));
    let lifetime = Duration::from_secs(600);
    Object { owner, name: b"task manager".to_vec(), payload: says.as_bytes().to_vec(), lifetime }
}

#[test]
fn an_object_is_kept_by_five_and_found_directly_without_a_lookup() {
    let mut net = Net::new(30);
    let (owner, reader) = (net.any(3), net.any(17));
    let reference = net.set(owner, "first");
    assert_eq!(reference.host, Some(net.root(reference.key)));
    assert_eq!(net.hosts(reference.key).len(), 5);
    assert_eq!(net.lookups, 1);
    assert_eq!(net.get(reader, reference), (reference, Some("first".to_owned())));
    assert_eq!(net.lookups, 1, "the host was known");
    let (found, says) = net.get(reader, Reference { host: None, ..reference });
    assert_eq!((found, says.as_deref(), net.lookups), (reference, Some("first"), 2));
    net.set(owner, "second");
    assert_eq!(net.get(reader, reference).1.as_deref(), Some("second"));
    assert_eq!(net.lookups, 2, "the owner knew the host too");
}

#[test]
fn a_soft_reference_that_is_wrong_costs_a_lookup_and_is_put_right() {
    let mut net = Net::new(30);
    let (owner, reader) = (net.any(3), net.any(17));
    let reference = net.set(owner, "here");
    for wrong in [net.nodes[&owner].me, Net::peer(200)] {
        let before = net.lookups;
        let found = net.get(reader, Reference { host: Some(wrong), ..reference });
        assert_eq!(found, (reference, Some("here".to_owned())), "the host is {wrong:?}");
        assert_eq!(net.lookups, before + 1);
    }
    let nothing = Reference { key: Position(7), host: None };
    assert_eq!(net.get(reader, nothing).1, None);
}

#[test]
fn a_deleted_object_stays_deleted_even_when_an_old_host_comes_back() {
    let mut net = Net::new(30);
    let (owner, reader) = (net.any(3), net.any(17));
    let reference = net.set(owner, "here");
    let old = net.nodes[&net.root(reference.key).position].store().get(reference.key).cloned().unwrap();
    let now = net.now;
    let ticket = net.act(owner, |node| node.delete(reference.key, now)).unwrap();
    net.run(Duration::from_secs(10));
    assert_eq!(net.events.drain(..).collect::<Vec<_>>(), [Event::Deleted(ticket)]);
    assert_eq!(net.get(reader, reference).1, None);
    let (root, now) = (net.root(reference.key), net.now);
    net.act(root.position, |node| node.on_message(Net::peer(99), RecordMessage::Keep(old), now));
    assert_eq!(net.nodes[&root.position].refusals().of(Refusal::Older), 1);
    net.run(Duration::from_secs(200));
    assert_eq!(net.get(reader, reference).1, None);
}

#[test]
fn whoever_comes_to_answer_for_a_key_has_its_record() {
    let mut net = Net::new(30);
    let (owner, reader) = (net.any(3), net.any(17));
    let reference = net.set(owner, "here");
    // The hosts die one after the other, and newcomers come.
    for newcomer in 100..140 {
        let root = net.root(reference.key).position;
        if ![owner, reader].contains(&root) {
            net.crash(root);
        }
        net.join(newcomer);
        net.run(Duration::from_secs(1));
        let found = net.get(reader, Reference { host: None, ..reference });
        assert_eq!(found.1.as_deref(), Some("here"), "after {newcomer}");
        net.run(Duration::from_secs(1));
        let at_root = net.nodes[&net.root(reference.key).position].store().get(reference.key);
        assert!(at_root.is_some());
    }
    assert!(net.hosts(reference.key).len() >= 5);
}

#[test]
fn the_owner_brings_back_what_all_hosts_have_lost_and_hosts_forget_what_is_over() {
    let mut net = Net::new(30);
    let owner = net.any(3);
    let reference = net.set(owner, "here");
    for host in net.hosts(reference.key) {
        assert_ne!(host, owner);
        net.crash(host);
    }
    assert!(net.hosts(reference.key).is_empty());
    net.run(Duration::from_secs(300));
    assert_eq!(net.hosts(reference.key).len(), 5, "signed anew before half of its lifetime is over");
    net.crash(owner);
    net.run(Duration::from_secs(900));
    assert!(net.hosts(reference.key).is_empty());
}

#[test]
fn lost_messages_are_made_up_for() {
    let mut net = Net::new(30);
    net.loss = 0.2;
    let (owner, reader) = (net.any(3), net.any(17));
    let reference = net.set(owner, "here");
    net.run(Duration::from_secs(600));
    assert!(net.hosts(reference.key).len() >= 5);
    for _ in 0..20 {
        assert_eq!(net.get(reader, reference).1.as_deref(), Some("here"));
    }
}

#[test]
fn only_hosts_keep_only_neighbours_compare_and_only_who_was_asked_answers() {
    let mut net = Net::new(30);
    let (reader, now) = (net.any(17), net.now);
    let good = record(1, "it", 7, BORN_S + 600);
    let root = net.root(good.key()).position;
    let far = net.any((net.nodes.keys().position(|at| *at == root).unwrap() + 15) % 30);
    let stranger = Net::peer(99);
    net.act(far, |node| node.on_message(stranger, RecordMessage::Keep(good.clone()), now));
    assert!(net.nodes[&far].store().is_empty());
    assert_eq!(net.nodes[&far].refusals().of(Refusal::Elsewhere), 1);
    let sent = net.sent;
    let offer = RecordMessage::Offer(vec![(good.key(), good.stamp())]);
    net.act(root, |node| node.on_message(stranger, offer, now));
    assert_eq!(net.sent, sent, "strangers have nothing to compare");
    // An answer that nobody has asked for, and one from somebody else than was asked.
    let reference = Reference { key: good.key(), host: Some(net.nodes[&root].me) };
    let ticket = net.act(reader, |node| node.deref(reference, now)).unwrap();
    for request in [ticket, ticket + 1] {
        let answer = Answer::Record(good.clone());
        let got = RecordMessage::Got { request, answer };
        net.act(reader, |node| node.on_message(stranger, got, now));
        let done = RecordMessage::PutDone { request, outcome: PutOutcome::Kept };
        net.act(reader, |node| node.on_message(net_peer(root), done, now));
    }
    assert!(net.events.is_empty());
    net.run(Duration::from_secs(10));
    assert!(matches!(net.events[..], [Event::Dereferenced(_, _, None)]));
}

fn net_peer(position: Position) -> Peer {
    (0..30).map(Net::peer).find(|peer| peer.position == position).unwrap()
}

#[test]
fn whatever_strangers_send_nothing_grows() {
    let mut net = Net::new(12);
    let too_large = Object { payload: vec![0; PAYLOAD_MAX + 1], ..object("") };
    let (first, now) = (net.any(0), net.now);
    assert_eq!(net.act(first, |node| node.set_ref(too_large, None, now)), Err(Refusal::Oversized));
    for version in 0..600 {
        let record = record((version % 7) as u8, &format!("{}", version % 90), version, BORN_S + 600);
        let at = net.any(version as usize % 12);
        let request = version as u32;
        net.act(at, |node| node.on_message(Net::peer(99), RecordMessage::Put { request, record }, now));
        let heirs = vec![Net::peer(98); 8];
        let got = RecordMessage::Got { request, answer: Answer::None(heirs) };
        net.act(at, |node| node.on_message(Net::peer(99), got, now));
    }
    net.run(Duration::from_secs(60));
    for node in net.nodes.values() {
        assert!(node.store().len() <= store::RECORDS_MAX && node.store().bytes() <= store::BYTES_MAX);
        assert!(node.asks.is_empty() && node.own.is_empty() && node.to_me.is_empty());
    }
}
