//! What of a core a node's work takes, counted where somebody asks.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinHandle;

/// Processor time of all who share this; nothing is counted without.
#[derive(Clone, Debug, Default)]
pub struct Spent(Option<Arc<AtomicU64>>);

impl Spent {
    /// One that counts.
    #[must_use]
    pub fn counting() -> Self {
        Self(Some(Arc::default()))
    }

    /// What was counted so far.
    #[must_use]
    pub fn so_far(&self) -> Duration {
        Duration::from_nanos(self.0.as_ref().map_or(0, |spent| spent.load(Ordering::Relaxed)))
    }

    /// Counts what `work` takes.
    pub fn on<T>(&self, work: impl FnOnce() -> T) -> T {
        let Some(spent) = &self.0 else { return work() };
        let begun = processor_time();
        let done = work();
        let took = processor_time().saturating_sub(begun);
        spent.fetch_add(took.as_nanos() as u64, Ordering::Relaxed);
        done
    }

    /// Counts what a future takes while it is polled.
    pub fn in_all<F: Future>(self, future: F) -> Counted<F> {
        Counted { spent: self, future: Box::pin(future) }
    }

    /// Has tokio run a task, and counts what it takes.
    pub fn spawn<F>(&self, task: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        match &self.0 {
            Some(_) => tokio::spawn(self.clone().in_all(task)),
            None => tokio::spawn(task),
        }
    }
}

/// See [`Spent::in_all`].
pub struct Counted<F> {
    spent: Spent,
    future: Pin<Box<F>>,
}

impl<F: Future> Future for Counted<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { spent, future } = self.get_mut();
        spent.on(|| future.as_mut().poll(cx))
    }
}

/// Of this thread, ever.
#[cfg(target_os = "linux")]
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Where that is not known, as time goes by.
#[cfg(not(target_os = "linux"))]
#[expect(
    clippy::disallowed_methods,
    reason = "how long work takes is asked of the clock; nothing is decided by it"
)]
fn processor_time() -> Duration {
    static BEGUN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();
    let begun = *BEGUN.get_or_init(std::time::Instant::now);
    std::time::Instant::now().saturating_duration_since(begun)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_counted_where_that_is_wanted() {
        let work = || (0..1_000_000_u64).fold(0, |sum: u64, i| sum.wrapping_mul(31) ^ i);
        let (counting, other) = (Spent::counting(), Spent::default());
        assert_eq!(counting.on(work), other.on(work));
        let once = counting.so_far();
        assert!(once > Duration::ZERO && other.so_far() == Duration::ZERO);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime
            .block_on(async { counting.spawn(async move { std::hint::black_box(work()) }).await })
            .unwrap();
        assert!(counting.so_far() > once);
    }
}
