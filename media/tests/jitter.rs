//! The jitter buffer on seeded traces of a bad network.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use alm_media::{BUFFER_MAX, CaptureTime, FrameLength, JitterBuffer, JitterStats, Pull, TARGET_MS_MAX};
use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

const FRAME_MS: f64 = 20.0;
/// What the player draws at a time.
const TICK_MS: f64 = 5.0;

/// A network path, and the source at its far end.
#[derive(Clone)]
struct Path {
    delay_ms: f64,
    /// Added to each packet, uniform.
    jitter_ms: f64,
    loss: f64,
    /// The share of packets that are overtaken by the two after them.
    reorder: f64,
    /// The share that arrives twice.
    twice: f64,
    /// From, until: nothing arrives; what was sent meanwhile arrives at the end.
    stall_ms: Option<(f64, f64)>,
    /// From, until: nothing is sent, and nothing is counted.
    pause_ms: Option<(f64, f64)>,
    /// How much quicker the source's clock runs than ours.
    drift: f64,
}

impl Default for Path {
    fn default() -> Self {
        let none = (0.0, None);
        Self {
            delay_ms: 50.0,
            jitter_ms: none.0,
            loss: 0.0,
            reorder: 0.0,
            twice: 0.0,
            stall_ms: none.1,
            pause_ms: none.1,
            drift: 0.0,
        }
    }
}

#[derive(Debug)]
struct Played {
    stats: JitterStats,
    target_ms: f64,
    frames: Vec<u64>,
    /// By how much frames were played longer, all together.
    changed_ms: f64,
    /// Begin and length of what was not a frame, ms.
    gaps_ms: Vec<(f64, f64)>,
    silences_ms: Vec<(f64, f64)>,
}

/// A payload whose number can be read again; a speech frame that repeats the one before it.
fn payload(counter: u64) -> Bytes {
    let mut bytes = vec![0b0000_1000, 0b0100_0000];
    bytes.extend(counter.to_be_bytes());
    bytes.into()
}

fn number(payload: &[u8]) -> u64 {
    u64::from_be_bytes(payload[2..].try_into().expect("two bytes and a number"))
}

fn play(seed: u64, seconds: f64, path: &Path) -> Played {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut arrivals: Vec<(f64, u64, u32)> = Vec::new();
    let first_counter = 1_000;
    let mut counter = first_counter;
    let mut sent_ms = 0.0;
    let mut capture = u32::MAX - 48_000; // wraps after a second
    while sent_ms < seconds * 1_000.0 {
        if !path.pause_ms.is_some_and(|(from, until)| (from..until).contains(&sent_ms)) {
            let mut at_ms = sent_ms + path.delay_ms + rng.random_range(0.0..=path.jitter_ms);
            if rng.random_bool(path.reorder) {
                at_ms += 2.5 * FRAME_MS;
            }
            if let Some((from_ms, until_ms)) = path.stall_ms
                && (from_ms..until_ms).contains(&at_ms)
            {
                at_ms = until_ms;
            }
            if !rng.random_bool(path.loss) {
                arrivals.push((at_ms, counter, capture));
            }
            if rng.random_bool(path.twice) {
                arrivals.push((at_ms + 3.0, counter, capture));
            }
            counter += 1;
        }
        sent_ms += FRAME_MS / (1.0 + path.drift);
        capture = capture.wrapping_add(960);
    }
    arrivals.sort_by(|one, other| one.0.total_cmp(&other.0).then(one.1.cmp(&other.1)));

    #[expect(clippy::disallowed_methods, reason = "an Instant to count from; the trace is its own clock")]
    let start = Instant::now();
    let at = |ms: f64| start + Duration::from_secs_f64(ms / 1_000.0);
    let mut buffer = JitterBuffer::new(FrameLength::MS_20);
    let mut arrivals = arrivals.into_iter().peekable();
    let (mut frames, mut changed_ms, mut gaps_ms, mut silences_ms) = (vec![], 0.0, vec![], vec![]);
    let mut expected_next = None;
    let (mut now_ms, mut ready_ms) = (7.0, 0.0);
    while now_ms < seconds * 1_000.0 {
        while let Some((ms, counter, capture)) = arrivals.next_if(|arrival| arrival.0 <= now_ms) {
            buffer.push(counter, CaptureTime(capture), payload(counter), at(ms));
        }
        while ready_ms < TICK_MS {
            let ahead = Duration::from_secs_f64(ready_ms / 1_000.0);
            ready_ms += match buffer.pull(at(now_ms), ahead) {
                Pull::Frame(payload, change_ms) => {
                    frames.push(number(&payload));
                    let change_ms = change_ms.clamp(-5.0, 5.0);
                    changed_ms += change_ms;
                    FRAME_MS + change_ms
                }
                Pull::Recover(next) => {
                    gaps_ms.push((now_ms, FRAME_MS));
                    expected_next = Some(number(&next));
                    FRAME_MS
                }
                Pull::Conceal(samples) => {
                    gaps_ms.push((now_ms, samples as f64 / 48.0));
                    samples as f64 / 48.0
                }
                Pull::Silence(samples) | Pull::Pause(samples) => {
                    silences_ms.push((now_ms, samples as f64 / 48.0));
                    samples as f64 / 48.0
                }
            };
        }
        if let (Some(next), Some(&last)) = (expected_next, frames.last())
            && last >= next
        {
            assert!(frames.contains(&next), "what repeated a lost frame is played itself");
            expected_next = None;
        }
        ready_ms -= TICK_MS;
        now_ms += TICK_MS;
    }
    assert!(frames.windows(2).all(|pair| pair[0] < pair[1]), "in order, and none twice");
    assert!(frames.iter().all(|frame| (first_counter..counter).contains(frame)));
    let stats = buffer.stats();
    assert!(stats.buffer_ms <= 2_000.0 && stats.jitter_ms.is_finite());
    assert!(buffer.target_ms() <= TARGET_MS_MAX);
    assert!(stats.recovered <= stats.lost);
    Played { stats, target_ms: buffer.target_ms(), frames, changed_ms, gaps_ms, silences_ms }
}

