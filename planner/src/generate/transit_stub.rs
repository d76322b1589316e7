//! Transit and stub domains: a two-level Internet after GT-ITM (Zegura, Calvert, Bhattacharjee, "How to model an
//! internetwork", INFOCOM 1996). A core of transit domains; at each transit router a few stub domains, which carry no
//! transit traffic; hosts at the stub routers.
//!
//! Every domain is a connected random graph: a random tree, and every other pair of routers with a given probability.
//! Every pair of transit domains has one link between random routers of the two. Latency is the shortest path.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use rand::{Rng, RngExt};

use super::symmetric;
use crate::latency::RoundTrips;

/// The parameters; `new` has the usual ones. Times are one way in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct TransitStub {
    /// How many hosts, spread at random over the stub routers.
    pub hosts: usize,
    /// Transit domains.
    pub domains: usize,
    /// Routers of a transit domain.
    pub routers: usize,
    /// Stub domains at each transit router.
    pub stubs: usize,
    /// Routers of a stub domain.
    pub stub_routers: usize,
    /// A link between transit routers.
    pub transit_ms: f64,
    /// The link between a stub domain and its transit router.
    pub access_ms: f64,
    /// A link between stub routers.
    pub stub_ms: f64,
    /// From a host to its stub router: least and most, uniform.
    pub last_hop_ms: (f64, f64),
    /// Probability of a link between two routers of a transit domain, beside its tree.
    pub transit_links: f64,
    /// The same in a stub domain.
    pub stub_links: f64,
}

impl TransitStub {
    /// 4 transit domains of 6 routers, 3 stub domains of 8 routers at each: 600 routers. 100 ms between transit routers,
    /// 25 ms from transit to stub, 10 ms within a stub, last hop 3 to 8 ms.
    pub fn new(hosts: usize) -> Self {
        Self {
            hosts,
            domains: 4,
            routers: 6,
            stubs: 3,
            stub_routers: 8,
            transit_ms: 100.0,
            access_ms: 25.0,
            stub_ms: 10.0,
            last_hop_ms: (3.0, 8.0),
            transit_links: 0.6,
            stub_links: 0.42,
        }
    }

    /// Draws the links and the hosts' places. `None` for more hosts than a matrix may have.
    pub fn draw(&self, rng: &mut impl Rng) -> Option<RoundTrips> {
        let (links, first_stub) = self.links(rng);
        let hosts: Vec<(usize, f64)> = (0..self.hosts)
            .map(|_| {
                let router = rng.random_range(first_stub..links.len());
                (router, rng.random_range(self.last_hop_ms.0..=self.last_hop_ms.1))
            })
            .collect();
        let paths: Vec<Vec<f64>> = (0..links.len()).map(|from| shortest(&links, from)).collect();
        symmetric(self.hosts, |i, j| hosts[i].1 + paths[hosts[i].0][hosts[j].0] + hosts[j].1)
    }

    /// The routers' links, those of transit first, and the number of the first stub router.
    fn links(&self, rng: &mut impl Rng) -> (Links, usize) {
        let transit = self.domains * self.routers;
        let stubs = transit * self.stubs;
        let mut links: Links = vec![Vec::new(); transit + stubs * self.stub_routers];
        for domain in 0..self.domains {
            let first = domain * self.routers;
            connect(&mut links, first..first + self.routers, self.transit_links, self.transit_ms, rng);
            for other in 0..domain {
                let here = first + rng.random_range(0..self.routers);
                let there = other * self.routers + rng.random_range(0..self.routers);
                add(&mut links, here, there, self.transit_ms);
            }
        }
        for stub in 0..stubs {
            let first = transit + stub * self.stub_routers;
            connect(&mut links, first..first + self.stub_routers, self.stub_links, self.stub_ms, rng);
            let gateway = first + rng.random_range(0..self.stub_routers);
            add(&mut links, gateway, stub / self.stubs, self.access_ms);
        }
        (links, transit)
    }
}

/// Links of each router: the other end, and milliseconds.
type Links = Vec<Vec<(usize, f64)>>;

fn add(links: &mut Links, a: usize, b: usize, ms: f64) {
    links[a].push((b, ms));
    links[b].push((a, ms));
}

/// A connected random graph.
fn connect(links: &mut Links, routers: std::ops::Range<usize>, share: f64, ms: f64, rng: &mut impl Rng) {
    let first = routers.start;
    for router in routers.skip(1) {
        let above = rng.random_range(first..router);
        for other in first..router {
            if other == above || rng.random_bool(share) {
                add(links, router, other, ms);
            }
        }
    }
}

fn shortest(links: &Links, from: usize) -> Vec<f64> {
    let mut distance = vec![f64::INFINITY; links.len()];
    distance[from] = 0.0;
    // Times are not negative, so that their bits order as they do.
    let mut open = BinaryHeap::from([(Reverse(0_u64), from)]);
    while let Some((Reverse(bits), node)) = open.pop() {
        if f64::from_bits(bits) > distance[node] {
            continue;
        }
        for &(next, ms) in &links[node] {
            let there = distance[node] + ms;
            if there < distance[next] {
                distance[next] = there;
                open.push((Reverse(there.to_bits()), next));
            }
        }
    }
    distance
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    fn draw(seed: u64) -> RoundTrips {
        TransitStub::new(300).draw(&mut StdRng::seed_from_u64(seed)).unwrap()
    }

    #[test]
    fn six_hundred_routers_that_are_all_connected() {
        let (links, first_stub) = TransitStub::new(1200).links(&mut StdRng::seed_from_u64(1));
        assert_eq!((links.len(), first_stub), (600, 24));
        assert!(shortest(&links, 0).iter().all(|ms| ms.is_finite()));
        for (router, ends) in links.iter().enumerate() {
            for &(other, ms) in ends {
                let expected = match (router < 24, other < 24) {
                    (true, true) => 100.0,
                    (false, false) => 10.0,
                    _ => 25.0,
                };
                assert_eq!(ms, expected);
            }
        }
    }

    #[test]
    fn a_way_is_two_last_hops_and_whole_links() {
        let (one, two) = (draw(1), draw(2));
        let way = |i, j| one.get(i, j).unwrap().one_way().ms();
        let mut neighbours = 0;
        for i in 0..300 {
            for j in (0..300).filter(|&j| j != i) {
                assert_eq!(one.get(i, j), one.get(j, i));
                assert!(way(i, j) >= 6.0, "two last hops");
                neighbours += usize::from(way(i, j) <= 16.0);
            }
        }
        assert!(neighbours > 0, "some hosts share a stub router");
        assert!((0..300).any(|i| one.get(0, i) != two.get(0, i)));
        let again = draw(1);
        assert!((0..300).all(|i| one.get(0, i) == again.get(0, i)));
    }
}
