//! Which folders are classes, and classes without an image.

use std::fs;

use crate::images::save_images;
use roentgen_data::{DataError, LoadOptions, ModelInput, find_files, load_dataset, load_for_model, silent};

#[test]
fn a_folder_of_masks_beside_class_folders_is_no_class_unless_it_is_named() {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["train/normal", "train/covid", "train/masks", "test/covid", "test/Lung Masks"] {
        save_images(dir.path(), folder, 4);
    }
    let load = |folder: &str, classes: &str| {
        let options = LoadOptions { classes: classes.parse().unwrap(), ..LoadOptions::default() };
        load_dataset(&dir.path().join(folder), &options, &silent).unwrap()
    };
    let data = load("", "");
    assert_eq!(data.class_names, ["covid", "normal"]);
    assert_eq!((data.train.len() + data.val.len(), data.test.len()), (8, 4));
    let note = "left out 8 files in folders of masks, such as masks; if it is a class, add --classes \"masks=masks\"";
    assert!(data.findings.notes.iter().any(|found| found == note), "{:?}", data.findings.notes);
    assert_eq!(load("train", "masks=masks").class_names, ["covid", "masks", "normal"]);

    let n_evaluated = |folder: &str, class_names: &[String]| {
        let input = ModelInput { class_names, trained_on: None };
        let options = LoadOptions::default();
        load_for_model(&dir.path().join(folder), &input, &options, &silent).unwrap().test.len()
    };
    assert_eq!(n_evaluated("train", &data.class_names), 8);
    assert_eq!(n_evaluated("train", &["covid", "masks", "normal"].map(str::to_owned)), 12);
    for folder in ["above/only/covid", "above/only/masks"] {
        save_images(dir.path(), folder, 4);
    }
    assert_eq!(n_evaluated("above", &data.class_names), 4);

    save_images(dir.path(), "two/covid", 4);
    save_images(dir.path(), "two/mask", 4);
    assert_eq!(load("two", "").class_names, ["covid", "mask"]);
}

#[test]
fn an_empty_class_is_reported_with_the_folders_that_are_joined_in_it() {
    let dir = tempfile::tempdir().unwrap();
    save_images(dir.path(), "Normal", 4);
    fs::create_dir(dir.path().join("Viral")).unwrap();
    fs::create_dir_all(dir.path().join("Bacterial/masks")).unwrap();
    let error = |classes: &str| {
        let options = LoadOptions { classes: classes.parse().unwrap(), ..LoadOptions::default() };
        load_dataset(dir.path(), &options, &silent).unwrap_err()
    };
    let joined = error("pneumonia=Viral+Bacterial");
    assert!(matches!(&joined, DataError::EmptyClass { class, .. } if class == "pneumonia"), "{joined}");
    let expected =
        "`Bacterial` has 0 files (0 of them images) and the folders masks, `Viral` has 0 files (0 of";
    assert!(joined.to_string().contains(expected), "{joined}");
    let renamed = error("viral=Viral,bacterial pneumonia=Bacterial");
    assert!(
        matches!(&renamed, DataError::EmptyClass { path, .. } if path.ends_with("Bacterial")),
        "{renamed}"
    );
}

#[test]
fn a_folder_that_is_not_there_has_no_wrong_permissions() {
    let dir = tempfile::tempdir().unwrap();
    let text = find_files(&dir.path().join("missing")).unwrap_err().to_string();
    assert!(text.contains("check its path") && !text.contains("permissions"), "{text}");
}
