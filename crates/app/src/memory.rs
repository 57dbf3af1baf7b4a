//! How much memory this process may still take: the least of what the machine, its container and its own limit allow.
//!
//! Linux only; elsewhere nothing is known, and nothing is refused.

use std::fs;

/// Part of a limited address space that cannot be used: gaps between blocks of the allocator, and the stacks of threads.
const UNUSABLE: u64 = 128 << 20;

/// A limit of memory, and how much of it is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FreeMemory {
    /// Bytes that this process may still take.
    pub bytes: u64,
    /// What limits it.
    pub limited_by: &'static str,
}

/// The memory that this process may still take; `None` if the system does not say.
#[must_use]
pub(crate) fn free_memory() -> Option<FreeMemory> {
    let read = |path: &str| fs::read_to_string(path).ok();
    let of_machine = read("/proc/meminfo").and_then(|text| kib_of(&text, "MemAvailable:"));
    let of_container =
        cgroup(&read, "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current").or_else(|| {
            cgroup(
                &read,
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/memory.usage_in_bytes",
            )
        });
    let of_process = read("/proc/self/limits").and_then(|text| {
        let limit = address_space(&text)?;
        address_space_left(limit, &read("/proc/self/status")?)
    });
    let limits = [
        (of_machine, "available on this machine"),
        (of_container, "left to this container"),
        (of_process, "left below the limit of its address space (ulimit -v)"),
    ];
    let known =
        limits.into_iter().filter_map(|(bytes, limited_by)| Some(FreeMemory { bytes: bytes?, limited_by }));
    known.min_by_key(|free| free.bytes)
}

/// What a process may still use of its address space. What the allocator has reserved and not used yet is part of the size of the
/// process, but free.
fn address_space_left(limit: u64, status: &str) -> Option<u64> {
    let unused = kib_of(status, "VmData:")?.saturating_sub(kib_of(status, "RssAnon:")?);
    let taken = kib_of(status, "VmSize:")?.saturating_sub(unused);
    Some(limit.saturating_sub(taken + UNUSABLE))
}

/// Memory of this process that is in use; 0 if the system does not say.
#[must_use]
pub(crate) fn used_memory() -> u64 {
    fs::read_to_string("/proc/self/status").ok().and_then(|text| kib_of(&text, "VmRSS:")).unwrap_or(0)
}

/// What is left below the limit of a control group.
fn cgroup(read: &dyn Fn(&str) -> Option<String>, limit: &str, used: &str) -> Option<u64> {
    let limit: u64 = read(limit)?.trim().parse().ok()?;
    Some(limit.saturating_sub(read(used)?.trim().parse().ok()?))
}

/// The bytes of a line such as `MemAvailable:  1024 kB`.
fn kib_of(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

/// The soft limit of the address space, in `/proc/self/limits`.
fn address_space(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max address space"))?;
    line.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_system_are_read() {
        assert_eq!(kib_of("MemFree: 7 kB\nMemAvailable:   12 kB\n", "MemAvailable:"), Some(12 * 1024));
        let limits = "Limit  Soft  Hard  Units\nMax address space         4096000    unlimited    bytes\n";
        assert_eq!(address_space(limits), Some(4_096_000));
        assert_eq!(address_space("Max address space   unlimited   unlimited   bytes\n"), None);
        let status = "VmSize:  1300000 kB\nVmData: 1200000 kB\nRssAnon: 100000 kB\n";
        assert_eq!(address_space_left(UNUSABLE + 400_000 * 1024, status), Some(200_000 * 1024));
        assert_eq!(address_space_left(UNUSABLE, status), Some(0));
        let files = |path: &str| Some(if path == "max" { "100\n" } else { "30\n" }.to_owned());
        assert_eq!(cgroup(&files, "max", "current"), Some(70));
        assert_eq!(cgroup(&|_| Some("max\n".to_owned()), "max", "current"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_memory() {
        assert!(free_memory().is_some_and(|free| free.bytes > 0) && used_memory() > 0);
    }
}
