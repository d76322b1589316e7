//! Which helpers and members are near a node: proposals drawn from there are accepted more often than any others.
//! Looked up once a node, when it is first asked for: O(N).

use crate::instance::Instance;

/// Lists of near nodes, filled as needed.
pub(super) struct Near<'a> {
    instance: &'a Instance<'a>,
    helpers: Vec<Option<Box<[u32]>>>,
    members: Vec<Option<Box<[u32]>>>,
    scratch: Vec<(f32, u32)>,
}

impl<'a> Near<'a> {
    pub(super) fn new(instance: &'a Instance<'a>) -> Self {
        let nodes = instance.len();
        Self { instance, helpers: vec![None; nodes], members: vec![None; nodes], scratch: Vec::new() }
    }

    /// The nearest helpers, in no order.
    pub(super) fn helpers(&mut self, node: u32) -> &[u32] {
        let range = if self.instance.helpers_max == 0 { 0..0 } else { self.instance.helpers() };
        let list = &mut self.helpers[node as usize];
        list.get_or_insert_with(|| nearest(self.instance, node, range, HELPERS_NEAR, &mut self.scratch))
    }

    /// The nearest members, in no order.
    pub(super) fn members(&mut self, node: u32) -> &[u32] {
        let range = 0..self.instance.members;
        let list = &mut self.members[node as usize];
        list.get_or_insert_with(|| nearest(self.instance, node, range, MEMBERS_NEAR, &mut self.scratch))
    }
}

fn nearest(
    instance: &Instance<'_>,
    node: u32,
    range: std::ops::Range<usize>,
    most: usize,
    scratch: &mut Vec<(f32, u32)>,
) -> Box<[u32]> {
    let costs = instance.costs(node as usize);
    scratch.clear();
    scratch.extend(range.filter(|&other| other != node as usize).map(|other| (costs[other], other as u32)));
    scratch.retain(|(cost, _)| cost.is_finite());
    if scratch.len() > most {
        scratch.select_nth_unstable_by(most, |a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
        scratch.truncate(most);
    }
    let mut near = Vec::with_capacity(scratch.len());
    near.extend(scratch.iter().map(|&(_, other)| other));
    near.into_boxed_slice()
}

/// How many of either are listed.
const HELPERS_NEAR: usize = 64;
const MEMBERS_NEAR: usize = 32;
