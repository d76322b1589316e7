//! What the benches share: the size of a run, figures, waiting.
#![allow(dead_code, unreachable_pub, reason = "each bench takes what it needs")]

pub mod bare;
pub mod pace;
pub mod peers;
pub mod player;
pub mod proc;
pub mod process;

use std::time::{Duration, Instant};

/// How much a run measures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Size {
    /// With the tests: a second or so, to see that the bench still works.
    Smoke,
    /// By `cargo bench`.
    Normal,
    /// By `cargo bench ... -- --full`.
    Full,
}

impl Size {
    /// Reads the command line of the bench `name`; `None` when it names other tests than this one.
    pub fn from_args(name: &str) -> Option<Self> {
        let args: Vec<String> = std::env::args().skip(1).collect();
        let given = |flag: &str| args.iter().any(|arg| arg == flag);
        if given("--list") || args.iter().any(|arg| !arg.starts_with('-') && !name.contains(arg.as_str())) {
            return None;
        }
        Some(match (given("--bench"), given("--full")) {
            (true, true) => Self::Full,
            (true, false) => Self::Normal,
            (false, _) => Self::Smoke,
        })
    }

    /// The small value for a smoke run, the large one otherwise.
    pub fn pick<T>(self, small: T, large: T) -> T {
        if self == Self::Smoke { small } else { large }
    }

    /// The line above a table: what to type to get it again, and on what kind of machine it was made.
    pub fn headline(self, name: &str) -> String {
        let command = match self {
            Self::Smoke => format!("cargo test --bench {name}"),
            Self::Normal => format!("cargo bench --bench {name}"),
            Self::Full => format!("cargo bench --bench {name} -- --full"),
        };
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let (os, arch) = (std::env::consts::OS, std::env::consts::ARCH);
        format!("$ {command}   ({os}, {arch}, {cores} cores)")
    }
}

/// The value below which `share` of the values lie; zero of none.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let at = (values.len() as f64 * share) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or(0.0)
}

/// The value in the middle.
pub fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    quantile(&mut values.into_iter().collect::<Vec<_>>(), 0.5)
}

/// The clock.
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
pub fn now() -> Instant {
    Instant::now()
}

/// Lets time pass while other threads and processes work.
#[expect(
    clippy::disallowed_methods,
    reason = "the time of a measurement is waited for, whatever happens in it"
)]
pub fn pause(time: Duration) {
    std::thread::sleep(time);
}

/// Longer than anything that is waited for may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(40);

/// Waits until `done`; panics when it does not come to that.
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = now() + PATIENCE;
    while !done() {
        assert!(now() < deadline, "waited in vain for {what}");
        pause(Duration::from_millis(20));
    }
}