#[test]
fn a_good_network_plays_everything_soon() {
    let played = play(1, 20.0, &Path::default());
    assert!(played.frames.len() > 990, "{}", played.frames.len());
    assert_eq!(played.stats.lost + played.stats.late + played.stats.duplicates, 0);
    assert_eq!(played.stats.concealed_ms, 0.0);
    assert!(played.stats.buffer_ms <= 50.0, "{}", played.stats.buffer_ms);
    assert!(played.silences_ms.iter().all(|silence| silence.0 < 120.0), "50 ms of path, 40 ms of buffer");
    assert!(played.stats.jitter_ms < 1.0);
}

#[test]
fn jitter_is_covered_and_forgotten() {
    let played = play(2, 60.0, &Path { jitter_ms: 80.0, ..Path::default() });
    assert!((80.0..140.0).contains(&played.target_ms), "{}", played.target_ms);
    assert!(played.stats.late < 60, "{:?}", played.stats);
    let settled = played.gaps_ms.iter().filter(|gap| gap.0 > 5_000.0).count();
    assert!(settled < 60, "{settled} of 2750");
    assert!((10.0..50.0).contains(&played.stats.jitter_ms), "{}", played.stats.jitter_ms);
}

#[test]
fn lost_frames_are_recovered_from_the_next() {
    let path = Path { loss: 0.05, ..Path::default() };
    let Played { stats, frames, gaps_ms, .. } = play(3, 60.0, &path);
    assert!((100..220).contains(&stats.lost), "{stats:?}");
    assert!(stats.recovered * 10 > stats.lost * 8, "{stats:?}");
    assert!(stats.concealed_ms < 40.0 * FRAME_MS, "{stats:?}");
    assert!(gaps_ms.len() < 240);
    assert_eq!(frames.len() as u64 + stats.lost, frames.last().unwrap() - 999, "each is played or lost");
    assert_eq!(stats.late, 0);
}

#[test]
fn overtaken_packets_and_duplicates_do_no_harm() {
    let path = Path { reorder: 0.05, twice: 0.1, ..Path::default() };
    let Played { stats, .. } = play(4, 60.0, &path);
    assert!((200..400).contains(&(stats.duplicates + stats.late)), "{stats:?}");
    assert!(stats.duplicates > 0);
    assert!(stats.lost < 60, "50 ms of reordering are learnt and covered: {stats:?}");
}

