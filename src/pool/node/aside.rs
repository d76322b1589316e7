//! A node that most others could not reach takes no place on the ring: it would be responsible for keys that half the
//! ring cannot ask it for. It stands aside, asks and has records kept through those that it is connected to, and joins
//! sessions as any other.

use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use super::{LINE, PoolNode};
use crate::identity::{NodeId, Position};
use crate::pool::message::{Contact, PoolMessage};
use crate::pool::peer::Peer;
use crate::pool::reach::Reach;
use crate::pool::records::record::Claim;
use crate::pool::records::{Object, Record, RecordsConfig, Refusal, key_of};
use crate::pool::ring::RingConfig;
use crate::pool::somo::SomoConfig;
use crate::pool::swarm::{self, SwarmNode};

/// Whether this node stands aside, and what it has kept by others meanwhile.
#[derive(Debug)]
pub(super) struct Aside {
    pub(super) stands: bool,
    since: Instant,
    published: Vec<Published>,
    /// When to look again who answers for this node's position.
    touch_at: Instant,
    /// Keys that are looked up for others: the ring's number, who asked, and the key.
    owners: Vec<(u32, NodeId, Position)>,
}

#[derive(Debug)]
struct Published {
    object: Object,
    version: u64,
    /// It is to be deleted.
    gone: bool,
    next: Instant,
}

/// Between two changes of mind.
const STAY: Duration = Duration::from_secs(20);
/// Between two looks for who answers for the own position.
const TOUCH: Duration = Duration::from_secs(30);
/// Keys that are looked up for others at once.
const OWNERS_MAX: usize = 64;
/// Objects of this node's own.
const PUBLISHED_MAX: usize = 64;
/// Who is asked to have them kept.
const KEEPERS: usize = 2;
/// Between two times, however long they are to live: whoever was asked may have vanished.
const PUBLISH_AGAIN: Duration = Duration::from_secs(120);
/// And while nobody is there to be asked.
const PUBLISH_SOON: Duration = Duration::from_secs(1);
/// Versions begin at the Unix time, as many bits further up as in the overlay.
const VERSION_BITS: u32 = 10;

impl Aside {
    pub(super) fn new(now: Instant) -> Self {
        Self { stands: false, since: now, published: Vec::new(), touch_at: now, owners: Vec::new() }
    }
}

impl PoolNode {
    /// It is not on the ring: it looks on, or stands aside.
    pub(super) fn is_off_ring(&self) -> bool {
        self.config.observer || self.aside.stands
    }

    /// Stands aside, or comes back, as what others see demands.
    pub(super) fn choose_place(&mut self, now: Instant) {
        let aside = self.seen.reach() == Reach::Symmetric;
        let restless = !aside && now.saturating_duration_since(self.aside.since) < STAY;
        if self.config.observer || aside == self.aside.stands || restless {
            return;
        }
        (self.aside.stands, self.aside.since) = (aside, now);
        self.pair = None;
        if aside {
            self.drive(swarm::Input::Leave, now);
            self.swarm = self.fresh_swarm(now);
            self.aside.published.iter_mut().for_each(|published| published.next = now);
        } else {
            for published in std::mem::take(&mut self.aside.published) {
                if !published.gone {
                    let _ = self.publish(published.object, now);
                }
            }
        }
        for peer in self.joined().collect::<Vec<_>>() {
            self.greet(peer, true);
        }
        if !aside {
            let on_ring = |(_, link): &(_, &crate::pool::links::Connected)| {
                link.hello.as_ref().is_some_and(|hello| !hello.observer)
            };
            let others: Vec<Peer> =
                self.links.iter().filter(on_ring).map(|(node, link)| link.peer(node)).collect();
            for other in others {
                self.drive(swarm::Input::Bootstrap(other), now);
            }
        }
        self.wake = now;
    }

    fn fresh_swarm(&mut self, now: Instant) -> SwarmNode {
        let peer = Peer { local: self.seen.local(), ..Peer::new(self.me, self.seen.endpoint()) };
        let chance = StdRng::from_rng(&mut self.random);
        let (ring, somo, records) = (RingConfig::default(), SomoConfig::default(), RecordsConfig::default());
        let moment = self.moment(now);
        let mut swarm = SwarmNode::new(peer, ring, somo, records, self.config.born_s, chance, moment);
        swarm.handle(swarm::Input::Offer(self.offer), moment);
        if let Some(identity) = &self.identity {
            swarm.set_identity(identity.clone());
        }
        if self.is_lined {
            swarm.measure_line(LINE, self.random.random(), moment);
        }
        swarm
    }

    // How others find one who is not on the ring.

    /// Stays connected to whoever answers for this node's position: those who look for it on the ring find that one.
    pub(super) fn stay_in_touch(&mut self, now: Instant) {
        if !self.aside.stands || self.aside.touch_at > now {
            return;
        }
        let on_ring = |node: &NodeId| {
            let hello = self.links.get(*node).and_then(|link| link.hello.as_ref());
            hello.is_some_and(|hello| !hello.observer)
        };
        let known: Vec<NodeId> = self.joined().filter(on_ring).collect();
        if let Some(any) = known.choose(&mut self.random) {
            self.aside.touch_at = now + TOUCH;
            self.tell(*any, PoolMessage::Owner(self.me.position()));
        }
    }

