//! Work on all cores, with its results in order and a progress bar on a terminal.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::error::CliError;

/// `work` on each job, `threads` at a time; the results stand in the jobs' order. Stops at the first error.
pub(super) fn in_order<J: Sync, R: Send>(
    jobs: &[J],
    threads: usize,
    work: impl Fn(&J) -> Result<R, CliError> + Sync,
) -> Result<Vec<R>, CliError> {
    let bar = bar(jobs.len());
    let next = AtomicUsize::new(0);
    let failed = AtomicUsize::new(usize::MAX);
    let done: Mutex<Vec<(usize, Result<R, CliError>)>> = Mutex::new(Vec::with_capacity(jobs.len()));
    let worker = || loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        // A job before a failed one is still done, so that the first error is always the same.
        if at >= jobs.len() || at > failed.load(Ordering::Relaxed) {
            return;
        }
        let result = work(&jobs[at]);
        if result.is_err() {
            failed.fetch_min(at, Ordering::Relaxed);
        }
        done.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).push((at, result));
        bar.inc(1);
    };
    thread::scope(|scope| {
        for _ in 0..threads.min(jobs.len()) {
            scope.spawn(worker);
        }
    });
    bar.finish_and_clear();
    let mut done = done.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner());
    done.sort_by_key(|(at, _)| *at);
    done.into_iter().map(|(_, result)| result).collect()
}

/// On stderr if that is a terminal, else nothing.
fn bar(jobs: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} sessions, {eta} left");
    let bar = ProgressBar::with_draw_target(Some(jobs as u64), ProgressDrawTarget::stderr());
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_order_and_the_first_error_wins() {
        let jobs: Vec<u64> = (0..100).collect();
        let squares = in_order(&jobs, 4, |job| Ok(job * job)).unwrap();
        assert_eq!(squares, jobs.iter().map(|job| job * job).collect::<Vec<_>>());
        for threads in [1, 3] {
            let error = in_order(&jobs, threads, |job| {
                if *job >= 40 { Err(CliError::failed(format!("job {job}"), "", "")) } else { Ok(()) }
            });
            assert_eq!(error.unwrap_err().to_string(), "job 40");
        }
        assert!(in_order(&Vec::<u64>::new(), 2, |_| Ok(())).unwrap().is_empty());
    }
}
