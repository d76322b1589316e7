//! What is gathered: a report that stays bounded however many nodes it speaks of, and the operation that merges two.
//!
//! Counts and histograms add up. Of helpers a report keeps the best few of each cell of the space of latencies, some of them for
//! the authorities whose pools they are of, so that a few machines of one's own are found among many strangers; a cell is all
//! that is nearest to one beacon. Coordinates have no anchor and drift as a whole, so beacons carry a generation, and
//! helpers that were sorted by another generation's beacons are sorted anew by whoever merges them.

use std::cmp::Reverse;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::ages::Ages;
use crate::identity::Position;
use crate::pool::grant::AuthorityMark;
use crate::pool::peer::{Peer, Place};

/// Places that cells are named after.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Beacons {
    /// Later ones replace earlier ones.
    pub generation: u32,
    /// At most [`BEACONS_MAX`].
    pub places: Vec<Place>,
}

/// What a machine has to offer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Offer {
    /// It serves sessions that it is not a member of.
    pub lends: bool,
    /// Tree links that sessions of priority 1, 2 and 3 could get.
    pub free: [u8; 3],
    /// Its line upwards, as neighbours have measured it, and no wider than its owner allows, kbit/s; 0: not known.
    pub up_kbit_s: u32,
    /// Its line downwards, as it has measured itself, kbit/s; 0: not known.
    pub down_kbit_s: u32,
    /// Of whose pool it says that it is: a hint, see [`AuthorityMark`].
    pub of: AuthorityMark,
}

impl Offer {
    /// True of a machine that a session of the lowest priority could use.
    fn is_of_use(&self) -> bool {
        self.free[2] >= FREE_MIN
    }

    /// Of a machine that does not lend, and of which nothing is known.
    pub const NOTHING: Self =
        Self { lends: false, free: [0; 3], up_kbit_s: 0, down_kbit_s: 0, of: AuthorityMark::NONE };
}

/// A machine that lends itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Helper {
    /// Which.
    pub peer: Peer,
    /// What it offers.
    pub offer: Offer,
}

/// What is known of some nodes, up to all of them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Report {
    /// How many.
    pub nodes: u32,
    /// Of those, who lends.
    pub lenders: u32,
    /// How old what it says of them was when it was sent.
    pub ages: Ages,
    /// Steps from the deepest node up to the sender.
    pub height: u8,
    /// By priority: how many nodes have how much to give; see [`bucket`].
    pub free: [[u32; BUCKETS]; 3],
    /// By cell, the best first.
    pub helpers: Vec<Helper>,
}

/// Cells: with as many helpers each as are kept, a report of all nodes of any pool stays below 32 KiB.
pub const BEACONS_MAX: usize = 48;
/// Helpers kept of each cell.
pub const HELPERS_PER_CELL: usize = 8;
/// Authorities fall into so many classes, and so many helpers of each are kept of a cell however good the others are.
const CLASSES: usize = 2;
const OF_EACH_CLASS: usize = 2;
/// Of those that could help at all, so many are drawn by lot.
const DRAWN: usize = 2;
/// As `DEGREE_MIN` of who asks for helpers: with fewer links nobody relays.
const FREE_MIN: u8 = 2;
/// Buckets of a histogram.
pub const BUCKETS: usize = 9;

/// The bucket of so many free degrees: 0, 1, 2, 3, 4, up to 6, 8, 16, and more.
#[must_use]
pub fn bucket(free: u8) -> usize {
    match free {
        0..=4 => free.into(),
        5..=6 => 5,
        7..=8 => 6,
        9..=16 => 7,
        17.. => 8,
    }
}

impl Report {
    /// Of one node.
    #[must_use]
    pub fn of(peer: Peer, offer: Offer) -> Self {
        let mut free = [[0; BUCKETS]; 3];
        for (histogram, free) in free.iter_mut().zip(offer.free) {
            histogram[bucket(if offer.lends { free } else { 0 })] = 1;
        }
        let helpers = if offer.lends { vec![Helper { peer, offer }] } else { Vec::new() };
        Self { nodes: 1, lenders: offer.lends.into(), ages: Ages::now(), height: 0, free, helpers }
    }

    /// Adds what another report says of other nodes, which has grown older since by so much.
    pub fn merge(&mut self, other: &Self, older_ms: u32) {
        self.nodes = self.nodes.saturating_add(other.nodes);
        self.lenders = self.lenders.saturating_add(other.lenders);
        self.ages.add(&other.ages, older_ms);
        self.height = self.height.max(other.height.saturating_add(1));
        for (mine, theirs) in self.free.iter_mut().flatten().zip(other.free.iter().flatten()) {
            *mine = mine.saturating_add(*theirs);
        }
        self.helpers.extend_from_slice(&other.helpers);
    }

    /// The age of the oldest part, milliseconds.
    #[must_use]
    pub fn oldest_ms(&self) -> u32 {
        self.ages.oldest_ms()
    }