#[test]
fn a_stall_is_heard_as_one_gap_and_not_as_delay_ever_after() {
    let path = Path { stall_ms: Some((10_000.0, 11_000.0)), ..Path::default() };
    let played = play(5, 40.0, &path);
    let gaps = played.gaps_ms.iter().chain(&played.silences_ms).filter(|gap| gap.0 > 1_000.0);
    let gap_ms: f64 = gaps.clone().map(|gap| gap.1).sum();
    assert!((600.0..1_500.0).contains(&gap_ms), "{gap_ms}");
    assert!(gaps.clone().all(|gap| (9_900.0..13_000.0).contains(&gap.0)));
    assert!(played.stats.buffer_ms < 80.0, "{:?}", played.stats);
}

#[test]
fn a_pause_of_the_source_is_no_loss() {
    let path = Path { pause_ms: Some((5_000.0, 9_000.0)), ..Path::default() };
    let Played { stats, .. } = play(6, 20.0, &path);
    assert_eq!((stats.lost, stats.late), (0, 0));
    assert!(stats.concealed_ms <= 120.0, "the fade alone: {stats:?}");
}

#[test]
fn an_outage_is_counted_in_full() {
    // Everything within three seconds is lost: the counter goes on, the packets do not come.
    #[expect(clippy::disallowed_methods, reason = "an Instant to count from; the trace is its own clock")]
    let start = Instant::now();
    let mut buffer = JitterBuffer::new(FrameLength::MS_20);
    let mut played = 0;
    let mut ready_ms = 0.0;
    for at in 0..1_000_u64 {
        let now = start + Duration::from_millis(at * 20);
        if !(300..450).contains(&at) {
            buffer.push(at, CaptureTime(at as u32 * 960), payload(at), now);
        }
        while ready_ms < FRAME_MS {
            ready_ms += match buffer.pull(now, Duration::from_secs_f64(ready_ms / 1_000.0)) {
                Pull::Frame(..) | Pull::Recover(_) => {
                    played += 1;
                    FRAME_MS
                }
                Pull::Conceal(samples) | Pull::Silence(samples) | Pull::Pause(samples) => {
                    samples as f64 / 48.0
                }
            };
        }
        ready_ms -= FRAME_MS;
    }
    let stats = buffer.stats();
    assert_eq!(stats.lost, 150, "{stats:?}");
    assert!((2_900.0..3_100.0).contains(&stats.concealed_ms), "{stats:?}");
    assert!(played >= 845, "{played}");
}

#[test]
fn clocks_that_drift_apart_are_followed() {
    for drift in [0.001, -0.001] {
        let Played { stats, changed_ms, gaps_ms, .. } = play(7, 120.0, &Path { drift, ..Path::default() });
        assert!(stats.buffer_ms < 60.0, "{drift}: {stats:?}");
        assert_eq!(stats.lost, 0, "{drift}: {stats:?}");
        // 0.1 % of 120 s are 120 ms; what the buffer starts with above its need comes on top.
        let made_up_ms: f64 = gaps_ms.iter().map(|gap| gap.1).sum();
        let followed_ms = -(changed_ms + made_up_ms) * drift.signum();
        assert!((60.0..200.0).contains(&followed_ms), "{drift}: {changed_ms} {made_up_ms}");
    }
}

#[test]
fn hours_of_drift_neither_grow_the_delay_nor_break_the_sound() {
    for drift in [200e-6, -200e-6] {
        let path = Path { drift, jitter_ms: 10.0, ..Path::default() };
        let short = play(8, 60.0, &path).stats.buffer_ms;
        let Played { stats, gaps_ms, .. } = play(8, 1_200.0, &path);
        assert!(stats.buffer_ms < short + 10.0, "{drift}: {short} {stats:?}");
        let made_up_ms: f64 = gaps_ms.iter().map(|gap| gap.1).sum();
        assert!(made_up_ms < 400.0, "{drift}: {made_up_ms}");
    }
}

