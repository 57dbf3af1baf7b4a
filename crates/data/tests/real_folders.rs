//! Counts over the real folders that some workplaces have beside the repository.

use std::path::{Path, PathBuf};

use roentgen_data::{LoadOptions, PartOrigin, load_folder, silent};

/// `../shared/data/NAME` seen from the workspace, or a printed line if it is not there.
fn real_folder(name: &str) -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data").join(name);
    if !dir.is_dir() {
        println!("skipped: ../shared/data/{name} is not beside the workspace");
        return None;
    }
    Some(dir)
}

#[test]
fn covid3_is_grey_with_its_own_test_part() {
    let Some(dir) = real_folder("covid3") else { return };
    let data = load_folder(&dir, &LoadOptions::default(), &silent).unwrap();
    assert_eq!(data.class_names, ["Covid", "Normal", "Viral Pneumonia"]);
    assert_eq!(data.channels, 1);
    assert_eq!(data.train.len() + data.val.len(), 251);
    assert_eq!(data.val.class_counts(3), [11, 7, 7]);
    assert_eq!(data.test.len(), 66);
    assert_eq!((data.val_origin, data.test_origin), (PartOrigin::SplitOff, PartOrigin::Given));
    assert!(data.bad.is_empty(), "{:?}", data.bad);
}

#[test]
fn cxr3_is_grey_and_split() {
    let Some(dir) = real_folder("cxr3-train") else { return };
    let data = load_folder(&dir, &LoadOptions::default(), &silent).unwrap();
    assert_eq!(data.class_names, ["covid", "normal", "pneumonia"]);
    assert_eq!(data.channels, 1);
    assert_eq!(data.test.class_counts(3), [15, 113, 372]);
    assert_eq!(data.val.class_counts(3), [15, 113, 372]);
    assert_eq!(data.train.len(), 1134 + 3717 + 154 - 1000);
    assert!(data.bad.is_empty(), "{:?}", data.bad);
}
