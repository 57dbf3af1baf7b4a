//! Folder layouts and the error of each way in which a folder can be unusable.

use std::fs;
use std::path::Path;

use image::{GrayImage, Luma, Rgb, RgbImage};
use roentgen_data::{
    Channels, DataError, Dataset, EvaluationData, EvaluationOrigin, LoadOptions, ModelInput, Stage,
    SubsetOrigin, load_dataset, load_for_model, silent,
};

/// A grey png or jpeg of 32 x 30 pixels of noise, another one for each name; its format after the ending of the name.
fn picture(root: &Path, name: &str) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let mut state =
        name.bytes().fold(1u32, |state, byte| state.wrapping_mul(31).wrapping_add(u32::from(byte)));
    let noise = |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        Luma([(state >> 24) as u8])
    };
    GrayImage::from_fn(32, 30, noise).save(path).unwrap();
}

fn pictures(root: &Path, folder: &str, count: usize) {
    for number in 0..count {
        picture(root, &format!("{folder}/{number:02}.png"));
    }
}

fn load(root: &Path) -> Result<Dataset, DataError> {
    load_dataset(root, &LoadOptions::default(), &silent)
}

fn names(set: &roentgen_data::ImageSet) -> Vec<&str> {
    (0..set.len()).map(|index| set.name(index)).collect()
}

#[test]
fn bare_class_folders_are_split_in_three() {
    let dir = tempfile::tempdir().unwrap();
    pictures(dir.path(), "b", 20);
    pictures(dir.path(), "a", 30);
    let data = load(dir.path()).unwrap();
    assert_eq!(data.class_names, ["a", "b"]);
    assert_eq!(data.test.class_counts(2), [3, 2]);
    assert_eq!(data.val.class_counts(2), [3, 2]);
    assert_eq!(data.train.class_counts(2), [24, 16]);
    assert_eq!((data.val_origin, data.test_origin), (SubsetOrigin::SplitOff, SubsetOrigin::SplitOff));
    let mut all = [names(&data.train), names(&data.val), names(&data.test)].concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 50, "no picture is in two parts");
}

#[test]
fn parts_are_matched_without_case() {
    let dir = tempfile::tempdir().unwrap();
    for (folder, count) in [
        ("Train/A", 3),
        ("Train/B", 2),
        ("VALIDATION/a", 2),
        ("VALIDATION/b", 1),
        ("test/A", 1),
        ("other/x", 1),
    ] {
        pictures(dir.path(), folder, count);
    }
    let data = load(dir.path()).unwrap();
    assert_eq!(data.class_names, ["A", "B"]);
    assert_eq!([&data.train, &data.val, &data.test].map(|set| set.class_counts(2)), [[3, 2], [2, 1], [1, 0]]);
    assert_eq!((data.val_origin, data.test_origin), (SubsetOrigin::Given, SubsetOrigin::Given));
    assert_eq!(names(&data.val), ["VALIDATION/a/00.png", "VALIDATION/a/01.png", "VALIDATION/b/00.png"]);
    assert_eq!(
        data.findings.notes,
        ["ignored beside the parts: other", "`test/` has no picture of class `B`"]
    );
}

#[test]
fn hidden_and_foreign_files_are_passed_by() {
    let dir = tempfile::tempdir().unwrap();
    pictures(dir.path(), "a", 3);
    pictures(dir.path(), "b", 3);
    pictures(dir.path(), ".cache", 3);
    pictures(dir.path(), "b/nested", 1);
    fs::write(dir.path().join("a/notes.txt"), "text").unwrap();
    fs::write(dir.path().join("a/.hidden.png"), "no picture").unwrap();
    let data = load(dir.path()).unwrap();
    assert_eq!(data.class_names, ["a", "b"]);
    assert_eq!(
        data.findings.notes,
        ["ignored 1 file: not png or jpeg by name", "did not look into 1 folder(s) inside class folders"]
    );
}

