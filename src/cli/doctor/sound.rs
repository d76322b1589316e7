//! Loudspeaker and microphone: a short tone is played, and looked for in what comes in.

use std::time::Duration;

use alm_media::device::{DeviceError, InputSpec, OutputSpec};
use alm_media::{Channels, SAMPLE_RATE};
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::finding::Finding;

/// How long a device may take to open; a sound server that hangs takes for ever.
const OPEN_WITHIN: Duration = Duration::from_secs(6);
/// What is played, hertz: loud in small loudspeakers, and no harmonic of the mains.
const TONE_HZ: f32 = 997.0;
/// Its amplitude: -20 dBFS.
const AMPLITUDE: f32 = 0.1;
/// A frame, samples: 20 ms.
const FRAME: usize = SAMPLE_RATE as usize / 50;
/// Frames of silence before the tone, of the tone, and of silence after it, in which its echo may still come.
const BEFORE: usize = 30;
const TONE: usize = 25;
const AFTER: usize = 30;
/// The tone has come back when a frame holds this many times what it held of it before.
const RISE: f32 = 5.0;
/// And at least this amplitude: -70 dBFS.
const FAINT: f32 = 3e-4;
/// A microphone that is switched on hisses louder than this: -100 dBFS.
const DEAD: f32 = 1e-5;

const OUT: &str = "loudspeaker";
const IN: &str = "microphone";
const BACK: &str = "test tone";

/// Plays the tone and listens for it, unless a file or silence stands in for a device.
pub(super) async fn sound(input: &InputSpec, output: &OutputSpec) -> [Finding; 3] {
    let (from, to) = (input.clone(), output.clone());
    let playback = opened(output.is_device(), move || to.open()).await;
    let capture = opened(input.is_device(), move || from.open(false, Channels::Mono)).await;
    let out = device(OUT, &playback, "host and join play nothing without one");
    let microphone = device(IN, &capture, "host and join listen only without one");
    let (mut playback, mut capture) = match (playback, capture) {
        (Opened::Ready(playback), Opened::Ready(capture)) => (playback, capture),
        (Opened::NoDevice, _) | (_, Opened::NoDevice) => {
            return [out, microphone, Finding::unknown(BACK, "not played: a device is stood in for", None)];
        }
        _ => return [out, microphone, Finding::unknown(BACK, "not played: that takes both devices", None)],
    };
    let mut heard = Vec::new();
    let mut trouble = None;
    let mut ticks = interval(Duration::from_millis(20));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for at in 0..BEFORE + TONE + AFTER {
        ticks.tick().await;
        let mut frame = [0.0_f32; FRAME];
        trouble = trouble.or(capture.read(&mut frame).err());
        heard.push(frame);
        trouble = trouble.or(playback.write_mono(&tone(at)).err());
    }
    if let Some(error) = trouble {
        return [out, microphone, Finding::failed(BACK, error.to_string(), "plug the device in again")];
    }
    let loudest = heard.iter().flatten().fold(0.0_f32, |loudest, sample| loudest.max(sample.abs()));
    if loudest < DEAD {
        let microphone = Finding::warning(
            IN,
            "it is open, and nothing at all comes from it",
            "switch it on: in the system's sound settings, on the headset, or in its privacy settings",
        );
        return [out, microphone, Finding::unknown(BACK, "played; the microphone is silent", None)];
    }
    let levels: Vec<f32> = heard.iter().map(|frame| level(frame)).collect();
    [out, microphone, came_back(&levels)]
}

enum Opened<T> {
    Ready(T),
    /// A file, a tone or silence.
    NoDevice,
    Refused(DeviceError),
    Hung,
}

/// Opens a device on a thread that may be left behind.
async fn opened<T: Send + 'static>(
    is_device: bool,
    open: impl FnOnce() -> Result<T, DeviceError> + Send + 'static,
) -> Opened<T> {
    if !is_device {
        return Opened::NoDevice;
    }
    match timeout(OPEN_WITHIN, tokio::task::spawn_blocking(open)).await {
        Ok(Ok(Ok(device))) => Opened::Ready(device),
        Ok(Ok(Err(error))) => Opened::Refused(error),
        Ok(Err(_)) | Err(_) => Opened::Hung,
    }
}

