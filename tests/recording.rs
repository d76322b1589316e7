//! A conference that two members record, from outside: what each speaker said lies in its file, the mix holds them all, both
//! recordings agree on when it was said, and everybody is told.

#![allow(clippy::unwrap_used, reason = "a case that cannot be set up fails its test")]

#[path = "support/process.rs"]
#[allow(dead_code, unreachable_pub, reason = "each test takes what it needs")]
mod process;

use std::f32::consts::TAU;
use std::fs::File;
use std::path::Path;

use alm_media::{Channels, Decoder, WavWriter, read_wav};
use ogg::PacketReader;
use process::Process;
use tempfile::TempDir;

/// A second: a fifth of it a tone, the rest silence.
fn bursts(path: &Path, hertz: f32) {
    let burst = (0..9_600).map(|at| 0.3 * (TAU * hertz * at as f32 / 48_000.0).sin());
    let second: Vec<f32> = burst.chain(std::iter::repeat_n(0.0, 38_400)).collect();
    WavWriter::create(path).unwrap().write(&second).unwrap();
}

/// As a player does it.
fn read_opus(path: &Path) -> Vec<f32> {
    let mut reader = PacketReader::new(File::open(path).unwrap());
    let head = reader.read_packet().unwrap().unwrap().data;
    let skipped = usize::from(u16::from_le_bytes([head[10], head[11]]));
    reader.read_packet().unwrap().unwrap();
    let (mut decoder, mut decoded) = (Decoder::new(Channels::Mono), Vec::new());
    while let Some(packet) = reader.read_packet().unwrap() {
        let mut pcm = [0.0; 2_880];
        let samples = decoder.decode(&packet.data, &mut pcm).unwrap();
        decoded.extend_from_slice(&pcm[..samples]);
    }
    decoded.split_off(skipped)
}

/// How strong a tone is over a stretch of sound.
fn power(hertz: f32, pcm: &[f32]) -> f32 {
    let (mut re, mut im) = (0.0, 0.0);
    for (at, sample) in pcm.iter().enumerate() {
        let phase = TAU * hertz * at as f32 / 48_000.0;
        (re, im) = (re + sample * phase.cos(), im + sample * phase.sin());
    }
    re.hypot(im) / pcm.len() as f32
}

/// Where within its second the burst begins, from one that lies wholly within the recording.
fn phase(pcm: &[f32]) -> i64 {
    let last = pcm.len() - 72_000;
    let quiet = (0..last).find(|&at| pcm[at..at + 24_000].iter().all(|sample| sample.abs() < 0.02)).unwrap();
    let loud = pcm[quiet..].iter().position(|sample| sample.abs() > 0.1).unwrap();
    (quiet + loud) as i64 % 48_000
}

#[test]
fn both_recordings_agree_on_who_said_what_and_when() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    bursts(&dir.join("low.wav"), 500.0);
    bursts(&dir.join("high.wav"), 1_500.0);
    let voice = |file: &str| format!("--input file:{file}.wav --loop --output null");
    let more = format!("--name Hal --record one {}", voice("low"));
    let mut host = Process::live(dir, "host", &format!("host --session standup {more}"));
    let id = host.wait("session")["id"].as_str().unwrap().to_owned();
    let more = format!("--name Ada --record two {}", voice("high"));
    let mut ada = Process::live(dir, "ada", &format!("join {id} {more}"));
    // One after the other: the roster's order is theirs.
    ada.wait("session");
    let silent = "--name Eve --input silence --output null";
    let mut eve = Process::live(dir, "eve", &format!("join {id} {silent}"));
    for name in ["Hal", "Ada", "Eve"] {
        let joined = eve.wait_for("member_joined", |joined| joined["name"] == name);
        assert_eq!(joined["records"], name != "Eve", "{joined}");
    }
    ada.wait_for("media", |media| media["packets"].as_u64() > Some(190));
    ada.signal("TERM");
    assert_eq!(ada.end().code, Some(0));
    host.signal("KILL");
    let [one, two] = ["one", "two"].map(|name| dir.join(name));
    let tracks = [&one, &two].map(|dir| {
        let mut names: Vec<_> =
            std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.retain(|name| name.to_str().is_some_and(|name| name.ends_with(".opus")));
        names.sort();
        assert!(names.len() >= 2, "{names:?}");
        [0, 1].map(|i| read_opus(&dir.join(&names[i])))
    });
    for (dir, [low, high]) in [&one, &two].into_iter().zip(&tracks) {
        let heard = [power(500.0, low), power(1_500.0, low), power(500.0, high), power(1_500.0, high)];
        assert!(heard[0] > 20.0 * heard[1] && heard[3] > 20.0 * heard[2], "{heard:?}");
        let mix = read_wav(&dir.join("mix.wav")).unwrap();
        assert!(power(500.0, &mix) > 0.02 && power(1_500.0, &mix) > 0.01, "{}", mix.len());
    }
    let apart = tracks.map(|[low, high]| (phase(&high) - phase(&low)).rem_euclid(48_000));
    let differ = (apart[0] - apart[1] + 24_000).rem_euclid(48_000) - 24_000;
    assert!(differ.abs() < 480, "{apart:?}");
}

#[test]
fn where_nothing_can_be_written_the_call_goes_on() {
    let dir = TempDir::new().unwrap();
    let dir = dir.path();
    std::fs::write(dir.join("file"), "").unwrap();
    let voice = "--input tone:440 --output null --record file/deeper";
    let mut host = Process::live(dir, "host", &format!("host --session standup {voice}"));
    let said = host.wait("error")["message"].as_str().unwrap().to_owned();
    assert!(said.contains("nothing is recorded") && said.contains("file/deeper"), "{said}");
    assert_eq!(host.wait("member_joined")["records"], false);
    host.signal("TERM");
    assert_eq!(host.end().code, Some(0));
}
