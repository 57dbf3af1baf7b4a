//! CSV manifests: what is read, and what is rejected.

use std::fs;
use std::path::PathBuf;

use image::{GrayImage, Luma};
use roentgen_data::{ColumnNames, DataError, LoadOptions, ModelInput, load_dataset, load_for_model, silent};
use tempfile::TempDir;

use crate::files::{load, load_error, noise};

/// Image files, and a manifest of `lines` beside them.
fn manifest(lines: &str) -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("set");
    fs::create_dir_all(root.join("films")).unwrap();
    for number in 0..24 {
        let film = GrayImage::from_raw(30, 30, noise(900, number)).unwrap();
        film.save(root.join(format!("films/{number}.png"))).unwrap();
    }
    GrayImage::from_pixel(30, 30, Luma([9])).save(dir.path().join("outside.png")).unwrap();
    let path = root.join("list.csv");
    fs::write(&path, lines).unwrap();
    (dir, path)
}

/// One line for each of the films.
fn rows(line: impl Fn(usize) -> String) -> String {
    (0..24).map(|number| line(number) + "\n").collect()
}

fn class(number: usize) -> &'static str {
    ["normal", "sick"][number % 2]
}

#[test]
fn a_manifest_is_read_with_splits_and_patients() {
    let split = |number: usize| ["train", "train", "val", "test"][number / 2 % 4];
    let text = "\u{feff}Patient;split;label;path\r\n".to_owned()
        + &rows(|number| {
            format!("p{};{};{};films\\{number}.png\r", number / 3, split(number), class(number))
        });
    let (_dir, path) = manifest(&text);
    let data = load(&path).unwrap();
    assert_eq!(data.class_names, ["normal", "sick"]);
    assert_eq!((data.train.len(), data.val.len(), data.test.len()), (12, 6, 6));
    assert_eq!(data.test.name(0), "films/14.png");
    let patients = data.findings.patients.unwrap();
    assert_eq!((patients.source.to_string().as_str(), patients.n), ("a column of the table", 8));
    assert!(!patients.crossing.is_empty());
}

#[test]
fn a_tsv_is_separated_by_tabs_whatever_else_its_header_holds() {
    let text = "\n\npath\tlabel\tage, sex\n".to_owned()
        + &rows(|number| format!("films/{number}.png\t{}\t40, M", class(number)));
    let (dir, path) = manifest(&text);
    let tsv = dir.path().join("set/list.tsv");
    fs::rename(path, &tsv).unwrap();
    let data = load(&tsv).unwrap();
    assert_eq!((data.class_names.len(), data.train.len() + data.val.len() + data.test.len()), (2, 24));
}

#[test]
fn a_manifest_without_splits_is_split_by_patients() {
    let text = "path,label,patient\n".to_owned()
        + &rows(|number| format!("films/{number}.png,{},p{}", class(number), number / 4));
    let (_dir, path) = manifest(&text);
    let options = LoadOptions { test_fraction: 0.3, val_fraction: Some(0.0), ..LoadOptions::default() };
    let data = load_dataset(&path, &options, &silent).unwrap();
    assert!(!data.test.is_empty() && !data.findings.is_leaked_test.contains(&true));
    assert!(data.findings.patients.unwrap().crossing.is_empty());
}