#[test]
fn classes_that_differ_in_case_alone_are_told() {
    let dir = tempfile::tempdir().unwrap();
    for class in ["Flu", "flu", "other"] {
        pictures(dir.path(), class, 4);
    }
    // Where the file system does not tell them apart, there is nothing to tell.
    if fs::read_dir(dir.path()).unwrap().count() == 3 {
        let notes = load(dir.path()).unwrap().findings.notes;
        assert!(
            notes[0].starts_with("classes that differ in upper and lower case alone: Flu and flu"),
            "{notes:?}"
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_no_utf_8_are_told_so() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let dir = tempfile::tempdir().unwrap();
    pictures(dir.path(), "a", 4);
    pictures(dir.path(), "b", 4);
    let film = fs::read(dir.path().join("a/00.png")).unwrap();
    fs::write(dir.path().join("a").join(OsStr::from_bytes(b"f\xfcr.png")), film).unwrap();
    let text = load(dir.path()).unwrap_err().to_string();
    assert!(text.contains("f\u{FFFD}r.png: its name is not UTF-8; rename it"), "{text}");
    fs::create_dir(dir.path().join(OsStr::from_bytes(b"caf\xe9"))).unwrap();
    let text = load(dir.path()).unwrap_err().to_string();
    assert!(text.contains("caf\u{FFFD} cannot be used: its name is not UTF-8; rename it"), "{text}");
}

#[test]
fn small_pictures_are_scaled_up_with_one_note() {
    let dir = tempfile::tempdir().unwrap();
    pictures(dir.path(), "a", 3);
    pictures(dir.path(), "b", 3);
    for name in ["a/s.png", "b/s.png"] {
        GrayImage::from_pixel(19, 22, Luma([7])).save(dir.path().join(name)).unwrap();
    }
    let data = load(dir.path()).unwrap();
    assert_eq!(data.findings.notes, ["2 of 8 pictures: smaller than the 24x24 crop and scaled up to it"]);
}

#[test]
fn of_tiny_pictures_only_exact_copies_are_copies() {
    let dir = tempfile::tempdir().unwrap();
    // A stroke, and the same with one pixel darker: as alike as an 8x8 digit is to another.
    let stroke = |dark: u8| {
        GrayImage::from_fn(8, 8, |x, y| {
            Luma([if x.abs_diff(y) > 1 { 0 } else { 255 - dark * u8::from(y == 3) }])
        })
    };
    for (name, dark) in [("a/0.png", 0), ("a/1.png", 40), ("a/2.png", 0), ("b/0.png", 80), ("b/1.png", 120)] {
        fs::create_dir_all(dir.path().join(name).parent().unwrap()).unwrap();
        stroke(dark).save(dir.path().join(name)).unwrap();
    }
    let findings = load(dir.path()).unwrap().findings;
    let groups: Vec<Vec<&str>> =
        findings.duplicates.iter().map(|group| group.iter().map(|place| &place.path[..]).collect()).collect();
    assert_eq!(groups, [["a/0.png", "a/2.png"]]);
    assert!(
        findings.notes.iter().any(|note| note.contains("5 of 5 pictures: under 16 pixels")),
        "{findings:?}"
    );
}

#[test]
fn colour_sets_get_three_channels_and_grey_ones_one() {
    let dir = tempfile::tempdir().unwrap();
    pictures(dir.path(), "a", 5);
    for number in 0..5 {
        fs::create_dir_all(dir.path().join("b")).unwrap();
        let path = dir.path().join(format!("b/{number}.jpg"));
        RgbImage::from_pixel(40, 40, Rgb([90, 90, 90])).save(path).unwrap();
    }
    assert_eq!(load(dir.path()).unwrap().channels, 1, "grey stored as RGB is grey");
    let forced = LoadOptions { channels: Channels::Rgb, ..LoadOptions::default() };
    let data = load_dataset(dir.path(), &forced, &silent).unwrap();
    assert_eq!((data.channels, data.train.image(0).pixels.len()), (3, 28 * 30 * 3));
    for number in 0..5 {
        let path = dir.path().join(format!("b/{number}.jpg"));
        RgbImage::from_pixel(40, 40, Rgb([200, 90, 20])).save(path).unwrap();
    }
    assert_eq!(load(dir.path()).unwrap().channels, 3);
}

#[test]
fn loading_is_the_same_with_one_thread_and_reports_every_file() {
    let dir = tempfile::tempdir().unwrap();
    pictures(dir.path(), "a", 20);
    pictures(dir.path(), "b", 20);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let seen = std::sync::Mutex::new(Vec::new());
    let record = |stage: Stage, done: usize, total: usize| {
        if stage == Stage::Decoding {
            assert_eq!(total, 40);
            seen.lock().unwrap().push(done);
        }
    };
    let one = pool.install(|| load_dataset(dir.path(), &LoadOptions::default(), &record)).unwrap();
    let many = load(dir.path()).unwrap();
    assert_eq!((one.train, one.val, one.test), (many.train, many.val, many.test));
    assert_eq!(seen.into_inner().unwrap(), (1..=40).collect::<Vec<_>>());
}

#[test]
fn bad_files_are_all_listed_or_all_left_out() {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["train/a", "train/b", "test/a", "test/b"] {
        pictures(dir.path(), folder, 4);
    }
    fs::write(dir.path().join("train/a/empty.png"), "").unwrap();
    fs::write(dir.path().join("train/b/text.jpg"), "no picture at all").unwrap();
    fs::write(dir.path().join("test/a/cut.png"), &fs::read(dir.path().join("test/a/00.png")).unwrap()[..60])
        .unwrap();
    let error = load(dir.path()).unwrap_err();
    let text = error.to_string();
    let DataError::BadFiles { files, total } = error else { panic!("{error}") };
    assert_eq!((files.len(), total), (3, 19));
    for expected in
        ["test/a/cut.png: truncated", "empty.png: empty file", "text.jpg: not a picture", "--skip-bad"]
    {
        assert!(text.contains(expected), "{text}");
    }
    let data =
        load_dataset(dir.path(), &LoadOptions { skip_bad: true, ..Default::default() }, &silent).unwrap();
    assert_eq!(data.findings.bad, files);
    assert_eq!((data.train.len() + data.val.len(), data.test.len()), (8, 8));
}

#[test]
fn each_unusable_folder_has_its_error() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let text = |folder: &str| load(&root.join(folder)).unwrap_err();

    assert!(matches!(text("missing"), DataError::NoSuchData { .. }));
    picture(root, "file.png");
    assert!(matches!(text("file.png"), DataError::UnknownFormat { .. }));

    picture(root, "flat/a.png");
    let error = text("flat");
    assert!(matches!(error, DataError::NoClassFolders { .. }));
    assert!(error.to_string().contains("found 1 file (1 of them png or jpeg)"), "{error}");

    pictures(root, "one/a", 2);
    assert!(matches!(text("one"), DataError::OneClass { class, .. } if class == "a"));

    pictures(root, "hollow/a", 2);
    fs::create_dir_all(root.join("hollow/b/inner")).unwrap();
    let error = text("hollow");
    assert!(matches!(&error, DataError::EmptyClass { class, .. } if class == "b"));
    assert!(error.to_string().contains("0 files (0 of them png or jpeg) and the folders inner"), "{error}");

    for folder in ["strange/train/a", "strange/train/b", "strange/test/c"] {
        pictures(root, folder, 2);
    }
    assert!(matches!(text("strange"), DataError::UnknownClass { class, .. } if class == "c"));

    pictures(root, "trainless/test/a", 2);
    pictures(root, "trainless/b", 2);
    assert!(matches!(text("trainless"), DataError::NoTrainSet { subset, .. } if subset == "test"));

    for folder in ["twice/train/a", "twice/val/a", "twice/valid/a"] {
        pictures(root, folder, 1);
    }
    assert!(matches!(text("twice"), DataError::DuplicateSubset { .. }));

    for folder in ["blank/train/a", "blank/train/b"] {
        pictures(root, folder, 2);
    }
    fs::create_dir_all(root.join("blank/test")).unwrap();
    assert!(matches!(text("blank"), DataError::NoClassFolders { path, .. } if path.ends_with("blank/test")));
}

#[test]
fn a_class_of_bad_files_alone_is_an_error_even_when_they_are_skipped() {
    let dir = tempfile::tempdir().unwrap();
    pictures(dir.path(), "a", 5);
    fs::create_dir(dir.path().join("b")).unwrap();
    fs::write(dir.path().join("b/x.png"), "").unwrap();
    let options = LoadOptions { skip_bad: true, ..Default::default() };
    let error = load_dataset(dir.path(), &options, &silent).unwrap_err();
    assert!(matches!(&error, DataError::EmptyClass { class, .. } if class == "b"));
    assert!(error.to_string().contains("b/x.png: "), "the bad file is named: {error}");
}

#[test]
fn options_out_of_range_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |options: LoadOptions| load_dataset(dir.path(), &options, &silent).unwrap_err();
    let base = LoadOptions::default();
    assert!(matches!(refused(LoadOptions { resize: 20, ..base.clone() }), DataError::ResizeBelowCrop { .. }));
    for options in [
        LoadOptions { crop: 7, ..base.clone() },
        LoadOptions { resize: 9000, ..base.clone() },
        LoadOptions { val_fraction: Some(0.6), ..base.clone() },
        LoadOptions { test_fraction: f64::NAN, ..base },
    ] {
        assert!(matches!(refused(options), DataError::OutOfRange { .. }));
    }
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_dangling_ones_are_bad_files() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    pictures(dir.path(), "data/a", 3);
    pictures(dir.path(), "elsewhere", 3);
    symlink(dir.path().join("elsewhere"), dir.path().join("data/b")).unwrap();
    // A loop: a class folder that holds a link to its own parent.
    symlink(dir.path().join("data"), dir.path().join("data/a/loop")).unwrap();
    symlink(dir.path().join("gone.png"), dir.path().join("data/a/gone.png")).unwrap();
    let error = load(&dir.path().join("data")).unwrap_err();
    let DataError::BadFiles { files, .. } = error else { panic!("{error}") };
    assert_eq!(files.len(), 1);
    assert!(files[0].reason.starts_with("cannot be read"), "{:?}", files[0]);
}

