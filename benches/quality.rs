//! What loss does to speech, and what each layer against it brings: nothing but concealment, the repeat in the next
//! packet (in-band FEC), packets asked for again from the hop before (with its budget of a twentieth), both, and both on
//! two independent paths as `--protect` has them.
//!
//! One hop of 20 ms each way (so that a repeat is there 45 ms after its loss is seen), even jitter of 5 ms. Encoders are
//! told of the loss, as receivers would. The distance is that of 24 bands' levels, in decibels, to what is heard without
//! loss, over frames that the ear would hear: lower is better. With `ALM_QUALITY` set to a folder the sound is written
//! there, for `benches/quality.py`, which holds it against the original by ViSQOL and PESQ.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod support;

use std::f32::consts::TAU;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use alm_media::{
    CaptureTime, Carried, CodecConfig, Listener, Repair, SAMPLE_RATE, SenderKey, SourceIndex, Speaker,
    TreeId, WavWriter, read_wav,
};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use support::{Size, now};

const FRAME: usize = 960;
const TICK: usize = 240;
const ONE_WAY_MS: f64 = 20.0;
const JITTER_MS: f64 = 5.0;
const SOURCE: SourceIndex = SourceIndex(1);
const TREE: TreeId = TreeId(1);

/// Which packets a path loses.
#[derive(Clone, Copy)]
enum Loss {
    /// Each by itself, with that probability.
    Random(f64),
    /// Three in a row, so that this is the share in all.
    Bursts(f64),
}

const LOSSES: [(&str, Loss); 6] = [
    ("1 %", Loss::Random(0.01)),
    ("5 %", Loss::Random(0.05)),
    ("10 %", Loss::Random(0.1)),
    ("20 %", Loss::Random(0.2)),
    ("5 % by 60 ms", Loss::Bursts(0.05)),
    ("10 % by 60 ms", Loss::Bursts(0.1)),
];

/// What is done against loss.
#[derive(Clone, Copy)]
struct Layers {
    name: &'static str,
    fec: bool,
    repeats: bool,
    paths: usize,
}

const LAYERS: [Layers; 5] = [
    Layers { name: "conceal", fec: false, repeats: false, paths: 1 },
    Layers { name: "fec", fec: true, repeats: false, paths: 1 },
    Layers { name: "ask", fec: false, repeats: true, paths: 1 },
    Layers { name: "fec+ask", fec: true, repeats: true, paths: 1 },
    Layers { name: "all+2nd", fec: true, repeats: true, paths: 2 },
];