#[test]
fn each_invalid_manifest_is_rejected_with_its_line() {
    let good = rows(|number| format!("films/{number}.png,{}", class(number)));
    let cases: [(&str, &str); 33] = [
        (
            "path,label,Set,subset\nfilms/0.png,a,train,test\n",
            "two columns for the split, `Set` and `subset`; choose one with --split-column",
        ),
        (
            "path,file_name,label\na,b,c\n",
            "two columns for the path, `path` and `file_name`; choose one with --path-",
        ),
        ("path,label,set\nfilms/0.png,a,a7\n", "line 2: unknown split `a7`"),
        ("path,label\nfilms/0.png,a|b\n", "no line has one label; left out 1 line(s) with several labels"),
        ("path,label\nfilms/0.png,a;b\n", "several labels, the first is line 2: `a;b`; keep one label"),
        ("", "it is empty: expected the header path,label"),
        ("films/0.png,normal\n", "no column `path`: expected the header path,label"),
        ("path,label\n", "it has a header, but lists no image"),
        ("path,label\r\nfilms/0.png,a\r\n\r\nfilms/1.png\r\n", "line 4: it has 1 cell"),
        ("path,label\r\nfilms/0.png,a\r\n,a\r\n", "line 3: the path is empty"),
        ("path,label\n,a\nfilms/1.png\n", "line 2: the path is empty"),
        ("path,label\nfilms/0.png\n", "line 2: it has 1 cell, the header has 2; add the missing cells"),
        (
            "path,label\n\"films/0.png,a\nfilms/1.png,b\n",
            "line 2: it has 1 cell, the header has 2; close its quotation",
        ),
        (
            "path,label\nfilms/0.png,\"a\nfilms/1.png,b\n",
            "line 2: a cell continues in the next line; write it in one line, or close its quotation",
        ),
        ("path,label,x\nfilms/0.png,a,\"b\nfilms/1.png,b,c\n", "line 2: a cell continues in the next line"),
        ("path,label,x\nfilms/0.png,a,\"b\nfilms/1.png,b,\"c\n", "line 2: a cell continues in the next line"),
        ("path,label,x\nfilms/0.png,a,\"\nfilms/1.png,b,\"\n", "line 2: a cell continues in the next line"),
        ("path,label,split\nfilms/0.png,a,test\nfilms/1.png,b,test\n", "a `test` set, but no `train` set"),
        (
            "path,label,split\nfilms/0.png,a,train\nfilms/1.png,b,train\nfilms/2.png,c,test\n",
            "class `c` has no image in the training set",
        ),
        ("path,label,path\nfilms/0.png,a,b\n", "the column `path` twice"),
        ("path,label\n../outside.png,normal\n", "line 2: `../outside.png` leaves the folder"),
        ("path,label\nfilms/../../outside.png,normal\n", "line 2: `films/../../outside.png` leaves"),
        ("path,label\n/etc/passwd,normal\n", "line 2: `/etc/passwd` leaves the folder"),
        ("path,label\nC:\\films\\0.png,normal\n", "line 2: `C:/films/0.png` is not a path relative"),
        ("path,label\n,normal\n", "line 2: the path is empty"),
        (
            "path,label\nfilms/0.png,\n",
            "no line has one label; left out 1 line(s) without a label, the first is line 2",
        ),
        ("path,label\nfilms/0.png,a\n./films/0.png,b\n", "line 3: `films/0.png` is already in line 2"),
        ("path,label,split\nfilms/0.png,a,trian\n", "line 2: unknown split `trian`"),
        ("path,label,split\nfilms/0.png,a,train\nfilms/1.png,b,\n", "line 3: the split is empty"),
        ("path,label\nfilms/0.png,a,b\n", "line 2: it has 3 cells, the header has 2; put cells that contain"),
        (
            "path,label\nfilms/0.png, \"a, b\"\n",
            "line 2: it has 3 cells, the header has 2; remove the blank before the quotation mark",
        ),
        ("path,label\r\n\r\nfilms/0.png,a\r\n, \"a\"\r\n", "line 4: the path is empty"),
        ("path,label\nfilms/0.png,a\nfilms/1.png,a\n", "only one class, `a`"),
    ];
    for (text, expected) in cases {
        let (_dir, path) = manifest(text);
        let found = load_error(&path);
        assert!(found.contains(expected) && !found.contains("class folder"), "{text:?}: {found}");
    }
    let (_dir, path) = manifest(&("path,label\n".to_owned() + &good));
    assert!(load(&path).is_ok(), "the films are good");
    fs::write(&path, b"path,label\nfilms/0.png,a\nfilms/\xff.png,b\n").unwrap();
    assert!(load_error(&path).contains("line 3 is not UTF-8"));
    fs::write(&path, "path,label\n".to_owned() + &good + "films/none.png,normal\n").unwrap();
    assert!(matches!(load(&path), Err(DataError::BadFiles { files, .. }) if files.len() == 1));
}

#[test]
fn usual_names_of_columns_are_known_and_unused_ones_are_named() {
    let split = |number: usize| ["Training", "training", "VALID", "Testing"][number / 2 % 4];
    let row = |number: usize| {
        format!("{number},films/{number}.png,{},{},p{},x", class(number), split(number), number / 8)
    };
    let (_dir, path) = manifest(&(",File Name,Class,SET,Subject-ID,age\n".to_owned() + &rows(row)));
    let data = load(&path).unwrap();
    assert_eq!((data.train.len(), data.val.len(), data.test.len()), (12, 6, 6));
    assert_eq!(data.findings.patients.unwrap().n, 3);
    let note = "columns are not used: column 1, `age`; if one has";
    assert!(data.findings.notes.iter().any(|found| found.starts_with(note)), "{:?}", data.findings.notes);
}