    /// The age within which so many nodes are known, milliseconds; nothing if fewer are.
    #[must_use]
    pub fn within_ms(&self, nodes: u32) -> Option<u32> {
        self.ages.within_ms(nodes)
    }

    /// The age within which 99 of 100 nodes are known, milliseconds.
    #[must_use]
    pub fn age_ms(&self) -> u32 {
        self.within_ms(self.nodes - self.nodes / 100).unwrap_or_else(|| self.oldest_ms())
    }

    /// Keeps the best few helpers of each cell, and few ages. Call it once all has been merged.
    pub fn prune(&mut self, beacons: &Beacons) {
        self.ages.prune();
        // One alone is the best wherever it is: that is what most nodes have to say.
        if self.helpers.len() < 2 {
            return;
        }
        let rank = |(at, helper): (usize, &Helper)| {
            let [first, second, third] = helper.offer.free;
            let offer = (third, second, first, helper.offer.up_kbit_s);
            (beacons.cell(helper.peer.place), Reverse(offer), helper.peer.position, at)
        };
        let mut order: Vec<_> = self.helpers.iter().enumerate().map(rank).collect();
        order.sort_unstable();
        let all: Vec<Helper> = order.iter().map(|(.., at)| self.helpers[*at]).collect();
        self.helpers.clear();
        let mut rest = all.as_slice();
        for cell in order.chunk_by(|(one, ..), (next, ..)| one == next) {
            let (of_cell, others) = rest.split_at(cell.len());
            self.helpers.extend(best_of_cell(of_cell, beacons.generation));
            rest = others;
        }
    }

    /// True when it is no larger than a report may be.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.helpers.len() <= BEACONS_MAX * HELPERS_PER_CELL && self.ages.is_bounded()
    }
}

/// Of one cell's helpers, best first, those that are kept: the best of each class of authorities, some drawn by lot, and of all
/// others the best that there is room for. Whoever boasts is among the best: the lot leaves room for who does not. What is
/// kept of a whole is kept of each part, so that the order of merging does not matter.
fn best_of_cell(cell: &[Helper], generation: u32) -> impl Iterator<Item = Helper> {
    let mut seen = [0; CLASSES];
    let is_of_class = |helper: &Helper| {
        helper.offer.of.class(CLASSES).is_some_and(|class| {
            seen[class] += 1;
            seen[class] <= OF_EACH_CLASS
        })
    };
    let mut kept: Vec<bool> = cell.iter().map(is_of_class).collect();
    let classed = kept.iter().filter(|kept| **kept).count();
    let mut drawn: Vec<usize> =
        (0..cell.len()).filter(|at| !kept[*at] && cell[*at].offer.is_of_use()).collect();
    drawn.sort_unstable_by_key(|at| lot(cell[*at].peer.position, generation));
    drawn.into_iter().take(DRAWN).for_each(|at| kept[at] = true);
    let mut room = HELPERS_PER_CELL - DRAWN - classed;
    cell.iter().zip(kept).filter_map(move |(helper, kept)| {
        let fits = kept || room > 0;
        room -= usize::from(fits && !kept);
        fits.then_some(*helper)
    })
}

/// Another order of nodes for each generation, so that no key is always first (multiplicative hashing; the odd factor is
/// 2^128 over the golden ratio).
fn lot(position: Position, generation: u32) -> u128 {
    const GOLDEN: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    (position.0 ^ u128::from(generation)).wrapping_mul(GOLDEN).rotate_left(64).wrapping_mul(GOLDEN)
}

impl Beacons {
    /// The cell of a place: its nearest beacon. Where nothing is known all is one cell.
    #[must_use]
    pub fn cell(&self, place: Place) -> usize {
        let nearest = self.places.iter().enumerate().min_by_key(|(_, beacon)| place.round_trip(**beacon));
        nearest.map_or(0, |(cell, _)| cell)
    }

    /// New beacons among the helpers of a report: each next one is the farthest from those before (Gonzalez, "Clustering to
    /// minimize the maximum intercluster distance", 1985).
    #[must_use]
    pub fn among(helpers: &[Helper], generation: u32) -> Self {
        let known: Vec<Place> =
            helpers.iter().map(|helper| helper.peer.place).filter(|place| *place != Place::UNKNOWN).collect();
        let way = |one: Place, other: Place| match one == other {
            true => Duration::ZERO,
            false => one.round_trip(other).unwrap_or_default(),
        };
        let mut places: Vec<Place> = known.first().copied().into_iter().collect();
        while places.len() < BEACONS_MAX {
            let from_all = |place: &Place| places.iter().map(|beacon| way(*place, *beacon)).min();
            let farthest = known.iter().max_by_key(|place| from_all(place));
            match farthest {
                Some(place) if from_all(place) > Some(Duration::ZERO) => places.push(*place),
                _ => break,
            }
        }
        Self { generation, places }
    }
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;
    use crate::identity::NodeId;

