//! Folder layouts and the error of each way in which a folder can be unusable.

use std::fs;
use std::path::Path;

use crate::images::{save_image, save_images};
use image::{GrayImage, Luma, Rgb, RgbImage};
use roentgen_data::{Channels, DataError, Dataset, LoadOptions, Stage, SubsetOrigin, load_dataset, silent};

fn load(root: &Path) -> Result<Dataset, DataError> {
    load_dataset(root, &LoadOptions::default(), &silent)
}

fn names(set: &roentgen_data::ImageSet) -> Vec<&str> {
    (0..set.len()).map(|index| set.name(index)).collect()
}

#[test]
fn bare_class_folders_are_split_in_three() {
    let dir = tempfile::tempdir().unwrap();
    save_images(dir.path(), "b", 20);
    save_images(dir.path(), "a", 30);
    let data = load(dir.path()).unwrap();
    assert_eq!(data.class_names, ["a", "b"]);
    assert_eq!(data.test.class_counts(2), [3, 2]);
    assert_eq!(data.val.class_counts(2), [3, 2]);
    assert_eq!(data.train.class_counts(2), [24, 16]);
    assert_eq!((data.val_origin, data.test_origin), (SubsetOrigin::SplitOff, SubsetOrigin::SplitOff));
    let mut all = [names(&data.train), names(&data.val), names(&data.test)].concat();
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 50, "no image is in two sets");
}

#[test]
fn a_class_folder_with_a_blank_name_is_rejected() {
    for blank in [" ", "\u{3000}"] {
        let dir = tempfile::tempdir().unwrap();
        save_images(dir.path(), "a", 3);
        save_images(dir.path(), blank, 3);
        let text = load(dir.path()).expect_err("a model file has no such class").to_string();
        assert!(text.contains("the name of a class is blank") && text.contains("rename it"), "{text}");
    }
}

#[test]
fn the_file_of_an_image_is_found_also_by_its_pseudonym() {
    let dir = tempfile::tempdir().unwrap();
    save_images(dir.path(), "only/train/a", 3);
    save_images(dir.path(), "only/train/b/nested", 3);
    for number in 0..3 {
        let png = dir.path().join(format!("only/train/a/{number:02}.png"));
        fs::rename(&png, png.with_extension("JFIF")).unwrap();
    }
    let mut data = load(dir.path()).unwrap();
    let files =
        |data: &Dataset| (0..data.train.len()).map(|i| data.train.file(i).unwrap()).collect::<Vec<_>>();
    let before = files(&data);
    assert!(before.iter().all(|file| file.is_file() && file.starts_with(dir.path())), "{before:?}");
    data.pseudonymise();
    assert!(names(&data.train).iter().all(|name| name.starts_with("image ")));
    assert!(names(&data.train).iter().any(|name| name.ends_with(".jfif")));
    assert_eq!(files(&data), before);
}

#[test]
fn set_names_are_compared_as_class_names() {
    let dir = tempfile::tempdir().unwrap();
    for (folder, count) in [
        ("Train/A", 3),
        ("Train/B", 2),
        (" VALIDATION/a", 2),
        (" VALIDATION/b", 1),
        ("test/A", 1),
        ("other/x", 1),
    ] {
        save_images(dir.path(), folder, count);
    }
    let data = load(dir.path()).unwrap();
    assert_eq!(data.class_names, ["A", "B"]);
    assert_eq!([&data.train, &data.val, &data.test].map(|set| set.class_counts(2)), [[3, 2], [2, 1], [1, 0]]);
    assert_eq!((data.val_origin, data.test_origin), (SubsetOrigin::Given, SubsetOrigin::Given));
    assert_eq!(names(&data.val), [" VALIDATION/a/00.png", " VALIDATION/a/01.png", " VALIDATION/b/00.png"]);
    let [ignored, alike] = &data.findings.notes[..] else { panic!("{:?}", data.findings.notes) };
    assert_eq!(ignored, "ignored folders beside the sets: other");
    assert!(
        alike.starts_with("class names that look alike are one class: `A` and `a`, `B` and `b`;"),
        "{alike}"
    );
}