#[test]
fn columns_are_chosen_by_name_and_numbers_are_no_sets() {
    let root = |path: &PathBuf| path.parent().unwrap().join("films").display().to_string();
    let (_dir, path) = manifest("");
    let row =
        |number: usize| format!("{}/{number}.png,{},{},{number}", root(&path), class(number), number % 5);
    fs::write(&path, "where,what,fold,id\n".to_owned() + &rows(row)).unwrap();
    assert!(load_error(&path).contains("no column `path`"));
    let name = |name: &str| Some(name.to_owned());
    let columns = ColumnNames { path: name("where"), label: name("what"), ..ColumnNames::default() };
    let data = load_dataset(&path, &LoadOptions { columns, ..LoadOptions::default() }, &silent).unwrap();
    assert!(data.train.name(0).starts_with("films/"), "an absolute path inside the folder is relative");
    let notes = data.findings.notes;
    assert!(notes.iter().any(|note| note.starts_with("columns are not used: `fold`, `id`")), "{notes:?}");
    let columns = ColumnNames { path: name("wher"), ..ColumnNames::default() };
    let options = LoadOptions { columns, ..LoadOptions::default() };
    let error = load_dataset(&path, &options, &silent).unwrap_err().to_string();
    assert!(error.contains("no column `wher`, which --path-column names; it has where, what"), "{error}");
}

#[test]
fn labels_that_are_missing_or_several_are_left_out_and_equal_numbers_are_one_class() {
    let label = |number: usize| match number {
        0 => "nan",
        1 => "",
        2 => "0|1",
        _ => ["0", "1", "0.0", "1.0"][number % 4],
    };
    let text = "path,label\n".to_owned() + &rows(|number| format!("films/{number}.png,{}", label(number)));
    let (_dir, path) = manifest(&text);
    let data = load(&path).unwrap();
    assert_eq!(
        (data.class_names, data.train.len() + data.val.len() + data.test.len()),
        (vec!["0".to_owned(), "1".to_owned()], 21)
    );
    let notes = data.findings.notes.join("\n");
    for expected in [
        "class names that look alike are one class: `0` and `0.0`, `1` and `1.0`",
        "left out 2 line(s) without a label, the first is line 2",
        "left out 1 line(s) with several labels, the first is line 4: `0|1`",
    ] {
        assert!(notes.contains(expected), "{notes}");
    }
}

#[test]
fn patients_that_are_equal_numbers_are_one() {
    let text = "path,label,patient\n".to_owned()
        + &rows(|number| {
            format!("films/{number}.png,{},{}{}", class(number), number / 2, ["", ".0"][number % 2])
        });
    let (_dir, path) = manifest(&text);
    assert_eq!(load(&path).unwrap().findings.patients.unwrap().n, 12);
}

#[test]
fn patients_that_differ_in_case_blanks_and_unicode_form_are_one() {
    for [of_train, of_test] in [
        ["Patient 1", "patient  1"],
        ["Jos\u{E9} 1", "Jose\u{301} 1"],
        ["p\u{FF11}", "p1"],
        ["ab\u{200B}1", "ab1"],
    ] {
        let text = "path,label,split,patient\n".to_owned()
            + &rows(|number| {
                let (split, patient) = [("train", of_train), ("test", of_test)][number / 22];
                let patient =
                    if number.is_multiple_of(11) { patient.to_owned() } else { format!("q{number}") };
                format!("films/{number}.png,{},{split},{patient}", class(number))
            });
        let (_dir, path) = manifest(&text);
        let data = load(&path).unwrap();
        assert_eq!(data.findings.is_leaked_test, [true, false], "{of_test:?}");
        let patients = data.findings.patients.unwrap();
        assert_eq!((patients.n, patients.crossing), (22, vec![of_train.to_owned()]));
    }
}

