//! Voices from speaker to listener, through the public doors.

#![expect(clippy::unwrap_used, reason = "a test's helpers fail the test")]

mod common;

use std::time::{Duration, Instant};

use alm_media::{
    CaptureTime, Channels, CodecConfig, FrameLength, HearError, JitterStats, Listener, MediaPacket,
    OpenError, SOURCES_MAX, Sealer, SenderKey, SourceError, SourceIndex, Speaker, TreeId,
};
use common::{level_at, tone};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

fn key(sender: u8) -> SenderKey {
    SenderKey::derive(b"a secret", &[sender; 32], &[7; 16])
}

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "an Instant to count from; nothing waits")]
    Instant::now()
}

fn speaker(sender: u8, micros: u64) -> Speaker {
    let frame = FrameLength::from_micros(micros).unwrap();
    let config = CodecConfig { frame, voice: false, ..CodecConfig::default() };
    Speaker::new(SourceIndex(sender.into()), &key(sender), config).unwrap()
}

/// Plays tones, one from each speaker, over a path that loses packets; returns what is heard.
fn converse(speakers: &mut [(Speaker, f32)], listener: &mut Listener, pull: usize, loss: f64) -> Vec<f32> {
    const TICK: usize = 120;
    let (begin, seconds) = (start(), 4);
    let mut rng = StdRng::seed_from_u64(11);
    let signals: Vec<_> = speakers.iter().map(|&(_, hertz)| tone(hertz, 0.25, 48_000 * seconds)).collect();
    let mut heard = Vec::new();
    for at in (0..48_000 * seconds).step_by(TICK) {
        let now = begin + Duration::from_secs_f64(at as f64 / 48_000.0);
        for ((speaker, _), signal) in speakers.iter_mut().zip(&signals) {
            let samples = speaker.frame().samples();
            if at % samples != 0 || at + samples > signal.len() {
                continue;
            }
            let mut packets = Vec::new();
            let capture = CaptureTime(at as u32);
            speaker
                .packet(&signal[at..at + samples], capture, &[TreeId(1), TreeId(2)], &mut packets)
                .unwrap();
            assert_eq!(packets.len(), 2);
            if !rng.random_bool(loss) {
                let heard = listener.push(&packets[0], now).unwrap();
                assert_eq!((heard.source, heard.capture_time), (speaker.source(), capture));
                let again = listener.push(&packets[1], now);
                assert_eq!(again, Err(OpenError::Replayed.into()), "over the other tree");
            }
        }
        if at % pull == 0 {
            let mut out = vec![0.0; pull];
            listener.pull(now, &mut out);
            heard.extend(out);
        }
    }
    heard
}

#[test]
fn a_tone_goes_in_and_comes_out() {
    for (micros, pull) in [(20_000, 960), (2_500, 960), (60_000, 960), (20_000, 480), (10_000, 2_880)] {
        let mut listener = Listener::new();
        listener.add_source(SourceIndex(1), &key(1)).unwrap();
        let heard = converse(&mut [(speaker(1, micros), 440.0)], &mut listener, pull, 0.0);
        let tail = &heard[48_000..];
        // In short pieces: where the buffer moves by a frame, the phase does too.
        let levels = tail.chunks_exact(4_800).map(|piece| level_at(440.0, piece));
        let level = levels.sum::<f32>() / (tail.len() / 4_800) as f32;
        assert!((level - 0.25).abs() < 0.03, "{micros} {pull}: {level}");
        assert!(level_at(660.0, tail) < 0.01);
        let stats = listener.stats()[0];
        assert_eq!((stats.jitter.lost, stats.jitter.late, stats.forged), (0, 0, 0), "{micros} {pull}");
        assert_eq!(stats.jitter.duplicates, stats.jitter.packets, "each came twice");
    }
}

