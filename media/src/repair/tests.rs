//! A row of three nodes, and what strangers may send.

use super::*;
use crate::packet::CaptureTime;
use proptest::prelude::*;

const TREE: TreeId = TreeId(7);
const SOURCE: SourceIndex = SourceIndex(3);
const MS: Duration = Duration::from_millis(1);

fn start() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "an Instant to count from; nothing waits")]
    Instant::now()
}

fn packet(counter: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let capture_time = CaptureTime(counter as u32);
    let frame = &[counter as u8; 80];
    MediaPacket { tree: TREE, source: SOURCE, counter, capture_time, priority: false, frame }
        .write(&mut bytes);
    bytes
}

fn carried(datagram: &[u8], came_by: Option<u32>, copies: usize) -> Carried<'_, u32> {
    Carried { datagram, came_by, copies, is_heard: true }
}

/// Source 0, relay 1, listener 2, in a row; each link loses by the word of `lost(link, counter)`, repeats do not
/// get lost. What reached the listener, and all three.
fn row(
    packets: u64,
    round_trip: Duration,
    lost: impl Fn(u32, u64) -> bool,
) -> (Vec<u64>, [Repair<u32>; 3], Instant) {
    let (start, mut nodes) = (start(), [Repair::new(), Repair::new(), Repair::new()]);
    let mut way: Vec<(Instant, u32, u32, Vec<u8>)> = Vec::new();
    let mut heard = Vec::new();
    let mut now = start;
    for tick in 0..packets * 20 + 400 {
        now = start + MS * tick as u32;
        if tick % 20 == 0 && tick / 20 < packets {
            let bytes = packet(tick / 20);
            assert!(nodes[0].on_packet(carried(&bytes, None, 1), now, &mut |_, _| unreachable!()));
            if !lost(0, tick / 20) {
                way.push((now + round_trip / 2, 0, 1, bytes));
            }
        }
        way.sort_by_key(|entry| entry.0);
        while way.first().is_some_and(|entry| entry.0 <= now) {
            let (_, from, to, bytes) = way.remove(0);
            let node = &mut nodes[to as usize];
            let mut said = Vec::new();
            let sent_to = |tree, came_by| tree == TREE && came_by == to.checked_sub(1) && from == to + 1;
            if node.on_told(&bytes, now, sent_to, &mut |again| said.push((from, again.to_vec()))) {
                // Answered.
            } else if node.on_packet(
                carried(&bytes, Some(from), usize::from(to == 1)),
                now,
                &mut |link, told| {
                    said.push((link, told.to_vec()));
                },
            ) {
                let counter = MediaPacket::parse(&bytes).unwrap().counter;
                if to == 2 {
                    heard.push(counter);
                } else if !lost(1, counter) || counter + 1 < tick / 20 {
                    way.push((now + round_trip / 2, 1, 2, bytes));
                }
            }
            way.extend(said.into_iter().map(|(link, bytes)| (now + round_trip / 2, to, link, bytes)));
        }
    }
    (heard, nodes, now)
}

#[test]
fn what_is_lost_on_either_link_comes_again_once() {
    let (mut heard, nodes, now) =
        row(300, 20 * MS, |link, counter| counter % 50 == 20 + 10 * u64::from(link));
    assert!(heard.windows(2).any(|pair| pair[0] > pair[1]), "repeats come late");
    heard.sort_unstable();
    assert_eq!(heard, (0..300).collect::<Vec<_>>());
    assert_eq!((nodes[0].stats().repeated, nodes[1].stats().repeated), (6, 6));
    assert_eq!(nodes[2].repaired(SOURCE), 12, "the relay's, and its own");
    assert_eq!(nodes[0].own_loss(now - MS * 400), Some(0));
}

#[test]
fn repeats_keep_to_their_budget_and_loss_is_told_upwards() {
    let (heard, nodes, now) = row(500, 20 * MS, |link, counter| link == 1 && counter % 5 == 3);
    let again = nodes[1].stats();
    assert!(again.repeated * 20 <= 500 + 20 * 17, "{again:?}");
    assert!(again.refused > 20, "{again:?}");
    assert!(heard.len() as u64 == 400 + again.repeated);
    let told = nodes[0].own_loss(now - MS * 400).unwrap();
    assert!((8..=20).contains(&told), "{told}");
}

