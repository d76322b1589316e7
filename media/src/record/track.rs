//! One speaker's file: frames where they were captured, and something in between.

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;

use super::mix::Mix;
use super::ogg_opus::{OpusFile, PRE_SKIP};
use super::{RecordError, new_file};
use crate::codec::{Channels, Decoder, FRAME_SAMPLES_MAX, payload_channels, payload_samples};
use crate::packet::SourceIndex;

/// The longest gap that is taken for lost frames and made up for, 100 ms; a longer one is silence.
pub(super) const CONCEALED_MAX: i64 = 4_800;

/// What one speaker said.
pub(super) struct Track {
    /// Frames that have come and may not be the next, by position.
    held: BTreeMap<i64, Bytes>,
    file: Option<OpusFile>,
    decoder: Decoder,
    /// What was written last is speech rather than silence.
    speaks: bool,
}

impl Track {
    pub(super) fn new() -> Self {
        Self { held: BTreeMap::new(), file: None, decoder: Decoder::new(Channels::Mono), speaks: false }
    }

    pub(super) fn hold(&mut self, at: i64, payload: Bytes) {
        if self.held.len() < HELD_MAX {
            self.held.entry(at).or_insert(payload);
        }
    }

    pub(super) fn holds_before(&self, horizon: i64) -> bool {
        self.held.first_key_value().is_some_and(|(&at, _)| at < horizon)
    }

    pub(super) fn is_open(&self) -> bool {
        self.file.is_some()
    }

    pub(super) fn open(&mut self, path: &Path, source: SourceIndex, name: &str) -> Result<(), RecordError> {
        let channels =
            self.held.first_key_value().map_or(Channels::Mono, |(_, first)| payload_channels(first));
        self.file = Some(OpusFile::begin(new_file(path)?, path, source, name, channels)?);
        Ok(())
    }

    /// Writes the frames before `horizon`, and adds them to the mix.
    pub(super) fn write_until(&mut self, horizon: i64, mix: &mut Mix) -> Result<(), RecordError> {
        while let Some(entry) = self.held.first_entry().filter(|entry| *entry.key() < horizon) {
            let (at, payload) = entry.remove_entry();
            self.write(at, payload, mix)?;
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Result<(), RecordError> {
        self.file.map_or(Ok(()), OpusFile::finish)
    }

    fn write(&mut self, at: i64, payload: Bytes, mix: &mut Mix) -> Result<(), RecordError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let Some(samples) = payload_samples(&payload).filter(|samples| *samples <= FRAME_SAMPLES_MAX) else {
            return Ok(());
        };
        let (gap, length) = (at - file.written(), samples as i64);
        if gap <= -length {
            return Ok(());
        }
        // Clocks are estimates: within speech, a gap of less than a frame is none, and nothing is cut for it.
        if gap >= length || !self.speaks && gap >= SHORTEST {
            self.fill(gap, &payload, mix)?;
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut pcm = [0.0; FRAME_SAMPLES_MAX];
        let pcm = &mut pcm[..samples];
        if self.decoder.decode(&payload, pcm).is_err() {
            self.decoder.conceal(pcm);
        }
        mix.add(file.written() - PRE_SKIP, pcm);
        self.speaks = true;
        file.packet(payload.to_vec(), length)
    }

    /// Writes something in front of `next`.
    fn fill(&mut self, gap: i64, next: &Bytes, mix: &mut Mix) -> Result<(), RecordError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        let mut left = gap - gap % SHORTEST;
        // A packet that is nothing but its first byte says that a frame of this kind was lost (RFC 6716, section 3.2.1).
        let lost = [next.first().copied().unwrap_or(0) & !0b11];
        let length = payload_samples(&lost).filter(|samples| *samples <= FRAME_SAMPLES_MAX).unwrap_or(0);
        while self.speaks && gap <= CONCEALED_MAX && length > 0 && left >= length as i64 {
            let mut pcm = [0.0; FRAME_SAMPLES_MAX];
            let pcm = &mut pcm[..length];
            left -= length as i64;
            match left {
                0 => self.decoder.recover(next, pcm),
                _ => self.decoder.conceal(pcm),
            }
            mix.add(file.written() - PRE_SKIP, pcm);
            file.packet(lost.to_vec(), length as i64)?;
        }
        for (length, first_byte) in SILENCES {
            while left >= length {
                left -= length;
                self.speaks = false;
                file.packet(vec![first_byte, 0xff, 0xfe], length)?;
            }
        }
        Ok(())
    }
}

/// Packets held for their turn: three seconds of the shortest frames.
const HELD_MAX: usize = 1_200;

/// The shortest frame, 2.5 ms.
const SHORTEST: i64 = 120;

/// Frames in which nothing is said, by length: full-band CELT of one channel, 20 to 2.5 ms (RFC 6716, table 2), whose first
/// bit says silence (section 4.3).
const SILENCES: [(i64, u8); 4] = [(960, 31 << 3), (480, 30 << 3), (240, 29 << 3), (SHORTEST, 28 << 3)];