#[test]
fn left_is_heard_on_the_left_and_with_one_ear_by_half() {
    let channels = Channels::Stereo;
    let config = CodecConfig { bitrate: 96_000, voice: false, channels, ..CodecConfig::default() };
    let mut speaker = Speaker::new(SourceIndex(1), &key(1), config).unwrap();
    let (mut both, mut one) = (Listener::with_channels(channels), Listener::new());
    for listener in [&mut both, &mut one] {
        listener.add_source(SourceIndex(1), &key(1)).unwrap();
    }
    let (begin, said) = (start(), tone(440.0, 0.5, 96_000));
    let (mut heard, mut heard_by_one) = (Vec::new(), Vec::new());
    for (at, frame) in said.chunks_exact(960).enumerate() {
        let pcm: Vec<f32> = frame.iter().flat_map(|sample| [*sample, 0.0]).collect();
        let (now, capture) = (begin + Duration::from_millis(20) * at as u32, CaptureTime(at as u32 * 960));
        let mut packets = Vec::new();
        speaker.packet(&pcm, capture, &[TreeId(1)], &mut packets).unwrap();
        let (mut out, mut out_of_one) = ([0.0; 2 * 960], [0.0; 960]);
        both.push(&packets[0], now).unwrap();
        one.push(&packets[0], now).unwrap();
        both.pull(now, &mut out);
        one.pull(now, &mut out_of_one);
        heard.extend(out);
        heard_by_one.extend(out_of_one);
    }
    let ear = |side: usize| heard[96_000..].iter().skip(side).step_by(2).copied().collect::<Vec<f32>>();
    let (left, right) = (level_at(440.0, &ear(0)), level_at(440.0, &ear(1)));
    assert!((left - 0.5).abs() < 0.05 && right < 0.02, "{left} {right}");
    assert!((level_at(440.0, &heard_by_one[48_000..]) - 0.25).abs() < 0.03);
}

#[test]
fn five_percent_of_loss_are_concealed() {
    let mut listener = Listener::new();
    listener.add_source(SourceIndex(1), &key(1)).unwrap();
    let heard = converse(&mut [(speaker(1, 20_000), 440.0)], &mut listener, 960, 0.05);
    assert!((level_at(440.0, &heard[48_000..]) - 0.25).abs() < 0.04);
    let JitterStats { lost, recovered, concealed_ms, .. } = listener.stats()[0].jitter;
    assert!((3..25).contains(&lost), "{lost}");
    assert_eq!(concealed_ms, (lost - recovered) as f64 * 20.0);
}

#[test]
fn voices_are_summed_and_the_unknown_ones_left_out() {
    let mut listener = Listener::new();
    for sender in [3, 1, 2] {
        listener.add_source(SourceIndex(sender.into()), &key(sender)).unwrap();
    }
    let mut speakers =
        [(speaker(1, 20_000), 440.0), (speaker(2, 10_000), 1_000.0), (speaker(3, 40_000), 1_700.0)];
    let heard = converse(&mut speakers, &mut listener, 960, 0.0);
    for hertz in [440.0, 1_000.0, 1_700.0] {
        assert!((level_at(hertz, &heard[48_000..]) - 0.25).abs() < 0.03, "{hertz}");
    }
    let order: Vec<_> = listener.stats().iter().map(|stats| stats.source.0).collect();
    assert_eq!(order, [1, 2, 3]);

    assert!(listener.remove_source(SourceIndex(2)));
    assert!(!listener.remove_source(SourceIndex(2)));
    let mut packets = Vec::new();
    speakers[1].0.packet(&[0.1; 480], CaptureTime(0), &[TreeId(1)], &mut packets).unwrap();
    let refused = listener.push(&packets[0], start());
    assert_eq!(refused, Err(OpenError::UnknownSource.into()));
    assert_eq!(listener.listener_stats().unknown_source, 1);
}