#[test]
fn talk_spurts_begin_at_the_aim_and_pauses_are_no_loss() {
    #[expect(clippy::disallowed_methods, reason = "an Instant to count from; the trace is its own clock")]
    let start = Instant::now();
    let mut buffer = JitterBuffer::new(FrameLength::MS_20);
    let (mut counter, mut ready_ms, mut made_up_ms, mut pause_ms, mut pauses) = (0, 0.0, 0.0, 0.0, 0);
    for tick in 0..12_000_u32 {
        let now = start + Duration::from_millis(u64::from(tick) * 5);
        let in_spurt = tick % 400 < 240;
        // Three seconds of speech, one of pause: of that, one packet to begin it and one in the middle.
        if tick % 4 == 0 && (in_spurt || tick % 400 == 240 || tick % 400 == 320) {
            let payload = if in_spurt { payload(counter) } else { Bytes::from_static(&[8]) };
            buffer.push(counter, CaptureTime(tick * 240), payload, now);
            counter += 1;
        }
        while ready_ms < TICK_MS {
            ready_ms += match buffer.pull(now, Duration::from_secs_f64(ready_ms / 1_000.0)) {
                Pull::Frame(_, change_ms) => FRAME_MS + change_ms.clamp(-5.0, 5.0),
                Pull::Conceal(samples) => {
                    made_up_ms += samples as f64 / 48.0;
                    samples as f64 / 48.0
                }
                Pull::Pause(samples) => {
                    assert_eq!(samples % 120, 0);
                    pauses += 1;
                    pause_ms += samples as f64 / 48.0;
                    samples as f64 / 48.0
                }
                Pull::Silence(samples) => samples as f64 / 48.0,
                Pull::Recover(_) => FRAME_MS,
            };
        }
        ready_ms -= TICK_MS;
    }
    let stats = buffer.stats();
    assert_eq!((stats.lost, stats.late, made_up_ms), (0, 0, 0.0), "{stats:?}");
    assert!(stats.buffer_ms < 15.0, "{stats:?}");
    assert!((20_000.0..26_000.0).contains(&pause_ms), "{pause_ms} in {pauses}");
}

#[test]
fn a_counter_that_jumps_starts_anew() {
    #[expect(clippy::disallowed_methods, reason = "an Instant to count from; the trace is its own clock")]
    let start = Instant::now();
    let mut buffer = JitterBuffer::new(FrameLength::MS_20);
    let (mut now, mut capture) = (start, 0_u32);
    for base in [5_000, 1 << 40, 7, (1 << 48) - 100] {
        let mut frames = BTreeSet::new();
        for at in 0..50 {
            buffer.push(base + at, CaptureTime(capture), payload(base + at), now);
            if let Pull::Frame(payload, _) = buffer.pull(now, Duration::ZERO) {
                frames.insert(number(&payload));
            }
            now += Duration::from_millis(20);
            capture = capture.wrapping_add(960);
        }
        assert!(frames.iter().filter(|&&frame| frame >= base).count() > 35, "{base}: {frames:?}");
    }
}

#[test]
fn anything_at_all_stays_within_bounds() {
    #[expect(clippy::disallowed_methods, reason = "an Instant to count from; the trace is its own clock")]
    let start = Instant::now();
    for seed in 0..200 {
        let mut rng = StdRng::seed_from_u64(seed);
        let mut buffer = JitterBuffer::new(FrameLength::MS_20);
        let mut now = start;
        for _ in 0..400 {
            now += Duration::from_millis(rng.random_range(0..40));
            let base = [0, 50, 1 << 20, (1 << 48) - 300][rng.random_range(0..4)];
            for _ in 0..rng.random_range(0..4) {
                let counter = base + rng.random_range(0..250);
                buffer.push(counter, CaptureTime(rng.random()), payload(counter), now);
            }
            if rng.random_bool(0.3) {
                let _ = buffer.pull(now, Duration::ZERO);
            }
        }
        let mut frames = 0;
        for _ in 0..2 * BUFFER_MAX + 1_000 {
            now += Duration::from_millis(20);
            frames += usize::from(matches!(buffer.pull(now, Duration::ZERO), Pull::Frame(..)));
        }
        assert!(frames <= BUFFER_MAX, "{frames}");
        assert!(matches!(buffer.pull(now, Duration::ZERO), Pull::Silence(_) | Pull::Pause(_)), "seed {seed}");
    }
}
