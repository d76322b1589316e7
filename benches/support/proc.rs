//! What the kernel says about a process, from /proc; nothing where there is no /proc.

use std::fs;
use std::time::Duration;

/// CPU time that the process's threads have used, in user and kernel mode.
pub fn cpu(pid: u32) -> Option<Duration> {
    let mut nanos = 0;
    for task in fs::read_dir(format!("/proc/{pid}/task")).ok()? {
        // A thread may end meanwhile.
        let Ok(text) = fs::read_to_string(task.ok()?.path().join("schedstat")) else { continue };
        nanos += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    Some(Duration::from_nanos(nanos))
}

/// Memory of a process.
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// All that is resident, the program and its libraries included, KiB.
    pub resident: f64,
    /// Of that, what is this process's alone and no file's: heap and stacks, KiB.
    pub anonymous: f64,
}

/// What memory the process has.
pub fn memory(pid: u32) -> Option<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kib = |name: &str| -> Option<f64> {
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.trim().strip_suffix(" kB")?.parse().ok()
    };
    Some(Memory { resident: kib("VmRSS:")?, anonymous: kib("RssAnon:")? })
}