#[test]
fn forged_packets_are_counted_and_silent() {
    let mut listener = Listener::new();
    listener.add_source(SourceIndex(1), &key(1)).unwrap();
    let mut forger = Speaker::new(SourceIndex(1), &key(9), CodecConfig::default()).unwrap();
    let mut packets = Vec::new();
    forger.packet(&tone(440.0, 0.5, 960), CaptureTime(0), &[TreeId(1)], &mut packets).unwrap();
    let now = start();
    assert_eq!(listener.push(&packets[0], now), Err(OpenError::Tampered.into()));
    assert!(matches!(listener.push(b"\x40QUIC", now), Err(HearError::Packet(_))));
    assert_eq!(listener.stats()[0].forged, 1);
    assert_eq!(listener.listener_stats().malformed, 1);
    let mut out = [1.0; 960];
    for frame in 0..20 {
        listener.pull(now + Duration::from_millis(20 * frame), &mut out);
        assert_eq!(out, [0.0; 960]);
    }
}

#[test]
fn a_member_that_seals_garbage_harms_nobody() {
    let mut rng = StdRng::seed_from_u64(5);
    let mut listener = Listener::new();
    listener.add_source(SourceIndex(1), &key(1)).unwrap();
    let mut sealer = Sealer::new(&key(1), SourceIndex(1));
    let (begin, mut frame) = (start(), Vec::new());
    for counter in 0..500 {
        // A level, and a frame of noise.
        let payload: Vec<u8> = (0..rng.random_range(0..120)).map(|_| rng.random()).collect();
        let packet = MediaPacket {
            tree: TreeId(1),
            source: SourceIndex(1),
            counter,
            capture_time: CaptureTime(rng.random()),
            priority: false,
            frame: &[],
        };
        sealer.seal(counter, &packet.metadata(), &payload, &mut frame).unwrap();
        let mut bytes = Vec::new();
        MediaPacket { frame: &frame, ..packet }.write(&mut bytes);
        let now = begin + Duration::from_millis(counter * 7);
        let _ = listener.push(&bytes, now);
        let mut out = [0.0; 960];
        listener.pull(now, &mut out);
        assert!(out.iter().all(|sample| sample.abs() < 1.0));
    }
}

#[test]
fn a_source_that_is_added_again_cannot_be_replayed() {
    let (now, mut listener, mut packets) = (start(), Listener::new(), Vec::new());
    listener.add_source(SourceIndex(1), &key(1)).unwrap();
    speaker(1, 20_000).packet(&[0.1; 960], CaptureTime(0), &[TreeId(1)], &mut packets).unwrap();
    assert!(listener.push(&packets[0], now).is_ok());
    listener.add_source(SourceIndex(1), &key(1)).unwrap();
    assert_eq!(listener.push(&packets[0], now), Err(OpenError::Replayed.into()));
}

#[test]
fn a_source_that_restarts_is_heard_again() {
    let mut listener = Listener::new();
    listener.add_source(SourceIndex(1), &key(1)).unwrap();
    converse(&mut [(speaker(1, 20_000), 440.0)], &mut listener, 960, 0.0);
    let again = SenderKey::derive(b"a secret", &[1; 32], &[8; 16]);
    listener.add_source(SourceIndex(1), &again).unwrap();
    let config = CodecConfig { voice: false, ..CodecConfig::default() };
    let speaker = Speaker::new(SourceIndex(1), &again, config).unwrap();
    let heard = converse(&mut [(speaker, 440.0)], &mut listener, 960, 0.0);
    assert!((level_at(440.0, &heard[48_000..]) - 0.25).abs() < 0.03);
}

#[test]
fn sources_are_bounded() {
    let mut listener = Listener::new();
    for source in 0..SOURCES_MAX as u16 {
        listener.add_source(SourceIndex(source), &key(1)).unwrap();
    }
    let refused = listener.add_source(SourceIndex(SOURCES_MAX as u16), &key(1));
    assert_eq!(refused, Err(SourceError::TooMany));
    assert_eq!(listener.add_source(SourceIndex(0), &key(2)), Ok(()));
}
