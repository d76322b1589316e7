//! One hop: the way to one peer and back, beside the QUIC connection that its keys come from.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use bytes::Bytes;

use super::batch::Batch;
use super::forgery::ForgeryLimit;
use super::keys::{EXPORT_LABEL, MATERIAL_LEN, Material, Opener, Sealer};
use super::packet::{Header, Kind};
use super::path::{Ask, Path};
use super::replay::{Freshness, ReplayWindow};
use crate::identity::NodeId;
use crate::net::{SendError, SwitchCounts};

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
    /// When anything proven arrived last, as microseconds since `since`.
    heard_us: AtomicU64,
    /// The same, as last told.
    told_us: AtomicU64,
    sent: AtomicU64,
    since: Instant,
}

/// What is written where packets come in.
struct Inbound {
    replay: ReplayWindow,
    path: Path,
    forgeries: ForgeryLimit,
    /// `heard_us` and `sent` at the last [`Hop::poll`].
    used: (u64, u64),
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
            used: (0, 0),
        };
        Some(Arc::new(Self {
            peer,
            quic,
            sealer,
            opener,
            inbound: Mutex::new(inbound),
            target: ArcSwapOption::empty(),
            counts: Counts::default(),
            heard_us: AtomicU64::new(0),
            told_us: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            since: now,
        }))
    }

    /// Sends a datagram: by the hop, or by QUIC while the hop does not get through.
    pub(super) fn send(&self, datagram: &[u8], batch: &mut Batch) -> Result<(), SendError> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        if let Some(target) = &*self.target.load()
            && batch.push(**target, |out| self.sealer.seal(Kind::Datagram, datagram, out))
        {
            return Ok(());
        }
        self.quic.send_datagram(Bytes::copy_from_slice(datagram)).map_err(|error| match error {
            quinn::SendDatagramError::ConnectionLost(_) => SendError::NotConnected,
            _ => SendError::TooLong,
        })
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
        if freshness == Freshness::Newest
            && let Some(ask) = inbound.path.on_newest(from, at)
        {
            self.ask(ask, batch);
        }
        self.hear(at);
        Some(payload)
    }

    /// Answers a challenge, where it came from.
    pub(super) fn on_challenge(&self, token: &[u8], from: SocketAddr, batch: &mut Batch) {
        if token.len() == TOKEN_LEN {
            batch.push(from, |out| self.sealer.seal(Kind::Response, token, out));
        }
    }

    /// Takes an answer to a challenge.
    pub(super) fn on_response(&self, token: &[u8], at: Instant) {
        let Ok(token) = token.try_into() else { return };
        let mut inbound = self.inbound();
        if inbound.path.on_response(u64::from_be_bytes(token), at) {
            self.retarget(&inbound.path);
        }
    }

    /// Something proven has arrived, by the hop or by QUIC.
    pub(super) fn hear(&self, at: Instant) {
        let since = at.saturating_duration_since(self.since).as_micros();
        self.heard_us.fetch_max(since as u64, Ordering::Relaxed);
    }

    /// When the peer was heard last, if that is news since the last call.
    pub(in crate::net) fn news(&self) -> Option<Instant> {
        let heard = self.heard_us.load(Ordering::Relaxed);
        let told = self.told_us.swap(heard, Ordering::Relaxed);
        (heard > told).then(|| self.since + Duration::from_micros(heard))
    }

    /// Time passes: asks whether the hop gets through, when that is due.
    pub(super) fn poll(&self, now: Instant, batch: &mut Batch) {
        let mut inbound = self.inbound();
        let use_now = (self.heard_us.load(Ordering::Relaxed), self.sent.load(Ordering::Relaxed));
        let used = std::mem::replace(&mut inbound.used, use_now) != use_now;
        if let Some(ask) = inbound.path.poll(used, now) {
            self.ask(ask, batch);
            self.retarget(&inbound.path);
        }
    }

    /// What the switch has made of this hop's datagrams.
    pub(in crate::net) fn counts(&self) -> SwitchCounts {
        let [sent, received, dropped] = [&self.counts.sent, &self.counts.received, &self.counts.dropped]
            .map(|count| count.load(Ordering::Relaxed));
        SwitchCounts { sent, received, dropped }
    }

    /// Whether hop packets are known to get through.
    #[cfg(test)]
    pub(in crate::net) fn works(&self) -> bool {
        self.target.load().is_some()
    }

    fn ask(&self, ask: Ask, batch: &mut Batch) {
        let token = ask.token.to_be_bytes();
        batch.push(ask.to, |out| self.sealer.seal(Kind::Challenge, &token, out));
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

const TOKEN_LEN: usize = 8;
/// Contexts of the key export: who seals with the key.
const DIALLER: &[u8] = b"dialler";
const ACCEPTOR: &[u8] = b"acceptor";
