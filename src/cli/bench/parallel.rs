//! Work on all cores, with its results in order and a progress bar on a terminal.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;

use crate::cli::error::CliError;
use crate::cli::progress;

/// `work` on each job, `threads` at a time. The results stand in the jobs' order, and `each` sees them so as soon as all
/// before are there. Stops at the first error, of either.
pub(super) fn in_order<J: Sync, R: Send>(
    jobs: &[J],
    threads: usize,
    work: impl Fn(&J) -> Result<R, CliError> + Sync,
    mut each: impl FnMut(&R) -> Result<(), CliError>,
) -> Result<Vec<R>, CliError> {
    let bar = progress::bar(jobs.len() as u64, "sessions");
    let next = AtomicUsize::new(0);
    let failed = AtomicUsize::new(usize::MAX);
    let worker = |results: mpsc::Sender<(usize, Result<R, CliError>)>| loop {
        let at = next.fetch_add(1, Ordering::Relaxed);
        // A job before a failed one is still done, so that the first error is always the same.
        if at >= jobs.len() || at > failed.load(Ordering::Relaxed) {
            return;
        }
        let result = work(&jobs[at]);
        if result.is_err() {
            failed.fetch_min(at, Ordering::Relaxed);
        }
        if results.send((at, result)).is_err() {
            return;
        }
    };
    let done = thread::scope(|scope| {
        // At most one result a job.
        let (sender, results) = mpsc::channel();
        for _ in 0..threads.min(jobs.len()) {
            let sender = sender.clone();
            scope.spawn(|| worker(sender));
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut done = Vec::with_capacity(jobs.len());
        for (at, result) in results {
            bar.inc(1);
            early.insert(at, result);
            while let Some(result) = early.remove(&done.len()) {
                let result = result.and_then(|result| bar.suspend(|| each(&result)).map(|()| result));
                match result {
                    Ok(result) => done.push(result),
                    Err(error) => {
                        failed.fetch_min(0, Ordering::Relaxed);
                        return Err(error);
                    }
                }
            }
        }
        Ok(done)
    });
    bar.finish_and_clear();
    done
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_stand_in_order_and_the_first_error_wins() {
        let jobs: Vec<u64> = (0..100).collect();
        let squares = in_order(&jobs, 4, |job| Ok(job * job), |_| Ok(())).unwrap();
        assert_eq!(squares, jobs.iter().map(|job| job * job).collect::<Vec<_>>());
        for threads in [1, 3] {
            let mut seen = Vec::new();
            let work = |job: &u64| {
                if *job >= 40 { Err(CliError::failed(format!("job {job}"), "", "")) } else { Ok(*job) }
            };
            let error = in_order(&jobs, threads, work, |job| {
                seen.push(*job);
                Ok(())
            });
            assert_eq!(error.unwrap_err().to_string(), "job 40");
            assert_eq!(seen, jobs[..40]);
            let refused = in_order(
                &jobs,
                threads,
                |job| Ok(*job),
                |job| {
                    if *job == 7 { Err(CliError::failed("no more", "", "")) } else { Ok(()) }
                },
            );
            assert_eq!(refused.unwrap_err().to_string(), "no more");
        }
        assert!(in_order(&Vec::<u64>::new(), 2, |_| Ok(()), |()| Ok(())).unwrap().is_empty());
    }
}
