//! CPU time of this process, from `/proc`: no unsafe code, no crate.

use std::{fs, time::Duration};

/// CPU time that this process has used, all of its threads that still run together.
///
/// By the scheduler's own count in nanoseconds where the kernel keeps it, else in ticks of 10 ms. `None` where there is no
/// `/proc`.
pub fn used() -> Option<Duration> {
    by_schedstat().or_else(by_ticks)
}

fn by_schedstat() -> Option<Duration> {
    let mut total = 0;
    for task in fs::read_dir("/proc/self/task").ok()? {
        let Ok(text) = fs::read_to_string(task.ok()?.path().join("schedstat")) else { continue };
        total += text.split_whitespace().next()?.parse::<u64>().ok()?;
    }
    (total > 0).then(|| Duration::from_nanos(total))
}

fn by_ticks() -> Option<Duration> {
    ticks([11, 12])
}

/// The sum of two fields of `stat`, counted from the state on.
fn ticks(fields_of: [usize; 2]) -> Option<Duration> {
    let text = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in brackets may hold blanks; the fields behind it do not.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: Option<u64> = fields_of.iter().map(|index| fields.get(*index)?.parse::<u64>().ok()).sum();
    Some(Duration::from_millis(ticks? * 10))
}

/// CPU time of the processes that this one started and waited for, and of those that they waited for. In ticks of 10 ms.
pub fn of_children() -> Option<Duration> {
    ticks([13, 14])
}

/// The load average of the last minute; empty where there is none.
pub fn load_average() -> String {
    fs::read_to_string("/proc/loadavg").map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// How many bytes of this process are in memory.
pub fn resident_bytes() -> Option<u64> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<u64>().ok()? * 1024)
}
