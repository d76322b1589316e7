//! A stand-in's two ends, and what goes through between them.

use std::sync::Arc;
use std::time::Duration;

use alm_media::{CodecConfig, CodecError, Encoder};
use tokio::time::{Instant as Virtual, sleep};

use super::*;
use crate::identity::Identity;

/// Somebody's ends, and the audio between them.
struct Ends {
    voice: mpsc::Sender<Spoken>,
    ears: mpsc::Receiver<Uttered>,
    hearing: watch::Sender<Hearing>,
    secrets: watch::Receiver<Secrets>,
    vouched: broadcast::Receiver<(SourceIndex, Vouched)>,
    handle: Handle,
}

fn stand_in(source: u16) -> Ends {
    let (voice, spoken) = mpsc::channel(100);
    let (uttered, ears) = mpsc::channel(100);
    let (hearing, heard) = watch::channel(Hearing::Nothing);
    let (told, secrets) = watch::channel(Secrets::default());
    let (signed, vouched) = broadcast::channel(100);
    let config =
        StandInConfig { voice: spoken, ears: uttered, hearing: heard, secrets: told, vouched: signed };
    let identity = Arc::new(Identity::from_seed([source as u8; 32]));
    let own = OwnVoice { source: SourceIndex(source), identity, salt: [2; 16] };
    let mut handle = StandIn::start(config, own);
    handle.send(ToAudio::Clock(SessionClock::new(Virtual::now().into_std(), 0)));
    Ends { voice, ears, hearing, secrets, vouched, handle }
}

fn author() -> Author {
    Author { node: Identity::from_seed([1; 32]).node_id(), salt: [2; 16] }
}

fn tone(encoder: &mut Encoder, frame: u32) -> Result<Bytes, CodecError> {
    let sample = |i: u32| (i as f32 * 0.06).sin() * 0.3;
    let pcm: Vec<f32> = (frame * 960..(frame + 1) * 960).map(sample).collect();
    encoder.encode(&pcm).map(Bytes::copy_from_slice)
}

