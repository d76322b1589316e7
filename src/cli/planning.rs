//! One plan, timed.

use std::time::{Duration, Instant};

use alm_planner::{
    Algorithm, Budget, MovePrice, Moves, Plan, PlanError, Problem, judged, moves, plan, plan_best, replan,
};

/// How long `best` may search; nothing given leaves it to its own number of moves.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Effort {
    pub(super) budget: Option<Duration>,
    pub(super) moves: Option<u64>,
}

/// What one algorithm answered.
#[derive(Debug)]
pub(super) struct Timed {
    pub(super) plan: Result<Plan, PlanError>,
    /// Of planning alone.
    pub(super) elapsed: Duration,
    /// Only where links are probed.
    pub(super) count: Option<ProbeCount>,
}

/// Links that were probed, and in how many rounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct ProbeCount {
    pub(super) probes: usize,
    pub(super) rounds: usize,
}

/// The time since its start.
#[derive(Debug)]
pub(super) struct Watch(Instant);

impl Watch {
    #[expect(clippy::disallowed_methods, reason = "the time that planning takes is part of the answer")]
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    #[expect(clippy::disallowed_methods, reason = "a budget may be a time")]
    pub(super) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// Plans with `algorithm`; the plan has the figures that it comes to on `judge`, if given.
pub(super) fn timed_plan(
    problem: &Problem,
    judge: Option<&Problem>,
    algorithm: Algorithm,
    effort: Effort,
) -> Timed {
    let watch = Watch::start();
    let planned = match (algorithm, effort.moves, effort.budget) {
        (Algorithm::Best, Some(moves), _) => plan_best(problem, Budget::Moves(moves)),
        (Algorithm::Best, None, Some(budget)) => {
            let mut spent = || watch.elapsed().as_secs_f64() / budget.as_secs_f64().max(1e-9);
            plan_best(problem, Budget::Share(&mut spent))
        }
        _ => plan(problem, algorithm),
    };
    let elapsed = watch.elapsed();
    let plan = match judge {
        Some(judge) => planned.map(|plan| judged(judge, plan)),
        None => planned,
    };
    Timed { plan, elapsed, count: None }
}

/// Plans from an installed plan; the figures as in `timed_plan`, and what became of the installed one.
pub(super) fn timed_replan(
    problem: &Problem,
    judge: Option<&Problem>,
    (installed, price): (&Plan, MovePrice),
    effort: Effort,
) -> (Timed, Option<Moves>) {
    let watch = Watch::start();
    let planned = match (effort.moves, effort.budget) {
        (Some(moves), _) => replan(problem, installed, Budget::Moves(moves), price),
        (None, Some(budget)) => {
            let mut spent = || watch.elapsed().as_secs_f64() / budget.as_secs_f64().max(1e-9);
            replan(problem, installed, Budget::Share(&mut spent), price)
        }
        (None, None) => replan(problem, installed, Budget::for_replan(problem), price),
    };
    let elapsed = watch.elapsed();
    let plan = planned.map(|again| match judge {
        Some(judge) => judged(judge, again.plan),
        None => again.plan,
    });
    let moves = plan.as_ref().ok().map(|plan| moves(installed, plan));
    (Timed { plan, elapsed, count: None }, moves)
}