#[test]
fn na_is_no_patient_and_a_class_with_a_note() {
    let text = "path,label,patient\n".to_owned()
        + &rows(|number| {
            let patient = if number < 12 { "NA".to_owned() } else { format!("p{number}") };
            format!("films/{number}.png,{},{patient}", ["NA", "sick"][number % 2])
        });
    let (_dir, path) = manifest(&text);
    let data = load(&path).unwrap();
    assert_eq!(data.class_names, ["NA", "sick"]);
    assert_eq!(data.findings.patients.unwrap().n, 12);
    let note = "12 line(s) have the label `NA`, the first is line 2; NA is read as the name of a class";
    assert!(data.findings.notes.iter().any(|found| found.starts_with(note)), "{:?}", data.findings.notes);
}

#[cfg(unix)]
#[test]
fn a_manifest_cannot_leave_its_folder_by_a_link() {
    let (_dir, path) = manifest("path,label\nfilms/link.png,normal\n");
    std::os::unix::fs::symlink("../../outside.png", path.with_file_name("films").join("link.png")).unwrap();
    assert!(load_error(&path).contains("`films/link.png` is a link that leaves the folder"));
}

#[test]
fn an_unknown_label_is_named_when_a_model_is_evaluated() {
    let (_dir, path) = manifest("path,label\nfilms/0.png,normal\nfilms/1.png,fracture\n");
    let class_names = ["normal".to_owned(), "sick".to_owned()];
    let input = ModelInput { class_names: &class_names, trained_on: None };
    let error = load_for_model(&path, &input, &LoadOptions::default(), &silent).unwrap_err();
    assert!(matches!(&error, DataError::UnknownClass { class, .. } if class == "fracture"), "{error}");
}

#[test]
fn a_label_that_numbers_the_images_is_rejected_before_anything_is_decoded() {
    let lines: String = (0..10_001).map(|number| format!("films/{number}.png,{number}\n")).collect();
    let (_dir, path) = manifest(&("path,label\n".to_owned() + &lines));
    let error = load_error(&path);
    assert!(
        error.contains("has 10001 classes, expected at most 10000; is each class in a folder"),
        "{error}"
    );
}

#[test]
fn a_quoted_cell_after_a_blank_loses_its_quotes() {
    let quoted = |number: usize| if number.is_multiple_of(3) { "\"" } else { "" };
    let text = "\"path\" ; \"Diagnosis (final)\"; patient\n".to_owned()
        + &rows(|number| {
            let (quote, class) = (quoted(number), class(number));
            format!("films/{number}.png ; {quote}{class}{quote}; {quote}p{}{quote}", number / 4)
        });
    let (_dir, path) = manifest(&text);
    let columns = ColumnNames { label: Some("Diagnosis (final)".to_owned()), ..ColumnNames::default() };
    let options = LoadOptions { columns, ..LoadOptions::default() };
    let data = load_dataset(&path, &options, &silent).unwrap();
    assert_eq!(data.class_names, ["normal", "sick"]);
    assert_eq!(data.findings.patients.unwrap().n, 6);
}

#[test]
fn a_cell_of_two_lines_is_read_where_its_column_is_not_used() {
    let report = "\"No effusion, heart \"\"normal\"\".\r\nSee above.\"";
    for separator in [",", "\t"] {
        let line = |cells: &[&str]| cells.join(separator) + "\n";
        let row = |number: usize| {
            let path = format!("films/{number}.png");
            line(&[&path, class(number), report, "40"])
        };
        let text = line(&["path", "label", "report", "age"]) + &(0..24).map(row).collect::<String>();
        let (_dir, path) = manifest(&text);
        let data = load(&path).unwrap();
        assert_eq!(data.train.len() + data.val.len() + data.test.len(), 24);
        fs::write(&path, text + &line(&["", "normal", report, "40"])).unwrap();
        assert!(load_error(&path).contains("line 50: the path is empty"));
        fs::write(&path, line(&["path", "label"]) + &line(&["films/0.png", report])).unwrap();
        assert!(load_error(&path).contains("line 2: a cell continues in the next line"));
    }
}

#[test]
fn paths_that_are_relative_to_another_folder_are_explained() {
    let text =
        "path,label\n".to_owned() + &rows(|number| format!("set/films/{number}.png,{}", class(number)));
    let (_dir, path) = manifest(&text);
    let options = LoadOptions { skip_bad: true, ..LoadOptions::default() };
    let error = load_dataset(&path, &options, &silent).unwrap_err().to_string();
    assert!(error.contains("paths in a table are relative to the folder of the table"), "{error}");
}
