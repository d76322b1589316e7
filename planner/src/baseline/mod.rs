//! What the field plans, on the same problems: one file per published algorithm, each naming its paper and what was
//! simplified. They are here to be compared with, not to be used.
//!
//! All of them build members-only trees, but `scribe` and `exact`, which take helpers. Whatever an algorithm draws
//! comes from the problem's seed. Where a paper knows no degrees, its file says how they are kept, or that they are not.

mod compact;
mod degree_excess;
mod esm;
mod exact;
mod joining;
mod mesh;
mod narada;
mod overcast;
mod random;
mod scribe;
mod splitstream;
mod unicast;

pub use degree_excess::degree_excess;
pub use exact::EXACT_NODES_MAX;
pub(crate) use exact::better as exact_better;
pub(crate) use exact::no_worse as exact_no_worse;

use rand::SeedableRng;
use rand::rngs::StdRng;

use crate::draft::Draft;
use crate::instance::Instance;
use crate::names::{Algorithm, Objective};
use crate::plan::Plan;
use crate::plan_error::PlanError;
use crate::problem::Problem;

/// The plan that `algorithm` makes, if it is a baseline.
pub(crate) fn plan(problem: &Problem, algorithm: Algorithm) -> Option<Result<Plan, PlanError>> {
    let maker: fn(&Instance<'_>) -> Result<Draft, PlanError> = match algorithm {
        Algorithm::Unicast => unicast::draft,
        Algorithm::Random => random::draft,
        Algorithm::Compact => compact::draft,
        Algorithm::Narada => narada::draft,
        Algorithm::Esm => esm::draft,
        Algorithm::Overcast => overcast::draft,
        Algorithm::Scribe => scribe::draft,
        Algorithm::Exact => exact::draft,
        Algorithm::Splitstream => return Some(splitstream::plan(problem)),
        _ => return None,
    };
    if problem.objective() == Objective::Forest {
        return Some(Err(PlanError::Unsupported(algorithm, Objective::Forest)));
    }
    let instance = match algorithm {
        Algorithm::Scribe if problem.max_helpers().is_none() => Instance::new(problem, |degree| degree >= 2),
        Algorithm::Exact => match exact::instance(problem) {
            Ok(instance) => instance,
            Err(error) => return Some(Err(error)),
        },
        _ => Instance::without_helpers(problem),
    };
    Some(maker(&instance).map(|draft| draft.into_plan(&instance)))
}

/// The generator of one algorithm for one problem: other algorithms draw other numbers.
fn generator(instance: &Instance<'_>, algorithm: Algorithm) -> StdRng {
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&instance.problem.seed().to_le_bytes());
    bytes[8..16].copy_from_slice(b"baseline");
    for (byte, letter) in bytes[16..].iter_mut().zip(algorithm.name().bytes()) {
        *byte = letter;
    }
    StdRng::from_seed(bytes)
}

/// The draft of least value; the first of equals.
fn least(drafts: impl IntoIterator<Item = Draft>, instance: &Instance<'_>) -> Option<Draft> {
    let valued = drafts.into_iter().map(|draft| (draft.value(instance), draft));
    valued.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, draft)| draft)
}
