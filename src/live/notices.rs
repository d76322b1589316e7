//! From a node's notices to the events that people and programs see.

use std::time::Duration;

use alm_media::SourceStats;

use crate::event::{Event, Link, Media, Plan, Tree};
use crate::identity::NodeId;
use crate::net::SwitchCounts;
use crate::node::LinkCounts;
use crate::pool::Place;
use crate::session::{Lost, SessionPlan};

/// As the node `me` sees it.
pub(super) fn tree(plan: &SessionPlan, me: NodeId) -> Event {
    let names = |nodes: &[NodeId]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>();
    let pairs =
        |pairs: &[(NodeId, NodeId)]| pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
    let trees = plan.trees.iter().map(|tree| Tree {
        sources: names(&tree.sources),
        edges: pairs(&tree.edges),
        backup: tree.backups.iter().find(|(child, _)| *child == me).map(|(_, parent)| parent.to_string()),
        backups: pairs(&tree.backups),
    });
    Event::Tree(Plan {
        epoch: plan.epoch,
        objective: plan.objective.to_string(),
        root: plan.root.to_string(),
        trees: trees.collect(),
        protected: plan.is_protected(),
        helpers: names(&plan.helpers),
        worst_ms: rounded(plan.worst_ms),
        height_ms: rounded(plan.height_ms),
        diameter_ms: rounded(plan.diameter_ms),
        estimated: plan.is_guess,
        planned_us: plan.planned_us,
        probes: plan.probes,
        reason: plan.reason.clone(),
    })
}

pub(super) fn media(
    source: NodeId,
    stats: &SourceStats,
    repaired: u64,
    hops: u32,
    path_ms: Option<f64>,
) -> Event {
    let jitter = &stats.jitter;
    Event::Media(Media {
        source: source.to_string(),
        packets: jitter.packets,
        lost: jitter.lost,
        recovered: jitter.recovered,
        repaired,
        concealed_ms: rounded(jitter.concealed_ms),
        late: jitter.late,
        duplicates: jitter.duplicates,
        forged: stats.forged,
        unknown_key: stats.unknown_key,
        confirmed: stats.witness.confirmed,
        contradicted: stats.witness.contradicted,
        standing: stats.witness.standing.word(),
        buffer_ms: rounded(jitter.buffer_ms),
        jitter_ms: rounded(jitter.jitter_ms),
        hops,
        path_ms: path_ms.map(rounded),
    })
}

pub(super) fn link(peer: NodeId, rtt: Option<Duration>, counts: LinkCounts, switched: SwitchCounts) -> Event {
    let LinkCounts { sent, received, dropped } = counts;
    let rtt_ms = rtt.map(|rtt| rounded(rtt.as_secs_f64() * 1_000.0));
    let SwitchCounts { lost_up, lost_down, .. } = switched;
    Event::Link(Link { peer: peer.to_string(), rtt_ms, sent, received, dropped, lost_up, lost_down })
}

pub(super) fn gap(source: NodeId, length: Duration) -> Event {
    Event::Gap { source: source.to_string(), gap_ms: rounded(length.as_secs_f64() * 1_000.0) }
}

pub(super) fn repair(what: Lost, lost: NodeId, detected: Duration, repaired: Duration) -> Event {
    let ms = |time: Duration| rounded(time.as_secs_f64() * 1_000.0);
    Event::Repair { what, lost: lost.to_string(), detected_ms: ms(detected), repaired_ms: ms(repaired) }
}

pub(super) fn coordinate(place: Place, error: f64) -> Event {
    Event::Coordinate { position: position(place), error: rounded(error) }
}

pub(super) fn place(node: NodeId, place: Place) -> Event {
    Event::Place { node: node.to_string(), position: position(place) }
}

/// In milliseconds of round trip: three dimensions and the height.
fn position(place: Place) -> Vec<f64> {
    place.0.map(|tenths| f64::from(tenths) / 10.0).to_vec()
}

/// Milliseconds to the microsecond.
pub(super) fn rounded(ms: f64) -> f64 {
    (ms * 1_000.0).round() / 1_000.0
}
