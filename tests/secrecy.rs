//! Who is not in the session's group opens nothing: a helper that notes all it is handed, and a member that was put out and
//! keeps all it ever had; and who is in it speaks in nobody else's name for long. Whole nodes in virtual time, voices sealed
//! for good.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "support/world.rs"]
mod world;

use std::collections::BTreeSet;
use std::time::Duration;

use alm::identity::Identity;
use alm::net::Channel;
use alm::node::Input;
use alm::session::{EpochKey, Event, Moderation};
use alm_media::{
    CaptureTime, CodecConfig, HearError, Listener, MediaPacket, Opener, SenderKey, SourceIndex, Speaker,
    Standing, TreeId,
};
use alm_planner::Objective;

use world::{MS, SPOKEN, World};

/// Two helpers in the middle, then a host and members whose own lines carry little and who are far from each other.
fn world(seed: u64, members: usize) -> (World, Vec<usize>) {
    let mut world = World::new(seed, |a, b| MS * if a < 2 || b < 2 { 20 } else { 70 });
    world.helper(8);
    world.helper(8);
    let mut all = vec![world.host(2, Objective::Forest)];
    all.extend((1..members).map(|_| world.member(2, &[0])));
    assert!(world.run_until_so(Duration::from_secs(20), |world| world.is_settled(&all)));
    (world, all)
}

fn phrases(world: &World, members: &[usize]) -> BTreeSet<String> {
    members.iter().map(|member| world.slots[*member].keys.clone().unwrap().phrase).collect()
}

/// Whether the packet, whoever of the session sent it, is opened by this.
fn opens(
    world: &World,
    ear: usize,
    packet: &MediaPacket<'_>,
    key: impl Fn(&World, usize) -> SenderKey,
) -> bool {
    let roster = world.slots[ear].node.as_ref().unwrap().roster().unwrap();
    let Some(sender) = roster.iter().find(|member| member.index == packet.source.0) else { return false };
    let key = key(world, world.index(sender.node).unwrap());
    Opener::new(&key, packet.source).open(packet).is_ok_and(|said| said == SPOKEN)
}

/// A voice's key in an epoch.
fn of(epoch: &EpochKey) -> impl Fn(&World, usize) -> SenderKey + '_ {
    |world, voice| epoch.sender(world.slots[voice].id, &[voice as u8; 16])
}

/// The epoch's tag, from the front of the SFrame frame (RFC 9605, section 4.3: key ids of up to 8 bytes, their length less
/// one in three bits).
fn tag(frame: &[u8]) -> u8 {
    assert_eq!(frame[0] >> 4, 0b1010);
    frame[1]
}

#[test]
fn all_that_a_helper_receives_and_holds_opens_nothing() {
    let (mut world, mut members) = world(1, 6);
    let has_helper = |world: &World| world.plan(members[0]).is_some_and(|plan| !plan.helpers.is_empty());
    assert!(world.run_until_so(Duration::from_secs(60), has_helper), "no helper is used");
    world.is_sealed = true;
    world.noted.extend([0, 1]);
    members.iter().for_each(|member| world.speak(*member));
    world.run(Duration::from_secs(2));
    // Everybody who comes makes new keys.
    members.push(world.member(2, &[0]));
    assert!(world.run_until_so(Duration::from_secs(20), |world| world.is_settled(&members)));
    world.run(Duration::from_secs(2));
    assert_eq!(phrases(&world, &members).len(), 1);

    let ear = members[0];
    let received: Vec<_> = world.slots[0].received.iter().chain(&world.slots[1].received).cloned().collect();
    let mut carried: Vec<MediaPacket<'_>> = received
        .iter()
        .filter(|(_, channel, _)| *channel == Channel::Datagram)
        .filter_map(|(_, _, bytes)| MediaPacket::parse(bytes).ok())
        .collect();
    assert!(carried.len() > 100, "helpers carry the voices: {}", carried.len());
    carried.truncate(100);
    for packet in &carried {
        let known = world.epochs.iter().any(|epoch| opens(&world, ear, packet, of(epoch)));
        assert!(known, "with the group's secret, the same bytes open");
    }
    // Whatever stands anywhere in what it was told, taken for the secret.
    let mut tried = 0;
    let packet = carried.last().unwrap();
    for (_, _, bytes) in received.iter().filter(|(_, channel, _)| *channel == Channel::Control) {
        for secret in bytes.windows(32) {
            tried += 1;
            let key = |world: &World, voice: usize| {
                let id = world.slots[voice].id;
                SenderKey::derive(secret, &id.0, &[voice as u8; 16]).with_tag(tag(packet.frame))
            };
            assert!(!opens(&world, ear, packet, key));
        }
    }
    assert!(tried > 1_000, "{tried}");
}

