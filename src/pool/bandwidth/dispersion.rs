//! How fast pairs come in: the receiver's part.
//!
//! The narrowest link on the way spreads the two packets of a pair: the bits of one over the time between them is its rate
//! (the patent, [0076]). Other traffic between the two spreads them more, other traffic before the first one, further
//! down, less, and both are stamped a little late. What only ever adds to a delay is least where the delay is: so the least delay
//! of a first packet and the least of a second one count, of whichever pairs of a burst they are (Chan, Luo, Chang, "A
//! minimum-delay-difference method for mitigating cross-traffic impact on capacity measurement", CoNEXT 2009; a pair of which
//! neither met anything, as CapProbe waits for, is rarer). The clocks of both ends need not agree for that. Whatever a sender says
//! of when it sent, its line looks no wider than one of its pairs has shown it.

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
    /// By pair: the delays of its first and its second packet, offset by the clocks, microseconds.
    whole: Vec<[i64; 2]>,
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
            let sent_us = i64::from(packet.sent_us.wrapping_sub(self.sent_first_us) as i32);
            let delay_us = |at: Moment| at.since(self.began).as_micros() as i64 - sent_us;
            self.whole.push([delay_us(first), delay_us(now)]);
        }
        packet.second && packet.pair + 1 == PAIRS
    }

    /// The rate of the narrowest link, kbit/s.
    pub(super) fn kbit_s(&self) -> Option<u32> {
        let least = |packet: usize| self.whole.iter().map(|delays_us| delays_us[packet]).min();
        let spread_us = (least(1)? - least(0)?).clamp(1, u32::MAX.into()) as u32;
        (self.whole.len() >= PAIRS_MIN).then(|| PACKET_BYTES as u32 * 8_000 / spread_us)
    }
}
