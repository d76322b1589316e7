//! Packets at a steady pace, the time at which each was sent in each, and what became of them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alm_media::{CaptureTime, MediaPacket, SourceIndex, TreeId};
use bytes::{Bytes, BytesMut};
use tokio::time::{Instant, sleep_until};

use super::now;

/// Bytes of a packet, header and tag of the sealed frame included: a frame of 20 ms at 24 kbit/s.
pub const PACKET_LEN: usize = 100;
const HEADER_LEN: usize = alm_media::HEADER_LEN;

/// What is to be sent: evenly spaced, so that the talkers of a conference do not speak in step.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Tells the packets of one measurement from those of others.
    pub round: u32,
    /// Who speaks, in turn.
    pub talkers: u16,
    /// Packets left to send.
    pub left: u64,
    /// Between two packets.
    pub interval: Duration,
    /// When the next one is due.
    pub next: Instant,
    counter: u64,
}

impl Pace {
    /// `rate` packets a second for some time, from now on.
    pub fn new(round: u32, talkers: u16, rate: u32, time: Duration) -> Self {
        let left = (f64::from(rate) * time.as_secs_f64()) as u64;
        let interval = Duration::from_secs(1) / rate;
        Self { round, talkers, left, interval, next: Instant::now() + interval, counter: 0 }
    }

    /// Waits until a packet is due; forever when none is left. Safe to drop half way.
    pub async fn due(&self) {
        if self.left == 0 {
            std::future::pending().await
        }
        sleep_until(self.next).await;
    }

    /// The next packet, if it is due.
    pub fn packet(&mut self, started: std::time::Instant) -> Option<Bytes> {
        if self.left == 0 || Instant::now() < self.next {
            return None;
        }
        let mut frame = [0; PACKET_LEN - HEADER_LEN];
        frame[..4].copy_from_slice(&self.round.to_be_bytes());
        frame[4..12].copy_from_slice(&((now() - started).as_nanos() as u64).to_be_bytes());
        let packet = MediaPacket {
            tree: TreeId(0),
            source: SourceIndex((self.counter % u64::from(self.talkers)) as u16),
            counter: self.counter,
            capture_time: CaptureTime(self.counter as u32),
            priority: false,
            frame: &frame,
        };
        let mut bytes = BytesMut::with_capacity(PACKET_LEN);
        packet.write(&mut bytes);
        self.counter += 1;
        self.left -= 1;
        self.next += self.interval;
        Some(bytes.freeze())
    }
}

/// Packets that arrived in the measurement under way. All receivers share it.
#[derive(Clone)]
pub struct Ears {
    /// What the times in the packets count from.
    pub started: std::time::Instant,
    heard: Arc<Mutex<(u32, Vec<f64>)>>,
}

impl Ears {
    /// Ears that have heard nothing.
    pub fn new() -> Self {
        Self { started: now(), heard: Arc::default() }
    }

    fn heard(&self) -> MutexGuard<'_, (u32, Vec<f64>)> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes in a packet, and forgets it unless it is of this measurement.
    pub fn hear(&self, packet: &[u8]) {
        let Ok(packet) = MediaPacket::parse(packet) else { return };
        let Some((round, rest)) = packet.frame.split_first_chunk::<4>() else { return };
        let Some((sent, _)) = rest.split_first_chunk::<8>() else { return };
        let elapsed = (now() - self.started).saturating_sub(Duration::from_nanos(u64::from_be_bytes(*sent)));
        let mut heard = self.heard();
        if heard.0 == u32::from_be_bytes(*round) {
            heard.1.push(elapsed.as_secs_f64() * 1_000.0);
        }
    }

    /// A measurement begins.
    pub fn begin(&self, round: u32) {
        *self.heard() = (round, Vec::with_capacity(1 << 16));
    }

    /// How many packets have come so far.
    pub fn heard_so_far(&self) -> usize {
        self.heard().1.len()
    }

    /// A measurement ends: the one-way latency of each packet that came, ms.
    pub fn end(&self) -> Vec<f64> {
        std::mem::take(&mut *self.heard()).1
    }
}
