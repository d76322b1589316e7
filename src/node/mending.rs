//! Lost packets asked for again, live: one memory of what a node has carried, shared by the link's switch, which uses it as
//! each packet passes, and the node, which uses it for its own voice.
//!
//! Whoever finds the memory in use goes on without it: a packet that is not remembered cannot be asked for again, which is
//! better than one that waits.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, TryLockError};
use std::time::{Duration, Instant};

use alm_media::{Carried, Repair, SourceIndex, TreeId};
use bytes::Bytes;

use super::{Node, Output};
use crate::identity::NodeId;
use crate::net::Channel;
use crate::session::Routes;

/// See the [module](self).
#[derive(Clone, Debug, Default)]
pub(super) struct Mending(Arc<Mutex<Repair<NodeId>>>);

/// A child that misses its parent is sent what has passed within this time: it has noticed after some 60 ms and its asking takes a
/// way across, so that the first packet that it lacks is not much older, and one that is cannot be played any more.
pub(super) const REPLAYED: Duration = Duration::from_millis(200);
/// Who feeds it then is sent what should have gone up within this time: the answer takes that way once more.
pub(super) const REPLAYED_UPWARDS: Duration = Duration::from_millis(300);
/// And not again along the same tree before that.
const REPLAY_AGAIN: Duration = Duration::from_secs(1);

impl Mending {
    /// A packet passes. `false` if it has come the same way before.
    pub(super) fn on_packet(
        &self,
        carried: Carried<'_, NodeId>,
        at: Instant,
        tell: &mut dyn FnMut(NodeId, &[u8]),
    ) -> bool {
        self.with(|repair| repair.on_packet(carried, at, tell)).unwrap_or(true)
    }

    /// A peer asks for packets again, or tells of loss; `false` if it does neither.
    pub(super) fn on_told(
        &self,
        from: NodeId,
        datagram: &[u8],
        routes: &Routes,
        at: Instant,
        send: &mut dyn FnMut(NodeId, &[u8]),
    ) -> bool {
        if !Repair::<NodeId>::is_told(datagram) {
            return false;
        }
        let is_sent_to = |tree, came_by| {
            let route = routes.route(tree, came_by);
            route.is_some_and(|route| route.links.iter().any(|link| routes.peer(*link) == from))
        };
        self.with(|repair| repair.on_told(datagram, at, is_sent_to, &mut |packet| send(from, packet)));
        true
    }

    /// What has passed along a tree since then and goes to `to` by these routes.
    pub(super) fn replay(
        &self,
        tree: TreeId,
        to: NodeId,
        routes: &Routes,
        since: Instant,
        send: &mut dyn FnMut(&[u8]),
    ) {
        let is_sent_to = |came_by| {
            let route = routes.route(tree, came_by);
            route.is_some_and(|route| route.links.iter().any(|link| routes.peer(*link) == to))
        };
        self.with(|repair| repair.replay(tree, since, is_sent_to, send));
    }

    /// By how much all that came from each node since the last call was later than what came before.
    pub(super) fn take_lags(&self, now: Instant) -> BTreeMap<NodeId, Duration> {
        let mut lags: BTreeMap<NodeId, Duration> = BTreeMap::new();
        self.with(|repair| {
            repair.take_lags(now, &mut |from, lag| {
                lags.entry(from).and_modify(|least| *least = lag.min(*least)).or_insert(lag);
            });
        });
        lags
    }

    fn with<T>(&self, work: impl FnOnce(&mut Repair<NodeId>) -> T) -> Option<T> {
        match self.0.try_lock() {
            Ok(mut repair) => Some(work(&mut repair)),
            // It is whole after every statement.
            Err(TryLockError::Poisoned(poisoned)) => Some(work(&mut poisoned.into_inner())),
            Err(TryLockError::WouldBlock) => None,
        }
    }
}

impl Node {
    /// Packets of a source that were asked for again and came.
    #[must_use]
    pub fn mended(&self, source: SourceIndex) -> Option<u64> {
        self.mending.with(|repair| repair.repaired(source))
    }

    /// The share of this node's own voice that the worst of its listeners misses, percent, as far as that is known.
    #[must_use]
    pub fn own_loss(&self, now: Instant) -> Option<u8> {
        self.mending.with(|repair| repair.own_loss(now)).flatten()
    }

    /// A child that misses its parent is fed along these trees from now on, or the other way: it is sent what it has missed as well.
    pub(super) fn replay(&mut self, trees: &[u32], to: NodeId, within: Duration, now: Instant) {
        let since = now.checked_sub(within).unwrap_or(now);
        self.replayed.retain(|_, at| now.saturating_duration_since(*at) < REPLAY_AGAIN);
        let mut said = Vec::new();
        for tree in trees.iter().map(|tree| TreeId(*tree)) {
            if self.replayed.insert((tree, to), now).is_none() {
                let mut say = |packet: &[u8]| said.push((to, Bytes::copy_from_slice(packet)));
                self.mending.replay(tree, to, self.carrier.routes(), since, &mut say);
            }
        }
        self.say_all(said);
    }

    /// Sends what the memory has to say.
    pub(super) fn say_all(&mut self, said: Vec<(NodeId, Bytes)>) {
        let said = said.into_iter().map(|(to, bytes)| Output::Send(to, Channel::Datagram, bytes));
        self.outputs.extend(said);
    }
}
