//! Why there is no plan for a well-formed problem.

use thiserror::Error;

use crate::names::{Algorithm, Objective};
use crate::units::NodeIndex;

/// Why no plan was made. Every variant is a fact about the problem, not a defect of the planner, except that `Stuck`
/// may be a tree that the search did not find: with forbidden pairs, deciding that there is none is NP-hard.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PlanError {
    /// A member that cannot carry a single link.
    #[error("member {0} has degree 0 and can hold no link")]
    NoDegree(NodeIndex),
    /// A tree over N nodes has N - 1 links, and each takes a degree at both ends.
    #[error("the degrees add up to {given}, where a tree over the {members} members needs {needed}")]
    DegreesTooSmall {
        /// What the members and the best usable helpers bring.
        given: u64,
        /// Twice the number of links.
        needed: u64,
        /// How many members there are.
        members: usize,
    },
    /// No place was found for a member: every node that it may talk to is full or itself not connected.
    #[error(
        "no place was found for member {0}, though there may be one: the nodes that it may talk to are full or not connected"
    )]
    Stuck(NodeIndex),
    /// Proven: without some members the others fall into so many parts that those few could not connect them.
    #[error(
        "no plan exists: {relays} members that the others depend on can carry {given} links, where {needed} are needed"
    )]
    NoPlan {
        /// How many of the members that is.
        relays: usize,
        /// What their degrees allow together: links, in a forest copies for any so many sources as the degrees are for.
        given: u64,
        /// What connecting the others takes of them.
        needed: u64,
    },
    /// A member whose coordinate is not a number, or beyond all distances.
    #[error("member {0} is at no place: its coordinate is not a number, or too large")]
    Nowhere(NodeIndex),
    /// More members and helpers than the algorithm can take.
    #[error("{nodes} members and helpers are too many for an exact answer, which takes up to {most}")]
    TooManyNodes {
        /// How many there are.
        nodes: usize,
        /// How many there may be.
        most: usize,
    },
    /// The algorithm needs links that cost the same both ways, for this objective.
    #[error("{0} needs latencies that are the same in both directions")]
    DirectionsDiffer(Algorithm),
    /// The algorithm does not plan for that objective.
    #[error("{0} does not plan for the objective {1}")]
    Unsupported(Algorithm, Objective),
    /// As `DegreesTooSmall`, for two trees, with members in both and helpers in one each.
    #[error("the degrees add up to {given}, where two trees over the {members} members need {needed}")]
    DegreesTooSmallForTwo {
        /// What the members and the best helpers bring.
        given: u64,
        /// Twice the number of links.
        needed: u64,
        /// How many members there are.
        members: usize,
    },
    /// A member that cannot have a link in each of two trees, or for which no place was found in one of them: like `Stuck`,
    /// the latter may be a pair of trees that the search did not find.
    #[error("two trees in which no node relays in both do not fit: no place for member {0}")]
    NoSecondTree(NodeIndex),
    /// The degrees suffice only if somebody relays in both trees; or the search did not find how to share them out.
    #[error(
        "two trees in which no node relays in both do not fit: those that relay in one leave too few for the other"
    )]
    TooFewRelays,
    /// The algorithm does not keep degrees, so that two trees of it share no budget.
    #[error("{0} does not plan two trees within one budget")]
    Unprotected(Algorithm),
    /// One tree of a source that has two cannot change without the other.
    #[error("the two trees of member {0} are planned together")]
    TreesTogether(NodeIndex),
}
