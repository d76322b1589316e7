//! From one clock's samples to another's: between any two rates, and a little faster or slower than that while it is told so.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Adjustable, Async, FixedAsync, Resampler, SincInterpolationParameters, WindowFunction};

use super::level::HASTE_MAX;

/// The filter's length: steep enough for speech and music, and 1.4 ms long.
const SINC_LENGTH: usize = 64;

/// What is converted at a time, of whichever side has to be whole: 2.5 ms at 48 kHz.
const STEP: usize = 120;

/// See the [module](self). Of so many channels, which are converted together.
pub(super) struct Resample<const CHANNELS: usize> {
    inner: Async<f32>,
    block: Vec<[f32; CHANNELS]>,
    filled: usize,
    out: Vec<[f32; CHANNELS]>,
}

impl<const CHANNELS: usize> Resample<CHANNELS> {
    /// For who has samples and hands them over one by one.
    pub(super) fn pushed(from: u32, to: u32) -> Self {
        Self::new(from, to, FixedAsync::Input)
    }

    /// For who wants samples and fetches as many as are needed.
    pub(super) fn pulled(from: u32, to: u32) -> Self {
        Self::new(from, to, FixedAsync::Output)
    }

    fn new(from: u32, to: u32, fixed: FixedAsync) -> Self {
        let parameters = SincInterpolationParameters::new(SINC_LENGTH, WindowFunction::BlackmanHarris2);
        let ratio = f64::from(to) / f64::from(from);
        let inner = Async::new_sinc(ratio, 1.0 + 2.0 * HASTE_MAX, &parameters, STEP, CHANNELS, fixed)
            .expect("a finite ratio above zero and a block that is not empty");
        let silence = [0.0; CHANNELS];
        let (block, out) =
            (vec![silence; inner.input_frames_next()], vec![silence; inner.output_frames_max()]);
        Self { inner, block, filled: 0, out }
    }

    /// So much fewer samples come out than by the rates.
    pub(super) fn set_haste(&mut self, haste: f64) {
        let set = self.inner.set_resample_ratio_relative(1.0 / (1.0 + haste), true);
        debug_assert!(set.is_ok(), "{haste} is within what was allowed for");
    }

    /// The block to fill before [`run`](Self::run).
    pub(super) fn block(&mut self) -> &mut [[f32; CHANNELS]] {
        self.block.resize(self.inner.input_frames_next(), [0.0; CHANNELS]);
        &mut self.block
    }

    /// Takes one sample of each channel; what can be made is appended to `out`.
    pub(super) fn put(&mut self, sample: [f32; CHANNELS], out: &mut Vec<[f32; CHANNELS]>) {
        let at = self.filled;
        let block = self.block();
        block[at] = sample;
        self.filled = (at + 1) % block.len();
        if self.filled == 0 {
            self.run(out);
        }
    }

    /// Converts the block.
    pub(super) fn run(&mut self, out: &mut Vec<[f32; CHANNELS]>) {
        let (length, room) = (self.block.len(), self.out.len());
        let from = InterleavedSlice::new(self.block.as_flattened(), CHANNELS, length);
        let mut to = InterleavedSlice::new_mut(self.out.as_flattened_mut(), CHANNELS, room);
        let (from, to) = (from.as_ref().expect(WHOLE), to.as_mut().expect(WHOLE));
        let (_, made) = self
            .inner
            .process_into_buffer(from, to, None)
            .expect("as many in as it asks for, and room for the most that comes out");
        out.extend_from_slice(&self.out[..made]);
    }
}

/// What is always true of the buffers.
const WHOLE: &str = "as long as is said of it";
