//! A link that counts what media goes over it, whoever sends it on: the node or the link's own switch.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use alm_media::peek_tree;
use bytes::Bytes;

use crate::identity::NodeId;
use crate::net::{Channel, Heard, Link, LinkEvent, SendError, Switch, SwitchCounts, Verdict, Watched};

/// Media of one node, bytes on the wire.
#[derive(Debug, Default)]
pub(super) struct Media {
    sent: AtomicU64,
    came: AtomicU64,
}

impl Media {
    /// What was sent so far, and what came.
    pub(super) fn so_far(&self) -> (u64, u64) {
        (self.sent.load(Ordering::Relaxed), self.came.load(Ordering::Relaxed))
    }
}

/// What a media packet is wrapped in: the hop's header and tag (27), UDP (8) and IPv4 (20).
const ENVELOPE: u64 = 55;

/// See the [module](self).
pub(super) struct Meter<L> {
    link: L,
    media: Arc<Media>,
}

impl<L> Meter<L> {
    pub(super) fn new(link: L, media: Arc<Media>) -> Self {
        Self { link, media }
    }
}

#[derive(Debug)]
struct Metered {
    switch: Arc<dyn Switch>,
    media: Arc<Media>,
}

fn count(bytes: &AtomicU64, packet: &[u8]) {
    if peek_tree(packet).is_some() {
        bytes.fetch_add(packet.len() as u64 + ENVELOPE, Ordering::Relaxed);
    }
}

impl Switch for Metered {
    fn route(
        &self,
        from: NodeId,
        datagram: &[u8],
        at: Instant,
        send: &mut dyn FnMut(NodeId, &[u8]),
    ) -> Verdict {
        count(&self.media.came, datagram);
        self.switch.route(from, datagram, at, &mut |to, packet| {
            count(&self.media.sent, packet);
            send(to, packet);
        })
    }

    fn beat(&self, now: Instant, send: &mut dyn FnMut(NodeId, &[u8])) -> Option<Instant> {
        self.switch.beat(now, send)
    }
}

impl<L: Link + Send> Link for Meter<L> {
    fn listen_addrs(&self) -> Vec<SocketAddr> {
        self.link.listen_addrs()
    }

    fn dial(&mut self, addr: SocketAddr, expected: Option<NodeId>) {
        self.link.dial(addr, expected);
    }

    fn send(&mut self, to: NodeId, channel: Channel, bytes: Bytes) -> Result<(), SendError> {
        if channel == Channel::Datagram {
            count(&self.media.sent, &bytes);
        }
        self.link.send(to, channel, bytes)
    }

    fn flush(&mut self) {
        self.link.flush();
    }

    fn send_pair(&mut self, to: NodeId, pair: [Bytes; 2]) -> Result<(), SendError> {
        self.link.send_pair(to, pair)
    }

    fn set_budget(&mut self, rate_bps: u64) {
        self.link.set_budget(rate_bps);
    }

    fn pressed(&self) -> u64 {
        self.link.pressed()
    }

    fn set_switch(&mut self, switch: Arc<dyn Switch>) {
        self.link.set_switch(Arc::new(Metered { switch, media: self.media.clone() }));
    }

    fn switch_counts(&self, peer: NodeId) -> SwitchCounts {
        self.link.switch_counts(peer)
    }

    fn poll_heard(&mut self, heard: &mut dyn FnMut(NodeId, Heard)) {
        self.link.poll_heard(heard);
    }

    fn can_watch(&self) -> bool {
        self.link.can_watch()
    }

    fn watch(&mut self, watched: Vec<Watched>) {
        self.link.watch(watched);
    }

    fn poll_later(&mut self) -> Option<LinkEvent> {
        self.link.poll_later()
    }

    fn close(&mut self, peer: NodeId, reason: &str) {
        self.link.close(peer, reason);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<LinkEvent> {
        self.link.poll_event(cx)
    }

    async fn shutdown(self) {
        self.link.shutdown().await;
    }
}
