//! The jitter buffer on one-way traces of 50 packets a second: how long frames wait beyond what nearly all packets need,
//! how many come too late all the same, how long the delay takes to come back after a stall, and whether clocks that
//! drift apart for hours make it grow.
//!
//! Traces are seeded; the recorded ones (round trips 100 ms apart, halved and joined by lines, with a little seeded
//! jitter on top) are read from the folder that `ALM_DATA` names, and left out without it. What is played is counted and
//! not decoded: stretching does as it is told, by 5 ms a frame at most, the period of a voice.

#![expect(clippy::print_stdout, reason = "a bench prints its figures")]

mod support;

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use alm_media::Pull;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use support::player::{self, FRAME_MS};
use support::{Size, now};

/// Before it the buffer does not know the path.
const WARM_UP_MS: f64 = 5_000.0;
/// When each packet arrives; one is sent every 20 ms of the source's clock, whose rate differs by `drift`.
struct Trace {
    transit_ms: Vec<f64>,
    drift: f64,
}

/// What playing a trace came to; all times in milliseconds.
struct Played {
    /// From the path's quickest time to being played, mean over frames.
    delay_ms: f64,
    /// From the path's quickest time to arrival, 99th percentile over packets.
    p99_ms: f64,
    /// The share of packets that were not there at their frames' times.
    late: f64,
    /// Made up while the packet was under way, a second.
    concealed_ms: f64,
    /// Which packet was played when, after which delay.
    course: Vec<(usize, f64, f64)>,
}

fn play(trace: &Trace, begin: Instant) -> Played {
    let period_ms = FRAME_MS / (1.0 + trace.drift);
    let sent_ms = |packet: usize| 1_000.0 + packet as f64 * period_ms;
    let arrivals = (0_u32..)
        .zip(&trace.transit_ms)
        .map(|(packet, ms)| (sent_ms(packet as usize) + ms, packet))
        .collect();
    let least_ms = trace.transit_ms.iter().copied().fold(f64::INFINITY, f64::min);
    let mut course = Vec::new();
    let (mut late, mut concealed_ms, mut dry_ms) = (0.0, 0.0, 0.0);
    player::play(arrivals, sent_ms(trace.transit_ms.len()), begin, |tick_ms, played_ms, pull, packet| {
        let is_counted = tick_ms > WARM_UP_MS;
        if let Pull::Conceal(samples) = pull {
            dry_ms += if is_counted { *samples as f64 / 48.0 } else { 0.0 };
        } else if dry_ms > 0.0 {
            late += f64::ceil(dry_ms / FRAME_MS);
            concealed_ms += dry_ms;
            dry_ms = 0.0;
        }
        if let Some(packet) = packet.filter(|_| is_counted) {
            let packet = packet as usize;
            course.push((packet, played_ms, played_ms - sent_ms(packet) - least_ms));
        }
    });
    let counted = course.len() as f64;
    let mut spread: Vec<f64> = trace.transit_ms.iter().map(|ms| ms - least_ms).collect();
    spread.sort_by(f64::total_cmp);
    Played {
        delay_ms: course.iter().map(|frame| frame.2).sum::<f64>() / counted,
        p99_ms: spread[(spread.len() * 99).div_ceil(100) - 1],
        late: late / counted,
        concealed_ms: concealed_ms / (counted * FRAME_MS / 1_000.0),
        course,
    }
}

/// What is added to the way of each packet.
#[derive(Clone, Copy)]
enum Jitter {
    /// Up to so many ms, evenly.
    Even(f64),
    /// Exponential, of that mean.
    Exponential(f64),
    /// A radio: exponential of mean 1.5 ms, and twice a second, on average, nothing comes for up to so many ms, and then
    /// all of it.
    Radio(f64),
}

/// A seeded trace of that many packets on top of a slow component.
fn trace(jitter: Jitter, packets: usize, seed: u64, slow_ms: impl Fn(usize) -> f64) -> Trace {
    let mut random = StdRng::seed_from_u64(seed);
    let mut held_until_ms = 0.0;
    let transit_ms = (0..packets).map(|packet| {
        let sent_ms = packet as f64 * FRAME_MS;
        let exponential =
            |random: &mut StdRng, mean_ms: f64| -mean_ms * f64::ln(1.0 - random.random::<f64>());
        let fast_ms = match jitter {
            Jitter::Even(most_ms) => random.random::<f64>() * most_ms,
            Jitter::Exponential(mean_ms) => exponential(&mut random, mean_ms),
            Jitter::Radio(most_ms) => {
                if random.random_bool(2.0 * FRAME_MS / 1_000.0) {
                    held_until_ms = sent_ms + random.random::<f64>() * most_ms;
                }
                exponential(&mut random, 1.5).max(held_until_ms - sent_ms)
            }
        };
        30.0 + slow_ms(packet) + fast_ms
    });
    Trace { transit_ms: transit_ms.collect(), drift: 0.0 }
}

/// A recorded series of round trips 100 ms apart: one way, for each packet.
fn recorded(path: &Path) -> Vec<f64> {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut last = 0.0;
    let halves: Vec<f64> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.trim().parse::<f64>().ok())
        .map(|rtt| {
            // An unanswered ping tells nothing of the delay.
            last = if rtt > 0.0 { rtt / 2.0 } else { last };
            last
        })
        .collect();
    let between = |pair: &[f64]| {
        (0..5).map(|step| pair[0] + (pair[1] - pair[0]) * f64::from(step) / 5.0).collect::<Vec<_>>()
    };
    halves.windows(2).flat_map(between).collect()
}