#[test]
fn hidden_and_other_files_are_ignored() {
    let dir = tempfile::tempdir().unwrap();
    save_images(dir.path(), "a", 3);
    save_images(dir.path(), "b", 3);
    save_images(dir.path(), ".cache", 3);
    save_images(dir.path(), "b/nested", 1);
    fs::write(dir.path().join("a/notes.txt"), "text").unwrap();
    fs::write(dir.path().join("a/.hidden.png"), "no image").unwrap();
    let data = load(dir.path()).unwrap();
    assert_eq!(data.class_names, ["a", "b"]);
    assert_eq!(data.findings.notes, ["ignored 1 file that is not an image"]);
    assert_eq!(
        data.train.len() + data.val.len() + data.test.len(),
        7,
        "a folder inside a class is of the class"
    );
}

#[test]
fn class_folders_whose_names_look_alike_are_one_class() {
    let dir = tempfile::tempdir().unwrap();
    for class in ["neumon\u{ED}a", "neumoni\u{301}a", "viral flu", "Viral_flu", "other"] {
        save_images(dir.path(), class, 4);
    }
    // A file system that ignores Unicode forms has fewer folders.
    if fs::read_dir(dir.path()).unwrap().count() == 5 {
        let data = load(dir.path()).unwrap();
        assert_eq!(data.class_names, ["Viral_flu", "neumon\u{ED}a", "other"]);
        assert_eq!(data.train.len() + data.val.len() + data.test.len(), 20);
        assert!(
            data.findings.notes[0]
                .contains("are one class: `Viral_flu` and `viral flu`, `neumon\\u{ed}a` and"),
            "{:?}",
            data.findings.notes
        );
    }
}

#[cfg(target_os = "linux")]
#[test]
fn names_that_are_not_utf_8_are_errors() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;
    let dir = tempfile::tempdir().unwrap();
    save_images(dir.path(), "a", 4);
    save_images(dir.path(), "b", 4);
    let film = fs::read(dir.path().join("a/00.png")).unwrap();
    fs::write(dir.path().join("a").join(OsStr::from_bytes(b"f\xfcr.png")), film).unwrap();
    let text = load(dir.path()).unwrap_err().to_string();
    assert!(text.contains("f\u{FFFD}r.png: its name is not UTF-8; rename it"), "{text}");
    fs::create_dir(dir.path().join(OsStr::from_bytes(b"caf\xe9"))).unwrap();
    let text = load(dir.path()).unwrap_err().to_string();
    assert!(text.contains("caf\u{FFFD} cannot be used: its name is not UTF-8; rename it"), "{text}");
}

#[test]
fn folders_inside_class_folders_are_patients_or_hold_images_and_masks() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for (class, patients) in [("a", ["p1", "p2", "p3"]), ("b", ["p3", "p4", "p5"])] {
        patients
            .iter()
            .for_each(|patient| save_images(root, &format!("patients/{class}/{patient}/study"), 2));
    }
    let data = load(&root.join("patients")).unwrap();
    assert_eq!((data.train.len() + data.val.len() + data.test.len(), data.class_names.len()), (12, 2));
    let patients = data.findings.patients.expect("folders are patients");
    assert_eq!(
        (patients.n, patients.source.to_string().as_str()),
        (5, "the folders inside the class folders")
    );
    assert!(patients.crossing.is_empty());

    for folder in ["a/images", "a/masks", "b/images", "b/Masks", "b/__MACOSX", "__MACOSX/a", "@eaDir"] {
        save_images(root, &format!("masks/{folder}"), 5);
    }
    let data = load(&root.join("masks")).unwrap();
    assert_eq!(
        (data.train.len() + data.val.len() + data.test.len(), &data.class_names[..]),
        (10, &["a".to_owned(), "b".to_owned()][..])
    );
    assert!(data.findings.patients.is_none());
    assert_eq!(data.findings.notes.last().unwrap(), "left out 10 files in folders of masks");

    for folder in ["a/one", "a/two", "b/one"] {
        save_images(root, &format!("batches/{folder}"), 60);
    }
    let data = load(&root.join("batches")).unwrap();
    assert!(data.findings.patients.is_none(), "{:?}", data.findings.patients);
    assert!(data.findings.notes.iter().any(|note| note.contains("have 60 images on average")));
}

