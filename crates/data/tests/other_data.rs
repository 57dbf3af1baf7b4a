//! Two data sets that meet: a model's training data and what it is evaluated on, and a separate test set.

use std::fs;
use std::path::Path;

use crate::images::{save_image, save_images};
use roentgen_data::{
    DataError, Dataset, EvaluationData, EvaluationOrigin, Fold, LoadOptions, ModelInput, PatientPattern,
    TrainingData, load_dataset, load_for_model, silent,
};

/// The names of the files in a folder.
fn names_in(folder: &Path) -> Vec<String> {
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}
fn evaluate(
    root: &Path,
    trained: Option<&Dataset>,
    options: &LoadOptions,
) -> Result<EvaluationData, DataError> {
    let class_names = ["a".to_owned(), "b".to_owned()];
    let sets = trained.map(|data| [&data.train, &data.val]).into_iter().flatten();
    let mut digests: Vec<u64> =
        sets.flat_map(|set| (0..set.len()).map(|index| set.image_digest(index))).collect();
    digests.sort_unstable();
    let trained_on = trained.map(|data| TrainingData { fingerprint: &data.fingerprint, digests: &digests });
    let input = ModelInput { class_names: &class_names, trained_on };
    load_for_model(root, &input, options, &silent)
}

#[test]
fn evaluation_uses_the_same_test_set_as_training() {
    let dir = tempfile::tempdir().unwrap();
    save_images(dir.path(), "a", 30);
    save_images(dir.path(), "b", 20);
    let options = LoadOptions { seed: 9, ..Default::default() };
    let trained = load_dataset(dir.path(), &options, &silent).unwrap();
    let own = evaluate(dir.path(), Some(&trained), &options).unwrap();
    assert_eq!((own.test_origin, &own.test), (EvaluationOrigin::SplitOff, &trained.test));
    assert_eq!(own.val.as_ref(), Some(&trained.val));
    let other_seed = load_dataset(dir.path(), &LoadOptions { seed: 1, ..options.clone() }, &silent).unwrap();
    assert_eq!(other_seed.fingerprint, trained.fingerprint, "the same images, split in another way");
    let foreign = evaluate(dir.path(), None, &options).unwrap();
    assert_eq!((foreign.test_origin, foreign.test.len()), (EvaluationOrigin::Everything, 50));
    assert!(foreign.val.is_none());
}

#[test]
fn training_data_are_recognised_by_their_pixels_and_not_by_file_names() {
    let dir = tempfile::tempdir().unwrap();
    save_images(dir.path(), "here/a", 30);
    save_images(dir.path(), "here/b", 20);
    let options = LoadOptions { seed: 9, ..Default::default() };
    let trained = load_dataset(&dir.path().join("here"), &options, &silent).unwrap();
    // Other images under the same names.
    for class in ["a", "b"] {
        for file in names_in(&dir.path().join("here").join(class)) {
            save_image(&dir.path().join("there"), &format!("{class}/{file}"));
        }
    }
    let other = evaluate(&dir.path().join("there"), Some(&trained), &options).unwrap();
    assert_eq!((other.test_origin, other.test.len()), (EvaluationOrigin::Everything, 50));
    // The same images under other names.
    for class in ["a", "b"] {
        let copies = dir.path().join("copies").join(class);
        fs::create_dir_all(&copies).unwrap();
        for file in names_in(&dir.path().join("here").join(class)) {
            fs::copy(dir.path().join("here").join(class).join(&file), copies.join(format!("x{file}")))
                .unwrap();
        }
    }
    let own = evaluate(&dir.path().join("copies"), Some(&trained), &options).unwrap();
    assert_eq!((own.test_origin, own.test.len()), (EvaluationOrigin::SplitOff, trained.test.len()));
    assert_eq!(own.test.image_digest(0), trained.test.image_digest(0));
    // Training data with a new image are other data: the caller leaves out what the model was trained on.
    save_image(dir.path(), "copies/a/new.png");
    let more = evaluate(&dir.path().join("copies"), Some(&trained), &options).unwrap();
    assert_eq!((more.test_origin, more.test.len()), (EvaluationOrigin::Everything, 51));
}

#[test]
fn training_data_are_recognised_among_many_files_that_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    save_images(dir.path(), "a", 65);
    save_images(dir.path(), "b", 65);
    // Every third of 130 files, which were looked at first.
    for number in (0..130).step_by(3) {
        let (class, number) = if number < 65 { ("a", number) } else { ("b", number - 65) };
        fs::write(dir.path().join(format!("{class}/{number:02}.png")), "no image").unwrap();
    }
    let options = LoadOptions { skip_bad: true, ..Default::default() };
    let trained = load_dataset(dir.path(), &options, &silent).unwrap();
    let own = evaluate(dir.path(), Some(&trained), &options).unwrap();
    assert_eq!((own.test_origin, &own.test), (EvaluationOrigin::SplitOff, &trained.test));
}

