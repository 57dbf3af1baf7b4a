//! How much memory this process may still take: the least of what the machine, its container or job and its own limit allow.
//!
//! Linux only; elsewhere nothing is known, and nothing is refused.

use std::fs;
use std::path::{Component, Path};

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

/// The memory that this process may still take, if `n_sharing` processes on this machine begin the same work now; `None` if the
/// system does not say.
#[must_use]
pub(crate) fn free_memory(n_sharing: usize) -> Option<FreeMemory> {
    let read = |path: &str| fs::read_to_string(path).ok();
    let of_machine = read("/proc/meminfo").and_then(|text| kib_of(&text, "MemAvailable:"));
    let of_groups =
        read("/proc/self/cgroup").and_then(|text| left_to_groups(&text, Path::new("/sys/fs/cgroup")));
    let of_process = read("/proc/self/limits").and_then(|text| {
        let limit = address_space(&text)?;
        address_space_left(limit, &read("/proc/self/status")?)
    });
    let [by_machine, by_groups] = if n_sharing > 1 {
        [
            "available on this machine for each of its ranks",
            "left to this container or job for each of its ranks",
        ]
    } else {
        ["available on this machine", "left to this container or job"]
    };
    let share = |bytes: u64| bytes / n_sharing as u64;
    let limits = [
        (of_machine.map(share), by_machine),
        (of_groups.map(share), by_groups),
        (of_process, "left below the limit of its address space (ulimit -v)"),
    ];
    let known =
        limits.into_iter().filter_map(|(bytes, limited_by)| Some(FreeMemory { bytes: bytes?, limited_by }));
    known.min_by_key(|free| free.bytes)
}

/// The memory that one of several processes on a machine may have in all, where each trains on its own. It is measured before any of
/// them begins: later, what the others have taken is no longer free.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MemoryShare {
    /// `None` if the process shares the memory with no other one, or the system does not say.
    pub in_all: Option<FreeMemory>,
}

impl MemoryShare {
    /// All that is free when a run begins.
    pub(crate) const ALL: Self = Self { in_all: None };

    /// That of one of `n_sharing` processes, none of which has begun.
    #[must_use]
    pub(crate) fn of(n_sharing: usize) -> Self {
        let free = if n_sharing > 1 { free_memory(n_sharing) } else { None };
        Self { in_all: free.map(|free| FreeMemory { bytes: free.bytes + used_memory(), ..free }) }
    }
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

/// What a control group allows, in the files of one version of them.
struct GroupFiles {
    /// The limit: a number, or a word such as `max` in a group without a limit.
    limit: &'static str,
    /// What the group uses, with the file cache.
    used: &'static str,
    /// The line of `memory.stat` with the file cache that the system takes back before it kills a process.
    cache: &'static str,
}

const VERSION_1: GroupFiles = GroupFiles {
    limit: "memory.limit_in_bytes",
    used: "memory.usage_in_bytes",
    cache: "total_inactive_file ",
};
const VERSION_2: GroupFiles =
    GroupFiles { limit: "memory.max", used: "memory.current", cache: "inactive_file " };

impl GroupFiles {
    /// What is left to the group with this folder.
    fn left(&self, group: &Path) -> Option<u64> {
        let read = |name: &str| fs::read_to_string(group.join(name)).ok();
        let number = |text: &str| text.trim().parse::<u64>().ok();
        let (limit, used) = (number(&read(self.limit)?)?, number(&read(self.used)?)?);
        let statistics = read("memory.stat").unwrap_or_default();
        let cache = statistics.lines().find_map(|line| number(line.strip_prefix(self.cache)?));
        Some(limit.saturating_sub(used.saturating_sub(cache.unwrap_or(0))))
    }
}

/// The least that is left to the control groups of this process: its own ones, and those above them up to the one at `root`,
/// which in a container is that of the container. `groups` is the content of `/proc/self/cgroup`.
fn left_to_groups(groups: &str, root: &Path) -> Option<u64> {
    let left = groups.lines().filter_map(|line| {
        let (_, line) = line.split_once(':')?;
        let (controllers, path) = line.split_once(':')?;
        let (files, root) = match controllers {
            "" => (VERSION_2, root.to_owned()),
            _ if controllers.split(',').any(|controller| controller == "memory") => {
                (VERSION_1, root.join("memory"))
            }
            _ => return None,
        };
        let path = Path::new(path.trim_start_matches('/'));
        // A group outside the mounted ones begins with `..`.
        let is_mounted = path.components().all(|part| matches!(part, Component::Normal(_)));
        let path = if is_mounted { path } else { Path::new("") };
        path.ancestors().filter_map(|group| files.left(&root.join(group))).min()
    });
    left.min()
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
    }

    /// Writes the files of a group: limit, use, and the line of the cache.
    fn draw(group: &Path, files: &GroupFiles, limit: &str, used: u64, cache: u64) {
        fs::create_dir_all(group).expect("a folder");
        fs::write(group.join(files.limit), format!("{limit}\n")).expect("a file");
        fs::write(group.join(files.used), format!("{used}\n")).expect("a file");
        let statistics = format!("anon 5\nactive_file 7\n{}{cache}\n", files.cache);
        fs::write(group.join("memory.stat"), statistics).expect("a file");
    }

    #[test]
    fn file_cache_that_the_system_takes_back_is_free() {
        let root = tempfile::tempdir().expect("a temporary folder");
        draw(root.path(), &VERSION_2, "1000", 900, 600);
        assert_eq!(left_to_groups("0::/\n", root.path()), Some(700));
        draw(root.path(), &VERSION_2, "max", 900, 600);
        assert_eq!(left_to_groups("0::/\n", root.path()), None, "no limit");
        draw(&root.path().join("memory"), &VERSION_1, "2000", 1900, 50);
        assert_eq!(left_to_groups("4:cpu,memory:/\n0::/\n", root.path()), Some(150));
        fs::remove_file(root.path().join("memory/memory.stat")).expect("a removed file");
        assert_eq!(left_to_groups("4:memory:/\n", root.path()), Some(100));
        assert_eq!(left_to_groups("3:cpu:/\n", root.path()), None);
    }

    #[test]
    fn the_least_of_a_group_and_those_above_it_is_left() {
        let root = tempfile::tempdir().expect("a temporary folder");
        let job = root.path().join("system.slice/job_7");
        draw(&job, &VERSION_2, "1000", 300, 0);
        draw(&job.join("step_0/task"), &VERSION_2, "max", 200, 0);
        let left = |group: &str| left_to_groups(&format!("0::{group}\n"), root.path());
        assert_eq!(left("/system.slice/job_7/step_0/task"), Some(700));
        assert_eq!(left("/system.slice"), None);
        draw(&job.join("step_0"), &VERSION_2, "400", 250, 0);
        assert_eq!(left("/system.slice/job_7/step_0/task"), Some(150));
        // The container has another root: only its own group is mounted.
        assert_eq!(left("/docker/1f2e"), None);
        draw(root.path(), &VERSION_2, "500", 100, 0);
        assert_eq!((left("/docker/1f2e"), left("/../job_8")), (Some(400), Some(400)));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_machine_has_memory() {
        assert!(used_memory() > 0);
        let [alone, of_four] = [1, 4].map(|n| free_memory(n).expect("Linux knows it").bytes);
        assert!(alone > 0 && of_four < alone / 2, "{of_four} of {alone}");
        assert!(MemoryShare::of(1).in_all.is_none());
        let share = MemoryShare::of(1 << 20).in_all.expect("Linux knows it").bytes;
        assert!(share > 0 && share < alone / 2 + used_memory(), "{share} of {alone}");
    }
}