#[test]
fn sets_are_found_one_level_down_and_other_layouts_have_a_message() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    for set in ["Training", "Testing"] {
        ["a", "b"].iter().for_each(|class| save_images(root, &format!("high/up/scans/{set}/{class}"), 3));
    }
    let data = load(&root.join("high")).unwrap();
    assert_eq!((data.train.len() + data.val.len(), data.test.len()), (6, 6));
    assert_eq!(data.test.name(0), "up/scans/Testing/a/00.png");
    assert_eq!(data.findings.notes[0], "read the data in up/scans");

    // Images beside class folders have no class.
    save_images(root, "high/up/scans/Training", 2);
    save_images(root, "high/up/scans", 1);
    let notes = load(&root.join("high")).unwrap().findings.notes;
    let expected = "left out 3 image(s) beside the class folders, such as up/scans/Training/00.png";
    assert!(notes.iter().any(|note| note.starts_with(expected)), "{notes:?}");

    let error = |folders: &[&str]| {
        let dir = tempfile::tempdir().unwrap();
        folders.iter().for_each(|folder| save_images(dir.path(), folder, 2));
        fs::create_dir_all(dir.path().join("val/b")).unwrap();
        if !folders[0].starts_with("train") {
            fs::remove_dir_all(dir.path().join("val")).unwrap();
        }
        load(dir.path()).unwrap_err().to_string().replace(&dir.path().display().to_string(), "DIR")
    };
    for (folders, expected) in [
        (
            &["only/a", "only/b"][..],
            "it has the folders a, b; if these are the classes, use DIR/only; if they are patients",
        ),
        (&["images", "masks"], "DIR cannot be used: its folders images, masks are not classes"),
        (
            &["a/train", "b/train"],
            "DIR/a/train cannot be used: it is a set inside the class `a`; move its images to train/a",
        ),
        (
            &["train/a", "train/b"],
            "DIR/val cannot be used: it is the val set, but its class folders b have no image",
        ),
    ] {
        let found = error(folders);
        assert!(found.contains(expected), "{found}");
    }
}

#[test]
fn parts_that_each_have_all_classes_are_not_classes() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path();
    let saved = |name: &str, parts: [&str; 2], inner: [&str; 2]| {
        for part in parts {
            inner.iter().for_each(|inner| save_images(root, &format!("{name}/{part}/{inner}"), 3));
        }
        root.join(name)
    };
    for (name, parts, inner) in [
        ("folds", ["fold1", "fold2"], ["normal", "pneumonia"]),
        ("patients", ["P1", "P2"], ["covid19", "normal"]),
        ("in sets/train", ["siteA", "siteB"], ["normal", "pneumonia"]),
    ] {
        let path = saved(name, parts, inner);
        let error = load(&path).unwrap_err().to_string();
        let [first, second] = parts;
        let (shown, inner) = (path.display(), inner.join(", "));
        for expected in [
            format!(
                "{shown} cannot be used: each of its folders {first}, {second} has the same folders {inner}"
            ),
            format!("use {shown}/{first}, or"),
            format!("add --classes \"{first}={first}\""),
        ] {
            assert!(error.contains(&expected), "{error}");
        }
        assert!(load(&path.join(first)).is_ok(), "what the message says");
        let classes = format!("{first}={first}").parse().unwrap();
        let options = LoadOptions { classes, ..Default::default() };
        assert_eq!(load_dataset(&path, &options, &silent).unwrap().class_names, parts);
    }
    // Patients with numbers, a class with an image beside its folders, and other folders in each class.
    let classes = ["normal", "pneumonia"];
    assert!(load(&saved("numbered", classes, ["p1", "p2"])).is_ok());
    for another in ["beside/pneumonia/x.png", "other/normal/Cleo/x.png"] {
        let path = saved(&another[..another.find('/').unwrap()], classes, ["Ann", "Bob"]);
        save_image(root, another);
        assert!(load(&path).is_ok());
    }
}

