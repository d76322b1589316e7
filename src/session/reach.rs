//! Which of a session's nodes cannot talk to each other: what they have tried in vain, and what their translators forbid.
//! The planner leaves these links out, and somebody whom both reach carries what would have gone over them.

use std::collections::BTreeSet;

use crate::identity::NodeId;
use crate::pool::NodeReport;

/// Pairs that cannot talk, by what the nodes say of themselves. Who is measured by either can be talked to, whatever else
/// is said.
pub(super) fn forbidden(reports: &[NodeReport]) -> BTreeSet<(NodeId, NodeId)> {
    let measured: BTreeSet<(NodeId, NodeId)> = reports
        .iter()
        .flat_map(|report| report.round_trips_ms.iter().map(|(other, _)| ordered(report.node, *other)))
        .collect();
    let tried =
        reports.iter().flat_map(|report| report.unreachable.iter().map(|other| ordered(report.node, *other)));
    let unmet = reports.iter().enumerate().flat_map(|(i, one)| {
        let apart = move |other: &&NodeReport| !one.reach.meets(other.reach);
        reports[..i].iter().filter(apart).map(|other| ordered(one.node, other.node))
    });
    tried.chain(unmet).filter(|pair| !measured.contains(pair)).collect()
}

fn ordered(a: NodeId, b: NodeId) -> (NodeId, NodeId) {
    (a.min(b), a.max(b))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::{Place, Reach};

    fn node(n: u8) -> NodeId {
        NodeId([n; 32])
    }

    fn report(n: u8, reach: Reach, measured: &[u8], unreachable: &[u8]) -> NodeReport {
        NodeReport {
            node: node(n),
            addrs: vec![],
            place: Place::UNKNOWN,
            lends: false,
            of: crate::pool::AuthorityMark::NONE,
            degree_bound: 4,
            held: vec![],
            round_trips_ms: measured.iter().map(|to| (node(*to), 10.0)).collect(),
            reach,
            unreachable: unreachable.iter().map(|to| node(*to)).collect(),
        }
    }

    #[test]
    fn what_was_tried_in_vain_and_what_translators_forbid_is_left_out_unless_it_is_measured() {
        let reports = [
            report(1, Reach::Direct, &[2, 3, 4], &[]),
            report(2, Reach::Restricted, &[1, 3], &[5]),
            report(3, Reach::Symmetric, &[1], &[]),
            report(4, Reach::Symmetric, &[1], &[2]),
            report(5, Reach::Unknown, &[], &[1]),
        ];
        let pairs = [(3, 4), (2, 4), (2, 5), (1, 5)].map(|(a, b)| (node(a), node(b)));
        assert_eq!(forbidden(&reports), BTreeSet::from(pairs), "2 and 3 are measured");
    }
}
