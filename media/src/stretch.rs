//! Sound made a little longer or shorter without a click and without a change of pitch: a piece as long as a period of
//! the voice is said twice or left out, where the sound is most like itself that much later, with a cross-fade
//! (waveform similarity overlap-add, Verhelst and Roelands 1993).

use crate::codec::Channels;

/// The shortest piece, samples of each channel: 2.5 ms, the period of 400 Hz.
const LAG_MIN: usize = 120;

/// The longest: 15 ms, the period of 67 Hz.
const LAG_MAX: usize = 720;

/// Over how much one sound fades into the other: 5 ms.
const FADE: usize = 240;

/// How alike both must be, normalised correlation: a voiced sound is at 0.9 and above.
const ALIKE_MIN: f32 = 0.75;

/// The same where the change is urgent: rather a rough syllable than a gap.
const ALIKE_MIN_URGENT: f32 = 0.3;

/// From which change on it is urgent, samples: 20 ms.
const URGENT: usize = 960;

/// Mean square below which sound counts as silence, in which nobody hears a seam: -50 dBFS.
const SILENT: f32 = 1e-5;

/// Every how many samples are looked at when lags are first compared.
const COARSE: usize = 4;

/// How much of what was played is kept, samples of each channel.
const HISTORY: usize = LAG_MAX;

/// Stretches one source's sound, piece by piece.
#[derive(Clone, Debug)]
pub(crate) struct Stretcher {
    channels: usize,
    /// The sound before the piece to come, interleaved: [`HISTORY`] of each channel.
    history: Vec<f32>,
    scratch: Vec<f32>,
}

impl Stretcher {
    /// A stretcher before the first sound.
    pub(crate) fn new(channels: Channels) -> Self {
        let channels = channels.count();
        Self { channels, history: vec![0.0; HISTORY * channels], scratch: Vec::new() }
    }

    /// Changes of fewer samples are not made.
    pub(crate) const CHANGE_MIN: usize = LAG_MIN;

    /// Samples of each channel that a piece must have for [`shorten`](Self::shorten) to find what to leave out at best.
    pub(crate) const SHORTEN_MIN: usize = LAG_MAX + FADE;

    /// Says the end of what was played before `piece` once more, in front of it, to make it longer by about `wanted`
    /// samples of each channel, or by more where the voice is low. The piece is left alone where that would be heard.
    pub(crate) fn lengthen(&mut self, piece: &mut Vec<f32>, wanted: usize) -> bool {
        let fade = FADE.min(piece.len() / self.channels);
        if fade < LAG_MIN / 2 {
            return false;
        }
        let end = HISTORY * self.channels;
        let quiet = power(piece) < SILENT && power(&self.history) < SILENT;
        let lag = if quiet {
            wanted.clamp(LAG_MIN.max(fade), LAG_MAX)
        } else {
            let lags = LAG_MIN.max(fade)..=LAG_MAX;
            let from = |lag: usize| &self.history[end - lag * self.channels..];
            let Some(lag) = self.best(lags, wanted, fade, piece, from) else { return false };
            lag
        };
        // History's last `lag` samples are said again; the piece's beginning fades into them.
        self.scratch.clear();
        self.scratch.extend_from_slice(&self.history[end - lag * self.channels..]);
        cross_fade(&mut self.scratch, piece, fade, self.channels);
        self.scratch.extend_from_slice(piece);
        std::mem::swap(piece, &mut self.scratch);
        true
    }

    /// Leaves out up to `wanted` samples of each channel of `piece`. The piece is left alone where that would be heard.
    pub(crate) fn shorten(&mut self, piece: &mut Vec<f32>, wanted: usize) -> bool {
        let samples = piece.len() / self.channels;
        let most = wanted.min(LAG_MAX).min(samples.saturating_sub(FADE));
        if most < LAG_MIN {
            return false;
        }
        let lag = if power(piece) < SILENT {
            most
        } else {
            let from = |lag: usize| &piece[lag * self.channels..];
            let Some(lag) = self.best(LAG_MIN..=most, wanted, FADE, piece, from) else { return false };
            lag
        };
        self.leave_out(piece, lag, FADE);
        true
    }

    /// Leaves out the first `lag` samples of each channel; what was there fades into what follows.
    fn leave_out(&mut self, piece: &mut Vec<f32>, lag: usize, fade: usize) {
        self.scratch.clear();
        self.scratch.extend_from_slice(&piece[lag * self.channels..]);
        cross_fade(&mut self.scratch, piece, fade, self.channels);
        std::mem::swap(piece, &mut self.scratch);
    }

