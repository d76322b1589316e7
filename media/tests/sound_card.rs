//! The real sound card, or a sound server's stand-in for one. Left out unless asked for: most machines that run tests have
//! neither. `make test-audio` has a sound server of its own for them.

#![cfg(feature = "audio")]
#![expect(clippy::disallowed_methods, reason = "a sound card runs on the real clock")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a test's helpers fail the test, and say how long it took"
)]

use std::f32::consts::TAU;
use std::process::Command;
use std::time::{Duration, Instant};

use alm_media::Channels;
use alm_media::device::{Capture, DeviceError, InputSpec, OutputSpec, Playback, list_devices};

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
    let mut tone = "tone:440".parse::<InputSpec>().unwrap().open(false, Channels::Mono).unwrap();
    let mut input = by_name.open(false, Channels::Mono).unwrap();
    let mut output = OutputSpec::Default.open().unwrap();
    let (start, mut heard) = (Instant::now(), Vec::new());
    for frame in 1..=250 {
        let mut pcm = [0.0; 960];
        tone.read(&mut pcm).unwrap();
        output.write_mono(&pcm).unwrap();
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

/// A microphone and a loudspeaker in one room, a tone on the loudspeaker.
struct Room {
    tone: Box<dyn Capture>,
    input: Box<dyn Capture>,
    output: Box<dyn Playback>,
    /// What was told of the microphone.
    told: Vec<String>,
    next: Instant,
}

impl Room {
    fn enter() -> Self {
        let tone = "tone:440".parse::<InputSpec>().unwrap().open(false, Channels::Mono).unwrap();
        let input = InputSpec::Default.open(false, Channels::Mono).unwrap();
        let output = OutputSpec::Default.open().unwrap();
        Self { tone, input, output, told: Vec::new(), next: Instant::now() }
    }

    /// Plays and listens until `done` of the tone's amplitude in the last 100 ms and of what was told; how long that took.
    fn until(&mut self, what: &str, done: impl Fn(f32, &[String]) -> bool) -> Duration {
        let (start, mut heard, mut levels) = (Instant::now(), Vec::new(), Vec::new());
        while start.elapsed() < Duration::from_secs(30) {
            let mut pcm = [0.0; 960];
            self.tone.read(&mut pcm).unwrap();
            if let Err(error) = self.output.write_mono(&pcm) {
                println!("{:?}: {error}", start.elapsed());
            }
            if let Err(error) = self.input.read(&mut pcm) {
                println!("{:?}: {error}", start.elapsed());
                self.told.push(error.to_string());
            }
            heard.extend(pcm);
            if heard.len() >= 4_800 {
                levels.push(level_at(440.0, &heard));
                if levels.last().is_some_and(|level| done(*level, &self.told)) {
                    println!("{what}: {:?}", start.elapsed());
                    return start.elapsed();
                }
                heard.clear();
            }
            self.next += Duration::from_millis(20);
            std::thread::sleep(self.next.saturating_duration_since(Instant::now()));
        }
        panic!("{what}: {:?}, {levels:.3?}", self.told);
    }
}

fn pactl(args: &str) -> String {
    let output = Command::new("pactl").args(args.split(' ')).output().unwrap();
    assert!(output.status.success(), "{args}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn plug_in(sink: &str, rate: u32) {
    pactl(&format!("load-module module-null-sink sink_name={sink} rate={rate} channels=1"));
    pactl(&format!("set-default-sink {sink}"));
    pactl(&format!("set-default-source {sink}.monitor"));
}

#[test]
#[ignore = "needs a sound server whose devices it may take away"]
fn what_is_unplugged_works_again_and_the_default_is_followed() {
    let is_heard = |level: f32| (level - 0.251).abs() < 0.03;
    let mut room = Room::enter();
    room.until("heard", |level, _| is_heard(level));
    // Another default, with another rate.
    plug_in("headset", 44_100);
    room.until("on the headset", |level, _| {
        let streams = pactl("list short source-outputs");
        let headset = pactl("list short sources");
        let headset = headset.lines().find(|line| line.contains("headset.monitor")).unwrap();
        let number = headset.split('\t').next().unwrap();
        is_heard(level) && streams.lines().any(|line| line.split('\t').nth(1) == Some(number))
    });
    assert!(room.told.is_empty(), "that is no trouble: {:?}", room.told);
    // Everything is unplugged, and back after a while at another rate.
    pactl("unload-module module-null-sink");
    room.until("gone", |level, told| level < 0.01 && !told.is_empty());
    plug_in("desk", 32_000);
    room.until("back", |level, told| is_heard(level) && told.iter().any(|line| line.contains("works again")));
    // The server itself goes, and comes again.
    let gone = room.told.len();
    let server = Command::new("sh").args(["-c", &std::env::var("SOUND_SERVER_AGAIN").unwrap()]).spawn();
    let mut server = server.unwrap();
    room.until("after the server", |level, told| {
        is_heard(level) && told[gone..].iter().any(|line| line.contains("works again"))
    });
    server.wait().unwrap();
}

#[test]
#[ignore = "needs a machine without a sound server or card"]
fn without_a_card_the_default_is_absent() {
    assert!(matches!(InputSpec::Default.open(false, Channels::Mono), Err(DeviceError::NoDefault(_))));
    assert!(matches!(OutputSpec::Default.open(), Err(DeviceError::NoDefault(_))));
}

#[test]
fn a_device_that_is_not_there_is_missing() {
    let name = "no such device".to_owned();
    assert!(matches!(
        InputSpec::Device(name.clone()).open(false, Channels::Mono),
        Err(DeviceError::Missing(..))
    ));
    assert!(matches!(OutputSpec::Device(name).open(), Err(DeviceError::Missing(..))));
}
