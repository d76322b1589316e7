//! One plan, timed.

use std::time::{Duration, Instant};

use alm_planner::{Algorithm, Budget, Plan, PlanError, Problem, judged, plan, plan_best};

/// How long `best` may search; nothing given leaves it to its own number of moves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Effort {
    pub(super) budget: Option<Duration>,
    pub(super) moves: Option<u64>,
}

/// Plans with `algorithm`; the plan has the figures that it comes to on `judge`, if given. The time is that of planning
/// alone.
pub(super) fn timed_plan(
    problem: &Problem,
    judge: Option<&Problem>,
    algorithm: Algorithm,
    effort: Effort,
) -> (Result<Plan, PlanError>, Duration) {
    #[expect(clippy::disallowed_methods, reason = "the time that planning takes is part of the answer")]
    let started = Instant::now();
    let planned = match (algorithm, effort.moves, effort.budget) {
        (Algorithm::Best, Some(moves), _) => plan_best(problem, Budget::Moves(moves)),
        (Algorithm::Best, None, Some(budget)) => {
            #[expect(clippy::disallowed_methods, reason = "the budget is a time")]
            let mut spent = || started.elapsed().as_secs_f64() / budget.as_secs_f64().max(1e-9);
            plan_best(problem, Budget::Share(&mut spent))
        }
        _ => plan(problem, algorithm),
    };
    #[expect(clippy::disallowed_methods, reason = "the time that planning takes is part of the answer")]
    let elapsed = started.elapsed();
    let planned = match judge {
        Some(judge) => planned.map(|plan| judged(judge, plan)),
        None => planned,
    };
    (planned, elapsed)
}
