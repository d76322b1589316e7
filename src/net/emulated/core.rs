//! When, and whether, a packet arrives. No sockets, no clock, no tokio; randomness from a seed, one stream a pair, so
//! that what one pair does never changes what another one sees.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::uplink::{Line, Uplink};

/// How one direction of a pair behaves.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct PathProfile {
    /// One-way delay of an unloaded path.
    pub one_way: Duration,
    /// Added to each packet, uniform from zero to this. Packets of one pair are not reordered by it.
    pub jitter: Duration,
    /// Share of packets lost, independent of each other, 0 to 1.
    pub loss: f64,
    /// Bottleneck rate, bit/s; `None` is unlimited.
    pub rate_bps: Option<u64>,
    /// What may wait for the bottleneck, as time at its rate; more is dropped.
    pub queue: Duration,
}

impl PathProfile {
    /// A clean path of this delay: no jitter, no loss, no bottleneck.
    #[must_use]
    pub fn clean(one_way: Duration) -> Self {
        Self { one_way, jitter: Duration::ZERO, loss: 0.0, rate_bps: None, queue: Duration::from_millis(100) }
    }
}

/// Packets on their way between numbered nodes.
pub struct Emulator<T> {
    nodes: usize,
    seed: u64,
    profile: Vec<PathProfile>,
    state: BTreeMap<(usize, usize), PathState>,
    /// Access lines, of nodes that have one that matters.
    lines: BTreeMap<usize, Line>,
    alive: Vec<bool>,
    /// Which part of a divided network each node is in.
    part: Vec<usize>,
    /// Bytes that each node has sent, and that were sent to it.
    sent: Vec<u64>,
    sent_to: Vec<u64>,
    under_way: BinaryHeap<Reverse<Packet<T>>>,
    serial: u64,
}

/// Packets under way at once; more are dropped, as a real network would.
const UNDER_WAY_MAX: usize = 1 << 20;

struct PathState {
    random: StdRng,
    bottleneck_free: Option<Instant>,
    last_arrival: Option<Instant>,
}

struct Packet<T> {
    arrives: Instant,
    serial: u64,
    to: usize,
    payload: T,
}

/// A packet that has arrived.
#[derive(Debug, PartialEq, Eq)]
pub struct Arrival<T> {
    /// Where.
    pub to: usize,
    /// When, exactly.
    pub at: Instant,
    /// What.
    pub payload: T,
}

impl<T> Emulator<T> {
    /// A network of `nodes` nodes whose paths are as `profile(from, to)` says.
    pub fn new(nodes: usize, seed: u64, profile: impl Fn(usize, usize) -> PathProfile) -> Self {
        let profile = (0..nodes * nodes).map(|pair| profile(pair / nodes, pair % nodes)).collect();
        let (state, lines, under_way) = (BTreeMap::new(), BTreeMap::new(), BinaryHeap::new());
        let (alive, part) = (vec![true; nodes], vec![0; nodes]);
        let (sent, sent_to) = (vec![0; nodes], vec![0; nodes]);
        Self { nodes, seed, profile, state, lines, alive, part, sent, sent_to, under_way, serial: 0 }
    }

    /// How many nodes there are.
    #[must_use]
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Cuts a node off, packets under way to it included, or brings it back.
    pub fn set_alive(&mut self, node: usize, alive: bool) {
        self.alive[node] = alive;
    }

    /// Has every path lose this share of its packets from now on.
    pub fn set_loss(&mut self, loss: f64) {
        self.profile.iter_mut().for_each(|path| path.loss = loss);
    }

    /// Has all that a node sends from now on wait for one line.
    pub fn set_uplink(&mut self, node: usize, uplink: Uplink, now: Instant) {
        self.lines.insert(node, Line::new(uplink, now));
    }

