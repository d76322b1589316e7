//! A pool of up to hundreds of thousands of nodes in one process and in virtual time: the same [`SwarmNode`] that is to run live,
//! over a network that delays, loses and parts. No rule of the protocol lives here (`tests/tidy.rs` reads the sources for
//! that): the simulator carries messages, wakes nodes, makes them come and go, and judges what they answer by what it
//! alone can see. The same scenario gives the same outcome, to the last digit.

mod access;
mod count;
mod crew;
mod demand;
mod distance;
mod judge;
mod objects;
mod population;
mod queries;
mod queue;
mod run;
mod seen;
mod shard;
mod survey;
#[cfg(test)]
mod tests;
mod views;

use std::time::Duration;

pub use self::access::Line;
pub use self::distance::Distances;
pub use self::run::simulate;
use crate::pool::ring::RingConfig;
use crate::pool::somo::SomoConfig;
#[cfg(doc)]
use crate::pool::swarm::SwarmNode;

/// What is to happen. Times count from when all nodes have joined and settled.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// Nodes at any time.
    pub nodes: usize,
    /// How each of them behaves.
    pub ring: RingConfig,
    /// And how it gathers reports.
    pub somo: SomoConfig,
    /// The mean of exponential session lengths; for every node that crashes another one joins.
    pub churn: Option<Duration>,
    /// The share of messages that are lost.
    pub loss: f64,
    /// A share of all nodes that crash at once, and when.
    pub crash: Option<(f64, Duration)>,
    /// A share of all nodes that are cut off from the others, from when to when.
    pub partition: Option<(f64, Duration, Duration)>,
    /// Objects read a second in the whole pool; with any, each node owns one, which it changes now and then.
    pub reads_per_s: f64,
    /// Access lines that nodes draw theirs from, and measure; none: lines are not measured.
    pub lines: Vec<Line>,
    /// The share of nodes that lie; lookups are careful ones then.
    pub malicious: f64,
    /// Lookups a second in the whole pool.
    pub lookups_per_s: f64,
    /// How long it is watched.
    pub duration: Duration,
    /// Of everything that is drawn.
    pub seed: u64,
}

/// What came of it; `None` where nothing was to be seen.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outcome {
    /// Hops of a lookup: mean, and 99th percentile.
    pub hops_mean: Option<f64>,
    /// See `hops_mean`.
    pub hops_p99: Option<u8>,
    /// Sum of lookup delays over sum of direct delays.
    pub stretch_mean: Option<f64>,
    /// Lookups whose origin lived to see their end.
    pub lookups: u64,
    /// Those that came to nothing.
    pub lost: u64,
    /// Lookups that arrived at a node that does not answer for the key. Among liars: for which an honest one, nearer, does.
    pub wrong: u64,
    /// Objects read, and those that were not found, or older than what was confirmed before.
    pub reads: u64,
    /// See `reads`.
    pub reads_lost: u64,
    /// See `reads`.
    pub reads_stale: u64,
    /// Among liars: how often an honest node asked for helpers, and how often it was told of no honest one.
    pub queries: u64,
    /// See `queries`.
    pub queries_lost: u64,
    /// Of the helpers that an answer names, the share that is honest, mean.
    pub queries_honest: Option<f64>,
    /// Messages of lookups, answers included, a lookup.
    pub lookup_messages: Option<f64>,
    /// Sent, acknowledgements included, lookups not.
    pub messages_per_node_s: f64,
    /// On the wire, headers included.
    pub bytes_per_node_s: f64,
    /// Of SOMO's tree, in steps from the root down, as the root's last view says.
    pub somo_height: Option<u32>,
    /// Age within which the root's views show 99 % of all nodes, when they were made: median, and
    /// 99th percentile.
    pub view_age_ms_p50: Option<f64>,
    /// See `view_age_ms_p50`.
    pub view_age_ms_p99: Option<f64>,
    /// Nodes in the root's views over nodes that there were, mean.
    pub view_complete: Option<f64>,
    /// The largest of the root's reports, bytes.
    pub root_report_bytes: Option<u64>,
    /// Relative error of foretold round trips over random pairs of which neither has measured the other: median, and 90th
    /// percentile.
    pub coord_error_p50: Option<f64>,
    /// See `coord_error_p50`.
    pub coord_error_p90: Option<f64>,
    /// The same of Vivaldi on the same measurements.
    pub vivaldi_error_p50: Option<f64>,
    /// See `vivaldi_error_p50`.
    pub vivaldi_error_p90: Option<f64>,
    /// Relative error of the lines upwards that honest nodes publish: median, and 90th percentile.
    pub bandwidth_error_p50: Option<f64>,
    /// See `bandwidth_error_p50`.
    pub bandwidth_error_p90: Option<f64>,
    /// The same of the lines downwards.
    pub downlink_error_p50: Option<f64>,
    /// See `downlink_error_p50`.
    pub downlink_error_p90: Option<f64>,
    /// The share of nodes whose line upwards is no wider than that of the node that acts as SOMO's root.
    pub root_rank: Option<f64>,
    /// Nodes that take themselves for the root at the end.
    pub roots: usize,
    /// From a whole ring after a crash, or the end of a partition, to a view of exactly the nodes that there are, seconds.
    pub view_heal_s: Option<f64>,
    /// From a crash, or the end of a partition, to one whole ring, seconds.
    pub heal_s: Option<f64>,
    /// Events that were simulated.
    pub events: u64,
    /// When the watching began, virtual time.
    pub joined_after: Duration,
    /// Nodes that each node knows, at the end, mean.
    pub known_mean: f64,
}
