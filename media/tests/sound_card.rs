//! The real sound card, or a sound server's stand-in for one. Left out unless asked for: most machines that
//! run tests have neither.
//!
//! ```sh
//! pulseaudio -n --daemonize=no --use-pid-file=no --exit-idle-time=-1 -L module-native-protocol-unix \
//!     -L "module-null-sink sink_name=room rate=48000 channels=1" &
//! pactl set-default-sink room; pactl set-default-source room.monitor
//! cargo test -p alm-media --features audio --test sound_card -- --ignored
//! ```

#![cfg(feature = "audio")]
#![expect(clippy::disallowed_methods, reason = "a sound card runs on the real clock")]

use std::f32::consts::TAU;
use std::time::{Duration, Instant};

use alm_media::device::{DeviceError, InputSpec, OutputSpec, list_devices};

/// The amplitude of a sine of that frequency.
fn level_at(hertz: f32, pcm: &[f32]) -> f32 {
    let step = TAU * hertz / 48_000.0;
    let (re, im) = pcm.iter().enumerate().fold((0.0, 0.0), |(re, im), (at, &sample)| {
        let angle = step * (at % 48_000) as f32;
        (re + sample * angle.cos(), im + sample * angle.sin())
    });
    2.0 * f32::hypot(re, im) / pcm.len() as f32
}

#[test]
#[ignore = "needs a sound server whose default input hears its default output"]
fn what_is_played_is_captured() {
    let devices = list_devices().unwrap();
    assert!(!devices.inputs.is_empty() && !devices.outputs.is_empty(), "{devices:?}");
    println!("{devices:#?}");
    let by_name: InputSpec = devices.inputs[0].name.parse().unwrap();
    let mut tone = "tone:440".parse::<InputSpec>().unwrap().open(false).unwrap();
    let mut input = by_name.open(false).unwrap();
    let mut output = OutputSpec::Default.open().unwrap();
    let (start, mut heard) = (Instant::now(), Vec::new());
    for frame in 1..=250 {
        let mut pcm = [0.0; 960];
        tone.read(&mut pcm).unwrap();
        output.write(&pcm).unwrap();
        input.read(&mut pcm).unwrap();
        heard.extend(pcm);
        let next = start + Duration::from_millis(20 * frame);
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
    let onset = heard.iter().position(|sample| sample.abs() > 0.01).expect("something is heard");
    println!("heard after {} ms", onset / 48);
    let levels: Vec<f32> = heard[48_000..].chunks_exact(4_800).map(|piece| level_at(440.0, piece)).collect();
    println!("{levels:.3?}");
    let whole = levels.iter().filter(|&&level| (level - 0.251).abs() < 0.02).count();
    assert!(whole * 10 >= levels.len() * 9, "{levels:?}");
    assert!(onset < 24_000, "{onset}");
}

#[test]
#[ignore = "needs a machine without a sound server or card"]
fn without_a_card_the_default_is_absent() {
    assert!(matches!(InputSpec::Default.open(false), Err(DeviceError::NoDefault(_))));
    assert!(matches!(OutputSpec::Default.open(), Err(DeviceError::NoDefault(_))));
}

#[test]
fn a_device_that_is_not_there_is_missing() {
    let name = "no such device".to_owned();
    assert!(matches!(InputSpec::Device(name.clone()).open(false), Err(DeviceError::Missing(..))));
    assert!(matches!(OutputSpec::Device(name).open(), Err(DeviceError::Missing(..))));
}