#[test]
fn small_images_are_scaled_up_with_one_note() {
    let dir = tempfile::tempdir().unwrap();
    save_images(dir.path(), "a", 3);
    save_images(dir.path(), "b", 3);
    for name in ["a/s.png", "b/s.png"] {
        GrayImage::from_pixel(19, 22, Luma([7])).save(dir.path().join(name)).unwrap();
    }
    let data = load(dir.path()).unwrap();
    assert_eq!(
        data.findings.notes,
        ["2 of 8 images are smaller than the 24x24 crop and are scaled up to it"]
    );
}

#[test]
fn of_tiny_images_only_exact_duplicates_are_found() {
    let dir = tempfile::tempdir().unwrap();
    // A stroke, and the same with one pixel darker: as similar as two 8x8 digits.
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
    let groups: Vec<Vec<&str>> = findings
        .duplicates
        .iter()
        .map(|group| group.iter().map(|location| &location.path[..]).collect())
        .collect();
    assert_eq!(groups, [["a/0.png", "a/2.png"]]);
    assert!(
        findings.notes.iter().any(|note| note.contains("5 of 5 images are under 16 pixels")),
        "{findings:?}"
    );
}

#[test]
fn colour_sets_get_three_channels_and_grey_ones_one() {
    let dir = tempfile::tempdir().unwrap();
    save_images(dir.path(), "a", 5);
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
    save_images(dir.path(), "a", 20);
    save_images(dir.path(), "b", 20);
    let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let reported = std::sync::Mutex::new(Vec::new());
    let record = |stage: Stage, done: usize, total: usize| {
        if stage == Stage::Decoding {
            assert_eq!(total, 40);
            reported.lock().unwrap().push(done);
        }
    };
    let one = pool.install(|| load_dataset(dir.path(), &LoadOptions::default(), &record)).unwrap();
    let many = load(dir.path()).unwrap();
    assert_eq!((one.train, one.val, one.test), (many.train, many.val, many.test));
    assert_eq!(reported.into_inner().unwrap(), (1..=40).collect::<Vec<_>>());
}

#[test]
fn bad_files_are_all_listed_or_all_ignored() {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["train/a", "train/b", "test/a", "test/b"] {
        save_images(dir.path(), folder, 4);
    }
    fs::write(dir.path().join("train/a/empty.png"), "").unwrap();
    fs::write(dir.path().join("train/b/text.jpg"), "no image at all").unwrap();
    fs::write(dir.path().join("test/a/cut.png"), &fs::read(dir.path().join("test/a/00.png")).unwrap()[..60])
        .unwrap();
    let error = load(dir.path()).unwrap_err();
    let text = error.to_string();
    let DataError::BadFiles { files, total } = error else { panic!("{error}") };
    assert_eq!((files.len(), total), (3, 19));
    for expected in
        ["test/a/cut.png: truncated", "empty.png: empty file", "text.jpg: not an image", "--skip-bad"]
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
    save_image(root, "file.png");
    let unknown = text("file.png");
    assert!(matches!(&unknown, DataError::UnknownFormat { .. }));
    // The app shortens lines of more than 290 characters.
    assert!(unknown.to_string().lines().skip(1).all(|line| line.chars().count() < 290), "{unknown}");

    save_image(root, "flat/a.png");
    let error = text("flat");
    assert!(matches!(error, DataError::NoClassFolders { .. }));
    assert!(error.to_string().contains("found 1 file (1 of them images)"), "{error}");

    save_images(root, "one/a", 2);
    assert!(matches!(text("one"), DataError::OneClass { class, .. } if class == "a"));

    save_images(root, "hollow/a", 2);
    fs::create_dir_all(root.join("hollow/b/inner")).unwrap();
    let error = text("hollow");
    assert!(matches!(&error, DataError::EmptyClass { class, .. } if class == "b"));
    assert!(error.to_string().contains("0 files (0 of them images) and the folders inner"), "{error}");

    for folder in ["other/train/a", "other/train/b", "other/test/c"] {
        save_images(root, folder, 2);
    }
    let unknown = text("other");
    assert!(matches!(&unknown, DataError::UnknownClass { class, .. } if class == "c"));
    assert!(unknown.to_string().ends_with("such as with --classes \"b=c\""), "{unknown}");

    save_images(root, "trainless/test/a", 2);
    save_images(root, "trainless/b", 2);
    assert!(matches!(text("trainless"), DataError::NoTrainSet { subset, .. } if subset == "test"));

    for folder in ["twice/train/a", "twice/val/a", "twice/valid/a"] {
        save_images(root, folder, 1);
    }
    assert!(matches!(text("twice"), DataError::DuplicateSubset { .. }));

    for folder in ["blank/train/a", "blank/train/b"] {
        save_images(root, folder, 2);
    }
    fs::create_dir_all(root.join("blank/test")).unwrap();
    assert!(matches!(text("blank"), DataError::NoClassFolders { path, .. } if path.ends_with("blank/test")));
}

