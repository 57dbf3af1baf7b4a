//! The seeds of several trainings, such as `0..4`.

use std::fmt::{self, Display};
use std::str::FromStr;

/// Most seeds of one command.
const MAX_SEEDS: u64 = 1000;

/// Seeds from the first to the last, both included, as in the `{0..4}` of a shell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeedRange {
    first: u64,
    last: u64,
}

impl SeedRange {
    /// The values that are accepted, in words.
    pub(super) const EXPECTED: &'static str =
        "FIRST..LAST, both included, such as 0..4 for five seeds; at least 2 and at most 1000 seeds";

    /// All of them, in ascending order.
    pub fn seeds(self) -> impl Iterator<Item = u64> {
        self.first..=self.last
    }
}

impl FromStr for SeedRange {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (first, last) = text.split_once("..").ok_or(())?;
        // Config files have no larger integers, and each run has its seed in one.
        let seed =
            |text: &str| text.parse::<u64>().ok().filter(|&seed| i64::try_from(seed).is_ok()).ok_or(());
        let (first, last) = (seed(first)?, seed(last)?);
        let is_several = first < last && last - first < MAX_SEEDS;
        is_several.then_some(Self { first, last }).ok_or(())
    }
}

impl Display for SeedRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_included() {
        let range: SeedRange = "3..5".parse().expect("a range");
        assert_eq!(range.seeds().collect::<Vec<_>>(), [3, 4, 5]);
        assert_eq!(range.to_string(), "3..5");
        assert_eq!("0..999".parse().map(|range: SeedRange| range.seeds().count()), Ok(1000));
    }

    #[test]
    fn what_is_no_range_of_several_seeds_is_rejected() {
        let largest = format!("{}..{}", i64::MAX as u64, i64::MAX as u64 + 1);
        for text in
            ["", "5", "5..5", "5..3", "0..1000", "0...4", "0..=4", "-1..4", "a..b", "0..4..8", &largest]
        {
            assert!(text.parse::<SeedRange>().is_err(), "{text}");
        }
    }
}