#[test]
fn the_model_of_a_fold_is_evaluated_on_the_test_set_of_other_data() {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["own/a", "own/b"] {
        save_images(dir.path(), folder, 12);
    }
    for folder in ["other/train/a", "other/train/b", "other/test/a", "other/test/b"] {
        save_images(dir.path(), folder, 3);
    }
    let pattern = Some(PatientPattern::new("patient([0-9]+)").unwrap());
    let fold = Some(Fold { index: 1, of: 3 });
    let options = LoadOptions { fold, patient_pattern: pattern, ..Default::default() };
    let found = evaluate(&dir.path().join("other"), None, &options).unwrap();
    assert_eq!((found.test_origin, found.test.len()), (EvaluationOrigin::Given, 6));
    let options = LoadOptions { fold, ..Default::default() };
    let trained = load_dataset(&dir.path().join("own"), &options, &silent).unwrap();
    let own = evaluate(&dir.path().join("own"), Some(&trained), &options).unwrap();
    assert_eq!((own.test_origin, &own.test), (EvaluationOrigin::SplitOff, &trained.test));
}

#[test]
fn a_pattern_for_patients_need_not_match_names_of_other_data() {
    let dir = tempfile::tempdir().unwrap();
    let (own, other) = (dir.path().join("own"), dir.path().join("other"));
    let options = LoadOptions {
        patient_pattern: Some(PatientPattern::new("^([0-9]+)").unwrap()),
        ..Default::default()
    };
    for class in ["a", "b"] {
        save_images(&own, class, 20);
        fs::create_dir_all(other.join(class)).unwrap();
        for file in names_in(&own.join(class)) {
            fs::copy(own.join(class).join(&file), other.join(class).join(format!("x{file}"))).unwrap();
        }
    }
    // Images of the training set, and no name that matches.
    let trained = load_dataset(&own, &options, &silent).unwrap();
    let found = evaluate(&other, Some(&trained), &options).unwrap();
    assert_eq!((found.test_origin, found.test.len()), (EvaluationOrigin::Everything, 40));
    assert_eq!(found.findings.patients, None);
    // Names that match in a set only that is not used.
    save_images(&dir.path().join("sets/train"), "a", 3);
    save_image(dir.path(), "sets/test/a/x.png");
    let found = evaluate(&dir.path().join("sets"), None, &options).unwrap();
    assert_eq!((found.test_origin, found.test.len()), (EvaluationOrigin::Given, 1));
}

#[test]
fn training_data_without_a_test_set_are_evaluated_as_a_whole() {
    let dir = tempfile::tempdir().unwrap();
    save_images(dir.path(), "a", 12);
    save_images(dir.path(), "b", 12);
    let options = LoadOptions { test_fraction: 0.0, ..Default::default() };
    let trained = load_dataset(dir.path(), &options, &silent).unwrap();
    assert!(trained.test.is_empty());
    let own = evaluate(dir.path(), Some(&trained), &options).unwrap();
    assert_eq!((own.test_origin, own.test.len()), (EvaluationOrigin::Everything, 24));
}

#[test]
fn evaluation_uses_given_sets_and_the_classes_of_the_model() {
    let dir = tempfile::tempdir().unwrap();
    save_images(dir.path(), "train/a", 3);
    save_images(dir.path(), "train/b", 3);
    assert!(matches!(evaluate(dir.path(), None, &LoadOptions::default()), Err(DataError::NoTestSet { .. })));
    save_images(dir.path(), "test/B", 2);
    // The training set is never decoded: a bad file there does not matter.
    fs::write(dir.path().join("train/a/bad.png"), "").unwrap();
    let data = evaluate(dir.path(), None, &LoadOptions::default()).unwrap();
    assert_eq!((data.test_origin, data.test.labels()), (EvaluationOrigin::Given, &[1, 1][..]));
    assert!(data.val.is_none());
    save_images(dir.path(), "test/c", 1);
    assert!(matches!(
        evaluate(dir.path(), None, &LoadOptions::default()),
        Err(DataError::UnknownClass { class, .. }) if class == "c"
    ));
}

#[test]
fn names_of_other_data_that_are_joined_have_a_note() {
    let dir = tempfile::tempdir().unwrap();
    for class in ["a ", "a", "B"] {
        save_images(dir.path(), class, 3);
    }
    let data = evaluate(dir.path(), None, &LoadOptions::default()).unwrap();
    assert_eq!(data.test.len(), 9);
    let note = "class names that look alike are one class: `a` and `a `, `b` and `B`; if they are different";
    assert!(data.findings.notes[0].starts_with(note), "{:?}", data.findings.notes);
}

