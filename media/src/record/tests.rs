//! What a player finds in the files, and that they stay within their bounds.

use std::fs::File;
use std::path::Path;

use bytes::Bytes;
use ogg::PacketReader;

use super::*;
use crate::codec::{Channels, CodecConfig, Decoder, Encoder};
use crate::testing::{level_at, tone};
use crate::wav::read_wav;

const FRAME: usize = 960;

fn encoded(pcm: &[f32]) -> Vec<Bytes> {
    let mut encoder = Encoder::new(CodecConfig { voice: false, ..Default::default() }).unwrap();
    pcm.chunks_exact(FRAME).map(|frame| Bytes::copy_from_slice(encoder.encode(frame).unwrap())).collect()
}

fn read_opus(path: &Path) -> Vec<f32> {
    read_opus_as(path, Channels::Mono)
}

/// As a player does it: what was decoded, less what the header says to skip. It has as many channels as the header says.
fn read_opus_as(path: &Path, channels: Channels) -> Vec<f32> {
    let mut reader = PacketReader::new(File::open(path).unwrap());
    let head = reader.read_packet().unwrap().unwrap().data;
    assert_eq!((&head[..8], head[8], head[9]), (&b"OpusHead"[..], 1, channels.count() as u8));
    let skipped = channels.count() * usize::from(u16::from_le_bytes([head[10], head[11]]));
    assert!(reader.read_packet().unwrap().unwrap().data.starts_with(b"OpusTags"));
    let (mut decoder, mut decoded) = (Decoder::new(channels), Vec::new());
    while let Some(packet) = reader.read_packet().unwrap() {
        let mut pcm = vec![0.0; 2_880 * channels.count()];
        let samples = decoder.decode(&packet.data, &mut pcm).unwrap();
        decoded.extend_from_slice(&pcm[..samples * channels.count()]);
        if packet.last_in_page() {
            assert_eq!(packet.absgp_page(), (decoded.len() / channels.count()) as u64);
        }
    }
    decoded.split_off(skipped)
}

/// Where something louder than a twentieth begins.
fn onset(pcm: &[f32]) -> usize {
    pcm.iter().position(|sample| sample.abs() > 0.05).unwrap()
}

#[test]
fn who_speaks_in_two_channels_has_a_file_of_two() {
    let dir = tempfile::tempdir().unwrap();
    let mut recording = Recording::create(dir.path()).unwrap();
    let config =
        CodecConfig { channels: Channels::Stereo, bitrate: 96_000, voice: false, ..Default::default() };
    let mut encoder = Encoder::new(config).unwrap();
    let said: Vec<f32> = tone(440.0, 0.4, 96_000).into_iter().flat_map(|sample| [sample, 0.0]).collect();
    for (step, frame) in said.chunks_exact(2 * FRAME).enumerate() {
        let payload = Bytes::copy_from_slice(encoder.encode(frame).unwrap());
        recording.frame(SourceIndex(1), (step * FRAME) as i64, payload);
        recording.advance(((step + 1) * FRAME) as i64).unwrap();
    }
    recording.finish().unwrap();
    let heard = read_opus_as(&dir.path().join("01.opus"), Channels::Stereo);
    let ear = |side: usize| heard[48_000..].iter().skip(side).step_by(2).copied().collect::<Vec<f32>>();
    assert!((level_at(440.0, &ear(0)) - 0.4).abs() < 0.04 && level_at(440.0, &ear(1)) < 0.02);
    let mix = read_wav(&dir.path().join(MIX_NAME)).unwrap();
    assert!((level_at(440.0, &mix[24_000..72_000]) - 0.2).abs() < 0.03, "the mix has one channel");
}

#[test]
fn speakers_lie_where_they_were_captured_and_the_mix_is_their_sum() {
    let dir = tempfile::tempdir().unwrap();
    let mut recording = Recording::create(dir.path()).unwrap();
    recording.name(SourceIndex(1), "Ada / Lovelace");
    let (one, two) = (encoded(&tone(440.0, 0.4, 48_000 * 4)), encoded(&tone(1_000.0, 0.3, 48_000)));
    // The other speaks from 1.3 s on.
    let late = 62_400;
    for step in 0..one.len() {
        let at = (step * FRAME) as i64;
        // Each pair comes the wrong way round, and now and then one is lost.
        if step % 20 != 7 {
            let which = step ^ 1;
            recording.frame(SourceIndex(1), (which * FRAME) as i64, one[which].clone());
        }
        if let Some(payload) = at.checked_sub(late).and_then(|since| two.get((since / FRAME as i64) as usize))
            && at >= late
        {
            recording.frame(SourceIndex(2), at, payload.clone());
        }
        recording.frame(SourceIndex(3), at + 10 * AHEAD_MAX, payload_of_the_future());
        recording.advance(at + FRAME as i64).unwrap();
    }
    recording.finish().unwrap();
    let ada = read_opus(&dir.path().join("01-Ada---Lovelace.opus"));
    let ben = read_opus(&dir.path().join("02.opus"));
    let mix = read_wav(&dir.path().join(MIX_NAME)).unwrap();
    assert!(!dir.path().join("03.opus").exists(), "nobody speaks in the future");
    assert!(ada.len().abs_diff(48_000 * 4) < FRAME && mix.len().abs_diff(48_000 * 4) < FRAME);
    assert!((level_at(440.0, &ada) - 0.4).abs() < 0.04, "{}", level_at(440.0, &ada));
    assert!(level_at(1_000.0, &ada) < 0.01);
    let begins = onset(&ben);
    assert!(begins.abs_diff(late as usize) < 120, "{begins}");
    assert!((level_at(1_000.0, &ben[late as usize..]) - 0.3).abs() < 0.03);
    // Both at once, in step with their own files: taken away, little is left.
    let both = late as usize + 4_800..late as usize + 43_200;
    let left: f32 = both.clone().map(|i| (mix[i] - ada[i] - ben[i]).abs()).fold(0.0, f32::max);
    let lost: f32 = both.map(|i| (mix[i] - ada[i] - ben[i]).powi(2)).sum::<f32>() / 38_400.0;
    assert!(lost.sqrt() < 0.02, "rms {} peak {left}", lost.sqrt());
}

fn payload_of_the_future() -> Bytes {
    encoded(&[0.0; FRAME]).remove(0)
}

#[test]
fn nothing_is_written_over_and_a_place_that_is_none_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    drop(Recording::create(dir.path()).unwrap());
    let again = Recording::create(dir.path()).err().map(|error| error.to_string()).unwrap();
    assert!(again.ends_with("mix.wav: a recording is there already"), "{again}");
    let beneath_a_file = dir.path().join(MIX_NAME).join("deeper");
    assert!(matches!(Recording::create(&beneath_a_file), Err(RecordError::Io { .. })));
}

#[test]
fn what_anybody_sends_stays_within_bounds() {
    let dir = tempfile::tempdir().unwrap();
    let mut recording = Recording::create(dir.path()).unwrap();
    let mut noise = 7_u32;
    for step in 0..3_000_i64 {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = (noise >> 8) as usize % 40;
        let garbage: Vec<u8> = (0..length).map(|i| (noise >> (i % 24)) as u8).collect();
        let at = step * 60 + i64::from(noise >> 16) - 32_768;
        recording.frame(SourceIndex((noise >> 28) as u16), at, garbage.into());
        recording.advance(step * 60).unwrap();
    }
    recording.finish().unwrap();
    assert!(read_wav(&dir.path().join(MIX_NAME)).unwrap().len() > 170_000);
}
