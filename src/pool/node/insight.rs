//! What a node knows of itself and of the pool, for the layer above.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::ops::RangeBounds;
use std::time::{Duration, Instant};

use super::{PoolNode, Standing};
use crate::identity::NodeId;
use crate::pool::degree::DegreeTable;
use crate::pool::links::Connected;
use crate::pool::message::{NodeReport, ROUND_TRIPS_MAX};
use crate::pool::peer::Place;
use crate::pool::reach::Reach;
use crate::pool::swarm::SwarmNode;

impl PoolNode {
    /// True when messages to this node go through.
    #[must_use]
    pub fn is_joined(&self, node: NodeId) -> bool {
        self.links.is_joined(node)
    }

    /// True when there is a way to this node that media may take.
    #[must_use]
    pub fn is_direct(&self, node: NodeId) -> bool {
        self.is_joined(node) && self.links.get(node).is_some_and(|link| !link.is_detour())
    }

    /// The nodes that messages go through to.
    pub fn joined(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.links.iter().filter(|(_, link)| link.hello.is_some()).map(|(node, _)| node)
    }

    /// Where a node is said to listen.
    #[must_use]
    pub fn addrs(&self, node: NodeId) -> Vec<SocketAddr> {
        if node == self.me {
            return self.own_addrs();
        }
        match self.links.get(node) {
            Some(link) if link.hello.is_some() => link.all_addrs(node),
            _ => self.contacts.addrs(node).to_vec(),
        }
    }

    /// The measured round trip to a peer.
    #[must_use]
    pub fn round_trip(&self, node: NodeId) -> Option<Duration> {
        self.links.get(node)?.round_trips.round_trip()
    }

    /// The round trips to a peer, of those that are remembered, that were completed within a time; the fastest first.
    #[must_use]
    pub fn round_trips(&self, node: NodeId, time: &impl RangeBounds<Instant>) -> Vec<Duration> {
        self.links.get(node).map(|link| link.round_trips.within(time)).unwrap_or_default()
    }

    /// Where a peer says that it is, if it has said so.
    #[must_use]
    pub fn place(&self, node: NodeId) -> Option<Place> {
        let place = self.links.get(node)?.place;
        (place != Place::UNKNOWN).then_some(place)
    }

    /// A peer's clock minus this node's own, microseconds since each started.
    #[must_use]
    pub fn clock_offset_us(&self, node: NodeId) -> Option<i64> {
        self.links.get(node)?.round_trips.clock_offset_us()
    }

    /// Who holds what here.
    #[must_use]
    pub fn degrees(&self) -> &DegreeTable {
        &self.degrees
    }

    /// The node as the ring knows it, and what it knows of the pool.
    #[must_use]
    pub fn swarm(&self) -> &SwarmNode {
        &self.swarm
    }

    /// How the pool looks from here.
    #[must_use]
    pub fn standing(&self) -> Option<Standing> {
        self.standing
    }

    /// What stands before this node as far as others tell, and where they see it.
    #[must_use]
    pub fn seen(&self) -> (Reach, SocketAddr) {
        (self.seen.reach(), self.seen.endpoint())
    }

    /// What this node says of itself.
    #[must_use]
    pub fn report(&self) -> NodeReport {
        let measured = |(node, link): (NodeId, &Connected)| {
            (!link.is_detour()).then_some(())?;
            Some((node, link.round_trips.round_trip()?.as_secs_f32() * 1_000.0))
        };
        let detours = self.links.iter().filter(|(_, link)| link.is_detour()).map(|(node, _)| node);
        let unreachable: BTreeSet<NodeId> = self.contacts.unreachable().chain(detours).collect();
        NodeReport {
            node: self.me,
            addrs: self.own_addrs(),
            place: self.swarm.ring().me().place,
            lends: self.lending,
            of: self.offer.of,
            degree_bound: self.degrees.bound(),
            held: self.degrees.holdings().cloned().collect(),
            round_trips_ms: self.links.iter().filter_map(measured).take(ROUND_TRIPS_MAX).collect(),
            reach: self.seen.reach(),
            unreachable: unreachable.into_iter().take(ROUND_TRIPS_MAX).collect(),
        }
    }
}
