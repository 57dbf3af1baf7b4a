//! DICOM films are trained on and predicted like their PNG twins, and nothing of their headers is written anywhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::tags;
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use serde_json::Value;

use crate::program::{roentgen, text};

const CR: &str = "1.2.840.10008.5.1.4.1.1.1";
/// Parts of every text, UID and date of the files, which nothing may repeat.
const MARKERS: [&str; 3] = ["MARKER", "1.2.840.99999.7", "19991231"];

/// A film of 12 bits with markers in its texts; every second one is stored as MONOCHROME1.
fn write_dicom(film: &image::GrayImage, number: usize, class: &str, view: &str, path: &Path) {
    let mut object = InMemDicomObject::new_empty();
    let mut put = |tag, vr, value: PrimitiveValue| drop(object.put(DataElement::new(tag, vr, value)));
    for (tag, vr) in [
        (tags::PATIENT_NAME, VR::PN),
        (tags::ACCESSION_NUMBER, VR::SH),
        (tags::STUDY_ID, VR::SH),
        (tags::STATION_NAME, VR::SH),
        (tags::INSTITUTION_NAME, VR::LO),
        (tags::INSTITUTION_ADDRESS, VR::ST),
        (tags::REFERRING_PHYSICIAN_NAME, VR::PN),
        (tags::STUDY_DESCRIPTION, VR::LO),
        (tags::SERIES_DESCRIPTION, VR::LO),
        (tags::MANUFACTURER, VR::LO),
        (tags::MANUFACTURER_MODEL_NAME, VR::LO),
        (tags::DEVICE_SERIAL_NUMBER, VR::LO),
        (tags::PATIENT_COMMENTS, VR::LT),
        (tags::IMAGE_COMMENTS, VR::LT),
        (tags::PROTOCOL_NAME, VR::LO),
        (tags::OPERATORS_NAME, VR::PN),
        (tags::BODY_PART_EXAMINED, VR::CS),
        (tags::ISSUER_OF_PATIENT_ID, VR::LO),
    ] {
        put(tag, vr, "MARKER".into());
    }
    put(tags::VIEW_POSITION, VR::CS, view.into());
    // Two films of each patient.
    put(tags::PATIENT_ID, VR::LO, format!("MARKER {class} {}", number / 2).into());
    for tag in [tags::SOP_INSTANCE_UID, tags::STUDY_INSTANCE_UID, tags::SERIES_INSTANCE_UID] {
        put(tag, VR::UI, format!("1.2.840.99999.7.{number}").into());
    }
    for tag in [tags::STUDY_DATE, tags::PATIENT_BIRTH_DATE, tags::ACQUISITION_DATE] {
        put(tag, VR::DA, "19991231".into());
    }
    let is_monochrome1 = number % 2 == 1;
    put(tags::SOP_CLASS_UID, VR::UI, CR.into());
    put(tags::MODALITY, VR::CS, "CR".into());
    put(tags::ROWS, VR::US, (film.height() as u16).into());
    put(tags::COLUMNS, VR::US, (film.width() as u16).into());
    put(tags::SAMPLES_PER_PIXEL, VR::US, 1u16.into());
    put(tags::BITS_ALLOCATED, VR::US, 16u16.into());
    put(tags::BITS_STORED, VR::US, 12u16.into());
    put(tags::HIGH_BIT, VR::US, 11u16.into());
    put(tags::PIXEL_REPRESENTATION, VR::US, 0u16.into());
    let photometric = if is_monochrome1 { "MONOCHROME1" } else { "MONOCHROME2" };
    put(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, photometric.into());
    put(tags::WINDOW_CENTER, VR::DS, "2048".into());
    put(tags::WINDOW_WIDTH, VR::DS, "4096".into());
    let sample = |&grey: &u8| {
        let value = ((u32::from(grey) * 4095 + 127) / 255) as u16;
        if is_monochrome1 { 4095 - value } else { value }
    };
    put(tags::PIXEL_DATA, VR::OW, PrimitiveValue::U16(film.as_raw().iter().map(sample).collect()));
    let meta = FileMetaTableBuilder::new()
        .transfer_syntax("1.2.840.10008.1.2.1")
        .media_storage_sop_class_uid(CR)
        .media_storage_sop_instance_uid(format!("1.2.840.99999.7.{number}"))
        .build()
        .unwrap();
    object.with_exact_meta(meta).write_to_file(path).unwrap();
}

/// A small film, dark or light by its `shade`.
fn textured(number: usize, shade: u32) -> image::GrayImage {
    image::GrayImage::from_fn(32, 30, |x, y| {
        image::Luma([(shade * (20 + (x * 7 + y * 11 + number as u32 * 5) % 23)) as u8])
    })
}