    /// Has another program fill a node's line from now on, or no more. A node without a line has none to be filled.
    pub fn set_filled(&mut self, node: usize, filled: bool, now: Instant) {
        if let Some(line) = self.lines.get_mut(&node) {
            line.set_filled(filled, now);
        }
    }

    /// Has one direction of a pair behave like this from now on.
    pub fn set_path(&mut self, from: usize, to: usize, path: PathProfile) {
        self.profile[from * self.nodes + to] = path;
    }

    /// Divides the network: nodes reach others of the same part only. Packets under way still arrive.
    pub fn set_part(&mut self, node: usize, part: usize) {
        self.part[node] = part;
    }

    /// What has been sent so far, whether or not it arrived, bytes.
    #[must_use]
    pub fn carried(&self) -> u64 {
        self.sent.iter().sum()
    }

    /// What a node has sent so far, and what was sent to it, whether or not it arrived, bytes.
    #[must_use]
    pub fn carried_at(&self, node: usize) -> (u64, u64) {
        (self.sent[node], self.sent_to[node])
    }

    /// Sends a packet of `size` bytes that may be lost. Unknown nodes get nothing.
    pub fn send(&mut self, now: Instant, from: usize, to: usize, size: usize, payload: T) {
        self.launch(now, from, to, size, payload, false);
    }

    /// Sends a packet of `size` bytes that is repeated until it arrives, after all earlier ones of its pair: what a
    /// reliable stream would do.
    pub fn send_reliably(&mut self, now: Instant, from: usize, to: usize, size: usize, payload: T) {
        self.launch(now, from, to, size, payload, true);
    }

    /// Has `payload` arrive at `node` at `at`, without a network: a timer.
    pub fn wake(&mut self, at: Instant, node: usize, payload: T) {
        self.serial += 1;
        self.under_way.push(Reverse(Packet { arrives: at, serial: self.serial, to: node, payload }));
    }

    /// The next packet that has arrived by `now`.
    pub fn poll_arrival(&mut self, now: Instant) -> Option<Arrival<T>> {
        while self.next_arrival().is_some_and(|at| at <= now) {
            let Reverse(packet) = self.under_way.pop()?;
            if self.alive[packet.to] {
                return Some(Arrival { to: packet.to, at: packet.arrives, payload: packet.payload });
            }
        }
        None
    }

    /// When the next packet arrives.
    #[must_use]
    pub fn next_arrival(&self) -> Option<Instant> {
        self.under_way.peek().map(|Reverse(packet)| packet.arrives)
    }

    fn launch(&mut self, now: Instant, from: usize, to: usize, size: usize, payload: T, reliable: bool) {
        let known = from < self.nodes && to < self.nodes && self.alive[from];
        if known {
            self.sent[from] += size as u64;
            self.sent_to[to] += size as u64;
        }
        if !known
            || !self.alive[to]
            || self.part[from] != self.part[to]
            || self.under_way.len() >= UNDER_WAY_MAX
        {
            return;
        }
        let now = match self.lines.get_mut(&from).map(|line| line.send(size, now)) {
            None => now,
            Some(Some(left)) => left,
            Some(None) => return,
        };
        let path = self.profile[from * self.nodes + to];
        let seed = self.seed ^ ((from as u64) << 40) ^ ((to as u64) << 16);
        let state = self.state.entry((from, to)).or_insert_with(|| PathState {
            random: StdRng::seed_from_u64(seed),
            bottleneck_free: None,
            last_arrival: None,
        });
        let mut leaves = now;
        if let Some(rate) = path.rate_bps {
            let start = state.bottleneck_free.map_or(now, |free| free.max(now));
            if start - now > path.queue && !reliable {
                return;
            }
            leaves = start + Duration::from_secs_f64(size as f64 * 8.0 / rate.max(1) as f64);
            state.bottleneck_free = Some(leaves);
        }
        let mut repeats = 0;
        while path.loss > 0.0 && state.random.random::<f64>() < path.loss {
            if !reliable {
                return;
            }
            repeats += 1;
            if repeats == REPEATS_MAX {
                break;
            }
        }
        let jitter = path.jitter.mul_f64(state.random.random::<f64>());
        // A loss is noticed after about one and a half round trips: the probe timeout of RFC 9002, section 6.2.
        let repeated = path.one_way * 3 * repeats;
        let mut arrives = leaves + path.one_way + jitter + repeated;
        if repeats == 0 || reliable {
            arrives = state.last_arrival.map_or(arrives, |last| arrives.max(last));
            state.last_arrival = Some(arrives);
        }
        self.wake(arrives, to, payload);
    }
}