#[test]
fn that_nothing_is_lost_is_said_once_and_loss_while_it_lasts() {
    let (start, mut node, mut reports) = (start(), Repair::new(), Vec::new());
    // A second in which every fifth packet is lost for good, between three without loss each.
    for counter in (0..400_u32).filter(|counter| !(150..200).contains(counter) || !counter.is_multiple_of(5))
    {
        let (bytes, at) = (packet(u64::from(counter)), start + MS * 20 * counter);
        node.on_packet(carried(&bytes, Some(1), 1), at, &mut |_, told| {
            reports.extend((told[0] == LOSS_KIND).then_some(told[7]));
        });
    }
    assert_eq!(reports[0], 0, "{reports:?}");
    let lossy = reports[1..].iter().take_while(|percent| **percent > 0).count();
    assert!(lossy >= 2, "{reports:?}");
    assert_eq!(reports.iter().filter(|percent| **percent == 0).count() + lossy, reports.len());
    assert!(reports.len() <= lossy + 2, "{reports:?}");
}

#[test]
fn what_would_be_too_late_is_not_asked_for_again_and_again() {
    let (_, nodes, _) = row(400, 150 * MS, |link, counter| link == 0 && counter % 20 == 10);
    let asked = (nodes[1].stats().asked, nodes[2].stats().asked);
    assert!(
        asked.0 <= 3 && asked.1 <= 3,
        "twenty gaps, and the first answers told that they come late: {asked:?}"
    );
}

#[test]
fn nothing_is_repeated_for_who_was_not_sent_it() {
    let (now, mut node) = (start(), Repair::new());
    for counter in 0..100 {
        node.on_packet(carried(&packet(counter), Some(0), 3), now, &mut |_, _| {});
    }
    let mut request = head::<REQUEST_LEN>(REQUEST_KIND, TREE, SOURCE);
    request[12] = 50;
    request[13..].fill(0xff);
    let mut asks = |is_sent_to: bool, request: &[u8]| {
        let mut named = Vec::new();
        let taken = node.on_told(request, now, |_, _| is_sent_to, &mut |again| named.push(again.to_vec()));
        (taken, named)
    };
    assert_eq!(asks(false, &request), (true, vec![]));
    let (_, named) = asks(true, &request);
    assert!((5..=17).contains(&named.len()));
    assert_eq!(named[0], packet(50));
    while !asks(true, &request).1.is_empty() {}
    assert_eq!(asks(true, &request[..14]), (false, vec![]));
}

#[test]
fn who_is_sent_a_tree_from_now_on_gets_what_has_passed_lately_in_its_order() {
    let (start, mut node) = (start(), Repair::new());
    for counter in 0..20_u32 {
        let (bytes, at) = (packet(u64::from(counter)), start + MS * 20 * counter);
        assert!(node.on_packet(carried(&bytes, Some(counter % 2), 1), at, &mut |_, _| ()));
    }
    let replayed = |tree, links: &[u32]| {
        let mut again = Vec::new();
        let is_sent_to = |came_by: Option<u32>| came_by.is_some_and(|link| links.contains(&link));
        node.replay(tree, start + MS * 300, is_sent_to, &mut |packet| again.push(packet.to_vec()));
        again
    };
    assert_eq!(replayed(TREE, &[0, 1]), [15, 16, 17, 18, 19].map(packet));
    assert_eq!(replayed(TREE, &[1]), [15, 17, 19].map(packet));
    assert!(replayed(TreeId(8), &[0, 1]).is_empty());
}

proptest! {
    #[test]
    fn anything_at_all_stays_within_bounds(
        datagrams in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..60), 0..6_u8, 0..3_u32), 0..400),
    ) {
        let (mut now, mut node) = (start(), Repair::new());
        for (mut bytes, kind, from) in datagrams {
            now += MS * 3;
            if let Some(first) = bytes.first_mut() {
                *first = [0x80, 0x80, 0x80, REQUEST_KIND, LOSS_KIND, *first][usize::from(kind)];
            }
            let (mut told, mut repeated) = (0, 0);
            node.on_packet(carried(&bytes, Some(from), 3), now, &mut |_, _| told += 1);
            node.on_told(&bytes, now, |_, _| true, &mut |_| repeated += 1);
            prop_assert!(told <= 2 && repeated <= 17);
            prop_assert!(node.streams.len() <= STREAMS_MAX && node.repaired.len() <= COUNTED_MAX);
            prop_assert!(node.streams.values().all(|stream| stream.missing() <= stream::MISSING_MAX));
        }
    }
}
