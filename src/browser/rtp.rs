//! The numbers of RTP (RFC 3550): what is missing in a stream that comes, and how one that goes is counted when the voice in
//! it changes.

use alm_media::CaptureTime;

/// Tells what is lost of a stream that comes.
#[derive(Debug, Default)]
pub(super) struct Inflow {
    last: Option<u16>,
}

impl Inflow {
    /// How many packets are missing in front of this one; none if it was overtaken or comes twice.
    pub(super) fn take(&mut self, sequence: u16) -> Option<u64> {
        let ahead = self.last.map_or(1, |last| sequence.wrapping_sub(last));
        if ahead == 0 || ahead > u16::MAX / 2 {
            return None;
        }
        self.last = Some(sequence);
        Some(u64::from(ahead - 1))
    }
}

/// Counts a stream that goes, whose voices change.
#[derive(Debug)]
pub(super) struct Outflow {
    /// The greatest numbers so far.
    sequence: u16,
    timestamp: u32,
    /// Of the voice in it: a frame's counter and time, and the numbers that it got.
    origin: Option<(u64, CaptureTime, u16, u32)>,
}

/// What a packet is to bear.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Numbers {
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    /// A voice begins here.
    pub(super) marker: bool,
}

impl Outflow {
    /// Numbers begin anywhere (RFC 3550, section 5.1).
    pub(super) fn new(sequence: u16, timestamp: u32) -> Self {
        Self { sequence, timestamp, origin: None }
    }

    /// Another voice begins.
    pub(super) fn change(&mut self) {
        self.origin = None;
    }

    /// Numbers for a frame of the present voice. Frames may come in any order, and those that are missing leave a gap.
    pub(super) fn next(&mut self, counter: u64, capture_time: CaptureTime) -> Numbers {
        let known = self.origin.filter(|(first, ..)| counter.abs_diff(*first) < FAR);
        let marker = known.is_none();
        let (first, captured, sequence, timestamp) = known.unwrap_or_else(|| {
            (counter, capture_time, self.sequence.wrapping_add(1), self.timestamp.wrapping_add(SEAM))
        });
        // Within `FAR`, the difference keeps its meaning in 16 bits.
        let sequence = sequence.wrapping_add(counter.wrapping_sub(first) as u16);
        let timestamp = timestamp.wrapping_add_signed(capture_time.ticks_since(captured));
        if marker || sequence.wrapping_sub(self.sequence) <= u16::MAX / 2 {
            (self.sequence, self.timestamp) = (sequence, timestamp);
            // From here on, so that a voice may go on for ever.
            self.origin = Some((counter, capture_time, sequence, timestamp));
        }
        Numbers { sequence, timestamp, marker }
    }
}

/// Counters that far apart are not of one run.
const FAR: u64 = 3_000;
/// Between two voices, ticks: a frame of 20 ms.
const SEAM: u32 = 960;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_counted_and_what_is_late_is_not_taken() {
        let mut inflow = Inflow::default();
        let taken: Vec<Option<u64>> =
            [65_534, 65_535, 0, 3, 2, 3, 4].into_iter().map(|sequence| inflow.take(sequence)).collect();
        assert_eq!(taken, [Some(0), Some(0), Some(0), Some(2), None, None, Some(0)]);
    }

    #[test]
    fn a_stream_counts_on_when_its_voice_changes() {
        let mut outflow = Outflow::new(u16::MAX - 1, 5);
        let mut next = |counter: u64| outflow.next(counter, CaptureTime(counter as u32 * 960));
        let begun = next(700);
        assert_eq!(begun, Numbers { sequence: u16::MAX, timestamp: 965, marker: true });
        // One is lost, one comes late.
        assert_eq!(next(703), Numbers { sequence: 2, timestamp: 965 + 3 * 960, marker: false });
        assert_eq!(next(702), Numbers { sequence: 1, timestamp: 965 + 2 * 960, marker: false });
        outflow.change();
        let other = outflow.next(9, CaptureTime(77));
        assert_eq!(other, Numbers { sequence: 3, timestamp: 965 + 4 * 960, marker: true });
    }
}
