//! How fast pairs come in: the receiver's part.
//!
//! The narrowest link on the way spreads the two packets of a pair: the bits of one over the time between them is its rate
//! (the patent, [0076]). Other traffic between the two spreads them more, other traffic before the first one, further
//! down, less. A pair that met none arrived soonest, so of a burst those with the least sum of delays are believed
//! (Kapoor, Chen, Lao, Gerla, Sanadidi, "CapProbe", SIGCOMM 2004); the clocks of both ends need not agree for that.

use std::time::Duration;

use super::message::{PACKET_BYTES, Pair};
use crate::identity::Position;
use crate::pool::moment::Moment;

/// A burst that comes in.
#[derive(Debug)]
pub(super) struct Burst {
    pub(super) from: Position,
    pub(super) number: u32,
    /// When it is judged by what has come.
    pub(super) until: Moment,
    /// The pair whose second packet is awaited, and when its first came.
    open: Option<(u8, Moment)>,
    /// By pair: sum of delays, offset by the clocks, and dispersion, microseconds.
    whole: Vec<(i32, u32)>,
    began: Moment,
    sent_first_us: u32,
}

/// Pairs of a burst, and the time between two.
pub(super) const PAIRS: u8 = 6;
pub(super) const SPACING: Duration = Duration::from_millis(40);
/// A burst of which fewer pairs arrived says nothing.
const PAIRS_MIN: usize = 2;
/// After the time that a burst takes, what is late is not waited for.
const LATE: Duration = Duration::from_millis(400);

impl Burst {
    pub(super) fn new(from: Position, first: &Pair, now: Moment) -> Self {
        let until = now + SPACING * u32::from(PAIRS) + LATE;
        let (number, sent_first_us) = (first.burst, first.sent_us);
        Self { from, number, until, open: None, whole: Vec::new(), began: now, sent_first_us }
    }

    /// A packet has come. True when it is the last one.
    pub(super) fn on_packet(&mut self, packet: &Pair, now: Moment) -> bool {
        if !packet.second {
            self.open = Some((packet.pair, now));
        } else if let Some((_, first)) = self.open.take_if(|(pair, _)| *pair == packet.pair)
            && self.whole.len() < usize::from(PAIRS)
        {
            let sent_us = packet.sent_us.wrapping_sub(self.sent_first_us) as i32;
            let delay_us = |at: Moment| (at.since(self.began).as_micros() as i32).wrapping_sub(sent_us);
            let sum = delay_us(first).saturating_add(delay_us(now));
            self.whole.push((sum, now.since(first).as_micros() as u32));
        }
        packet.second && packet.pair + 1 == PAIRS
    }

    /// The rate of the narrowest link, kbit/s.
    pub(super) fn kbit_s(&mut self) -> Option<u32> {
        if self.whole.len() < PAIRS_MIN {
            return None;
        }
        self.whole.sort_unstable();
        let believed = self.whole.len().div_ceil(2);
        let mut spreads: Vec<u32> = self.whole[..believed].iter().map(|(_, spread)| *spread).collect();
        spreads.sort_unstable();
        Some(PACKET_BYTES as u32 * 8_000 / spreads[believed / 2].max(1))
    }
}
