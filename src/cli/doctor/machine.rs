//! What the machine itself gives: a clock that keeps time, buffers in the kernel, files.

use std::net::UdpSocket;
use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use super::finding::Finding;
use crate::cli::report::unix_seconds;
use crate::net::{Buffers, buffers};

/// Timers that are watched, and how far apart they are.
const TICKS: u32 = 60;
const TICK: Duration = Duration::from_millis(5);
/// A timer that is this late takes half of a frame of sound.
const LATE_MAX: Duration = Duration::from_millis(10);
/// The clock shows an earlier time than this program was made: 2026, in Unix seconds.
const MADE_S: f64 = 1_767_225_600.0;
/// One port serves all peers; the rest are the page's and the control socket's visitors, devices and recordings.
const FILES_MIN: u64 = 256;

/// The wall clock, and how late timers are.
pub(super) async fn clock() -> Finding {
    const NAME: &str = "clock";
    let mut ticks = interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut latest = Duration::ZERO;
    let mut last = ticks.tick().await;
    for _ in 0..TICKS {
        ticks.tick().await;
        let now = Instant::now();
        latest = latest.max(now.saturating_duration_since(last).saturating_sub(TICK));
        last = now;
    }
    let late_ms = latest.as_secs_f64() * 1_000.0;
    if unix_seconds() < MADE_S {
        return Finding::failed(
            NAME,
            "it shows a time before this program was made; what others have signed seems to come from the future",
            "set date and time, and have them kept (timedatectl set-ntp true)",
        );
    }
    if latest > LATE_MAX {
        return Finding::warning(
            NAME,
            format!("timers come up to {late_ms:.0} ms late: sound will stutter"),
            "close what keeps the processor busy",
        );
    }
    Finding::ok(NAME, format!("timers come at most {late_ms:.1} ms late"))
}

/// What the kernel keeps for a socket while nobody reads it.
pub(super) fn kernel_buffers(socket: &UdpSocket) -> Finding {
    const NAME: &str = "kernel buffers";
    let Ok(Buffers { receive, send, wanted }) = buffers(socket) else {
        return Finding::unknown(NAME, "the kernel does not say", None);
    };
    let kib = |bytes: usize| bytes / 1_024;
    if receive.min(send) < wanted / 2 {
        let said = format!(
            "{} KiB in, {} KiB out, of {} wanted: a busy relay may lose packets",
            kib(receive),
            kib(send),
            kib(wanted)
        );
        let todo = format!("sysctl -w net.core.rmem_max={wanted} net.core.wmem_max={wanted}");
        return Finding::warning(NAME, said, todo);
    }
    Finding::ok(NAME, format!("{} KiB in, {} KiB out", kib(receive), kib(send)))
}

/// How many files and sockets the process may have open.
pub(super) fn file_limit() -> Finding {
    const NAME: &str = "file limit";
    match files_max() {
        Some(max) if max < FILES_MIN => Finding::warning(
            NAME,
            format!("{max} open files at once, of {FILES_MIN} wanted"),
            format!("ulimit -n {FILES_MIN}"),
        ),
        Some(u64::MAX) => Finding::ok(NAME, "none"),
        Some(max) => Finding::ok(NAME, format!("{max} open files at once")),
        None => Finding::unknown(NAME, "this system does not say", None),
    }
}

/// The limit as the kernel shows it, where it does.
fn files_max() -> Option<u64> {
    let limits = std::fs::read_to_string("/proc/self/limits").ok()?;
    limits.lines().find_map(|line| line.strip_prefix("Max open files")).and_then(soft)
}

fn soft(columns: &str) -> Option<u64> {
    match columns.split_whitespace().next()? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_as_the_kernel_shows_them() {
        assert_eq!(soft("            1024                 524288               files     "), Some(1_024));
        assert_eq!(soft("  unlimited unlimited files"), Some(u64::MAX));
        assert_eq!(soft(""), None);
    }
}
