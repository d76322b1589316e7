//! Whom a node relies on while its parent is missed.

use super::*;
use crate::identity::Identity;
use crate::session::keys::{Delegation, Signed};
use crate::session::plan::{Installation, Share, TreePart, tree_number};
use crate::testing::origin;

const MS: Duration = Duration::from_millis(1);
const ME: NodeId = NodeId([7; 32]);

fn node(n: u8) -> NodeId {
    NodeId([n; 32])
}

fn session() -> SessionId {
    SessionId::of(&Identity::from_seed([9; 32]).node_id())
}

/// A helper below `parent`, with children of its own, and what it tells apart of an epoch.
fn carry(carrier: &mut Carrier, epoch: u64, parent: NodeId, backups: &[u8], now: Instant) -> u32 {
    let manager = Identity::from_seed([1; 32]);
    let tree = tree_number(session(), manager.node_id(), (1, epoch), 0);
    let part = TreePart {
        tree,
        shared: false,
        parent: Some(parent),
        children: vec![node(20), node(21)],
        backups: backups.iter().copied().map(node).collect(),
        standby: vec![],
        detour: None,
        around: vec![],
    };
    let share = Share::Part { to: ME, trees: vec![part] };
    let content = postcard::to_stdvec(&Installation { session: session(), epoch, share }).unwrap();
    let delegation = Delegation::new(&Identity::from_seed([9; 32]), manager.node_id(), 1);
    carrier.install(&Signed::new(content, &manager, delegation), ME, 4, false, |_| true, now).unwrap();
    carrier.activate(session(), epoch, manager.node_id(), now);
    tree
}

/// Whom it asks to feed it.
fn asked(repairs: &mut Repairs) -> Vec<NodeId> {
    let outputs = std::iter::from_fn(|| repairs.poll_output());
    let asks = outputs.filter_map(|output| match output {
        Output::Message(to, SessionMessage::Feed { on: true, .. }) => Some(to),
        _ => None,
    });
    asks.collect()
}

#[test]
fn of_a_backup_parent_without_room_nothing_is_expected() {
    let (start, mut carrier, mut repairs) = (origin(), Carrier::default(), Repairs::default());
    let tree = carry(&mut carrier, 1, node(2), &[3, 4], start);
    repairs.on_carried(&mut carrier, start);
    let mut planned_again = false;
    for ms in 0..6_000 {
        let now = start + MS * ms;
        let is_frame = ms.is_multiple_of(20);
        // The parent dies after a second; the plan that has the backup without room feed instead comes two seconds later.
        let feeds = match ms {
            ..1_000 => Some(2),
            1_000..1_100 => None,
            1_100..3_000 => Some(4),
            _ => Some(3),
        };
        if let Some(feeder) = feeds.filter(|_| is_frame) {
            repairs.on_traffic(node(feeder), now);
        }
        if ms.is_multiple_of(700) {
            // What else there is to say.
            repairs.on_traffic(node(3), now);
        }
        if ms == 3_000 {
            carry(&mut carrier, 2, node(3), &[4], now);
            repairs.on_carried(&mut carrier, now);
            planned_again = true;
        }
        repairs.handle_timeout(&mut carrier, now);
        for backup in asked(&mut repairs) {
            let given: &[u32] = if backup == node(3) { &[] } else { &[tree] };
            repairs.on_fed(backup, session(), given, &mut carrier, now);
            repairs.on_carried(&mut carrier, now);
            assert!(!carrier.dependence().relays.contains(&node(3)), "{ms} ms");
        }
        assert!(!planned_again || !repairs.is_doubted(node(3)), "{ms} ms");
    }
    assert_eq!(repairs.false_alarms(), 0);
    let told: Vec<Event> = std::iter::from_fn(|| repairs.poll_event()).collect();
    assert!(matches!(&told[..], [Event::Repair { lost, .. }] if *lost == node(2)), "{told:?}");
}
