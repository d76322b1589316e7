//! Height, by who covers whom: the root r has d(r) children at most, and each member hangs below one of them. So for a
//! tree of height H there is a set of at most d(r) nodes, each at one link from the root, whose covers (`cover`) together
//! are all members. The least H for which there is one is a lower bound on the height.

use super::cover::Covers;
use super::{NODES_MAX, ROUNDING, link};
use crate::instance::Instance;

/// A bound on the height that is `known` or better.
pub(super) fn height_bound(instance: &Instance<'_>, shortest: &[f64], known: f64) -> f64 {
    if instance.members < 2 || known <= 0.0 || instance.len() > NODES_MAX {
        return known;
    }
    // Of too many, the farthest from the root are the ones that matter.
    let mut members: Vec<usize> = (1..instance.members).collect();
    members.sort_by(|&a, &b| shortest[b].total_cmp(&shortest[a]).then(a.cmp(&b)));
    let covers = Covers::new(instance, link, Some(0), members);
    let mut below = known;
    let mut above = known * (1.0 + STEP_MIN);
    while !may_reach(&covers, instance.degree[0], above) {
        below = above;
        above = known + 2.0 * (above - known);
        if above > known * RAISED_MAX {
            return below;
        }
    }
    while above - below > known * STEP_MIN {
        let middle = f64::midpoint(below, above);
        if may_reach(&covers, instance.degree[0], middle) {
            above = middle;
        } else {
            below = middle;
        }
    }
    below
}

/// Whether as far as this looks there may be a tree of height `height` whose root has `children`.
fn may_reach(covers: &Covers<'_>, children: u32, height: f64) -> bool {
    let height = height as f32 * (1.0 + ROUNDING);
    covers.ask(0);
    let left: Vec<f32> = covers.row(0).iter().map(|link| height - link).collect();
    let reached = covers.reached(&left);
    (1..=DEPTH).all(|depth| {
        covers.greatest(0, &left, reached.clone(), depth).unions(children, 0, covers.all()).0
            == [covers.all()]
    })
}

/// Links below the root at which covers are looked at.
const DEPTH: u32 = 3;
/// How closely the bound is sought, as a share of it; and how much more of the known one is thought possible.
const STEP_MIN: f64 = 0.000_2;
const RAISED_MAX: f64 = 2.0;
