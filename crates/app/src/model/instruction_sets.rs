//! The arithmetic that the weights of a model were computed with.
//!
//! Builds without fused multiply-adds round more often, which a training amplifies: their weights differ.

use std::fmt;

use roentgen_tensor::lanes::INSTRUCTION_SET;
use serde::{Deserialize, Serialize};

/// Whether a build for other arithmetic may continue a run, which leads to other weights.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum OtherCpu {
    #[default]
    Reject,
    Allow,
}

impl OtherCpu {
    /// That of the flag `--other-cpu`.
    #[must_use]
    pub(crate) fn of_flag(is_given: bool) -> Self {
        if is_given { Self::Allow } else { Self::Reject }
    }
}

/// Names of instruction sets, in the order of their use; without any, nothing was computed yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
#[serde(try_from = "Vec<String>")]
pub(crate) struct InstructionSets(Vec<String>);

impl InstructionSets {
    /// Names in a file; a run is hardly ever moved from one kind of CPU to another.
    const MAX_NAMES: usize = 64;
    /// Bytes of a name.
    const MAX_NAME_LEN: usize = 64;

    /// Those of this build.
    #[must_use]
    pub(crate) fn of_this_build() -> Self {
        Self(vec![INSTRUCTION_SET.to_owned()])
    }

    /// Whether the last ones are those of this build.
    #[must_use]
    pub(crate) fn end_with_this_build(&self) -> bool {
        self.0.last().is_some_and(|last| last == INSTRUCTION_SET)
    }

    /// From here on, the weights are computed by this build.
    pub(crate) fn go_on_with_this_build(&mut self) {
        if !self.end_with_this_build() {
            self.0.push(INSTRUCTION_SET.to_owned());
        }
    }

    /// Fails where this build would continue a run to other weights than those of the run, unless it may.
    ///
    /// # Errors
    /// The text is for the user.
    pub(crate) fn check_this_build(&self, other_cpu: OtherCpu) -> Result<(), String> {
        if other_cpu == OtherCpu::Allow || self.end_with_this_build() {
            return Ok(());
        }
        Err(format!(
            "it was computed with {self}, and this build uses {INSTRUCTION_SET}, whose rounding would lead to other weights; \
             resume on a CPU like the first one, or add --other-cpu to go on with this one"
        ))
    }
}

/// Rejects what this program does not write.
impl TryFrom<Vec<String>> for InstructionSets {
    type Error = String;

    fn try_from(names: Vec<String>) -> Result<Self, String> {
        let fits = (1..=Self::MAX_NAMES).contains(&names.len())
            && names.iter().all(|name| name.len() <= Self::MAX_NAME_LEN);
        if fits {
            Ok(Self(names))
        } else {
            Err("it names no or too many instruction sets, or one with a long name".to_owned())
        }
    }
}

impl fmt::Display for InstructionSets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(", then "))
    }
}
