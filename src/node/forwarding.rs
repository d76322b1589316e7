//! The forwarding path: from datagram in to datagrams out by one look-up, without a copy.

use std::time::Instant;

use alm_media::{TreeId, peek_tree, set_tree};
use bytes::{Bytes, BytesMut};

use super::{Node, Output};
use crate::identity::NodeId;
use crate::net::Channel;

impl Node {
    pub(super) fn forward(&mut self, from: NodeId, packet: Bytes, at: Instant) {
        let route = peek_tree(&packet).and_then(|tree| self.carrier.route(tree, Some(from)));
        let Some(route) = route else {
            if let Some(counts) = self.counts.get_mut(&from) {
                counts.dropped += 1;
            }
            return;
        };
        for link in route.links {
            let to = self.carrier.peer(*link);
            self.counts.entry(to).or_default().sent += 1;
            self.outputs.push_back(Output::Send(to, Channel::Datagram, packet.clone()));
        }
        self.counts.entry(from).or_default().received += 1;
        if route.deliver {
            self.outputs.push_back(Output::Play(packet, at));
        }
    }

    pub(super) fn send_own(&mut self, packet: &[u8]) {
        let Some(session) = self.own_session() else { return };
        for tree in self.carrier.own_trees(session) {
            if let Some(route) = self.carrier.route(*tree, None) {
                let packet = addressed(packet, *tree);
                for link in route.links {
                    let to = self.carrier.peer(*link);
                    self.counts.entry(to).or_default().sent += 1;
                    self.outputs.push_back(Output::Send(to, Channel::Datagram, packet.clone()));
                }
            }
        }
    }
}

/// A copy of a packet, set on its tree.
fn addressed(packet: &[u8], tree: TreeId) -> Bytes {
    let mut packet = BytesMut::from(packet);
    set_tree(&mut packet, tree);
    packet.freeze()
}
