//! The emulated network as a link without QUIC: the same doors, none of its cost. A connection takes one round trip;
//! keys are believed, for there is nobody here to doubt.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;

use super::network::{EmulatedNetwork, address_of, node_of};
use crate::identity::NodeId;
use crate::net::beats::Beats;
use crate::net::link::{CONTROL_MESSAGE_MAX, DATAGRAM_MAX};
use crate::net::{Channel, DialError, Link, LinkEvent, SendError, Switch};

/// One node's link in an [`EmulatedNetwork`].
pub struct EmulatedLink {
    network: EmulatedNetwork<Frame>,
    node: usize,
    me: NodeId,
    peers: BTreeMap<NodeId, usize>,
    dials: Vec<Dial>,
    serial: u64,
    ready: VecDeque<LinkEvent>,
    beats: Beats,
}

struct Dial {
    serial: u64,
    addr: SocketAddr,
    expected: Option<NodeId>,
}

/// What travels.
pub enum Frame {
    /// Somebody wants a connection.
    Dial { from: NodeId, node: usize, expected: Option<NodeId>, serial: u64 },
    /// The answer: whose key is here.
    Answer { from: NodeId, node: usize, serial: u64 },
    /// To oneself: no answer came.
    TimedOut { serial: u64 },
    /// A message.
    Message { from: NodeId, channel: Channel, bytes: Bytes },
    /// The connection is over, or the whole node has left.
    Close { from: NodeId, left: bool, reason: String },
}

/// The same as over QUIC.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
/// What a QUIC packet adds to a message, bytes: header, tag, UDP and IP.
const OVERHEAD: usize = 60;

impl EmulatedLink {
    /// The link of `node`, whose key is `me`.
    #[must_use]
    pub fn new(network: &EmulatedNetwork<Frame>, node: usize, me: NodeId) -> Self {
        let network = network.clone();
        let (peers, dials, ready) = (BTreeMap::new(), Vec::new(), VecDeque::new());
        Self { network, node, me, peers, dials, serial: 0, ready, beats: Beats::default() }
    }

    fn post(&self, to: usize, frame: Frame) {
        self.network.launch(|core, now| core.send_reliably(now, self.node, to, OVERHEAD, frame));
    }

    fn take_dial(&mut self, serial: u64) -> Option<Dial> {
        let found = self.dials.iter().position(|dial| dial.serial == serial)?;
        Some(self.dials.swap_remove(found))
    }

    fn connect(&mut self, peer: NodeId, node: usize) {
        if self.peers.insert(peer, node).is_none() {
            self.ready.push_back(LinkEvent::Connected { peer, addr: address_of(node) });
        }
    }

    fn end(&mut self, peer: NodeId, left: bool, reason: &str) {
        if let Some(node) = self.peers.remove(&peer) {
            self.post(node, Frame::Close { from: self.me, left, reason: reason.to_owned() });
        }
    }

    fn on_frame(&mut self, frame: Frame, at: std::time::Instant) {
        match frame {
            Frame::Dial { from, node, expected, serial } => {
                let answer = Frame::Answer { from: self.me, node: self.node, serial };
                self.post(node, answer);
                if expected.is_none_or(|expected| expected == self.me) && from != self.me {
                    self.connect(from, node);
                }
            }
            Frame::Answer { from, node, serial } => {
                let Some(Dial { addr, expected, .. }) = self.take_dial(serial) else { return };
                let error = if from == self.me {
                    DialError::Ourselves
                } else if expected.is_some_and(|expected| expected != from) {
                    DialError::WrongKey
                } else {
                    self.connect(from, node);
                    return;
                };
                self.ready.push_back(LinkEvent::DialFailed { addr, expected, error });
            }
            Frame::TimedOut { serial } => {
                if let Some(Dial { addr, expected, .. }) = self.take_dial(serial) {
                    self.ready.push_back(LinkEvent::DialFailed {
                        addr,
                        expected,
                        error: DialError::NoAnswer,
                    });
                }
            }
            Frame::Message { from, .. } if !self.peers.contains_key(&from) => {}
            Frame::Message { from, channel: Channel::Control, bytes } => {
                self.ready.push_back(LinkEvent::Control { from, bytes });
            }
            Frame::Message { from, channel: Channel::Datagram, bytes } => {
                self.ready.push_back(LinkEvent::Datagram { from, bytes, at });
            }
            Frame::Close { from, left, reason } => {
                if self.peers.remove(&from).is_some() {
                    self.ready.push_back(LinkEvent::Disconnected { peer: from, left, reason });
                }
            }
        }
    }
}

impl Link for EmulatedLink {
    fn listen_addrs(&self) -> Vec<SocketAddr> {
        vec![address_of(self.node)]
    }

    fn dial(&mut self, addr: SocketAddr, expected: Option<NodeId>) {
        self.serial += 1;
        let serial = self.serial;
        self.dials.push(Dial { serial, addr, expected });
        let dial = Frame::Dial { from: self.me, node: self.node, expected, serial };
        self.network.launch(|core, now| {
            if let Some(to) = node_of(addr, core.nodes()) {
                core.send_reliably(now, self.node, to, OVERHEAD, dial);
            }
            core.wake(now + DIAL_TIMEOUT, self.node, Frame::TimedOut { serial });
        });
    }

    fn send(&mut self, to: NodeId, channel: Channel, bytes: Bytes) -> Result<(), SendError> {
        let node = *self.peers.get(&to).ok_or(SendError::NotConnected)?;
        let longest = match channel {
            Channel::Control => CONTROL_MESSAGE_MAX,
            Channel::Datagram => DATAGRAM_MAX,
        };
        if bytes.len() > longest {
            return Err(SendError::TooLong);
        }
        let size = bytes.len() + OVERHEAD;
        let message = Frame::Message { from: self.me, channel, bytes };
        self.network.launch(|core, now| match channel {
            Channel::Control => core.send_reliably(now, self.node, node, size, message),
            Channel::Datagram => core.send(now, self.node, node, size, message),
        });
        Ok(())
    }

    fn set_switch(&mut self, switch: Arc<dyn Switch>) {
        self.beats.set_switch(switch);
    }

    fn close(&mut self, peer: NodeId, reason: &str) {
        self.end(peer, false, reason);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<LinkEvent> {
        let mut beats = std::mem::take(&mut self.beats);
        beats.poll(cx, &mut |to, datagram| {
            // Whoever is gone misses nothing.
            let _ = self.send(to, Channel::Datagram, Bytes::copy_from_slice(datagram));
        });
        self.beats = beats;
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Poll::Ready(event);
            }
            let Poll::Ready(arrival) = self.network.poll_arrival(self.node, cx) else {
                return Poll::Pending;
            };
            self.on_frame(arrival.payload, arrival.at);
        }
    }

    async fn shutdown(mut self) {
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            self.end(peer, true, "left");
        }
    }
}
