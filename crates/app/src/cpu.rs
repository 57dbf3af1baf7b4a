//! Whether this CPU has the instruction sets that the program was built for.
//!
//! The program is built for the CPU of the build machine (`target-cpu=native`). On an older one it would crash with an
//! illegal instruction, so `main` checks here first. `is_x86_feature_detected!` is no help: for a feature that the build
//! already assumes it is the constant `true`. The CPU is asked with `cpuid` instead, and for the wide
//! registers also whether the operating system saves them.
//!
//! The code that runs before this check must run on any CPU. So nothing here shifts by a variable or touches a
//! float (compilers have newer instructions for both), `main` calls the rest of the program through a function
//! that is not inlined, and the release profile leaves out link-time optimisation, which would compile the
//! standard library's start-up code anew for the native CPU. `qemu-x86_64 -cpu Nehalem target/release/roentgen`
//! shows whether it holds.

/// The instruction sets that the program was built for and this machine lacks; empty if there are none.
#[cfg(target_arch = "x86_64")]
#[must_use]
pub fn missing_features() -> Vec<&'static str> {
    let registers = Registers::read();
    FEATURES.iter().filter(|feature| feature.built_for && !registers.have(feature)).map(|f| f.name).collect()
}

/// Other architectures are built for their baseline.
#[cfg(not(target_arch = "x86_64"))]
#[must_use]
pub fn missing_features() -> Vec<&'static str> {
    Vec::new()
}

/// The name of the processor if the system reports it, otherwise its architecture. In virtual machines, processors of several
/// generations have one name, such as `AMD EPYC`; family and model tell them apart.
#[must_use]
pub(crate) fn name() -> String {
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    name_in(&info).unwrap_or_else(|| std::env::consts::ARCH.to_owned())
}

/// The name of the first processor of a `/proc/cpuinfo`.
fn name_in(info: &str) -> Option<String> {
    let value = |field: &str| {
        let mut lines = info.lines().filter_map(|line| line.split_once(':'));
        lines.find_map(|(name, value)| (name.trim_end() == field).then(|| value.trim()))
    };
    let name = value("model name")?;
    Some(match value("cpu family").zip(value("model")) {
        Some((family, model)) => format!("{name} (family {family}, model {model})"),
        None => name.to_owned(),
    })
}

/// The vector registers that the program was built for.
#[must_use]
pub(crate) fn vector_width() -> &'static str {
    if cfg!(target_feature = "avx512f") {
        "AVX-512, 16 floats wide"
    } else if cfg!(target_feature = "avx2") {
        "AVX2, 8 floats wide"
    } else if cfg!(target_feature = "neon") {
        "NEON, 4 floats wide"
    } else {
        "4 floats wide"
    }
}

/// What the program was built for: a level of x86-64 (System V ABI for AMD64, section 3.1.1), one kind of CPU, or another
/// architecture.
#[must_use]
pub(crate) fn build_target() -> &'static str {
    const V2: bool = cfg!(all(
        target_feature = "cmpxchg16b",
        target_feature = "popcnt",
        target_feature = "sse3",
        target_feature = "sse4.1",
        target_feature = "sse4.2",
        target_feature = "ssse3"
    ));
    const V3: bool = cfg!(all(
        target_feature = "avx2",
        target_feature = "bmi1",
        target_feature = "bmi2",
        target_feature = "f16c",
        target_feature = "fma",
        target_feature = "lzcnt",
        target_feature = "movbe"
    ));
    const V4: bool = cfg!(all(
        target_feature = "avx512bw",
        target_feature = "avx512cd",
        target_feature = "avx512dq",
        target_feature = "avx512f",
        target_feature = "avx512vl"
    ));
    // No level has these, and CPUs since 2010 do.
    const ONE_KIND: bool = cfg!(any(target_feature = "aes", target_feature = "pclmulqdq"));
    match (cfg!(target_arch = "x86_64"), V2, V3, V4) {
        (false, ..) => std::env::consts::ARCH,
        _ if ONE_KIND => "native",
        (_, true, true, true) => "x86-64-v4",
        (_, true, true, false) => "x86-64-v3",
        (_, true, false, _) => "x86-64-v2",
        _ => "x86-64",
    }
}

