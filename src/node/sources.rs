//! What one source may send along one tree, as far as a relay can tell: enough for any voice, and no more, whatever its
//! member does.

use std::time::Instant;

use alm_media::{MediaPacket, TreeId};

use crate::net::Budget;

/// A budget for each pair of tree and source, in a table of fixed size. Pairs that fall into one place share it: at a rate
/// several times a usual voice's that is noticed by nobody.
#[derive(Debug)]
pub(super) struct SourceBudgets(Box<[Budget]>);

impl SourceBudgets {
    pub(super) fn new(now: Instant) -> Self {
        Self((0..PLACES).map(|_| Budget::new(SOURCE_BPS_MAX, now)).collect())
    }

    /// Draws a packet on its source's budget; `false` when that is spent.
    pub(super) fn draw(&self, tree: TreeId, packet: &[u8], now: Instant) -> bool {
        let Ok(read) = MediaPacket::parse(packet) else { return false };
        let pair = u64::from(tree.0) << 16 | u64::from(read.source.0);
        // Fibonacci hashing: the upper bits of a product with 2^64 over the golden ratio.
        let place = pair.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (64 - PLACES.trailing_zeros());
        self.0[place as usize].draw(packet.len(), now)
    }
}

/// Places of the table, a power of two.
const PLACES: usize = 256;
/// The most that a voice takes: 256 kbit/s in frames of 20 ms, headers included, and as much again for a repeat of its.
const SOURCE_BPS_MAX: u64 = 560_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use alm_media::{CaptureTime, SourceIndex};

    use super::*;
    use crate::testing::origin;

    fn packet(source: u16, frame: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let (tree, source, capture_time) = (TreeId(7), SourceIndex(source), CaptureTime(0));
        MediaPacket { tree, source, counter: 1, capture_time, priority: false, frame }.write(&mut bytes);
        bytes
    }

    #[test]
    fn a_voice_passes_and_ten_times_its_rate_does_not() {
        let start = origin();
        let sources = SourceBudgets::new(start);
        let passes = |source, times: u64| {
            let packet = packet(source, &[0; 100]);
            let sent = (0..50 * times).map(|i| start + Duration::from_micros(20_000 / times * i));
            sent.filter(|at| sources.draw(TreeId(7), &packet, *at)).count()
        };
        assert_eq!(passes(1, 1), 50);
        let most = SOURCE_BPS_MAX as usize / 8 / 117;
        assert!(passes(2, 20) <= most * 12 / 10, "a second's worth, and what may be ahead");
        assert_eq!(passes(3, 1), 50, "others are not affected");
    }
}