fn print_row(name: &str, played: &[Played]) {
    let mean = |of: fn(&Played) -> f64| played.iter().map(of).sum::<f64>() / played.len() as f64;
    let over_ms = mean(|played| played.delay_ms - played.p99_ms);
    println!(
        "{name:28} {:8.1} {:10.1} {over_ms:9.1} {:10.2} {:8.2} {:16.1}",
        mean(|played| played.p99_ms),
        mean(|played| played.delay_ms),
        over_ms / FRAME_MS,
        mean(|played| played.late * 100.0),
        mean(|played| played.concealed_ms)
    );
}

/// How long after a stall's end the delay is within 20 ms of what it is without the stall, and stays there; ms.
fn back_ms(played: &Played, without: &Played, until_ms: f64) -> f64 {
    let mut reference = without.course.iter().peekable();
    let mut back_ms = 0.0;
    for (packet, played_ms, delay_ms) in &played.course {
        while reference.next_if(|frame| frame.0 < *packet).is_some() {}
        let is_away = reference.peek().is_some_and(|frame| *delay_ms > frame.2 + 20.0);
        if *played_ms >= until_ms && is_away {
            back_ms = played_ms - until_ms;
        }
    }
    back_ms
}

fn main() -> ExitCode {
    let Some(size) = Size::from_args("jitter") else { return ExitCode::SUCCESS };
    let (packets, seeds, drift_packets) = size.pick((3_000, 1, 30_000), (30_000, 5, 8 * 3_600 * 50));
    let begin = now();
    println!("{}", size.headline("jitter"));
    println!(
        "{packets} packets of 20 ms, mean of {seeds} seeds; delay and p99 over the quickest packet, ms\n"
    );
    println!(
        "trace                             p99      delay      over   in frames   late %   concealed ms/s"
    );
    let kinds = [
        ("even, 5 ms", Jitter::Even(5.0)),
        ("even, 40 ms", Jitter::Even(40.0)),
        ("exponential, 4 ms", Jitter::Exponential(4.0)),
        ("exponential, 12 ms", Jitter::Exponential(12.0)),
        ("radio, 60 ms", Jitter::Radio(60.0)),
        ("radio, 120 ms", Jitter::Radio(120.0)),
    ];
    for (name, jitter) in kinds {
        let played: Vec<Played> =
            (0..seeds).map(|seed| play(&trace(jitter, packets, seed, |_| 0.0), begin)).collect();
        print_row(name, &played);
    }
    let data = std::env::var_os("ALM_DATA");
    for place in ["ams", "lon", "nyc"] {
        let Some(data) = &data else { continue };
        let slow_ms = recorded(&Path::new(data).join(format!("latency/ping100ms-{place}-20171005.series")));
        if slow_ms.is_empty() {
            println!("{place}: no such series in ALM_DATA");
            continue;
        }
        for (name, jitter) in [("even, 2 ms", Jitter::Even(2.0)), ("radio, 60 ms", Jitter::Radio(60.0))] {
            let played: Vec<Played> = (0..seeds)
                .map(|seed| {
                    play(&trace(jitter, slow_ms.len().min(packets), seed, |packet| slow_ms[packet]), begin)
                })
                .collect();
            print_row(&format!("home line {place}, {name}"), &played);
        }
    }
    if data.is_none() {
        println!("(ALM_DATA is not set: the recorded lines are left out)");
    }

    println!("\nstall of 1 s amid       back within 20 ms after, s (worst of {seeds} seeds)");
    for (name, jitter) in kinds {
        let worst = (0..seeds).map(|seed| {
            let mut trace = trace(jitter, 3_000, seed, |_| 0.0);
            let without = play(&trace, begin);
            for (packet, transit_ms) in trace.transit_ms.iter_mut().enumerate() {
                let sent_ms = 1_000.0 + packet as f64 * FRAME_MS;
                let held = (STALL_MS.0..STALL_MS.1).contains(&(sent_ms + *transit_ms));
                *transit_ms = if held { STALL_MS.1 - sent_ms } else { *transit_ms };
            }
            back_ms(&play(&trace, begin), &without, STALL_MS.1)
        });
        println!("{name:22}  {:.2}", worst.fold(0.0, f64::max) / 1_000.0);
    }

    let hours = drift_packets as f64 / 50.0 / 3_600.0;
    println!("\nclocks 200 ppm apart for {hours:.1} h: delay in the first and in the last tenth, ms");
    for drift in [200e-6, -200e-6] {
        let trace = Trace { drift, ..trace(Jitter::Radio(60.0), drift_packets, 1, |_| 0.0) };
        let played = play(&trace, begin);
        let tenth = played.course.len() / 10;
        let mean = |frames: &[(usize, f64, f64)]| {
            frames.iter().map(|frame| frame.2).sum::<f64>() / frames.len() as f64
        };
        let (first, last) =
            (mean(&played.course[..tenth]), mean(&played.course[played.course.len() - tenth..]));
        println!("{:+4.0} ppm   {first:.1}   {last:.1}   growth {:+.1}", drift * 1e6, last - first);
    }
    ExitCode::SUCCESS
}

/// From when until when nothing arrives, ms.
const STALL_MS: (f64, f64) = (30_000.0, 31_000.0);