/// Speech over a path that loses packets; what is heard.
fn carry(speech: &[f32], loss: Option<Loss>, layers: Layers, seed: u64, begin: Instant) -> Vec<f32> {
    let key = SenderKey::derive(b"a secret", &[1; 32], &[seed as u8; 16]);
    let percent = match loss {
        Some(Loss::Random(share) | Loss::Bursts(share)) if layers.fec => {
            (share * 100.0).round().max(5.0) as u8
        }
        Some(_) | None => u8::from(layers.fec) * 5,
    };
    let config = CodecConfig { voice: false, loss_percent: percent, ..CodecConfig::default() };
    let mut speaker = Speaker::new(SOURCE, &key, config).expect("the usual rate");
    let mut listener = Listener::new();
    listener.add_source(SOURCE, &key).expect("the first source");
    let mut random = StdRng::seed_from_u64(seed);
    // Node 0 speaks, node 1 listens; of each path.
    let mut repairs: Vec<[Repair<u8>; 2]> =
        (0..layers.paths).map(|_| [Repair::new(), Repair::new()]).collect();
    let mut burst = vec![0; layers.paths];
    let mut way: Vec<(f64, usize, u8, Vec<u8>)> = Vec::new();
    let mut heard = Vec::new();
    let at = |ms: f64| begin + Duration::from_secs_f64(ms / 1_000.0);
    for sample in (0..speech.len()).step_by(TICK) {
        let ms = sample as f64 / 48.0;
        if sample % FRAME == 0 && sample + FRAME <= speech.len() {
            let mut packets = Vec::new();
            let sealed = speaker.packet(
                &speech[sample..sample + FRAME],
                CaptureTime(sample as u32),
                &[TREE],
                &mut packets,
            );
            sealed.expect("one frame");
            for path in 0..layers.paths {
                let carried = Carried { datagram: &packets[0], came_by: None, copies: 1, is_heard: false };
                repairs[path][0].on_packet(carried, at(ms), &mut |_, _| {});
                let lost = is_lost(loss, &mut burst[path], &mut random);
                if !lost {
                    way.push((
                        ms + ONE_WAY_MS + random.random::<f64>() * JITTER_MS,
                        path,
                        1,
                        packets[0].to_vec(),
                    ));
                }
            }
        }
        way.sort_by(|one, other| one.0.total_cmp(&other.0));
        while way.first().is_some_and(|entry| entry.0 <= ms) {
            let (came_ms, path, to, bytes) = way.remove(0);
            let [source, member] = &mut repairs[path];
            if to == 0 {
                let mut again = Vec::new();
                let is_sent_to = |_, came_by: Option<u8>| came_by.is_none();
                source.on_told(&bytes, at(came_ms), is_sent_to, &mut |packet| again.push(packet.to_vec()));
                for packet in again {
                    // A repeat is as likely to get lost.
                    if !is_lost(loss, &mut 0, &mut random) {
                        way.push((came_ms + ONE_WAY_MS, path, 1, packet));
                    }
                }
            } else {
                let carried = Carried { datagram: &bytes, came_by: Some(0), copies: 0, is_heard: true };
                member.on_packet(carried, at(came_ms), &mut |_, told| {
                    if layers.repeats {
                        way.push((came_ms + ONE_WAY_MS, path, 0, told.to_vec()));
                    }
                });
                let _ = listener.push(&bytes, at(came_ms));
            }
        }
        let mut out = [0.0; TICK];
        listener.pull(at(ms), &mut out);
        heard.extend(out);
    }
    heard
}

fn is_lost(loss: Option<Loss>, burst: &mut u32, random: &mut StdRng) -> bool {
    match loss {
        None => false,
        Some(Loss::Random(share)) => random.random_bool(share),
        Some(Loss::Bursts(share)) => {
            if *burst == 0 && random.random_bool(share / (3.0 - 2.0 * share)) {
                *burst = 3;
            }
            let lost = *burst > 0;
            *burst = burst.saturating_sub(1);
            lost
        }
    }
}

/// Levels of 24 bands, evenly apart to the ear, every 5 ms, in decibels above the faintest that counts.
fn levels(sound: &[f32]) -> Vec<[f32; BANDS]> {
    let narrow: Vec<f32> = sound.chunks_exact(3).map(|samples| samples.iter().sum::<f32>() / 3.0).collect();
    let hertz = |band: f32| 650.0 * f32::sinh(band / 7.0);
    let probes: Vec<Vec<(f32, f32)>> = (0..BANDS)
        .flat_map(|band| [0.3, 0.7].map(|part| hertz(band as f32 * 0.82 + part + 0.5)))
        .map(|hertz| {
            (0..WINDOW)
                .map(|at| {
                    let hann = 0.5 - 0.5 * (TAU * at as f32 / WINDOW as f32).cos();
                    let angle = TAU * hertz * at as f32 / NARROW_RATE;
                    (hann * angle.cos(), hann * angle.sin())
                })
                .collect()
        })
        .collect();
    let level = |window: &[f32], probe: &[(f32, f32)]| {
        let (re, im) = window
            .iter()
            .zip(probe)
            .fold((0.0, 0.0), |(re, im), (sample, (cos, sin))| (re + sample * cos, im + sample * sin));
        re * re + im * im
    };
    narrow
        .windows(WINDOW)
        .step_by(HOP)
        .map(|window| {
            std::array::from_fn(|band| {
                let power = level(window, &probes[2 * band]) + level(window, &probes[2 * band + 1]);
                (10.0 * (power + FAINT).log10() - 10.0 * FAINT.log10()).max(0.0)
            })
        })
        .collect()
}