#[test]
fn data_to_test_on_without_an_image_are_an_error() {
    let dir = tempfile::tempdir().unwrap();
    save_images(dir.path(), "data/a", 12);
    save_images(dir.path(), "data/b", 12);
    let empty = dir.path().join("empty");
    fs::create_dir_all(empty.join("a")).unwrap();
    fs::create_dir_all(empty.join("b")).unwrap();
    let options = LoadOptions { test_dir: Some(empty.clone()), ..Default::default() };
    let error = load_dataset(&dir.path().join("data"), &options, &silent).unwrap_err();
    assert!(matches!(&error, DataError::NoTestImages { path } if *path == empty), "{error}");
    assert!(error.to_string().contains("images in its class folders, or lines of a table"), "{error}");
    let error = evaluate(&empty, None, &LoadOptions::default()).unwrap_err();
    assert!(matches!(&error, DataError::NoTestImages { path } if *path == empty), "{error}");

    // Images of which none can be used are not a test set either.
    fs::write(empty.join("a/bad.png"), "").unwrap();
    let options = LoadOptions { skip_bad: true, ..options };
    let error = load_dataset(&dir.path().join("data"), &options, &silent).unwrap_err();
    assert!(error.to_string().contains("the test set has no usable image"), "{error}");
}

/// Kermany's names, with the patient in them.
const PATIENTS: [&str; 3] = ["person1_virus_1", "person1_virus_2", "person2_virus_3"];

#[test]
fn patients_of_file_names_in_a_separate_test_set_are_a_note_and_no_leakage() {
    let dir = tempfile::tempdir().unwrap();
    save_images(dir.path(), "data/a", 20);
    save_images(dir.path(), "data/b", 20);
    save_images(dir.path(), "data/test-of-its-own/a", 3);
    let data = dir.path().join("data");
    let extra = dir.path().join("extra");
    fs::rename(data.join("test-of-its-own"), &extra).unwrap();
    for (number, name) in PATIENTS.iter().enumerate() {
        let file = format!("{number:02}.png");
        fs::rename(data.join("b").join(&file), data.join(format!("b/{name}.png"))).unwrap();
        fs::rename(extra.join("a").join(&file), extra.join(format!("a/{name}.png"))).unwrap();
    }
    let options = LoadOptions { test_dir: Some(extra.clone()), ..Default::default() };
    let load = |options: &LoadOptions| load_dataset(&data, options, &silent).unwrap();
    let guessed = load(&options);
    let patients = guessed.findings.patients.unwrap();
    assert_eq!((patients.n, patients.crossing), (4, vec![]), "two in each data set");
    assert_eq!(patients.n_matching_guesses, 2);
    assert_eq!(guessed.findings.is_leaked_test, [false; 3]);
    let note =
        "2 patients, from file names like person1000_virus_1681, have the same name in the separate test set";
    assert!(
        guessed.findings.notes.iter().any(|found| found.starts_with(note)),
        "{:?}",
        guessed.findings.notes
    );

    // The user's own pattern is certain, and so are images that are alike.
    let pattern = Some(PatientPattern::new("^(person[0-9]+_virus)").unwrap());
    let given = load(&LoadOptions { patient_pattern: pattern, ..options.clone() });
    let patients = given.findings.patients.unwrap();
    assert_eq!((patients.n, patients.crossing.len(), patients.n_matching_guesses), (2, 2, 0));
    assert_eq!(given.findings.is_leaked_test, [true; 3]);
    fs::copy(data.join("b/person2_virus_3.png"), extra.join("a/person2_virus_3.png")).unwrap();
    assert_eq!(load(&options).findings.is_leaked_test, [false, false, true]);
}

#[test]
fn patients_of_file_names_within_one_data_set_are_leakage() {
    let dir = tempfile::tempdir().unwrap();
    save_images(dir.path(), "train/a", 6);
    save_images(dir.path(), "train/b", 6);
    save_images(dir.path(), "test/b", 2);
    fs::rename(dir.path().join("train/b/00.png"), dir.path().join("train/b/person1_virus_1.png")).unwrap();
    fs::rename(dir.path().join("test/b/00.png"), dir.path().join("test/b/person1_virus_2.png")).unwrap();
    // The same number of the other kind is another patient.
    fs::rename(dir.path().join("test/b/01.png"), dir.path().join("test/b/person1_bacteria_3.png")).unwrap();
    let data = load_dataset(dir.path(), &LoadOptions::default(), &silent).unwrap();
    assert_eq!(data.findings.patients.unwrap().crossing, ["person1_virus"]);
    assert_eq!(data.findings.is_leaked_test, [false, true], "sorted by name");
}