    pub(super) fn on_owner_wanted(&mut self, from: NodeId, key: Position, now: Instant) {
        let moment = self.moment(now);
        if self.is_off_ring() || self.aside.owners.len() >= OWNERS_MAX {
            return;
        }
        if let Some(request) = self.swarm.lookup(key, moment) {
            self.aside.owners.push((request, from, key));
        }
        self.drain_swarm(now);
    }

    /// A lookup of the ring's has ended, which may have been for others.
    pub(super) fn on_looked_up(&mut self, request: u32, owner: Option<Peer>) {
        let Some(at) = self.aside.owners.iter().position(|(of, ..)| *of == request) else { return };
        let (_, asker, key) = self.aside.owners.swap_remove(at);
        if let Some(owner) = owner {
            self.tell(asker, PoolMessage::OwnerIs(key, owner));
        }
    }

    pub(super) fn on_owner(&mut self, key: Position, owner: Peer, now: Instant) {
        if self.aside.stands && key == self.me.position() {
            self.want_for(Contact { node: owner.node, addrs: owner.addrs().collect() }, 2 * TOUCH, now);
        }
    }

    // Records of one who is not on the ring.

    /// Keeps an object of this node's in the data overlay until it is withdrawn.
    ///
    /// # Errors
    /// When it is too large, or there are too many.
    pub fn publish(&mut self, object: Object, now: Instant) -> Result<(), Refusal> {
        if !self.is_off_ring() {
            let key = key_of(&object.owner.node_id(), &object.name);
            self.remember_published(key, Some(object.clone()), now)?;
            let moment = self.moment(now);
            let outcome = self.swarm.set_ref(object, None, moment).map(|_| ());
            self.drain_swarm(now);
            return outcome;
        }
        let key = key_of(&object.owner.node_id(), &object.name);
        self.remember_published(key, Some(object), now)?;
        self.publish_through_others(now);
        Ok(())
    }

    /// Deletes an object of this node's.
    pub fn withdraw(&mut self, key: Position, now: Instant) {
        let moment = self.moment(now);
        let _ = self.remember_published(key, None, now);
        let _ = self.swarm.delete(key, moment);
        self.drain_swarm(now);
        self.publish_through_others(now);
    }

    fn remember_published(
        &mut self,
        key: Position,
        object: Option<Object>,
        now: Instant,
    ) -> Result<(), Refusal> {
        let same = |p: &Published| key_of(&p.object.owner.node_id(), &p.object.name) == key;
        let full = self.aside.published.len() >= PUBLISHED_MAX;
        let known = self.aside.published.iter_mut().find(|published| same(published));
        match (known, object) {
            (Some(known), Some(object)) => {
                let version = known.version + 1;
                *known = Published { object, version, gone: false, next: now };
            }
            (Some(known), None) => (known.gone, known.next, known.version) = (true, now, known.version + 1),
            (None, Some(_)) if full => return Err(Refusal::Full),
            (None, Some(object)) => {
                self.aside.published.push(Published { object, version: 0, gone: false, next: now });
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// Has what is due kept by those who are on the ring.
    pub(super) fn publish_through_others(&mut self, now: Instant) {
        if !self.is_off_ring() {
            return;
        }
        let on_ring = |node: &NodeId| {
            let link = self.links.get(*node);
            link.and_then(|link| link.hello.as_ref()).is_some_and(|hello| !hello.observer)
        };
        let keepers: Vec<_> = self.joined().filter(on_ring).take(KEEPERS).collect();
        let now_s = self.config.born_s + now.saturating_duration_since(self.started).as_secs();
        let mut records = Vec::new();
        for published in self.aside.published.iter_mut().filter(|published| published.next <= now) {
            published.next = now + if keepers.is_empty() { PUBLISH_SOON } else { PUBLISH_AGAIN };
            published.version = published.version.max(now_s << VERSION_BITS);
            let Object { owner, name, payload, lifetime } = &published.object;
            let claim = Claim {
                owner: owner.node_id(),
                name: name.clone(),
                version: published.version,
                expires_s: now_s.saturating_add(lifetime.as_secs()),
                payload: (!published.gone).then(|| payload.clone()),
            };
            records.push(Record::sign(claim, owner));
        }
        if !keepers.is_empty() {
            self.aside.published.retain(|published| !published.gone);
        }
        for record in records {
            for keeper in &keepers {
                self.tell(*keeper, PoolMessage::Publish(record.clone()));
            }
        }
        self.wake = now;
    }

    /// Somebody who is not on the ring has a record kept.
    pub(super) fn on_publish(&mut self, record: Record, now: Instant) {
        if !self.is_off_ring() {
            let moment = self.moment(now);
            self.swarm.put(record, moment);
            self.drain_swarm(now);
        }
    }

    pub(super) fn publish_due(&self) -> Option<Instant> {
        let due = self.aside.published.iter().map(|published| published.next).min();
        due.filter(|_| self.is_off_ring())
    }
}