/// Every file below a folder.
fn files_below(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

fn assert_no_marker(bytes: &[u8], what: &str) {
    for marker in MARKERS {
        let holds = bytes.windows(marker.len()).any(|window| window == marker.as_bytes());
        assert!(!holds, "{what} has {marker}");
    }
}

#[test]
fn dicom_films_are_used_like_their_twins_and_leave_no_identifier() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let data = ["data", "phantom", "--films", "80", "--quiet", "--out", "films"];
    assert!(roentgen(&data, folder).status.success());
    let mut patients = BTreeSet::new();
    for (number, path) in files_below(&folder.join("films/train")).into_iter().enumerate() {
        let class = path.parent().unwrap().file_name().unwrap().to_string_lossy().into_owned();
        patients.insert((class.clone(), number / 2));
        // As a PACS exports them: without an extension.
        let twin = folder.join("dicom").join(&class).join(path.file_stem().unwrap());
        fs::create_dir_all(twin.parent().unwrap()).unwrap();
        write_dicom(&image::open(&path).unwrap().to_luma8(), number, &class, "MARKER", &twin);
    }
    fs::write(folder.join("dicom/covid/notes"), "a text that is no image").unwrap();

    let train = ["train", "dicom", "--epochs", "2", "--width", "8", "--out", "run"];
    let mut runs = vec![
        roentgen(&train, folder),
        roentgen(&["inspect", "dicom"], folder),
        roentgen(&["audit", "dicom", "--epochs", "1"], folder),
    ];
    // `predict` would list it as a file without a prediction.
    fs::remove_file(folder.join("dicom/covid/notes")).unwrap();
    runs.extend([
        roentgen(&["predict", "run", "dicom", "--json"], folder),
        roentgen(&["evaluate", "run", "dicom"], folder),
        roentgen(&["describe", "run"], folder),
    ]);
    for (run, output) in runs.iter().enumerate() {
        assert!(output.status.success(), "{run}: {}", text(&output.stderr));
        assert_no_marker(&output.stdout, "the standard output");
        assert_no_marker(&output.stderr, "the standard error");
    }
    let left = files_below(&folder.join("run"));
    assert!(left.len() > 5);
    left.iter().for_each(|path| assert_no_marker(&fs::read(path).unwrap(), &path.display().to_string()));
    let said = text(&runs[0].stdout) + &text(&runs[0].stderr);
    let expected = format!("{}, from the headers of the DICOM files", patients.len());
    assert!(said.contains(&expected), "{expected}: {said}");

    let of = |images: &str| -> Vec<Value> {
        let output = roentgen(&["predict", "run", images, "--json"], folder);
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let (dicom, png) = (of("dicom"), of("films/train"));
    assert_eq!((dicom.len(), png.len()), (80, 80));
    for (a, b) in dicom.iter().zip(&png) {
        assert_eq!(a["class"], b["class"], "{a} {b}");
    }
    // `evaluate` does not recognise the twins (docs/dicom.md); this does.
    let found = roentgen(&["inspect", "dicom", "--test", "films/train", "--json"], folder);
    let found: Value = serde_json::from_slice(&found.stdout).unwrap();
    let leaked = found["leakage"].as_array().unwrap().iter().map(|pair| pair["path"].to_string());
    assert_eq!(leaked.collect::<BTreeSet<String>>().len(), 80);
}

#[test]
fn views_are_chosen_for_training_and_for_predictions() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    for (class, shade) in [("dark", 1), ("light", 5)] {
        fs::create_dir_all(folder.join("dicom").join(class)).unwrap();
        for number in 0..24 {
            let view = ["PA", "AP", "LL", ""][number % 4];
            let path = folder.join(format!("dicom/{class}/{number:02}"));
            write_dicom(&textured(number, shade), number, class, view, &path);
        }
    }
    let train = ["train", "dicom", "--epochs", "1", "--width", "8", "--view", "PA,AP", "--out", "run"];
    let output = roentgen(&train, folder);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
    let said: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for note in [
        "left out 12 file(s): the view is lateral",
        "left out 12 file(s): the view is another one or unknown",
    ] {
        assert!(said.contains(note), "{said}");
    }
    assert!(!said.contains("--view is not used"), "{said}");
    // The model knows its views, so it recognises its data again.
    let output = roentgen(&["evaluate", "run", "dicom"], folder);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = roentgen(&["predict", "run", "dicom/dark/00", "dicom/dark/02", "--json"], folder);
    assert!(!output.status.success() && text(&output.stdout).contains("the view is lateral"));
    // With a cache the same is left out, and the same is found.
    let inspect = |args: &[&str]| -> Value {
        let args = [&["inspect", "dicom", "--view", "PA,AP", "--json"], args].concat();
        let mut found: Value = serde_json::from_slice(&roentgen(&args, folder).stdout).unwrap();
        // The time is measured, and images in a file take less memory.
        for key in ["train_seconds", "train_memory_bytes"] {
            assert!(found.as_object_mut().unwrap().remove(key).is_some());
        }
        found
    };
    let expected = inspect(&[]);
    for _ in 0..2 {
        assert_eq!(inspect(&["--cache", "cache"]), expected);
    }
    // The view as headers name it.
    let output = roentgen(&["inspect", "dicom", "--view", "LL", "--json"], folder);
    assert!(text(&output.stdout).contains("left out 12 file(s): the view is PA"), "{}", text(&output.stderr));
    let output = roentgen(&["inspect", "dicom", "--view", "frontal"], folder);
    assert!(text(&output.stderr).contains("PA, AP, lateral"), "{}", text(&output.stderr));
    // A set or a class of other views: the error names one of its own files, and the view.
    let fails_by_view = |args: &[&str], expected: &[&str]| {
        let args = [&["inspect", "dicom", "--view", "PA"], args].concat();
        let output = roentgen(&args, folder);
        let said: String = text(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(
            !output.status.success() && said.contains("the view is AP, which --view leaves out"),
            "{said}"
        );
        assert!(expected.iter().all(|words| said.contains(words)), "{said}");
    };
    fs::write(folder.join("dicom/dark/bad.png"), "no image").unwrap();
    for class in ["test/dark", "dicom/third"] {
        fs::create_dir_all(folder.join(class)).unwrap();
        write_dicom(&textured(90, 3), 90, "some", "AP", &folder.join(class).join("90"));
    }
    fails_by_view(&[], &["class `third` has no training image", "dicom/third/90: the view"]);
    fs::remove_dir_all(folder.join("dicom/third")).unwrap();
    fails_by_view(&["--test", "test"], &["the test set has no usable image", "test/dark/90: the view"]);
}

#[test]
fn a_table_names_films_by_their_headers_and_repeats_no_identifier() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    fs::create_dir_all(folder.join("archive/deep")).unwrap();
    for number in 0..26 {
        let film = textured(number, [1, 5][number % 2]);
        write_dicom(&film, number, "some", "PA", &folder.join(format!("archive/deep/{number:02}")));
    }
    // A film is behind a link to a hidden folder; another link leads out.
    #[cfg(unix)]
    {
        fs::create_dir(folder.join("archive/.store")).unwrap();
        fs::rename(folder.join("archive/deep/00"), folder.join("archive/.store/00")).unwrap();
        std::os::unix::fs::symlink("../.store/00", folder.join("archive/deep/00")).unwrap();
        std::os::unix::fs::symlink(folder, folder.join("archive/deep/outside")).unwrap();
    }
    // Of 26 films 24 are in the table; a line names a film that is not there.
    let line = |number: usize| format!("1.2.840.99999.7.{number},{}\n", ["dark", "light"][number % 2]);
    let lines: String = (0..24).chain([99]).map(line).collect();
    fs::write(folder.join("archive/list.csv"), format!("SOPInstanceUID,label\n{lines}")).unwrap();
    let train = ["train", "archive/list.csv", "--epochs", "1", "--width", "8", "--out", "run"];
    let output = roentgen(&train, folder);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(output.status.success(), "{said}");
    let words: String = said.split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in [
        "1 line(s) name a `sop_instance_uid` that no DICOM file has, the first is line 26",
        "left out 2 DICOM file(s) with a `sop_instance_uid` that is in no line with a label",
        "from the headers of the DICOM files",
    ] {
        assert!(words.contains(expected), "{expected}: {said}");
    }
    let outside = "left out 1 link(s) that lead out of the folder of the table";
    assert!(cfg!(not(unix)) || words.contains(outside), "{said}");
    assert_no_marker(said.as_bytes(), "the output");
    files_below(&folder.join("run"))
        .iter()
        .for_each(|path| assert_no_marker(&fs::read(path).unwrap(), &path.display().to_string()));
    // A patient has several films: the same class for each.
    let line = |n: usize| format!("moved.dcm,MARKER some {n},{}\n", ["dark", "light"][n % 2]);
    let lines: String = (0..13).map(line).collect();
    fs::write(folder.join("archive/list.csv"), format!("file,patient_id,label\n{lines}")).unwrap();
    let by_patient = ["inspect", "archive/list.csv", "--path-column", "patient_id", "--json"];
    let output = roentgen(&by_patient, folder);
    let counts: Value = serde_json::from_slice(&output.stdout).unwrap();
    let sets = counts["sets"].as_object().unwrap();
    let n = |class: &str| sets.values().map(|set| set[class].as_u64().unwrap()).sum::<u64>();
    assert_eq!([n("dark"), n("light")], [14, 12], "{counts}");
    // Patients of a column are numbers too: they may be the identifiers of the headers.
    let inspected = |patient: &dyn Fn(usize) -> String| {
        let row = |number: usize| {
            let (class, split) = (["dark", "light"][number % 2], ["train", "test"][number / 13]);
            format!("1.2.840.99999.7.{number},{class},{},{split}\n", patient(number))
        };
        let rows: String = (0..26).map(row).collect();
        fs::write(
            folder.join("archive/list.csv"),
            format!("sop_instance_uid,label,patient_id,split\n{rows}"),
        )
        .unwrap();
        let output = roentgen(&["inspect", "archive/list.csv"], folder);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert_no_marker(said.as_bytes(), "the output");
        said.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let said = inspected(&|number| format!("MARKER {}", number % 13));
    assert!(said.contains("LEAKAGE 13 patients") && said.contains("patient 1, patient 10,"), "{said}");
    let said = inspected(&|number| format!("MARKER {number}"));
    assert!(
        said.contains("13 patient(s) of the headers of the DICOM files are several in the table's"),
        "{said}"
    );
    for (table, expected) in [
        (
            "accession_number,label\nnobody,dark\nnone,light\n",
            "no DICOM file below its folder has a `accession_number`",
        ),
        (
            "patient_id,label\nMARKER some 1,dark\nMARKER some 1,dark\nMARKER some 1,light\n",
            "line 4: its `patient_id` is already in line 2, with another label",
        ),
        ("study_instance_uid,label\n,dark\n", "line 2: `study_instance_uid` is empty"),
    ] {
        fs::write(folder.join("archive/list.csv"), table).unwrap();
        let output = roentgen(&["inspect", "archive/list.csv"], folder);
        let said = text(&output.stderr);
        assert!(!output.status.success() && said.contains(expected), "{said}");
        assert_no_marker(said.as_bytes(), "the error");
    }
}

#[test]
fn a_patient_of_the_headers_is_the_same_in_a_separate_test_set() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    for number in 0..48 {
        let class = ["dark", "light"][number / 24];
        let film = textured(number, [1, 5][number / 24]);
        // Each patient has a film in the training data and one in the test set, in the folder of its study.
        let study = folder.join(["train", "test"][number % 2]).join(class).join(format!("study{number}"));
        fs::create_dir_all(&study).unwrap();
        write_dicom(&film, number, class, "PA", &study.join("IM1"));
    }
    // Also where one of the two has a table with its own names for them.
    for (name, first) in [("train", 0), ("test", 1)] {
        let line = |number: usize| {
            let class = ["dark", "light"][number / 24];
            format!("{class}/study{number}/IM1,{class},p{number}\n")
        };
        let lines: String = (first..48).step_by(2).map(line).collect();
        fs::write(folder.join(name).join("list.csv"), format!("path,label,patient\n{lines}")).unwrap();
    }
    for [data, test] in [["train", "test"], ["train/list.csv", "test"], ["train", "test/list.csv"]] {
        let output = roentgen(&["inspect", data, "--test", test], folder);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(said.contains("LEAKAGE") && said.contains("24 patients"), "{data} {test}: {said}");
    }
    let output = roentgen(&["train", "train", "--test", "test", "--strict", "--out", "run"], folder);
    assert!(!output.status.success() && !folder.join("run").exists(), "{}", text(&output.stderr));
}

#[test]
fn a_damaged_or_other_dicom_file_is_named_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path();
    let film = image::GrayImage::from_fn(40, 40, |x, y| image::Luma([(x * 3 + y * 2) as u8]));
    let path = folder.join("film.dcm");
    write_dicom(&film, 0, "covid", "PA", &path);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 100]).unwrap();
    let output = roentgen(&["data", "phantom", "--films", "30", "--quiet", "--out", "films"], folder);
    assert!(output.status.success());
    fs::copy(&path, folder.join("films/train/covid/film.dcm")).unwrap();
    let output = roentgen(&["inspect", "films"], folder);
    let said = text(&output.stdout) + &text(&output.stderr);
    assert!(said.contains("film.dcm: truncated"), "{said}");
    assert_no_marker(said.as_bytes(), "inspect");
}