    /// Samples of each channel that a piece must have for [`halve`](Self::halve) to find where it is like itself.
    pub(crate) const HALVE_MIN: usize = 2 * LAG_MAX;

    /// Leaves out half of `piece`, or up to 5 ms less where the sound is more like itself so: heard, but words in half the time.
    pub(crate) fn halve(&mut self, piece: &mut Vec<f32>) {
        let half = piece.len() / self.channels / 2;
        let fade = FADE.min(half);
        let from = |lag: usize| &piece[lag * self.channels..];
        let lags = half.saturating_sub(2 * LAG_MIN)..=half;
        let Some((lag, _)) = self.most_alike(lags, fade, piece, from) else { return };
        self.leave_out(piece, lag, fade);
    }

    /// Notes what is played, so that more can be made of it.
    pub(crate) fn on_played(&mut self, piece: &[f32]) {
        let length = self.history.len();
        if piece.len() >= length {
            self.history.copy_from_slice(&piece[piece.len() - length..]);
        } else {
            self.history.copy_within(piece.len().., 0);
            self.history[length - piece.len()..].copy_from_slice(piece);
        }
    }

    /// The lag at which `from(lag)` is like `piece` over the length of a fade; `None` where nothing is.
    fn best<'a>(
        &self,
        lags: std::ops::RangeInclusive<usize>,
        wanted: usize,
        fade: usize,
        piece: &[f32],
        from: impl Fn(usize) -> &'a [f32],
    ) -> Option<usize> {
        let (lag, best) = self.most_alike(lags, fade, piece, from)?;
        (best >= if wanted >= URGENT { ALIKE_MIN_URGENT } else { ALIKE_MIN }).then_some(lag)
    }

    /// The lag at which it is most like it, and how much.
    fn most_alike<'a>(
        &self,
        lags: std::ops::RangeInclusive<usize>,
        fade: usize,
        piece: &[f32],
        from: impl Fn(usize) -> &'a [f32],
    ) -> Option<(usize, f32)> {
        let alike = |lag: usize, step: usize| alike(piece, from(lag), fade * self.channels, step);
        let (first, last) = (*lags.start(), *lags.end());
        let coarse = (first..=last).step_by(COARSE).map(|lag| (lag, alike(lag, COARSE * self.channels)));
        let (near, _) = coarse.max_by(|one, other| one.1.total_cmp(&other.1))?;
        let fine = near.saturating_sub(COARSE).max(first)..=(near + COARSE).min(last);
        fine.map(|lag| (lag, alike(lag, 1))).max_by(|one, other| one.1.total_cmp(&other.1))
    }
}

/// Fades from `other` into `sound` over the first `fade` samples of each channel.
fn cross_fade(sound: &mut [f32], other: &[f32], fade: usize, channels: usize) {
    for at in 0..fade {
        let share = (at as f32 + 0.5) / fade as f32;
        for place in at * channels..(at + 1) * channels {
            sound[place] = other[place] + (sound[place] - other[place]) * share;
        }
    }
}

/// Normalised correlation of the first `length` samples, every `step`th of them.
fn alike(one: &[f32], other: &[f32], length: usize, step: usize) -> f32 {
    let (mut product, mut power_one, mut power_other) = (0.0, 0.0, 0.0);
    for at in (0..length.min(one.len()).min(other.len())).step_by(step) {
        product += one[at] * other[at];
        power_one += one[at] * one[at];
        power_other += other[at] * other[at];
    }
    let power = power_one * power_other;
    if power > 0.0 { product / power.sqrt() } else { 0.0 }
}

