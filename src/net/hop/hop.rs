//! One hop: the way to one peer and back, beside the QUIC connection that its keys come from.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;

use super::batch::Batch;
use super::breaker::{Breaker, Report, is_open};
use super::forgery::ForgeryLimit;
use super::keys::{EXPORT_LABEL, MATERIAL_LEN, Material, Opener, Sealer};
use super::packet::{Header, Kind};
use super::path::{Ask, Path};
use super::replay::{Freshness, ReplayWindow};
use crate::identity::NodeId;
use crate::net::{Budget, Heard, Rhythm, SendError, SwitchCounts};

/// See the [module](self).
pub(in crate::net) struct Hop {
    pub(super) peer: NodeId,
    /// Carries the datagrams while hop packets do not get through.
    quic: quinn::Connection,
    sealer: Sealer,
    pub(super) opener: Opener,
    inbound: Mutex<Inbound>,
    /// Where hop packets go; `None` while they are not known to arrive.
    target: ArcSwapOption<SocketAddr>,
    /// What the switch has made of this hop's datagrams.
    pub(super) counts: Counts,
    sent: AtomicU64,
    /// Datagrams that left as hop packets.
    sealed: AtomicU64,
    /// The path cannot bear what is sent.
    broken: AtomicBool,
}

/// What is written where packets come in.
struct Inbound {
    replay: ReplayWindow,
    path: Path,
    forgeries: ForgeryLimit,
    /// When anything proven arrived last.
    heard: Option<Instant>,
    /// The same, as last told.
    told: Option<Instant>,
    /// The longest time between two such arrivals since that was told last.
    longest: Duration,
    /// How far apart they are, while that is wanted.
    rhythm: Option<Rhythm>,
    /// Numbers have been left out since that was told last.
    missing: bool,
    /// `received` and `sent` at the last [`Hop::poll`].
    used: (u64, u64),
    /// Datagrams that came as hop packets.
    received: u64,
    /// Packets of any kind that were opened, and the counters of the first and the newest.
    opened: u64,
    counters: Option<(u64, u64)>,
    /// Datagrams that the peer had not taken by its last answer.
    lost_up: u64,
    breaker: Breaker,
    broken_since: Option<Instant>,
    /// The last question: its token, when it left, and `sealed` then.
    asked: (u64, Instant, u64),
}

impl Inbound {
    fn hear(&mut self, at: Instant) {
        if let Some(before) = self.heard {
            let gap = at.saturating_duration_since(before);
            self.longest = self.longest.max(gap);
            if let Some(rhythm) = &mut self.rhythm {
                rhythm.learn(gap);
            }
        }
        self.heard = self.heard.max(Some(at));
    }

    /// Packets that the peer has numbered and that did not come, or not yet.
    fn lost_down(&self) -> u64 {
        self.counters.map_or(0, |(first, newest)| (newest + 1 - first).saturating_sub(self.opened))
    }
}

#[derive(Default)]
pub(super) struct Counts {
    pub(super) sent: AtomicU64,
    pub(super) received: AtomicU64,
    pub(super) dropped: AtomicU64,
}

impl Hop {
    /// The hop beside a connection that `dialled` by us or not, to `peer`. `None` if the connection exports no keys.
    pub(in crate::net) fn beside(
        quic: quinn::Connection,
        peer: NodeId,
        dialled: bool,
        now: Instant,
    ) -> Option<Arc<Self>> {
        let [ours, theirs] = if dialled { [DIALLER, ACCEPTOR] } else { [ACCEPTOR, DIALLER] };
        let export = |direction: &[u8]| {
            let mut material: Material = [0; MATERIAL_LEN];
            quic.export_keying_material(&mut material, EXPORT_LABEL, direction).ok().map(|()| material)
        };
        let (sealer, opener) = (Sealer::new(&export(ours)?), Opener::new(&export(theirs)?));
        let inbound = Inbound {
            replay: ReplayWindow::default(),
            path: Path::new(quic.remote_address(), now),
            forgeries: ForgeryLimit::new(now),
            heard: None,
            told: None,
            longest: Duration::ZERO,
            rhythm: None,
            missing: false,
            used: (0, 0),
            received: 0,
            opened: 0,
            counters: None,
            lost_up: 0,
            breaker: Breaker::default(),
            broken_since: None,
            asked: (0, now, 0),
        };
        Some(Arc::new(Self {
            peer,
            quic,
            sealer,
            opener,
            inbound: Mutex::new(inbound),
            target: ArcSwapOption::empty(),
            counts: Counts::default(),
            sent: AtomicU64::new(0),
            sealed: AtomicU64::new(0),
            broken: AtomicBool::new(false),
        }))
    }

