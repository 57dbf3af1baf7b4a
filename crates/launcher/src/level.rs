//! The levels of x86-64, and which of them this CPU has.
//!
//! A level is a list of instruction sets (System V ABI for AMD64, section 3.1.1) that contains the lists of the levels below
//! it. Compilers use any of them, so a CPU needs the whole list. The launcher is built for the oldest x86-64 CPU, so
//! `is_x86_feature_detected!` asks this machine: the CPU, and for wide registers also the operating system.

use std::fmt;

/// A level that the archive has a program for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd)]
pub(crate) enum Level {
    V2,
    V3,
    V4,
}

/// An instruction set.
struct Feature {
    name: &'static str,
    is_detected: fn() -> bool,
}

macro_rules! features {
    ($($name:tt),*) => {
        &[$(Feature { name: $name, is_detected: || std::is_x86_feature_detected!($name) }),*]
    };
}

const V2: &[Feature] = features!["cmpxchg16b", "popcnt", "sse3", "sse4.1", "sse4.2", "ssse3"];
const V3: &[Feature] = features!["avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "lzcnt", "movbe", "xsave"];
const V4: &[Feature] = features!["avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"];
/// Part of level 2. The macro of the standard library does not know it.
const LAHF_SAHF: Feature = Feature { name: "lahf-sahf", is_detected: has_lahf_sahf };

fn has_lahf_sahf() -> bool {
    const LEAF: u32 = 0x8000_0001;
    use std::arch::x86_64::__cpuid;
    __cpuid(0x8000_0000).eax >= LEAF && __cpuid(LEAF).ecx & 1 != 0
}

impl Level {
    /// From the lowest to the highest.
    const ALL: [Self; 3] = [Self::V2, Self::V3, Self::V4];

    /// The name that compilers have for it; the folder of its program is called so.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::V2 => "x86-64-v2",
            Self::V3 => "x86-64-v3",
            Self::V4 => "x86-64-v4",
        }
    }

    /// The level of a name such as `x86-64-v3` or `v3`.
    fn named(name: &str) -> Option<Self> {
        let short = |level: &Self| level.name().strip_prefix("x86-64-");
        Self::ALL.into_iter().find(|level| name == level.name() || Some(name) == short(level))
    }

    /// The instruction sets of this level and of those below it that this machine lacks.
    pub(crate) fn missing(self) -> Vec<&'static str> {
        let added: [&[Feature]; 3] = [V2, V3, V4];
        let levels = Self::ALL.into_iter().zip(added).take_while(|(level, _)| *level <= self);
        let features = std::iter::once(&LAHF_SAHF).chain(levels.flat_map(|(_, features)| features));
        features.filter(|feature| !(feature.is_detected)()).map(|feature| feature.name).collect()
    }
}

impl fmt::Display for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The level to run: the forced one, or else the highest of which nothing is missing.
///
/// # Errors
/// A line for the user, if the machine has no level, or not the forced one.
pub(crate) fn choose(
    forced: Option<&str>,
    missing: impl Fn(Level) -> Vec<&'static str>,
) -> Result<Level, String> {
    let best = Level::ALL.into_iter().rev().find(|level| missing(*level).is_empty()).ok_or_else(|| {
        let features = missing(Level::V2).join(", ");
        format!("this CPU lacks {features}, which every program in this archive needs; build Roentgen on this machine (`cargo build --release`)")
    })?;
    let Some(name) = forced else { return Ok(best) };
    let way_out = format!("unset it, and {best} runs, the highest level of this CPU");
    let level = Level::named(name).ok_or_else(|| {
        format!("ROENTGEN_LEVEL is `{}`, and must be v2, v3 or v4; {way_out}", name.escape_debug())
    })?;
    match missing(level).join(", ") {
        features if features.is_empty() => Ok(level),
        features => Err(format!("ROENTGEN_LEVEL is {level}, for which this CPU lacks {features}; {way_out}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A CPU whose highest level is this one.
    fn cpu(highest: Option<Level>) -> impl Fn(Level) -> Vec<&'static str> {
        move |level| if highest >= Some(level) { Vec::new() } else { vec!["ssse3", "fma"] }
    }

    #[test]
    fn the_highest_level_of_the_cpu_runs() {
        for level in Level::ALL {
            assert_eq!(choose(None, cpu(Some(level))), Ok(level));
        }
    }

    #[test]
    fn a_level_is_forced_by_either_name() {
        for name in ["v2", "x86-64-v2"] {
            assert_eq!(choose(Some(name), cpu(Some(Level::V4))), Ok(Level::V2));
        }
    }

    #[test]
    fn each_error_names_the_way_out() {
        let cases = [
            (None, None, "this CPU lacks ssse3, fma,", "build Roentgen on this machine"),
            (Some("v3"), None, "this CPU lacks ssse3, fma,", "build Roentgen on this machine"),
            (
                Some("v4"),
                Some(Level::V3),
                "ROENTGEN_LEVEL is x86-64-v4, for which this CPU lacks ssse3",
                "unset it, and x86-64-v3 runs",
            ),
            (Some("avx2"), Some(Level::V3), "ROENTGEN_LEVEL is `avx2`, and must be v2, v3 or v4", "unset it"),
            (Some("v1"), Some(Level::V3), "ROENTGEN_LEVEL is `v1`", "unset it"),
            (Some("V\n"), Some(Level::V3), "ROENTGEN_LEVEL is `V\\n`", "unset it"),
        ];
        for (forced, highest, cause, way_out) in cases {
            let error = choose(forced, cpu(highest)).expect_err("no level");
            assert!(
                error.starts_with(cause) && error.contains(way_out),
                "{forced:?} on {highest:?}: {error}"
            );
        }
    }

    #[test]
    fn a_level_lacks_what_the_levels_below_it_lack() {
        let n_missing = Level::ALL.map(|level| level.missing().len());
        assert!(n_missing.is_sorted(), "{n_missing:?}");
    }

    /// This machine as Linux describes it, in its own names of the instruction sets.
    #[test]
    fn levels_agree_with_the_flags_of_the_system() {
        let Ok(info) = std::fs::read_to_string("/proc/cpuinfo") else {
            println!("skipped: there is no /proc/cpuinfo");
            return;
        };
        let flags: Vec<&str> = info
            .lines()
            .find_map(|line| line.strip_prefix("flags"))
            .map_or_else(Vec::new, |line| line.split_whitespace().collect());
        let has = |names: &str| names.split(' ').all(|name| flags.contains(&name));
        let v2 = has("cx16 popcnt pni sse4_1 sse4_2 ssse3 lahf_lm");
        let v3 = v2 && has("avx avx2 bmi1 bmi2 f16c fma abm movbe xsave");
        let v4 = v3 && has("avx512f avx512bw avx512cd avx512dq avx512vl");
        assert_eq!(Level::ALL.map(|level| level.missing().is_empty()), [v2, v3, v4]);
    }
}
