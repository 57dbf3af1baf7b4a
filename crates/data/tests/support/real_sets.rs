//! The real data that some workplaces have beside the repository, loaded once for all tests.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use roentgen_data::{Dataset, LoadOptions, load_dataset, silent};

static COVID3: LazyLock<Option<Dataset>> = LazyLock::new(|| loaded("covid3"));
static CXR3_TRAIN: LazyLock<Option<Dataset>> = LazyLock::new(|| loaded("cxr3-train"));

/// `../shared/data/NAME` seen from the workspace, or a printed line if it is not there.
pub(crate) fn real_data(name: &str) -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if !dir.exists() {
        println!("skipped: ../shared/data/{name} is not beside the workspace");
        return None;
    }
    Some(dir)
}

/// 317 films of three classes, with a test set of their own.
pub(crate) fn covid3() -> Option<&'static Dataset> {
    COVID3.as_ref()
}

/// 5,005 films of three classes, from two hospitals.
pub(crate) fn cxr3_train() -> Option<&'static Dataset> {
    CXR3_TRAIN.as_ref()
}

fn loaded(name: &str) -> Option<Dataset> {
    Some(load_dataset(&real_data(name)?, &LoadOptions::default(), &silent).unwrap())
}
