//! Address translators before emulated sockets, of the kinds of RFC 4787: how they map, and whom they let in.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use super::network::address_of;

/// What stands before a node.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Translator {
    /// Nothing: it has a public address.
    None,
    /// One address outside, which lets anybody in.
    FullCone,
    /// One address outside, which lets in whom something has gone out to.
    PortRestricted,
    /// Another address outside for each destination, which lets in that one alone.
    Symmetric,
}

/// All translators of a network. A network that has any shows every node under a public address.
#[derive(Debug, Default)]
pub(super) struct Translators {
    before: BTreeMap<usize, Before>,
}

#[derive(Debug)]
struct Before {
    kind: Translator,
    next_port: u16,
    /// Ports outside: for everyone, or for one destination each.
    ports: BTreeMap<Option<SocketAddr>, u16>,
    /// To whom something has gone out, by port.
    open: BTreeSet<(u16, SocketAddr)>,
}

/// The first port outside.
const FIRST_PORT: u16 = 20_000;

impl Translators {
    pub(super) fn is_empty(&self) -> bool {
        self.before.is_empty()
    }

    /// Puts a translator before a node.
    pub(super) fn set(&mut self, node: usize, kind: Translator) {
        let fresh = Before { kind, next_port: FIRST_PORT, ports: BTreeMap::new(), open: BTreeSet::new() };
        self.before.insert(node, fresh);
    }

    /// A translator forgets all that it has mapped, and maps anew elsewhere.
    pub(super) fn forget(&mut self, node: usize) {
        if let Some(own) = self.before.get_mut(&node) {
            own.ports.clear();
            own.open.clear();
        }
    }

    /// Where a node listens by its own account.
    pub(super) fn inside(&self, node: usize) -> SocketAddr {
        match self.before.get(&node) {
            Some(Before { kind: Translator::None, .. }) => outside(node, address_of(node).port()),
            _ => address_of(node),
        }
    }

    /// The address that a packet from `node` to `to` shows.
    pub(super) fn out(&mut self, node: usize, to: SocketAddr) -> SocketAddr {
        let inside = self.inside(node);
        let Some(own) = self.before.get_mut(&node).filter(|own| own.kind != Translator::None) else {
            return inside;
        };
        let of = (own.kind == Translator::Symmetric).then_some(to);
        let next = own.next_port;
        let port = *own.ports.entry(of).or_insert(next);
        own.next_port += u16::from(port == next);
        own.open.insert((port, to));
        outside(node, port)
    }

    /// Whether a packet from `from` to `to`, an address of the node's, gets in.
    pub(super) fn lets_in(&self, node: usize, to: SocketAddr, from: SocketAddr) -> bool {
        match self.before.get(&node) {
            None => true,
            Some(Before { kind: Translator::None, .. }) => to == self.inside(node),
            Some(own) => {
                let mapped =
                    to == outside(node, to.port()) && own.ports.values().any(|port| *port == to.port());
                mapped && (own.kind == Translator::FullCone || own.open.contains(&(to.port(), from)))
            }
        }
    }

    /// The node behind an address outside.
    pub(super) fn node_of(&self, addr: SocketAddr, nodes: usize) -> Option<usize> {
        (0..nodes).find(|node| outside(*node, addr.port()) == addr)
    }
}

/// An address outside: 198.18.x.y, of the block for benchmarks (RFC 2544), which no private network uses.
fn outside(node: usize, port: u16) -> SocketAddr {
    let [_, _, high, low] = (node as u32).to_be_bytes();
    SocketAddr::from(([198, 18, high, low], port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_maps_and_filters_as_it_should() {
        let mut all = Translators::default();
        let kinds =
            [Translator::None, Translator::FullCone, Translator::PortRestricted, Translator::Symmetric];
        kinds.into_iter().enumerate().for_each(|(node, kind)| all.set(node, kind));
        let [one, other] = [1, 2].map(|n| SocketAddr::from(([203, 0, 113, n], 9)));
        assert_eq!(all.inside(0), all.out(0, one));
        assert!(all.lets_in(0, all.inside(0), other));
        let seen: Vec<_> = (1..4).map(|node| (all.out(node, one), all.out(node, other))).collect();
        assert!(seen[0].0 == seen[0].1 && seen[1].0 == seen[1].1 && seen[2].0 != seen[2].1);
        let third = SocketAddr::from(([203, 0, 113, 3], 9));
        let gets_in: Vec<bool> = (1..4).map(|node| all.lets_in(node, seen[node - 1].0, third)).collect();
        assert_eq!(gets_in, [true, false, false]);
        assert!(all.lets_in(2, seen[1].0, other) && !all.lets_in(3, seen[2].0, other));
        assert!(!all.lets_in(1, all.inside(1), one), "nobody outside knows the inside");
        all.forget(2);
        assert!(!all.lets_in(2, seen[1].0, other) && all.out(2, one) != seen[1].0);
    }
}