/// A reliable packet lost this often in a row arrives all the same, late.
const REPEATS_MAX: u32 = 10;

impl<T> PartialEq for Packet<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.arrives, self.serial) == (other.arrives, other.serial)
    }
}

impl<T> Eq for Packet<T> {}

impl<T> PartialOrd for Packet<T> {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T> Ord for Packet<T> {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.arrives, self.serial).cmp(&(other.arrives, other.serial))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::origin;

    const MS: Duration = Duration::from_millis(1);

    fn drain(net: &mut Emulator<u32>, until: Instant) -> Vec<(u32, Instant)> {
        std::iter::from_fn(|| net.poll_arrival(until)).map(|a| (a.payload, a.at)).collect()
    }

    #[test]
    fn a_packet_takes_the_delay_of_its_path() {
        let start = origin();
        let mut net = Emulator::new(2, 1, |from, _| PathProfile::clean(MS * (10 + from as u32)));
        net.send(start, 0, 1, 100, 1);
        net.send(start, 1, 0, 100, 2);
        assert_eq!(net.next_arrival(), Some(start + 10 * MS));
        assert_eq!(drain(&mut net, start + 9 * MS), []);
        assert_eq!(drain(&mut net, start + 20 * MS), [(1, start + 10 * MS), (2, start + 11 * MS)]);
    }

    #[test]
    fn a_bottleneck_spaces_packets_and_drops_what_exceeds_its_queue() {
        let start = origin();
        let path = PathProfile { rate_bps: Some(800_000), queue: 5 * MS, ..PathProfile::clean(MS) };
        let mut net = Emulator::new(2, 1, |_, _| path);
        for i in 0..20 {
            net.send(start, 0, 1, 100, i);
        }
        let arrived = drain(&mut net, start + 100 * MS);
        assert_eq!(arrived.len(), 6, "one in service and five of a millisecond each in the queue");
        assert!(arrived.windows(2).all(|pair| pair[1].1 - pair[0].1 == MS));
    }

    #[test]
    fn loss_follows_the_seed_and_reliable_packets_all_arrive_in_order() {
        let start = origin();
        let run = |seed, reliable| {
            let path = PathProfile { loss: 0.3, jitter: 4 * MS, ..PathProfile::clean(10 * MS) };
            let mut net = Emulator::new(2, seed, |_, _| path);
            for i in 0..1000 {
                if reliable {
                    net.send_reliably(start + i * MS, 0, 1, 100, i);
                } else {
                    net.send(start + i * MS, 0, 1, 100, i);
                }
            }
            drain(&mut net, start + 10_000 * MS)
        };
        let lossy = run(7, false);
        assert!((600..800).contains(&lossy.len()), "{}", lossy.len());
        assert_eq!(lossy, run(7, false));
        assert_ne!(lossy, run(8, false));
        assert!(run(7, true).iter().map(|(payload, _)| *payload).eq(0..1000));
    }

    #[test]
    fn a_dead_node_neither_sends_nor_receives() {
        let start = origin();
        let mut net = Emulator::new(2, 1, |_, _| PathProfile::clean(MS));
        net.send(start, 0, 1, 100, 1);
        net.set_alive(1, false);
        net.send(start, 1, 0, 100, 2);
        assert_eq!(drain(&mut net, start + 10 * MS), []);
    }
}
