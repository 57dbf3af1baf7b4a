//! The three sets of a data set, as requests and folders name them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which of them an image belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Part {
    #[default]
    Train,
    Val,
    Test,
}

impl Part {
    pub(super) const ALL: [Self; 3] = [Self::Train, Self::Val, Self::Test];

    pub(super) fn folder(self) -> &'static str {
        match self {
            Self::Train => "train",
            Self::Val => "val",
            Self::Test => "test",
        }
    }
}
