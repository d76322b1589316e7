//! The forwarding table: `(tree, link that a packet came by) -> links that it leaves by`.
//!
//! It is built when an epoch is installed, so that a packet on its way costs one look-up, no allocation
//! and no lock. Several epochs live side by side: their tree ids differ, and an old one is retired once
//! nothing travels along it any more. What a shared tree answers, "all links but this one", is a slice of
//! a ring: the tree's links are stored twice in a row, and the answer begins behind the link in question.
//!
//! A node that misses its parent takes a second one beside it ([`ForwardingTable::amend`]). What comes by either leaves
//! downwards only, never from one to the other, so that two parents close no loop.

use std::collections::{BTreeMap, HashMap, btree_map};

use crate::packet::TreeId;

/// The most trees that a table holds, over all its epochs.
pub const TREES_MAX: usize = 4_096;

/// The most links that one tree has at one node.
pub const LINKS_MAX: usize = 256;

/// The most epochs side by side, over all sessions. Two a session are the rule; more only while plans change faster
/// than links drain.
pub const EPOCHS_MAX: usize = 256;

/// A connection to another node: a small handle that the node gives out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u32);

/// A node's part in one tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeLinks {
    /// The tree.
    pub tree: TreeId,
    /// The node's neighbours in the tree. Whether its parents stand among them makes no difference, nor
    /// does naming one twice.
    pub links: Vec<LinkId>,
    /// True: what comes from a child leaves by all other links, what comes from a parent to all children, and the own
    /// source's packets leave by all links. False: what comes from a parent leaves to the children, and nothing else
    /// moves; only a node without a parent sends its own source's packets.
    pub shared: bool,
    /// The links upwards: the parent's, none at the root, and others beside it while it is missed.
    pub parents: Vec<LinkId>,
    /// Whether the node itself listens (a helper does not).
    pub deliver: bool,
}

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route<'a> {
    /// The links that it leaves by; never the one that it came by.
    pub links: &'a [LinkId],
    /// Whether this node listens to it as well; never for its own source.
    pub deliver: bool,
}

/// Why an epoch is not installed. The table is unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TableError {
    /// The epoch is there already.
    #[error("epoch {0} is installed already")]
    EpochTaken(u64),
    /// More than [`EPOCHS_MAX`] epochs side by side.
    #[error("more than {EPOCHS_MAX} epochs side by side")]
    TooManyEpochs,
    /// The tree is there already, in this epoch or in another.
    #[error("tree {} is installed already", .0.0)]
    TreeTaken(TreeId),
    /// More than [`TREES_MAX`] trees.
    #[error("more than {TREES_MAX} trees")]
    TooManyTrees,
    /// More than [`LINKS_MAX`] links in one tree.
    #[error("tree {} has more than {LINKS_MAX} links here", .0.0)]
    TooManyLinks(TreeId),
}

/// Where packets go: `(tree, link that it came by) -> links that it leaves by`, for all installed epochs.
#[derive(Clone, Debug, Default)]
pub struct ForwardingTable {
    trees: HashMap<TreeId, Tree>,
    epochs: BTreeMap<u64, Vec<TreeId>>,
}

#[derive(Clone, Debug)]
struct Tree {
    /// The children, sorted, then the parents; in a shared tree all of that twice in a row.
    links: Box<[LinkId]>,
    children: usize,
    parents: usize,
    shared: bool,
    deliver: bool,
}

impl ForwardingTable {
    /// A table that knows no tree.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes up an epoch's trees, beside those of other epochs.
    ///
    /// # Errors
    /// The epoch or a tree is there already, or a bound is exceeded; the table is then unchanged.
    pub fn install(&mut self, epoch: u64, trees: &[TreeLinks]) -> Result<(), TableError> {
        if self.epochs.contains_key(&epoch) {
            return Err(TableError::EpochTaken(epoch));
        }
        if self.epochs.len() >= EPOCHS_MAX {
            return Err(TableError::TooManyEpochs);
        }
        if self.trees.len() + trees.len() > TREES_MAX {
            return Err(TableError::TooManyTrees);
        }
        let mut built = BTreeMap::new();
        for tree in trees {
            let entry = Tree::build(tree)?;
            if self.trees.contains_key(&tree.tree) || built.insert(tree.tree, entry).is_some() {
                return Err(TableError::TreeTaken(tree.tree));
            }
        }
        self.epochs.insert(epoch, built.keys().copied().collect());
        self.trees.extend(built);
        Ok(())
    }

    /// Has a tree run over other links than before. `false` if it is not installed, or has too many links.
    pub fn amend(&mut self, tree: &TreeLinks) -> bool {
        let (Some(known), Ok(built)) = (self.trees.get_mut(&tree.tree), Tree::build(tree)) else {
            return false;
        };
        *known = built;
        true
    }