fn power(sound: &[f32]) -> f32 {
    sound.iter().map(|sample| sample * sample).sum::<f32>() / sound.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{level_at, tone, voice};

    /// Plays `sound` in frames and has every nth stretched; the result, and how often that was done.
    fn play(sound: &[f32], channels: Channels, frame: usize, longer: bool) -> (Vec<f32>, usize) {
        let (mut stretcher, mut out, mut done) = (Stretcher::new(channels), Vec::new(), 0);
        for (at, piece) in sound.chunks_exact(frame * channels.count()).enumerate() {
            let mut piece = piece.to_vec();
            let before = piece.len();
            if at % 3 == 2 {
                let changed = if longer {
                    stretcher.lengthen(&mut piece, 300)
                } else {
                    stretcher.shorten(&mut piece, 500)
                };
                assert_eq!(changed, piece.len() != before);
                assert!(!changed || (piece.len() > before) == longer);
                done += usize::from(changed);
            }
            stretcher.on_played(&piece);
            out.extend(piece);
        }
        (out, done)
    }

    fn steepest(sound: &[f32], channels: usize) -> f32 {
        let steps = sound.windows(channels + 1).map(|pair| (pair[channels] - pair[0]).abs());
        steps.fold(0.0, f32::max)
    }

    #[test]
    fn a_tone_in_half_the_time_has_no_click() {
        for channels in [Channels::Mono, Channels::Stereo] {
            for hertz in [110.0, 440.0] {
                let sound: Vec<f32> =
                    tone(hertz, 0.5, 48_000).into_iter().flat_map(|s| vec![s; channels.count()]).collect();
                let (mut stretcher, mut out) = (Stretcher::new(channels), Vec::new());
                for piece in sound.chunks_exact(Stretcher::HALVE_MIN * channels.count()) {
                    let mut piece = piece.to_vec();
                    stretcher.halve(&mut piece);
                    out.extend(piece);
                }
                let share = out.len() as f64 / sound.len() as f64;
                assert!((0.45..0.68).contains(&share), "{hertz}: {share}");
                let (steep, before) = (steepest(&out, channels.count()), steepest(&sound, channels.count()));
                assert!(steep < before * 1.5, "no click: {hertz}: {steep} {before}");
            }
        }
    }

    #[test]
    fn a_tone_stays_a_tone() {
        for hertz in [110.0, 220.0, 440.0, 997.0] {
            let sound = tone(hertz, 0.5, 48_000);
            for (longer, frame) in [(true, 960), (false, 960), (true, 240), (false, 1_440)] {
                let (out, done) = play(&sound, Channels::Mono, frame, longer);
                assert!(done * 4 > 48_000 / frame / 3, "{hertz} {longer} {frame}: {done}");
                assert!(steepest(&out, 1) < steepest(&sound, 1) * 1.1, "{hertz} {longer} {frame}");
                let level = level_at(hertz, &out[4_800..14_400]);
                assert!((level - 0.5).abs() < 0.04, "{hertz} {longer} {frame}: {level}");
            }
        }
    }

    #[test]
    fn speech_gets_no_steeper() {
        let sound = voice("dee");
        for longer in [true, false] {
            let (out, done) = play(&sound, Channels::Mono, 960, longer);
            assert!(done > 30, "{longer}: {done} of {}", sound.len() / 2_880);
            assert!(steepest(&out, 1) < steepest(&sound, 1) * 1.05);
        }
    }

    #[test]
    fn two_channels_move_together() {
        let left = tone(220.0, 0.5, 48_000);
        let sound: Vec<f32> = left.iter().flat_map(|sample| [*sample, -sample]).collect();
        for longer in [true, false] {
            let (out, done) = play(&sound, Channels::Stereo, 960, longer);
            assert!(done > 8);
            assert!(out.chunks_exact(2).all(|pair| (pair[0] + pair[1]).abs() < 1e-6));
            assert!(steepest(&out, 2) < steepest(&sound, 2) * 1.1);
        }
    }

    #[test]
    fn silence_takes_any_change_and_noise_none() {
        let (mut stretcher, mut silence) = (Stretcher::new(Channels::Mono), vec![0.0; 960]);
        assert!(stretcher.lengthen(&mut silence, 333));
        assert_eq!(silence.len(), 960 + 333);
        assert!(stretcher.shorten(&mut silence, 333));
        assert_eq!(silence.len(), 960);
        assert!(!stretcher.shorten(&mut silence, 100), "less than a period");
        let mut state = 1_u32;
        let mut noise: Vec<f32> = (0..960)
            .map(|_| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (state >> 8) as f32 / 8_388_608.0 - 1.0
            })
            .collect();
        assert!(!stretcher.shorten(&mut noise, 500) && !stretcher.lengthen(&mut noise, 300));
        assert_eq!(noise.len(), 960);
        assert!(!stretcher.lengthen(&mut Vec::new(), 300) && !stretcher.shorten(&mut Vec::new(), 300));
    }
}