#[test]
fn a_class_of_bad_files_alone_is_an_error_even_when_they_are_skipped() {
    let dir = tempfile::tempdir().unwrap();
    save_images(dir.path(), "a", 5);
    fs::create_dir(dir.path().join("b")).unwrap();
    fs::write(dir.path().join("b/x.png"), "").unwrap();
    let options = LoadOptions { skip_bad: true, ..Default::default() };
    let error = load_dataset(dir.path(), &options, &silent).unwrap_err();
    assert!(matches!(&error, DataError::EmptyClass { class, .. } if class == "b"));
    assert!(error.to_string().contains("b/x.png: "), "the bad file is named: {error}");
}

#[test]
fn options_out_of_range_are_rejected() {
    let dir = tempfile::tempdir().unwrap();
    let error = |options: LoadOptions| load_dataset(dir.path(), &options, &silent).unwrap_err();
    let base = LoadOptions::default();
    assert!(matches!(error(LoadOptions { resize: 20, ..base.clone() }), DataError::ResizeBelowCrop { .. }));
    for options in [
        LoadOptions { crop: 7, ..base.clone() },
        LoadOptions { resize: 9000, ..base.clone() },
        LoadOptions { val_fraction: Some(0.6), ..base.clone() },
        LoadOptions { test_fraction: f64::NAN, ..base },
    ] {
        assert!(matches!(error(options), DataError::OutOfRange { .. }));
    }
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_dangling_ones_are_bad_files() {
    use std::os::unix::fs::symlink;
    let dir = tempfile::tempdir().unwrap();
    save_images(dir.path(), "data/a", 3);
    save_images(dir.path(), "elsewhere", 3);
    symlink(dir.path().join("elsewhere"), dir.path().join("data/b")).unwrap();
    // A loop: a class folder that holds a link to its own parent.
    symlink(dir.path().join("data"), dir.path().join("data/a/loop")).unwrap();
    // Another folder of the data is followed, one outside of them is not.
    save_images(dir.path(), "data/a/more", 2);
    symlink(dir.path().join("data/a/more"), dir.path().join("data/b/more")).unwrap();
    symlink(dir.path().join("elsewhere"), dir.path().join("data/a/outside")).unwrap();
    let data = load(&dir.path().join("data")).unwrap();
    assert_eq!(data.train.len() + data.val.len() + data.test.len(), 3 + 2 + 3 + 2);
    let notes = data.findings.notes;
    assert!(
        notes.iter().any(|note| note.starts_with("left out 1 link(s) inside class folders")),
        "{notes:?}"
    );
    symlink(dir.path().join("gone.png"), dir.path().join("data/a/gone.png")).unwrap();
    let error = load(&dir.path().join("data")).unwrap_err();
    let DataError::BadFiles { files, .. } = error else { panic!("{error}") };
    assert_eq!(files.len(), 1);
    assert!(files[0].reason.starts_with("cannot be read"), "{:?}", files[0]);
}

#[test]
fn a_separate_test_folder_replaces_the_given_test_set() {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["data/train/a", "data/train/b", "data/test/a", "data/test/b", "extra/a", "extra/b"] {
        save_images(dir.path(), folder, 4);
    }
    save_images(dir.path(), "extra/b", 6);
    let options = LoadOptions { test_dir: Some(dir.path().join("extra")), ..Default::default() };
    let data = load_dataset(&dir.path().join("data"), &options, &silent).unwrap();
    assert_eq!(data.test.class_counts(2), [4, 6]);
    assert_eq!(data.test_origin, SubsetOrigin::Given);
    let notes = &data.findings.notes;
    assert!(notes.iter().any(|note| note.starts_with("tested on")), "{notes:?}");
}