    /// Forgets an epoch's trees. `false` if it was not installed.
    pub fn retire(&mut self, epoch: u64) -> bool {
        let btree_map::Entry::Occupied(entry) = self.epochs.entry(epoch) else {
            return false;
        };
        for tree in entry.remove() {
            self.trees.remove(&tree);
        }
        true
    }

    /// The epochs that are installed, oldest first.
    pub fn epochs(&self) -> impl Iterator<Item = u64> + '_ {
        self.epochs.keys().copied()
    }

    /// Where a packet of `tree` goes that came by `from` (`None`: from this node's own source). `None`: the
    /// tree is unknown or does not run over that link, and the packet is dropped and counted by the caller.
    /// Does not allocate.
    pub fn route(&self, tree: TreeId, from: Option<LinkId>) -> Option<Route<'_>> {
        self.trees.get(&tree)?.route(from)
    }
}

impl Tree {
    fn build(part: &TreeLinks) -> Result<Self, TableError> {
        let distinct = |links: &[LinkId]| {
            let mut links = links.to_vec();
            links.sort_unstable();
            links.dedup();
            links
        };
        let parents = distinct(&part.parents);
        let mut links = distinct(&part.links);
        links.retain(|link| !parents.contains(link));
        if links.len() + parents.len() > LINKS_MAX {
            return Err(TableError::TooManyLinks(part.tree));
        }
        let children = links.len();
        links.extend_from_slice(&parents);
        if part.shared {
            links.extend_from_within(..);
        }
        let links = links.into_boxed_slice();
        Ok(Self { links, children, parents: parents.len(), shared: part.shared, deliver: part.deliver })
    }

    fn route(&self, from: Option<LinkId>) -> Option<Route<'_>> {
        let count = self.children + self.parents;
        let children = &self.links[..self.children];
        let Some(from) = from else {
            let links = if self.shared { &self.links[..count] } else { children };
            return (self.shared || self.parents == 0).then_some(Route { links, deliver: false });
        };
        if self.links[self.children..count].contains(&from) {
            return Some(Route { links: children, deliver: self.deliver });
        }
        let at = children.binary_search(&from).ok().filter(|_| self.shared)?;
        Some(Route { links: &self.links[at + 1..at + count], deliver: self.deliver })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn links(ids: &[u32]) -> Vec<LinkId> {
        ids.iter().copied().map(LinkId).collect()
    }

    fn shared(tree: u32, ids: &[u32], parent: Option<u32>) -> TreeLinks {
        let parents = parent.map(LinkId).into_iter().collect();
        TreeLinks { tree: TreeId(tree), links: links(ids), shared: true, parents, deliver: true }
    }

    fn directed(tree: u32, ids: &[u32], parent: Option<u32>) -> TreeLinks {
        TreeLinks { shared: false, ..shared(tree, ids, parent) }
    }

    fn sorted(route: Option<Route<'_>>) -> Option<Vec<u32>> {
        route.map(|route| {
            let mut ids: Vec<_> = route.links.iter().map(|link| link.0).collect();
            ids.sort_unstable();
            ids
        })
    }

    #[test]
    fn a_shared_tree_sends_to_all_others() {
        let mut table = ForwardingTable::new();
        table.install(1, &[shared(7, &[3, 1, 3], Some(2))]).unwrap();
        assert_eq!(sorted(table.route(TreeId(7), None)), Some(vec![1, 2, 3]));
        for (from, others) in [(1, [2, 3]), (2, [1, 3]), (3, [1, 2])] {
            let route = table.route(TreeId(7), Some(LinkId(from)));
            assert!(route.unwrap().deliver);
            assert_eq!(sorted(route), Some(others.to_vec()));
        }
        assert!(!table.route(TreeId(7), None).unwrap().deliver, "the own voice is not played");
        assert_eq!(table.route(TreeId(7), Some(LinkId(4))), None);
        assert_eq!(table.route(TreeId(8), Some(LinkId(1))), None);
    }

    #[test]
    fn a_directed_tree_sends_down_only() {
        let mut table = ForwardingTable::new();
        table.install(1, &[directed(1, &[2, 5, 6], Some(2)), directed(2, &[5, 6], None)]).unwrap();
        let route = table.route(TreeId(1), Some(LinkId(2)));
        assert_eq!(sorted(route), Some(vec![5, 6]));
        assert!(route.unwrap().deliver);
        assert_eq!(table.route(TreeId(1), Some(LinkId(5))), None, "a child does not send upwards");
        assert_eq!(table.route(TreeId(1), None), None, "only the root sends its own");
        let own = table.route(TreeId(2), None);
        assert_eq!(sorted(own), Some(vec![5, 6]));
        assert!(!own.unwrap().deliver);
        assert_eq!(table.route(TreeId(2), Some(LinkId(5))), None);
    }

