//! Where others say that they see this node, and what that tells of the translator before it.
//!
//! Nobody's word counts alone. One address is what most of the latest voters say; a translator that maps by destination
//! shows by voters who all say something else; one that lets strangers in shows by a stranger who got in.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use crate::identity::NodeId;
use crate::net::is_detour;
use crate::pool::links::is_private;
use crate::pool::peer::Local;
use crate::pool::reach::Reach;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Seen {
    listen: Vec<SocketAddr>,
    votes: VecDeque<(NodeId, SocketAddr)>,
    endpoint: SocketAddr,
    /// The router has opened a port: it is known to lead here.
    mapped: Option<SocketAddr>,
    /// Nodes that were looked at because somebody said that they are there.
    looked_at: BTreeSet<NodeId>,
    /// Where something has gone out to lately.
    spoken_to: VecDeque<(SocketAddr, Instant)>,
    /// Strangers who got in.
    strangers: BTreeSet<IpAddr>,
}

/// Others whose word counts, the latest ones.
const VOTES_MAX: usize = 8;
/// Nodes found on the local network that are looked at; they lead to the others.
const LOOKED_AT_MAX: usize = 64;
/// Addresses that are remembered as spoken to. One that is forgotten is taken for a stranger's at worst.
const SPOKEN_TO_MAX: usize = 512;
/// A translator keeps its door open for so long at most after something went out (RFC 4787, requirement 5, asks for two
/// minutes at least).
const DOOR: Duration = Duration::from_secs(600);
/// Strangers that must have got in: one may be a misunderstanding.
const STRANGERS: usize = 2;
/// A dial to the same address is not repeated before: the first one is still trying.
const DIALLED: Duration = Duration::from_secs(3);

impl Seen {
    pub(super) fn new(listen: &[SocketAddr]) -> Self {
        let rank = |addr: &&SocketAddr| (addr.ip().is_loopback(), addr.is_ipv6(), is_private(**addr));
        let endpoint = listen.iter().min_by_key(rank).copied();
        Self {
            listen: listen.to_vec(),
            votes: VecDeque::new(),
            endpoint: endpoint.unwrap_or_else(|| SocketAddr::from(([0, 0, 0, 0], 0))),
            mapped: None,
            looked_at: BTreeSet::new(),
            spoken_to: VecDeque::new(),
            strangers: BTreeSet::new(),
        }
    }

    pub(super) fn endpoint(&self) -> SocketAddr {
        self.endpoint
    }

    /// The address behind the translator, if there is one.
    pub(super) fn local(&self) -> Local {
        let behind = self.listen.iter().find_map(|addr| match addr {
            SocketAddr::V4(v4) if is_private(*addr) && !v4.ip().is_loopback() => Some(*v4),
            _ => None,
        });
        let translated = self.endpoint.is_ipv4() && !self.listen.contains(&self.endpoint);
        behind.filter(|_| translated).map_or(Local::NONE, Local::from)
    }

    pub(super) fn is_worth_a_look(&mut self, node: NodeId) -> bool {
        self.looked_at.len() < LOOKED_AT_MAX && self.looked_at.insert(node)
    }

    pub(super) fn was_looked_at(&self, node: NodeId) -> bool {
        self.looked_at.contains(&node)
    }

    /// Another node says where it sees this one. True when that changes what this node says of itself: a public address
    /// where it knows of none, or what most of the latest say.
    pub(super) fn vote(&mut self, by: NodeId, addr: SocketAddr) -> bool {
        let reachable = self.listen.iter().any(|own| !own.ip().is_loopback());
        if addr.port() == 0
            || addr.ip().is_unspecified()
            || is_detour(addr)
            || reachable && addr.ip().is_loopback()
        {
            return false;
        }
        self.votes.retain(|(voter, _)| *voter != by);
        if self.votes.len() == VOTES_MAX {
            self.votes.pop_front();
        }
        self.votes.push_back((by, addr));
        let mut counts: BTreeMap<SocketAddr, usize> = BTreeMap::new();
        for (_, addr) in &self.votes {
            *counts.entry(*addr).or_default() += 1;
        }
        let count = |addr: &SocketAddr| counts.get(addr).copied().unwrap_or(0);
        let own_public = self.listen.contains(&self.endpoint) && !is_private(self.endpoint);
        let first_public = is_private(self.endpoint) && !is_private(addr);
        let believed = self.listen.contains(&addr) || !is_private(addr);
        let better = first_public || count(&addr) > count(&self.endpoint) + 1;
        let settled = own_public || self.mapped.is_some();
        if addr == self.endpoint || settled || !believed || !better {
            return false;
        }
        self.endpoint = addr;
        true
    }

    /// The router leads that address here, or does so no longer. True when that changes what this node says of itself.
    pub(super) fn map(&mut self, mapped: Option<SocketAddr>) -> bool {
        self.mapped = mapped.filter(|addr| !is_private(*addr));
        let own_public = self.listen.iter().any(|addr| !is_private(*addr));
        let Some(addr) = self.mapped.filter(|addr| !own_public && *addr != self.endpoint) else {
            return false;
        };
        self.endpoint = addr;
        true
    }

