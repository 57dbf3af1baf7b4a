//! Training, validation and test set: the three subsets of a data set.

use std::fmt;

/// One of the three sets that the images of a data set are divided into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Subset {
    /// The model learns from these images.
    Train,
    /// The best epoch, the temperature and the thresholds are chosen on these.
    Val,
    /// The final figures are measured on these, once.
    Test,
}

impl Subset {
    /// All three, in order.
    pub const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    /// Its name in a text, as in "training set".
    #[must_use]
    pub fn in_words(self) -> &'static str {
        match self {
            Self::Train => "training",
            Self::Val => "validation",
            Self::Test => "test",
        }
    }

    /// The name of its folder.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }
}

impl fmt::Display for Subset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
