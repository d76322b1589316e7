//! Planning multicast trees: degree-bounded, of small height or diameter, on measured latencies, with the help of nodes
//! that are not members. Pure computation: no I/O, no clock, no randomness of its own.
//!
//! A [`Problem`] goes in at one door, [`plan`], whatever the [`Algorithm`]; a [`Plan`] comes out, which [`verify`] holds
//! against the problem. [`plan_with_fewest_helpers`] is what a live session calls.

#![forbid(unsafe_code)]

mod adjust; // the seed's moves a, b, c
mod baseline; // what the field plans
mod best; // the planner's own algorithm
mod bound; // what no tree can beat
mod connect; // members that can hardly be connected
pub mod coord; // latencies predicted from places in a space
mod critical; // Section A and Table B: helpers
mod degree_law; // the seed's law of degrees
mod domains; // nodes that fail together
mod draft; // a tree in the making, measured
mod fewest; // as few helpers as will do
mod forest; // one tree per source
mod generate; // made-up matrices
mod instance; // the dense part of a problem that algorithms read
mod judge; // a plan on other latencies
mod latency; // round trips -> one-way latencies
mod layout; // nodes in a plane
pub mod market; // many sessions, one pool
mod matrix_format; // recorded matrices as text
mod matrix_text; // matrices as text
mod names; // objectives and algorithms
mod plan; // what comes out
mod plan_error; // why nothing came out
mod probed; // planning on predictions, with probes
mod problem; // what goes in
mod protect; // two trees, and no relay in both
mod replan; // a plan from another, attachments, backups
mod samples; // several recordings as one
mod search; // which hubs are tried
mod table_a; // AMCast, and where helpers hook in
mod units; // round trip, one way, degree
mod vast; // sessions of thousands
mod verify; // whether a plan is what it says

pub use baseline::{EXACT_NODES_MAX, degree_excess};
pub use best::{Budget, plan_best};
pub use bound::lower_bound;
pub use degree_law::paper_degrees;
pub use fewest::{HelperGain, plan_with_fewest_helpers};
pub use forest::{copies_excess, forest_backups, replan_tree};
pub use generate::{Plane, TransitStub};
pub use judge::{judged, later_pair_latencies, pair_latencies, tree_values};
pub use latency::{Directions, LatencyError, LatencyMatrix, Missing, NODES_MAX, RoundTrips};
pub use layout::plane_layout;
pub use matrix_format::{MatrixDefect, MatrixError, MatrixFormat, parse_matrix};
pub use matrix_text::rtt_text;
pub use names::{Algorithm, Objective, UnknownName};
pub use plan::{Plan, Tree};
pub use plan_error::PlanError;
pub use probed::{PASSES_MAX, Pass, Planner, Probed, Probing, plan_probed};
pub use problem::{Problem, ProblemBuilder, ProblemError};
pub use protect::protect;
pub use replan::{Backups, MovePrice, Moves, Replanned, Slots, backups, moves, replan};
pub use samples::quantile_of;
pub use units::{Degree, NodeIndex, OneWay, RoundTrip};
pub use vast::{SpacePlan, plan_in_space};
pub use verify::{PlanDefect, verify, verify_tree};

/// Plans `problem` with `algorithm`: the door that all algorithms stand behind. The same problem gives the same plan.
///
/// # Errors
/// `PlanError` if there is no tree, or none was found.
pub fn plan(problem: &Problem, algorithm: Algorithm) -> Result<Plan, PlanError> {
    let problem = &*problem.with_one_helper_a_domain(&[]);
    if problem.protect {
        return protect::plan(problem, algorithm);
    }
    if problem.objective == Objective::Forest {
        return forest::plan(problem, algorithm);
    }
    if let Some(answer) = baseline::plan(problem, algorithm) {
        return answer;
    }
    let instance = search::instance(problem, algorithm);
    search::draft(&instance, algorithm, usize::MAX).map(|draft| draft.into_plan(&instance))
}