    /// Sends a datagram: by the hop, or by QUIC while the hop does not get through. What the path cannot bear, or the
    /// machine's budget, is lost.
    pub(super) fn send(
        &self,
        datagram: &[u8],
        budget: &Budget,
        now: Instant,
        batch: &mut Batch,
    ) -> Result<(), SendError> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        if self.broken.load(Ordering::Relaxed)
            || !budget.draw_media(datagram.len() + ON_THE_WIRE, datagram, now)
        {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
            return Ok(());
        }
        if self.seal(datagram, batch) {
            return Ok(());
        }
        self.quic.send_datagram(Bytes::copy_from_slice(datagram)).map_err(|error| match error {
            quinn::SendDatagramError::ConnectionLost(_) => SendError::NotConnected,
            _ => SendError::TooLong,
        })
    }

    /// Seals a datagram into the batch; `false` while hop packets do not get through.
    pub(in crate::net) fn seal(&self, datagram: &[u8], batch: &mut Batch) -> bool {
        if let Some(target) = &*self.target.load()
            && batch.push(**target, |out| self.sealer.seal(Kind::Datagram, datagram, out))
        {
            self.sealed.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        false
    }

    /// Opens a packet in its place. Notes where it came from, and asks there if that is news.
    pub(super) fn open<'p>(
        &self,
        header: Header,
        packet: &'p mut [u8],
        from: SocketAddr,
        at: Instant,
        batch: &mut Batch,
    ) -> Option<&'p mut [u8]> {
        let mut inbound = self.inbound();
        let freshness = inbound.replay.judge(header.counter);
        if freshness == Freshness::Stale || !inbound.forgeries.allows(from == inbound.path.addr(), at) {
            return None;
        }
        let Some(payload) = self.opener.open(header, packet) else {
            inbound.forgeries.note(at);
            return None;
        };
        inbound.replay.note(header.counter);
        inbound.received += u64::from(header.kind == Kind::Datagram);
        inbound.opened += 1;
        let (first, newest) = inbound.counters.unwrap_or((header.counter, header.counter));
        inbound.counters = Some((first.min(header.counter), newest.max(header.counter)));
        inbound.missing |= header.counter > newest + 1;
        if freshness == Freshness::Newest
            && let Some(ask) = inbound.path.on_newest(from, at)
        {
            self.ask(ask, batch);
        }
        inbound.hear(at);
        Some(payload)
    }

    /// Answers a challenge, where it came from, with its token and what has been received; no longer than the challenge.
    pub(super) fn on_challenge(&self, challenge: &[u8], from: SocketAddr, batch: &mut Batch) {
        let Some((token, _)) = read_probe(challenge) else { return };
        let response = write_probe(token, self.inbound().received);
        batch.push(from, |out| self.sealer.seal(Kind::Response, &response, out));
    }

    /// Takes an answer to a challenge.
    pub(super) fn on_response(&self, response: &[u8], at: Instant) {
        let Some((token, received)) = read_probe(response) else { return };
        let mut inbound = self.inbound();
        let (asked, left, sent) = inbound.asked;
        if asked == token {
            let round_trip = at.saturating_duration_since(left);
            inbound.lost_up = sent.saturating_sub(received);
            if inbound.breaker.on_report(Report { sent, received, round_trip }) {
                inbound.broken_since = Some(at);
                self.broken.store(true, Ordering::Relaxed);
            }
        }
        if inbound.path.on_response(token, at) {
            self.retarget(&inbound.path);
        }
    }

    /// Something proven has arrived, by the hop or by QUIC.
    pub(super) fn hear(&self, at: Instant) {
        self.inbound().hear(at);
    }

    /// Learns the peer's rhythm from now on, from what is known of it, unless it does already; or no more.
    pub(super) fn learn_rhythm(&self, known: Option<Rhythm>) {
        let mut inbound = self.inbound();
        inbound.rhythm = known.map(|known| inbound.rhythm.unwrap_or(known));
    }

    /// When the peer was heard last, and whether it has left out numbers since [`forget_missing`](Self::forget_missing).
    #[cfg(target_os = "linux")]
    pub(super) fn last_heard(&self) -> (Option<Instant>, bool) {
        let inbound = self.inbound();
        (inbound.heard, inbound.missing)
    }

    /// It is known that numbers are left out.
    #[cfg(target_os = "linux")]
    pub(super) fn forget_missing(&self) {
        self.inbound().missing = false;
    }

    /// What has been heard of the peer, if there is news since the last call.
    pub(in crate::net) fn news(&self) -> Option<Heard> {
        let mut inbound = self.inbound();
        let at = inbound.heard.filter(|_| inbound.heard > inbound.told)?;
        inbound.told = Some(at);
        let longest = std::mem::take(&mut inbound.longest);
        Some(Heard { at, longest, rhythm: inbound.rhythm, came: inbound.opened, lost: inbound.lost_down() })
    }

    /// Time passes: asks whether the hop gets through, when that is due.
    pub(super) fn poll(&self, now: Instant, batch: &mut Batch) {
        let mut inbound = self.inbound();
        // Questions and answers are no use, or they would go on for ever.
        let use_now = (inbound.received, self.sent.load(Ordering::Relaxed));
        let used = std::mem::replace(&mut inbound.used, use_now) != use_now;
        if self.broken.load(Ordering::Relaxed) && !is_open(inbound.broken_since, now) {
            self.broken.store(false, Ordering::Relaxed);
        }
        if let Some(ask) = inbound.path.poll(used, now) {
            inbound.asked = (ask.token, now, self.sealed.load(Ordering::Relaxed));
            self.ask(ask, batch);
            self.retarget(&inbound.path);
        }
    }

    /// What the switch has made of this hop's datagrams.
    pub(in crate::net) fn counts(&self) -> SwitchCounts {
        let [sent, received, dropped] = [&self.counts.sent, &self.counts.received, &self.counts.dropped]
            .map(|count| count.load(Ordering::Relaxed));
        let inbound = self.inbound();
        let (lost_up, lost_down) = (inbound.lost_up, inbound.lost_down());
        SwitchCounts { sent, received, dropped, lost_up, lost_down }
    }

    /// Where hop packets are known to arrive.
    pub(in crate::net) fn target(&self) -> Option<SocketAddr> {
        self.target.load().as_ref().map(|target| **target)
    }

    /// Whether hop packets are known to get through.
    #[cfg(test)]
    pub(in crate::net) fn works(&self) -> bool {
        self.target.load().is_some()
    }

    fn ask(&self, ask: Ask, batch: &mut Batch) {
        let challenge = write_probe(ask.token, 0);
        batch.push(ask.to, |out| self.sealer.seal(Kind::Challenge, &challenge, out));
    }

    fn retarget(&self, path: &Path) {
        let usable = path.works() && !self.sealer.is_worn_out();
        self.target.store(usable.then(|| Arc::new(path.addr())));
    }

    fn inbound(&self) -> MutexGuard<'_, Inbound> {
        // What is guarded is whole after every statement.
        self.inbound.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The payload of a challenge and of its answer: a token, and how many datagrams have been received.
fn write_probe(token: u64, received: u64) -> [u8; 16] {
    (u128::from(token) << 64 | u128::from(received)).to_be_bytes()
}

fn read_probe(payload: &[u8]) -> Option<(u64, u64)> {
    let both = u128::from_be_bytes(payload.try_into().ok()?);
    Some(((both >> 64) as u64, both as u64))
}

/// What a datagram costs on the wire besides itself: the hop packet's own, UDP's and IPv6's headers.
const ON_THE_WIRE: usize = super::packet::OVERHEAD + 48;
/// Contexts of the key export: who seals with the key.
const DIALLER: &[u8] = b"dialler";
const ACCEPTOR: &[u8] = b"acceptor";