#[cfg(target_arch = "x86_64")]
use x86_64::{FEATURES, Registers};

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::x86_64::{__cpuid, __cpuid_count};

    /// The word of `cpuid` that contains the bit of a feature.
    #[derive(Clone, Copy)]
    enum Word {
        Leaf1Ecx,
        Leaf7Ebx,
        Leaf7Ecx,
        Leaf7Edx,
        Leaf7Sub1Eax,
        ExtendedEcx,
    }
    use Word::{ExtendedEcx, Leaf1Ecx, Leaf7Ebx, Leaf7Ecx, Leaf7Edx, Leaf7Sub1Eax};

    /// Registers that the operating system must save for a feature to be usable.
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        Baseline,
        Avx,
        Avx512,
    }
    use State::{Avx, Avx512, Baseline};

    /// One instruction set.
    pub(super) struct Feature {
        pub(super) name: &'static str,
        pub(super) built_for: bool,
        word: Word,
        mask: u32,
        state: State,
    }

    /// An entry of the table below.
    macro_rules! feature {
        ($name:tt, $word:expr, $bit:expr, $state:expr) => {
            Feature {
                name: $name,
                built_for: cfg!(target_feature = $name),
                word: $word,
                mask: 1 << $bit,
                state: $state,
            }
        };
    }

    /// The instruction sets that compilers use when they build for the native CPU (Intel SDM, volume 2A,
    /// table 3-8; AMD APM, volume 3, appendix E).
    pub(super) const FEATURES: &[Feature] = &[
        feature!("sse3", Leaf1Ecx, 0, Baseline),
        feature!("pclmulqdq", Leaf1Ecx, 1, Baseline),
        feature!("ssse3", Leaf1Ecx, 9, Baseline),
        feature!("fma", Leaf1Ecx, 12, Avx),
        feature!("sse4.1", Leaf1Ecx, 19, Baseline),
        feature!("sse4.2", Leaf1Ecx, 20, Baseline),
        feature!("movbe", Leaf1Ecx, 22, Baseline),
        feature!("popcnt", Leaf1Ecx, 23, Baseline),
        feature!("aes", Leaf1Ecx, 25, Baseline),
        feature!("avx", Leaf1Ecx, 28, Avx),
        feature!("f16c", Leaf1Ecx, 29, Avx),
        feature!("lzcnt", ExtendedEcx, 5, Baseline),
        feature!("sse4a", ExtendedEcx, 6, Baseline),
        feature!("bmi1", Leaf7Ebx, 3, Baseline),
        feature!("avx2", Leaf7Ebx, 5, Avx),
        feature!("bmi2", Leaf7Ebx, 8, Baseline),
        feature!("adx", Leaf7Ebx, 19, Baseline),
        feature!("avx512f", Leaf7Ebx, 16, Avx512),
        feature!("avx512dq", Leaf7Ebx, 17, Avx512),
        feature!("avx512ifma", Leaf7Ebx, 21, Avx512),
        feature!("avx512cd", Leaf7Ebx, 28, Avx512),
        feature!("avx512bw", Leaf7Ebx, 30, Avx512),
        feature!("avx512vl", Leaf7Ebx, 31, Avx512),
        feature!("avx512vbmi", Leaf7Ecx, 1, Avx512),
        feature!("avx512vbmi2", Leaf7Ecx, 6, Avx512),
        feature!("gfni", Leaf7Ecx, 8, Baseline),
        feature!("vaes", Leaf7Ecx, 9, Avx),
        feature!("vpclmulqdq", Leaf7Ecx, 10, Avx),
        feature!("avx512vnni", Leaf7Ecx, 11, Avx512),
        feature!("avx512bitalg", Leaf7Ecx, 12, Avx512),
        feature!("avx512vpopcntdq", Leaf7Ecx, 14, Avx512),
        feature!("avx512fp16", Leaf7Edx, 23, Avx512),
        feature!("avxvnni", Leaf7Sub1Eax, 4, Avx),
        feature!("avx512bf16", Leaf7Sub1Eax, 5, Avx512),
    ];

    /// The words of `cpuid` on this machine.
    pub(super) struct Registers {
        leaf_1_ecx: u32,
        leaf_7_ebx: u32,
        leaf_7_ecx: u32,
        leaf_7_edx: u32,
        leaf_7_sub_1_eax: u32,
        extended_ecx: u32,
        /// Bytes that the operating system saves at a switch of threads.
        saved_bytes: u32,
        /// Bytes up to the end of the upper halves of the AVX registers, and of the AVX-512 ones.
        avx_end: u32,
        avx512_end: u32,
    }

    impl Registers {
        pub(super) fn read() -> Self {
            let has_leaf = |leaf: u32| __cpuid(leaf & 0x8000_0000).eax >= leaf;
            let leaf_1_ecx = __cpuid(1).ecx;
            let mut registers = Self {
                leaf_1_ecx,
                leaf_7_ebx: 0,
                leaf_7_ecx: 0,
                leaf_7_edx: 0,
                leaf_7_sub_1_eax: 0,
                extended_ecx: 0,
                saved_bytes: 0,
                avx_end: 0,
                avx512_end: 0,
            };
            if has_leaf(7) {
                let leaf = __cpuid_count(7, 0);
                (registers.leaf_7_ebx, registers.leaf_7_ecx) = (leaf.ebx, leaf.ecx);
                registers.leaf_7_edx = leaf.edx;
                if leaf.eax >= 1 {
                    registers.leaf_7_sub_1_eax = __cpuid_count(7, 1).eax;
                }
            }
            if has_leaf(0x8000_0001) {
                registers.extended_ecx = __cpuid(0x8000_0001).ecx;
            }
            // XGETBV would report this directly but needs unsafe code. Leaf 13 reports it too: the number of bytes that
            // the operating system saves, and where each kind of register ends (2: AVX, 7: AVX-512). That number does not
            // name the kinds: a system that saves protection keys, which lie beyond AVX-512, but not AVX-512 (Linux started
            // with `clearcpuid=avx512f`) seems to save both. Virtual machines without AVX-512 hide it in leaf 7 as well.
            let os_saves = leaf_1_ecx & (1 << 27) != 0;
            if os_saves && has_leaf(13) {
                let end_of = |kind| {
                    let leaf = __cpuid_count(13, kind);
                    leaf.eax + leaf.ebx
                };
                registers.saved_bytes = __cpuid_count(13, 0).ebx;
                registers.avx_end = end_of(2);
                registers.avx512_end = end_of(7);
            }
            registers
        }

        /// Whether both the CPU and the operating system have a feature.
        pub(super) fn have(&self, feature: &Feature) -> bool {
            let word = match feature.word {
                Leaf1Ecx => self.leaf_1_ecx,
                Leaf7Ebx => self.leaf_7_ebx,
                Leaf7Ecx => self.leaf_7_ecx,
                Leaf7Edx => self.leaf_7_edx,
                Leaf7Sub1Eax => self.leaf_7_sub_1_eax,
                ExtendedEcx => self.extended_ecx,
            };
            let saved = match feature.state {
                Baseline => true,
                Avx => self.avx_end > 0 && self.saved_bytes >= self.avx_end,
                Avx512 => self.avx512_end > 0 && self.saved_bytes >= self.avx512_end,
            };
            word & feature.mask != 0 && saved
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_target_of_the_build_agrees_with_its_vectors() {
        let target = super::build_target();
        let (has_avx2, has_avx512) = (cfg!(target_feature = "avx2"), cfg!(target_feature = "avx512f"));
        let (has_aes, has_pclmulqdq) = (cfg!(target_feature = "aes"), cfg!(target_feature = "pclmulqdq"));
        match target {
            "x86-64-v4" => assert!(has_avx512),
            "x86-64-v3" => assert!(has_avx2 && !has_avx512),
            "x86-64-v2" | "x86-64" => assert!(!has_avx2),
            "native" => assert!(has_aes || has_pclmulqdq),
            other => assert_eq!(other, std::env::consts::ARCH),
        }
    }

    #[test]
    fn processors_of_one_name_differ_in_family_and_model() {
        let info = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 26\nmodel\t\t: 2\nmodel name\t: AMD EPYC\n";
        let later =
            "stepping\t: 1\n\nprocessor\t: 1\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n";
        assert_eq!(super::name_in(&[info, later].concat()).as_deref(), Some("AMD EPYC (family 26, model 2)"));
        assert_eq!(super::name_in("model name\t: ARMv8\n").as_deref(), Some("ARMv8"));
        assert_eq!(super::name_in(""), None);
    }

    #[test]
    fn the_machine_that_built_the_tests_can_run_them() {
        assert_eq!(super::missing_features(), Vec::<&str>::new());
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn cpuid_agrees_with_the_standard_library() {
        use super::x86_64::{FEATURES, Registers};
        let registers = Registers::read();
        let found = |name| FEATURES.iter().any(|feature| feature.name == name && registers.have(feature));
        assert_eq!(found("avx2"), std::is_x86_feature_detected!("avx2"));
        assert_eq!(found("avx512f"), std::is_x86_feature_detected!("avx512f"));
        assert_eq!(found("fma"), std::is_x86_feature_detected!("fma"));
        assert_eq!(found("avxvnni"), std::is_x86_feature_detected!("avxvnni"));
        assert_eq!(found("sse4a"), std::is_x86_feature_detected!("sse4a"));
        assert_eq!(found("avx512fp16"), std::is_x86_feature_detected!("avx512fp16"));
    }
}