fn device<T>(name: &'static str, opened: &Opened<T>, without: &str) -> Finding {
    match opened {
        Opened::Ready(_) => Finding::ok(name, "it is open"),
        Opened::NoDevice => Finding::unknown(name, "not asked for", None),
        Opened::Refused(error @ (DeviceError::NoDefault(_) | DeviceError::NotBuilt)) => {
            Finding::warning(name, error.to_string(), without)
        }
        Opened::Refused(error) => {
            Finding::failed(name, error.to_string(), "`alm devices` lists what is there")
        }
        Opened::Hung => {
            Finding::failed(name, "the sound system does not answer", "start it again, or log in again")
        }
    }
}

/// What is played in a frame: silence, or a part of the tone, which begins and ends without a click.
fn tone(at: usize) -> [f32; FRAME] {
    let mut frame = [0.0; FRAME];
    let Some(at) = at.checked_sub(BEFORE).filter(|at| *at < TONE) else { return frame };
    for (i, sample) in frame.iter_mut().enumerate() {
        let n = at * FRAME + i;
        let fade = n.min(TONE * FRAME - n) as f32 / FRAME as f32;
        let turns = f64::from(TONE_HZ) * n as f64 / f64::from(SAMPLE_RATE);
        *sample = AMPLITUDE * fade.min(1.0) * (turns.fract() * std::f64::consts::TAU).sin() as f32;
    }
    frame
}

/// How much of the tone is in a frame: its amplitude (Goertzel's algorithm).
fn level(frame: &[f32]) -> f32 {
    let turn = std::f32::consts::TAU * TONE_HZ / SAMPLE_RATE as f32;
    let (mut one, mut two) = (0.0_f32, 0.0_f32);
    for sample in frame {
        (one, two) = (sample + 2.0 * turn.cos() * one - two, one);
    }
    let power = one * one + two * two - 2.0 * turn.cos() * one * two;
    power.max(0.0).sqrt() * 2.0 / frame.len() as f32
}

/// Whether the tone is in what was heard while and after it was played.
fn came_back(levels: &[f32]) -> Finding {
    let (before, after) = levels.split_at(BEFORE);
    let most = |levels: &[f32]| levels.iter().fold(0.0_f32, |most, level| most.max(*level));
    // A device delivers noise of its own at first.
    let (background, loudest) = (most(&before[BEFORE / 2..]), most(after));
    if loudest < (background * RISE).max(FAINT) {
        return Finding::warning(
            BACK,
            "played, and not heard back: the others will hear no echo of you, or nothing of you",
            "fine with headphones; else turn the loudspeaker up and the microphone on",
        );
    }
    let first = after.iter().position(|level| *level > loudest / 2.0).unwrap_or(0);
    let decibels = 20.0 * loudest.log10();
    Finding::ok(BACK, format!("heard back after some {} ms, at {decibels:.0} dBFS", first * 20))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::Verdict;

    /// What a microphone makes of the tone that comes `late` frames later at `gain`, in a noise of that amplitude.
    fn heard(late: usize, gain: f32, noise: f32) -> Finding {
        let sample = |at: usize, i: usize| {
            let played = at.checked_sub(late).map_or(0.0, |at| tone(at)[i] * gain);
            let hash = (at * FRAME + i).wrapping_mul(0x9e37_79b9) as u32 ^ 0x5bd1_e995;
            played + noise * (hash.wrapping_mul(0x85eb_ca6b) as f32 / u32::MAX as f32 * 2.0 - 1.0)
        };
        let frames =
            (0..BEFORE + TONE + AFTER).map(|at| (0..FRAME).map(|i| sample(at, i)).collect::<Vec<_>>());
        came_back(&frames.map(|frame| level(&frame)).collect::<Vec<_>>())
    }

    #[test]
    fn a_tone_is_heard_back_late_and_quiet_and_noise_is_not_taken_for_it() {
        let finding = heard(4, 0.1, 0.01);
        assert_eq!(finding.verdict, Verdict::Ok);
        assert!(finding.text().contains("at -40 dBFS"), "{}", finding.text());
        assert_eq!(heard(25, 0.02, 0.001).verdict, Verdict::Ok);
        assert_eq!(heard(0, 0.0, 0.2).verdict, Verdict::Warning);
        assert_eq!(heard(0, 0.0, 0.0).verdict, Verdict::Warning);
    }
}