#[tokio::test(start_paused = true)]
async fn a_voice_goes_through_as_it_is_and_into_a_mix() {
    let key = SenderKey::derive(b"secret", &[1; 32], &[2; 16]);
    let (mut from, mut to) = (stand_in(1), stand_in(2));
    from.handle.send(ToAudio::Seal(key.clone()));
    to.handle.send(ToAudio::Source(SourceIndex(1), vec![key], author()));
    let mut encoder = Encoder::new(CodecConfig::default()).unwrap();
    let (mut said, mut apart, mut mixed) = (Vec::new(), Vec::new(), Level::SILENCE);
    to.hearing.send_replace(Hearing::Apart);
    for frame in 0..100 {
        if frame == 50 {
            to.hearing.send_replace(Hearing::Mixed);
        }
        let payload = tone(&mut encoder, frame).unwrap();
        said.push(payload.clone());
        // The fourth is lost on the way here; the first ones do not say how loud they are.
        if frame != 3 {
            let level = (frame >= 10).then_some(Level::decibels_below(33));
            let (lost, at) = (u64::from(frame == 4), Virtual::now().into_std());
            let timestamp = 77 + frame * 960;
            from.voice.try_send(Spoken { lost, timestamp, level, payload, sealed: false, at }).unwrap();
        }
        sleep(Duration::from_millis(20)).await;
        while let Ok(FromAudio::Packet(packet)) = from.handle.from_audio.try_recv() {
            to.handle.send(ToAudio::Packet(packet, Virtual::now().into_std()));
        }
        sleep(Duration::from_millis(0)).await;
        while let Ok(uttered) = to.ears.try_recv() {
            match uttered.source {
                Some(_) => apart.push(uttered),
                None => mixed = uttered.level,
            }
        }
    }
    assert!(apart.len() >= 47, "{}", apart.len());
    for uttered in &apart {
        assert_eq!(uttered.payload, said[uttered.counter as usize], "not a bit is changed");
        let told = Level::decibels_below(33);
        assert_eq!(uttered.level == told, uttered.counter >= 10, "{uttered:?}");
    }
    assert!(apart[5].level < Level::decibels_below(20), "it was measured: {:?}", apart[5].level);
    let gaps = apart.windows(2).filter(|pair| pair[1].counter != pair[0].counter + 1).count();
    assert_eq!(gaps, 1, "what was lost is counted");
    assert!(mixed < Level::decibels_below(20), "{mixed:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_sealed_elsewhere_is_passed_on_once_and_under_its_own_number_alone() {
    let key = SenderKey::derive(b"secret", &[1; 32], &[2; 16]);
    let (mut from, mut to) = (stand_in(1), stand_in(2));
    from.handle.send(ToAudio::Seal(key.clone()));
    to.handle.send(ToAudio::Source(SourceIndex(1), vec![key.clone()], author()));
    to.hearing.send_replace(Hearing::Sealed);
    sleep(Duration::from_millis(1)).await;
    assert!(from.secrets.borrow().seal.as_ref() == Some(&key));
    assert!(to.secrets.borrow().open.contains_key(&SourceIndex(1)));
    let (mut packets, mut sent) = (Vec::new(), Vec::new());
    for source in [1, 2].map(SourceIndex) {
        let level = Level::decibels_below(20);
        let trees = [TreeId(0)];
        Envelope::new(source, &key).packet(level, b"voice", CaptureTime(9), &trees, &mut packets).unwrap();
    }
    for payload in packets.iter().map(|packet| without_tree(packet).unwrap()) {
        let (payload, at) = (Bytes::from(payload), Virtual::now().into_std());
        let spoken = Spoken { lost: 0, timestamp: 0, level: None, payload, sealed: true, at };
        from.voice.try_send(spoken).unwrap();
    }
    sleep(Duration::from_millis(1)).await;
    while let Ok(FromAudio::Packet(packet)) = from.handle.from_audio.try_recv() {
        sent.push(packet);
    }
    assert_eq!(sent, packets[..1], "another's number is not taken");
    for tree in [3, 4] {
        let mut bytes = sent[0].to_vec();
        alm_media::set_tree(&mut bytes, TreeId(tree));
        to.handle.send(ToAudio::Packet(bytes.into(), Virtual::now().into_std()));
    }
    sleep(Duration::from_millis(1)).await;
    let heard = to.ears.try_recv().unwrap();
    assert_eq!(Some(heard.payload.to_vec()), without_tree(&packets[0]));
    assert!(to.ears.try_recv().is_err(), "the other tree's copy is not passed on");
}

#[tokio::test(start_paused = true)]
async fn what_is_signed_is_told_where_the_voice_is_opened() {
    let key = SenderKey::derive(b"secret", &[1; 32], &[2; 16]);
    let (mut from, mut to) = (stand_in(1), stand_in(2));
    from.handle.send(ToAudio::Seal(key.clone()));
    to.handle.send(ToAudio::Source(SourceIndex(1), vec![key.clone()], author()));
    to.hearing.send_replace(Hearing::Sealed);
    let (mut envelope, mut packets) = (Envelope::new(SourceIndex(1), &key), Vec::new());
    for frame in 0..60 {
        let (level, at) = (Level::decibels_below(20), CaptureTime(frame * 960));
        envelope.packet(level, b"voice", at, &[TreeId(0)], &mut packets).unwrap();
    }
    for packet in &packets {
        let (payload, at) = (without_tree(packet).unwrap().into(), Virtual::now().into_std());
        let spoken = Spoken { lost: 0, timestamp: 0, level: None, payload, sealed: true, at };
        from.voice.try_send(spoken).unwrap();
        sleep(Duration::from_millis(20)).await;
    }
    let mut signed = Vec::new();
    while let Ok(FromAudio::Packet(packet)) = from.handle.from_audio.try_recv() {
        let mut altered = packet.to_vec();
        *altered.last_mut().unwrap() ^= 1;
        for packet in [packet, altered.into()] {
            to.handle.send(ToAudio::Packet(packet, Virtual::now().into_std()));
        }
        sleep(Duration::from_millis(1)).await;
        signed.extend(to.vouched.try_recv());
    }
    let told: Vec<_> =
        signed.iter().map(|(source, vouched)| (source.0, vouched.first, vouched.marks.len())).collect();
    assert_eq!(told, [(1, 0, 26), (1, 0, 51)], "half a second each, and what came before");
    assert_eq!(signed[0].1.marks, signed[1].1.marks[..26], "the same of the same frames");
}