#[test]
fn who_is_put_out_opens_nothing_of_what_is_said_after() {
    let (mut world, members) = world(2, 5);
    let (host, out, ear) = (members[0], members[1], members[2]);
    world.is_sealed = true;
    world.noted.insert(ear);
    members.iter().for_each(|member| world.speak(*member));
    world.run(Duration::from_secs(1));
    let before = phrases(&world, &members);
    let (kicked, now) = (world.elapsed(), world.now());
    let what = Moderation::Kick(world.slots[out].id);
    world.with(host, |node| node.handle(Input::Moderate(what, [77; 16]), now));
    let left: Vec<usize> = members.iter().copied().filter(|member| *member != out).collect();
    world.run(Duration::from_secs(4));
    assert!(world.slots[out].node.is_none() && world.is_settled(&left));
    assert!(phrases(&world, &left).is_disjoint(&before) && phrases(&world, &left).len() == 1);

    let held: Vec<EpochKey> = world.slots[out]
        .told
        .iter()
        .filter_map(|(_, event)| if let Event::Keys(keys) = event { Some(keys.open.clone()) } else { None })
        .flatten()
        .collect();
    let after = world.slots[ear].received.iter().filter(|(at, ..)| *at >= kicked);
    let after: Vec<(Duration, MediaPacket<'_>)> =
        after.filter_map(|(at, _, bytes)| Some((*at, MediaPacket::parse(bytes).ok()?))).collect();
    let opened_at = |by: &[EpochKey]| -> Vec<Duration> {
        let opened =
            after.iter().filter(|(_, packet)| by.iter().any(|epoch| opens(&world, ear, packet, of(epoch))));
        opened.map(|(at, _)| *at).collect()
    };
    let last = *opened_at(&held).last().unwrap();
    assert!(
        last - kicked <= Duration::from_secs(1),
        "{:?} after the kick it still opens something",
        last - kicked
    );
    let by_all = opened_at(&world.epochs);
    assert!(by_all.len() > opened_at(&held).len() + 100, "and the others hear each other");
    assert!(world.gap(ear, left[2], kicked) < 300 * MS);
}

/// A voice's source, as everybody in the session knows it.
fn source(world: &World, voice: usize) -> SourceIndex {
    let roster = world.slots[voice].node.as_ref().unwrap().roster().unwrap();
    SourceIndex(roster.by_node(world.slots[voice].id).unwrap().index)
}

/// The key of `voice` as `member` has it, for a member needs everybody's to hear them.
fn key_of(world: &World, voice: usize, member: usize) -> SenderKey {
    let epoch = &world.slots[member].keys.as_ref().unwrap().seal;
    epoch.sender(world.slots[voice].id, &[voice as u8; 16])
}

/// Speaks as `voice` with what `member` has: everybody's keys, and its own signature.
fn speaker(world: &World, voice: usize, member: usize) -> Speaker {
    let (key, identity) = (key_of(world, voice, member), Identity::from_seed([member as u8 + 1; 32]));
    assert_eq!(identity.node_id(), world.slots[member].id);
    let sign = Box::new(move |message: &[u8]| identity.sign(message).0.try_into().unwrap());
    let speaker = Speaker::new(source(world, voice), &key, CodecConfig::default()).unwrap();
    speaker.vouched(&key, [voice as u8; 16], sign)
}

/// Sends the next 20 ms.
fn say(world: &mut World, member: usize, speaker: &mut Speaker, at: CaptureTime) {
    let (now, mut packets) = (world.now(), Vec::new());
    speaker.packet(&[0.1; 960], at, &[TreeId(0)], &mut packets).unwrap();
    for packet in packets {
        world.with(member, |node| node.handle(Input::Own(packet), now));
    }
}

#[test]
fn a_member_that_speaks_in_anothers_name_is_silenced_at_every_ear() {
    let (mut world, members) = world(4, 5);
    world.is_sealed = true;
    let (voice, forger, ears) = (members[1], members[2], [members[0], members[3], members[4]]);
    let mut listeners = ears.map(|ear| {
        world.noted.insert(ear);
        let (mut listener, name) = (Listener::new(), source(&world, voice));
        listener.add_source(name, &key_of(&world, voice, ear)).unwrap();
        assert!(listener.watch(name, world.slots[voice].id.0, [voice as u8; 16]));
        listener
    });
    let (mut own, mut false_one) = (speaker(&world, voice, voice), speaker(&world, voice, forger));
    // From a counter on that the voice has not come to: nothing that it says itself contradicts that.
    let at = |frame: u32| CaptureTime(frame * 960);
    (0..500).for_each(|_| false_one.packet(&[0.1; 960], at(0), &[TreeId(0)], &mut Vec::new()).unwrap());
    let (mut own_taken, mut false_taken, mut refused) = ([0; 3], [0; 3], [0; 3]);
    for frame in 0..500 {
        let forges = (100..250).contains(&frame);
        say(&mut world, voice, &mut own, at(frame));
        if forges {
            say(&mut world, forger, &mut false_one, at(frame));
        }
        world.run(20 * MS);
        for (i, listener) in listeners.iter_mut().enumerate() {
            for (heard_at, channel, packet) in std::mem::take(&mut world.slots[ears[i]].received) {
                let at = world.now() - (world.elapsed() - heard_at);
                if channel != Channel::Datagram || listener.take_digest(&packet, at) {
                    continue;
                }
                match listener.push(&packet, at) {
                    Ok(heard) if heard.counter < 500 => own_taken[i] += 1,
                    Ok(_) => false_taken[i] += 1,
                    Err(HearError::Silenced) => refused[i] += 1,
                    Err(_) => {}
                }
            }
            let standing = listener.stats()[0].witness.standing;
            match frame {
                90..100 => assert_eq!(standing, Standing::Confirmed, "frame {frame}"),
                // Two digests, half a second apart, and a frame is given 2 s in which it may still be said.
                225..250 => assert_eq!(standing, Standing::Silenced, "frame {frame}"),
                490.. => assert_eq!(standing, Standing::Confirmed, "frame {frame}: and it is believed again"),
                _ => {}
            }
        }
    }
    for i in 0..3 {
        let (own, false_ones) = (own_taken[i], false_taken[i]);
        assert!(own > 120 && false_ones < 125 && refused[i] > 50, "{own} {false_ones} {}", refused[i]);
    }
}

#[test]
fn chance_in_the_keys_changes_nothing_else() {
    let run = || {
        let (mut world, members) = world(3, 4);
        members.iter().for_each(|member| world.speak(*member));
        world.kill(members[0]);
        world.run(Duration::from_secs(4));
        world.slots.iter().map(|slot| slot.heard.clone()).collect::<Vec<_>>()
    };
    assert!(run() == run(), "one seed, one run");
}