    /// How this node can be reached, as far as votes and strangers tell.
    pub(super) fn reach(&self) -> Reach {
        let at_home = |addr: &SocketAddr| self.listen.contains(addr);
        if self.mapped.is_some() {
            return Reach::FullCone;
        }
        if self.listen.iter().any(|addr| !is_private(*addr)) {
            return Reach::Direct;
        }
        let translated = self.votes.iter().filter(|(_, addr)| !at_home(addr) && !is_private(*addr));
        let mut counts: BTreeMap<SocketAddr, usize> = BTreeMap::new();
        translated.for_each(|(_, addr)| *counts.entry(*addr).or_default() += 1);
        let (all, most) = (counts.values().sum::<usize>(), counts.values().max().copied().unwrap_or(0));
        match all {
            0 if self.votes.iter().any(|(_, addr)| at_home(addr)) => Reach::Direct,
            0 | 1 => Reach::Unknown,
            _ if 2 * most <= all => Reach::Symmetric,
            _ if self.strangers.len() >= STRANGERS => Reach::FullCone,
            _ => Reach::Restricted,
        }
    }

    /// Something is about to go out to an address. False when that was so a moment ago.
    pub(super) fn speak_to(&mut self, addr: SocketAddr, now: Instant) -> bool {
        let fresh = |at: Instant| now.saturating_duration_since(at) < DIALLED;
        let known = self.spoken_to.iter().position(|(other, _)| *other == addr);
        if known.is_some_and(|at| fresh(self.spoken_to[at].1)) {
            return false;
        }
        if let Some(at) = known {
            self.spoken_to.remove(at);
        } else if self.spoken_to.len() == SPOKEN_TO_MAX {
            self.spoken_to.pop_front();
        }
        self.spoken_to.push_back((addr, now));
        true
    }

    /// Somebody is connected from there: a stranger, if nothing has gone out to that machine.
    pub(super) fn on_connected(&mut self, addr: SocketAddr, now: Instant) {
        let open = |at: Instant| now.saturating_duration_since(at) < DOOR;
        let spoken_to = self.spoken_to.iter().any(|(other, at)| other.ip() == addr.ip() && open(*at));
        if !spoken_to && !is_private(addr) && self.strangers.len() < STRANGERS {
            self.strangers.insert(addr.ip());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::origin;

    fn node(n: u8) -> NodeId {
        NodeId([n; 32])
    }

    #[test]
    fn a_public_address_is_taken_from_the_first_that_sees_it_and_changed_by_most() {
        let private: SocketAddr = "192.168.1.5:4433".parse().unwrap();
        let (public, other) = ("198.51.100.7:1024".parse().unwrap(), "198.51.100.9:7".parse().unwrap());
        let mut seen = Seen::new(&[private]);
        assert_eq!((seen.endpoint(), seen.local()), (private, Local::NONE));
        assert!(!seen.vote(node(1), private) && seen.vote(node(2), public));
        assert_eq!(seen.endpoint(), public);
        assert_eq!(seen.local().addr().map(SocketAddr::V4), Some(private));
        assert!(!seen.vote(node(3), other), "one liar");
        assert!(!seen.vote(node(3), other) && !seen.vote(node(4), other) && seen.vote(node(5), other));
    }

    #[test]
    fn who_listens_at_a_public_address_knows_better_than_others() {
        let public: SocketAddr = "198.51.100.7:1024".parse().unwrap();
        let mut seen = Seen::new(&["10.0.0.1:1024".parse().unwrap(), public]);
        assert_eq!(seen.endpoint(), public, "a public one comes first");
        for voter in 0..9 {
            assert!(!seen.vote(node(voter), "203.0.113.1:1".parse().unwrap()));
        }
        assert_eq!(seen.reach(), Reach::Direct);
    }

    #[test]
    fn the_translator_shows_by_what_voters_say_and_by_strangers() {
        let outside = |port: u16| SocketAddr::from(([198, 51, 100, 7], port));
        let fresh = || Seen::new(&["192.168.1.5:4433".parse().unwrap()]);
        let (mut cone, mut symmetric) = (fresh(), fresh());
        for voter in 1..=3 {
            cone.vote(node(voter), outside(1_024));
            symmetric.vote(node(voter), outside(1_024 + u16::from(voter)));
            let known = voter > 1;
            assert_eq!(symmetric.reach(), if known { Reach::Symmetric } else { Reach::Unknown });
            assert_eq!(cone.reach(), if known { Reach::Restricted } else { Reach::Unknown });
        }
        cone.vote(node(9), outside(7));
        assert_eq!(cone.reach(), Reach::Restricted, "one liar among four");
        let now = origin();
        let (met, stranger) =
            (SocketAddr::from(([203, 0, 113, 1], 9)), SocketAddr::from(([203, 0, 113, 2], 9)));
        assert!(cone.speak_to(met, now) && !cone.speak_to(met, now));
        cone.on_connected(met, now);
        cone.on_connected(stranger, now);
        assert_eq!(cone.reach(), Reach::Restricted);
        cone.on_connected(SocketAddr::from(([203, 0, 113, 3], 9)), now);
        assert_eq!(cone.reach(), Reach::FullCone);
        symmetric.map(Some(outside(4_433)));
        assert_eq!((symmetric.endpoint(), symmetric.reach()), (outside(4_433), Reach::FullCone));
    }
}