fn evaluate(
    root: &Path,
    trained_on: Option<&str>,
    options: &LoadOptions,
) -> Result<EvaluationData, DataError> {
    let class_names = ["a".to_owned(), "b".to_owned()];
    let input = ModelInput { class_names: &class_names, channels: 1, trained_on };
    load_for_model(root, &input, options, &silent)
}

#[test]
fn evaluation_takes_the_same_test_part_as_training() {
    let dir = tempfile::tempdir().unwrap();
    pictures(dir.path(), "a", 30);
    pictures(dir.path(), "b", 20);
    let options = LoadOptions { seed: 9, ..Default::default() };
    let trained = load_dataset(dir.path(), &options, &silent).unwrap();
    let own = evaluate(dir.path(), Some(&trained.fingerprint), &options).unwrap();
    assert_eq!((own.test_origin, &own.test), (EvaluationOrigin::SplitOff, &trained.test));
    assert_eq!(own.val.as_ref(), Some(&trained.val));
    let foreign = evaluate(dir.path(), Some("another"), &options).unwrap();
    assert_eq!((foreign.test_origin, foreign.test.len()), (EvaluationOrigin::Everything, 50));
    assert!(foreign.val.is_none());
}

#[test]
fn evaluation_takes_given_parts_and_knows_its_classes() {
    let dir = tempfile::tempdir().unwrap();
    pictures(dir.path(), "train/a", 3);
    pictures(dir.path(), "train/b", 3);
    assert!(matches!(evaluate(dir.path(), None, &LoadOptions::default()), Err(DataError::NoTestSet { .. })));
    pictures(dir.path(), "test/B", 2);
    // The training part is never decoded: a bad file there does not matter.
    fs::write(dir.path().join("train/a/bad.png"), "").unwrap();
    let data = evaluate(dir.path(), None, &LoadOptions::default()).unwrap();
    assert_eq!((data.test_origin, data.test.labels()), (EvaluationOrigin::Given, &[1, 1][..]));
    assert!(data.val.is_none());
    pictures(dir.path(), "test/c", 1);
    assert!(matches!(
        evaluate(dir.path(), None, &LoadOptions::default()),
        Err(DataError::UnknownClass { class, .. }) if class == "c"
    ));
}

#[test]
fn a_test_folder_of_its_own_takes_the_place_of_the_given_one() {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["data/train/a", "data/train/b", "data/test/a", "data/test/b", "extra/a", "extra/b"] {
        pictures(dir.path(), folder, 4);
    }
    pictures(dir.path(), "extra/b", 6);
    let options = LoadOptions { test_dir: Some(dir.path().join("extra")), ..Default::default() };
    let data = load_dataset(&dir.path().join("data"), &options, &silent).unwrap();
    assert_eq!(data.test.class_counts(2), [4, 6]);
    assert_eq!(data.test_origin, SubsetOrigin::Given);
    assert!(
        data.findings.notes.iter().any(|note| note.starts_with("tested on")),
        "{:?}",
        data.findings.notes
    );
}