    fn node(random: &mut StdRng) -> (Peer, Offer) {
        let place = Place([(); 4].map(|()| random.random_range(1..2_000)));
        let peer = Peer { place, ..Peer::new(NodeId(random.random()), ([10, 0, 0, 1], 1).into()) };
        let free = random.random_range(0..20);
        let of = if random.random_ratio(1, 3) {
            AuthorityMark::of(NodeId([free; 32]))
        } else {
            AuthorityMark::NONE
        };
        let offer = Offer { lends: random.random_ratio(4, 5), free: [free; 3], of, ..Offer::default() };
        (peer, offer)
    }

    fn gathered(nodes: usize, beacons: &Beacons) -> Report {
        let random = &mut StdRng::seed_from_u64(4);
        let mut all = Report::default();
        for _ in 0..nodes {
            let (peer, offer) = node(random);
            all.merge(&Report::of(peer, offer), 0);
            if all.helpers.len() > 2_000 {
                all.prune(beacons);
            }
        }
        all.prune(beacons);
        all
    }

    #[test]
    fn a_report_of_many_nodes_is_no_larger_than_one_of_some() {
        let beacons = Beacons::among(&gathered(500, &Beacons::default()).helpers, 1);
        let few = gathered(100, &Beacons::default());
        assert_eq!(few.helpers.len(), HELPERS_PER_CELL, "without beacons all is one cell");
        let many = gathered(
            20_000,
            &Beacons { generation: 1, places: (0..48).map(|i| Place([i * 40, 900, 900, 90])).collect() },
        );
        assert_eq!((few.nodes, many.nodes), (100, 20_000));
        assert!(many.is_bounded() && many.helpers.len() > 200);
        let bytes = postcard::to_stdvec(&many).unwrap().len();
        assert!(bytes <= 32 * 1024, "{bytes} bytes");
        let nodes: u32 = many.free[2].iter().sum();
        assert_eq!(nodes, 20_000, "every node is in one bucket");
        assert_eq!(beacons.places.len(), HELPERS_PER_CELL, "all that a report without cells holds");
        assert_eq!(Beacons::among(&many.helpers, 2).places.len(), BEACONS_MAX);
    }

    #[test]
    fn one_s_own_machines_are_found_among_better_strangers() {
        let random = &mut StdRng::seed_from_u64(6);
        let own = AuthorityMark::of(NodeId([7; 32]));
        let mut all = Report::default();
        for i in 0..200 {
            let (peer, offer) = node(random);
            let of = if i < 3 { own } else { AuthorityMark::NONE };
            let free = if i < 3 { [2; 3] } else { [200; 3] };
            all.merge(&Report::of(peer, Offer { lends: true, free, of, ..offer }), 0);
            all.prune(&Beacons::default());
        }
        let kept = all.helpers.iter().filter(|helper| helper.offer.of == own).count();
        assert!((OF_EACH_CLASS..=OF_EACH_CLASS + 1).contains(&kept), "{kept}: one more may be drawn");
        assert!(all.helpers.len() <= HELPERS_PER_CELL);
    }

    #[test]
    fn who_boasts_does_not_crowd_the_others_out() {
        let random = &mut StdRng::seed_from_u64(8);
        let mut all = Report::default();
        for i in 0..400 {
            let (peer, offer) = node(random);
            let (free, up_kbit_s) = if i % 4 == 0 { ([255; 3], u32::MAX) } else { ([6; 3], 0) };
            all.merge(&Report::of(peer, Offer { lends: true, free, up_kbit_s, ..offer }), 0);
        }
        let kept = |generation| {
            let mut all = all.clone();
            let places = (0..BEACONS_MAX as i16).map(|i| Place([i * 40, 900, 900, 90])).collect();
            all.prune(&Beacons { generation, places });
            all.helpers
        };
        let helpers = kept(1);
        let modest = helpers.iter().filter(|helper| helper.offer.free[2] == 6).count();
        assert!(modest * 5 >= helpers.len(), "{modest} of {}", helpers.len());
        assert_ne!(helpers, kept(2), "others are drawn");
    }

    #[test]
    fn merging_does_not_depend_on_the_order() {
        let random = &mut StdRng::seed_from_u64(5);
        let beacons =
            Beacons { generation: 1, places: vec![Place([100, 0, 0, 9]), Place([1_500, 900, 0, 9])] };
        let nodes: Vec<Report> =
            (0..60).map(|_| node(random)).map(|(peer, offer)| Report::of(peer, offer)).collect();
        let gather = |nodes: &mut dyn Iterator<Item = &Report>| {
            let mut all = Report::default();
            nodes.for_each(|one| all.merge(one, 0));
            all.prune(&beacons);
            all
        };
        let whole = gather(&mut nodes.iter());
        assert_eq!(whole, gather(&mut nodes.iter().rev()));
        let (left, right) = (gather(&mut nodes[..30].iter()), gather(&mut nodes[30..].iter()));
        let halves = gather(&mut [left, right].iter());
        assert_eq!((halves.nodes, &halves.free, &halves.helpers), (whole.nodes, &whole.free, &whole.helpers));
    }
}