    #[test]
    fn a_second_parent_feeds_the_children_and_never_the_first() {
        let mut table = ForwardingTable::new();
        table.install(1, &[shared(1, &[5, 6], Some(2)), directed(2, &[5, 6], Some(2))]).unwrap();
        for (tree, is_shared) in [(1, true), (2, false)] {
            let before = TreeLinks { shared: is_shared, ..shared(tree, &[5, 6], Some(2)) };
            let both = TreeLinks { parents: links(&[2, 9]), ..before.clone() };
            assert_eq!(table.route(TreeId(tree), Some(LinkId(9))), None);
            assert!(table.amend(&both));
            for parent in [2, 9] {
                assert_eq!(sorted(table.route(TreeId(tree), Some(LinkId(parent)))), Some(vec![5, 6]));
            }
            let upwards = is_shared.then(|| vec![2, 6, 9]);
            assert_eq!(sorted(table.route(TreeId(tree), Some(LinkId(5)))), upwards);
            assert!(table.amend(&before));
            assert_eq!(table.route(TreeId(tree), Some(LinkId(9))), None);
        }
        assert!(!table.amend(&shared(3, &[5], None)), "no such tree");
    }

    #[test]
    fn a_leaf_delivers_and_sends_to_nobody() {
        let mut table = ForwardingTable::new();
        table.install(1, &[directed(1, &[], Some(2)), shared(2, &[], Some(2))]).unwrap();
        for tree in [1, 2] {
            let route = table.route(TreeId(tree), Some(LinkId(2))).unwrap();
            assert_eq!(route, Route { links: &[], deliver: true });
        }
    }

    #[test]
    fn epochs_live_side_by_side_and_retire_alone() {
        let mut table = ForwardingTable::new();
        table.install(1, &[shared(10, &[1, 2], None)]).unwrap();
        table.install(2, &[shared(20, &[1, 3], None)]).unwrap();
        assert_eq!(table.epochs().collect::<Vec<_>>(), [1, 2]);
        assert_eq!(sorted(table.route(TreeId(10), Some(LinkId(1)))), Some(vec![2]));
        assert_eq!(sorted(table.route(TreeId(20), Some(LinkId(1)))), Some(vec![3]));
        assert!(table.retire(1));
        assert!(!table.retire(1));
        assert_eq!(table.route(TreeId(10), Some(LinkId(1))), None);
        assert_eq!(sorted(table.route(TreeId(20), Some(LinkId(1)))), Some(vec![3]));
    }

    #[test]
    fn a_refused_epoch_changes_nothing() {
        let mut table = ForwardingTable::new();
        table.install(1, &[shared(1, &[1, 2], None)]).unwrap();
        let many: Vec<u32> = (0..=LINKS_MAX as u32).collect();
        let trees: Vec<_> = (0..=TREES_MAX as u32).map(|tree| shared(tree + 2, &[], None)).collect();
        let cases: [(u64, &[TreeLinks], TableError); 5] = [
            (1, &[], TableError::EpochTaken(1)),
            (2, &[shared(2, &[], None), shared(1, &[], None)], TableError::TreeTaken(TreeId(1))),
            (2, &[shared(2, &[], None), shared(2, &[], None)], TableError::TreeTaken(TreeId(2))),
            (2, &[shared(2, &many, None)], TableError::TooManyLinks(TreeId(2))),
            (2, &trees, TableError::TooManyTrees),
        ];
        for (epoch, trees, error) in cases {
            assert_eq!(table.install(epoch, trees), Err(error));
            assert_eq!(table.epochs().collect::<Vec<_>>(), [1]);
            assert_eq!(table.route(TreeId(2), None), None);
        }
        for epoch in 2..=EPOCHS_MAX as u64 {
            table.install(epoch, &[]).unwrap();
        }
        assert_eq!(table.install(EPOCHS_MAX as u64 + 1, &[]), Err(TableError::TooManyEpochs));
    }

    proptest! {
        #[test]
        fn nothing_returns_by_the_link_it_came_by(
            ids in proptest::collection::vec(0..40_u32, 0..30), parent in proptest::option::of(0..40_u32),
            is_shared: bool, from in proptest::option::of(0..40_u32),
        ) {
            let part = TreeLinks { shared: is_shared, ..shared(1, &ids, parent) };
            let mut table = ForwardingTable::new();
            table.install(1, std::slice::from_ref(&part)).unwrap();
            if let Some(route) = table.route(TreeId(1), from.map(LinkId)) {
                let out = sorted(Some(route)).unwrap();
                prop_assert!(out.windows(2).all(|pair| pair[0] < pair[1]), "no link twice");
                prop_assert!(from.is_none_or(|from| !out.contains(&from)));
                prop_assert!(out.iter().all(|id| ids.contains(id) || (is_shared && parent == Some(*id))));
            }
        }
    }
}
