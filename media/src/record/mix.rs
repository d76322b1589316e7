//! All voices in one WAV file.

use std::collections::VecDeque;
use std::path::Path;

use crate::mixer::Mixer;
use crate::wav::{WavError, WavWriter};

/// Sums what is said at each moment until nothing more can come for it.
pub(super) struct Mix {
    file: WavWriter,
    limiter: Mixer,
    /// Samples that have been written.
    written: i64,
    /// Those after them, as far as anybody has said something.
    sum: VecDeque<f32>,
}

impl Mix {
    pub(super) fn create(path: &Path) -> Result<Self, WavError> {
        let file = WavWriter::create(path)?;
        Ok(Self { file, limiter: Mixer::new(), written: 0, sum: VecDeque::new() })
    }

    /// Adds sound that begins `at`. What is before the end of the file is left out.
    pub(super) fn add(&mut self, at: i64, pcm: &[f32]) {
        let late = usize::try_from(self.written - at).unwrap_or(0).min(pcm.len());
        let begin = usize::try_from(at - self.written).unwrap_or(0);
        let pcm = &pcm[late..];
        if self.sum.len() < begin + pcm.len() {
            self.sum.resize(begin + pcm.len(), 0.0);
        }
        for (sum, sample) in self.sum.range_mut(begin..).zip(pcm) {
            *sum += sample;
        }
    }

    pub(super) fn write_until(&mut self, end: i64) -> Result<(), WavError> {
        while self.written + BLOCK as i64 <= end {
            let mut block = [0.0; BLOCK];
            let said = self.sum.len().min(BLOCK);
            for (sample, sum) in block.iter_mut().zip(self.sum.drain(..said)) {
                *sample = sum;
            }
            self.limiter.limit(&mut block);
            self.file.write(&block)?;
            self.written += BLOCK as i64;
        }
        Ok(())
    }
}

/// Samples written at once: 10 ms.
const BLOCK: usize = 480;