/// Mean distance of two sounds' levels, decibels; each stretch of 400 ms is compared where it fits best within 200 ms.
fn distance(one: &[[f32; BANDS]], other: &[[f32; BANDS]]) -> f64 {
    const STRETCH: usize = 80;
    const SHIFT: isize = 40;
    let (mut sum, mut count) = (0.0, 0.0);
    for begin in (200..one.len().saturating_sub(STRETCH)).step_by(STRETCH) {
        let best = (-SHIFT..=SHIFT).filter_map(|shift| {
            let from = begin.checked_add_signed(shift)?;
            let there = other.get(from..from + STRETCH)?;
            let pairs = one[begin..begin + STRETCH].iter().zip(there);
            let square = |(one, other): (&f32, &f32)| f64::from(one - other).powi(2);
            Some(
                pairs
                    .map(|(one, other)| {
                        (one.iter().zip(other).map(square).sum::<f64>() / BANDS as f64).sqrt()
                    })
                    .sum::<f64>(),
            )
        });
        let best = best.fold(f64::INFINITY, f64::min);
        if best.is_finite() {
            sum += best / STRETCH as f64;
            count += 1.0;
        }
    }
    sum / f64::max(count, 1.0)
}

fn write(folder: Option<&PathBuf>, name: &str, sound: &[f32]) {
    let Some(folder) = folder else { return };
    let path = folder.join(format!("{}.wav", name.replace([' ', '%'], "")));
    let written = WavWriter::create(&path).and_then(|mut wav| wav.write(sound));
    written.expect("the folder that ALM_QUALITY names takes files");
}

fn main() -> ExitCode {
    let Some(size) = Size::from_args("quality") else { return ExitCode::SUCCESS };
    let voices: &[&str] = size.pick(&["ada"], &["ada", "ben", "chi", "dee", "eli"]);
    let losses = size.pick(&LOSSES[2..3], &LOSSES[..]);
    let folder = std::env::var_os("ALM_QUALITY").map(PathBuf::from);
    let mut speech = vec![0.0; SAMPLE_RATE as usize];
    for voice in voices {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("fixtures/voices/{voice}.wav"));
        speech.extend(read_wav(&path).expect("a fixture"));
    }
    if size == Size::Smoke {
        speech.truncate(4 * SAMPLE_RATE as usize);
    }
    let begin = now();
    println!("{}", size.headline("quality"));
    println!(
        "{:.0} s of speech, 32 kbit/s, frames of 20 ms; distance to no loss, dB\n",
        speech.len() as f64 / 48_000.0
    );
    write(folder.as_ref(), "original", &speech);
    print!("{:16}", "loss");
    LAYERS.iter().for_each(|layers| print!("{:>9}", layers.name));
    println!();
    let whole: Vec<Vec<f32>> = LAYERS.iter().map(|layers| carry(&speech, None, *layers, 1, begin)).collect();
    write(folder.as_ref(), "none,fec", &whole[1]);
    // Without repeats in the packets the voice has more bits: each layer is held against the same layer without loss.
    let whole: Vec<_> = whole.iter().map(|sound| levels(sound)).collect();
    let mut failed = false;
    for (name, loss) in losses {
        print!("{name:16}");
        let mut row = Vec::new();
        for (layers, whole) in LAYERS.iter().zip(&whole) {
            let heard = carry(&speech, Some(*loss), *layers, 2, begin);
            write(folder.as_ref(), &format!("{name},{}", layers.name), &heard);
            row.push(distance(whole, &levels(&heard)));
        }
        row.iter().for_each(|distance| print!("{distance:9.2}"));
        println!();
        failed |= row[3] > row[1];
    }
    if failed && size != Size::Smoke {
        println!("\nFAILED: all layers of one path together are worse than FEC alone");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

const BANDS: usize = 24;
const NARROW_RATE: f32 = 16_000.0;
/// 20 ms at 16 kHz.
const WINDOW: usize = 320;
/// 5 ms.
const HOP: usize = 80;
/// Power of a band of which nothing is heard: -60 dBFS of a sine.
const FAINT: f32 = 6.4e-3;
