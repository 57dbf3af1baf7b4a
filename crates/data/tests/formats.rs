//! Every format besides folders: what it reads, and what it refuses.

use std::fs;
use std::io::{Cursor, Write as _};
use std::path::{Path, PathBuf};

use image::{GrayImage, Luma};
use proptest::prelude::*;
use roentgen_data::{
    DataError, Dataset, LoadOptions, ModelInput, PartOrigin, SizeLimits, load_dataset, load_for_model, silent,
};
use tempfile::TempDir;
use zip::write::{SimpleFileOptions, ZipWriter};

fn load(path: &Path) -> Result<Dataset, DataError> {
    load_dataset(path, &LoadOptions::default(), &silent)
}

/// The text of the error, which names the file.
fn refusal(path: &Path) -> String {
    let text = load(path).expect_err("it has to be refused").to_string();
    assert!(text.contains(&path.file_name().unwrap().to_string_lossy().into_owned()), "{text}");
    text
}

/// Bytes that differ from picture to picture, so that none is a copy of another.
fn noise(n: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    (0..n).map(|_| next()).collect()
}

/// A file in NumPy's format, version 1.
fn npy(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let order = if fortran { "True" } else { "False" };
    let header = format!("{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(data);
    bytes
}

fn images(shape: &str, n_bytes: usize, seed: u64) -> Vec<u8> {
    npy("'|u1'", false, shape, &noise(n_bytes, seed))
}

fn labels(values: &[u8]) -> Vec<u8> {
    npy("'|u1'", false, &format!("({}, 1)", values.len()), values)
}

fn archive(arrays: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (key, bytes) in arrays {
        zip.start_file(format!("{key}.npy"), SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn written(dir: &TempDir, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.path().join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// 40 pictures of 28x28 in two classes to train on, 10 to validate, 10 to test.
fn medmnist() -> Vec<(&'static str, Vec<u8>)> {
    let alternating = |n: u8| labels(&(0..n).map(|at| at % 2).collect::<Vec<u8>>());
    vec![
        ("train_images", images("(40, 28, 28)", 40 * 784, 1)),
        ("train_labels", alternating(40)),
        ("val_images", images("(10, 28, 28)", 7840, 2)),
        ("val_labels", alternating(10)),
        ("test_images", images("(10, 28, 28)", 7840, 3)),
        ("test_labels", alternating(10)),
    ]
}

/// With one of the arrays replaced.
fn with(key: &'static str, bytes: Vec<u8>) -> Vec<u8> {
    let mut arrays = medmnist();
    arrays.iter_mut().filter(|(of, _)| *of == key).for_each(|(_, array)| array.clone_from(&bytes));
    archive(&arrays)
}

#[test]
fn a_medmnist_file_is_read_with_its_parts_and_class_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, "pneumoniamnist_64.npz", &archive(&medmnist()));
    let data = load(&path).unwrap();
    assert_eq!(data.class_names, ["normal", "pneumonia"]);
    assert_eq!((data.train.len(), data.val.len(), data.test.len()), (40, 10, 10));
    assert_eq!((data.val_origin, data.test_origin), (PartOrigin::Given, PartOrigin::Given));
    assert_eq!((data.channels, data.train.name(0)), (1, "train_images[000000]"));
    assert_eq!(data.test.class_counts(2), [5, 5]);
    // The pixels are those of the file, at their own size.
    let view = data.train.image(0);
    assert_eq!((view.width, view.height), (28, 28));
    assert_eq!(view.pixels, &noise(784, 1)[..]);
}

#[test]
fn a_model_is_asked_about_the_test_part_of_another_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, "pneumoniamnist.npz", &archive(&medmnist()));
    let class_names = ["pneumonia".to_owned(), "normal".to_owned()];
    let input = ModelInput { class_names: &class_names, channels: 1, trained_on: None };
    let data = load_for_model(&path, &input, &LoadOptions::default(), &silent).unwrap();
    assert_eq!(data.test.len(), 10);
    // The model's order of classes, not the file's.
    assert_eq!(data.test.labels()[0], 0);
    assert_eq!(data.test.name(0), "test_images[000001]");
}

#[test]
fn missing_parts_are_split_off_and_other_classes_and_colour_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let many: Vec<u8> = (0..60).map(|at| [2, 10, 7][at % 3]).collect();
    let wide: Vec<u8> = many.iter().flat_map(|&label| i64::from(label).to_le_bytes()).collect();
    let arrays = [
        ("train_images", images("(60, 9, 12, 3)", 60 * 9 * 12 * 3, 4)),
        ("train_labels", npy("'<i8'", false, "(60,)", &wide)),
        ("notes", npy("'<U4'", false, "()", &[0; 16])),
    ];
    let options = LoadOptions { crop: 8, resize: 9, ..LoadOptions::default() };
    let data = load_dataset(&written(&dir, "set.npz", &archive(&arrays)), &options, &silent).unwrap();
    assert_eq!(data.class_names, ["2", "7", "10"], "in the order of the numbers");
    assert_eq!((data.channels, data.train.len(), data.test.len()), (3, 48, 6));
    assert_eq!(data.findings.notes, ["ignored other arrays: notes"]);
}

#[test]
fn each_wrong_npz_is_refused_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let three_of = |n: usize| images(&format!("(40, {n}, 28)"), 40 * n * 28, 1);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("no zip", b"hello".to_vec(), "no .npz file"),
        ("cut", archive(&medmnist())[..5000].to_vec(), "no .npz file, or a damaged one"),
        (
            "pickled",
            with("train_images", npy("'|O'", false, "(40,)", b"\x80\x04N.")),
            "pickled Python objects",
        ),
        (
            "floats",
            with("train_images", npy("'<f4'", false, "(40, 28, 28)", &[0; 40 * 784 * 4])),
            "type '<f4', expected uint8",
        ),
        (
            "fortran",
            with("train_images", npy("'|u1'", true, "(40, 28, 28)", &[0; 40 * 784])),
            "Fortran order",
        ),
        ("volumes", with("train_images", images("(40, 28, 28, 28)", 40 * 28 * 784, 1)), "3-D"),
        ("flat", with("train_images", images("(40, 784)", 40 * 784, 1)), "expected (n, height, width)"),
        ("empty", with("train_images", images("(40, 0, 28)", 0, 1)), "no pixel"),
        (
            "several labels",
            with("train_labels", npy("'|u1'", false, "(40, 14)", &[0; 40 * 14])),
            "several labels",
        ),
        ("too few labels", with("train_labels", labels(&[0, 1, 0])), "3 labels for 40 pictures"),
        ("float labels", with("train_labels", npy("'<f8'", false, "(40,)", &[0; 320])), "expected integers"),
        ("negative", with("train_labels", npy("'|i1'", false, "(40,)", &[255; 40])), "negative labels"),
        ("big endian", with("train_labels", npy("'>i4'", false, "(40,)", &[0; 160])), "big endian"),
        (
            "lies about its size",
            with("train_images", npy("'|u1'", false, "(40, 29, 28)", &noise(40 * 784, 1))),
            "damaged",
        ),
        (
            "endless",
            with("train_images", npy("'|u1'", false, "(9000000000, 28, 28)", &[])),
            "more than the 2048 MiB",
        ),
        (
            "overflowing",
            with("train_images", npy("'|u1'", false, "(9000000000000000000, 20000, 20000)", &[])),
            "its shape is too large",
        ),
        ("wide", with("train_images", npy("'|u1'", false, "(40, 28, 30000)", &[])), "pixels a side"),
        (
            "one class",
            archive(&[("train_images", three_of(28)), ("train_labels", labels(&[3; 40]))]),
            "only one class, `3`",
        ),
        ("no labels", archive(&[("train_images", three_of(28))]), "no `train_labels`"),
        (
            "grows",
            with("train_images", npy("'|u1'", false, "(400000, 28, 28)", &[])),
            "would grow to 299 MiB, as no pictures do",
        ),
        (
            "too many",
            with("train_images", npy("'|u1'", false, "(600000, 1, 1)", &[7; 600_000])),
            "40 labels for 600000 pictures",
        ),
        ("nothing", archive(&[("x", labels(&[1]))]), "lists no picture: expected the keys train_images"),
        (
            "other keys",
            archive(&[("x", labels(&[1])), ("y", labels(&[1]))]),
            "found x, y; name the arrays so",
        ),
        ("no entries", archive(&[]), "found no array at all"),
        ("no bytes", vec![], "it is empty, 0 bytes"),
        ("only a test part", archive(&medmnist()[4..]), "no `train/`"),
    ];
    for (name, bytes, expected) in cases {
        let text = refusal(&written(&dir, &format!("{name}.npz"), &bytes));
        assert!(text.contains(expected), "{name}: {text}");
    }
}

#[test]
fn a_key_that_stands_twice_is_refused() {
    let mut arrays = medmnist();
    arrays.push(("trazn_labels", labels(&[1; 40])));
    // Written under another name of the same length, since no writer would do it.
    let mut bytes = archive(&arrays);
    let places: Vec<usize> = (0..bytes.len() - 5).filter(|&at| &bytes[at..at + 5] == b"trazn").collect();
    assert_eq!(places.len(), 2, "in the local header and in the directory");
    places.iter().for_each(|&at| bytes[at + 3] = b'i');
    let dir = tempfile::tempdir().unwrap();
    assert!(refusal(&written(&dir, "twice.npz", &bytes)).contains("the same key"));
}

#[test]
fn a_zip_bomb_is_refused_before_it_is_inflated() {
    let dir = tempfile::tempdir().unwrap();
    // 64 MiB of zeros in 64 KiB, against a limit of 1 MiB.
    let bytes = with("train_images", npy("'|u1'", false, "(40, 1310, 1281)", &vec![0; 40 * 1310 * 1281]));
    assert!(bytes.len() < 200_000);
    let limits = SizeLimits { array_bytes: 1 << 20, ..SizeLimits::default() };
    let options = LoadOptions { limits, ..LoadOptions::default() };
    let error = load_dataset(&written(&dir, "bomb.npz", &bytes), &options, &silent).unwrap_err().to_string();
    assert!(error.contains("more than the 1 MiB"), "{error}");
}

#[test]
fn the_limits_of_an_npz_hold_for_all_its_parts_together() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, "set.npz", &archive(&medmnist()));
    let told = |limits: SizeLimits| {
        let options = LoadOptions { limits, ..LoadOptions::default() };
        load_dataset(&path, &options, &silent).map(|data| data.train.len()).map_err(|error| error.to_string())
    };
    let limits = SizeLimits { array_bytes: 60 * 784 + 60, packed_pictures: 60, ..SizeLimits::default() };
    assert_eq!(told(limits), Ok(40));
    let text = told(SizeLimits { array_bytes: 60 * 784 + 59, ..limits }).unwrap_err();
    assert!(text.contains("`test_labels` has the shape [10, 1]: all arrays together"), "{text}");
    let text = told(SizeLimits { packed_pictures: 59, ..limits }).unwrap_err();
    assert!(text.contains("60 pictures, more than the 59"), "{text}");
}

#[test]
fn an_npz_packed_by_another_method_is_called_so() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = archive(&medmnist());
    // The method of the first entry, in its local header and in the directory: bzip2.
    let directory = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    (bytes[8], bytes[directory + 10]) = (12, 12);
    let text = refusal(&written(&dir, "bzip2.npz", &bytes));
    assert!(text.contains("save it again with np.savez_compressed") && !text.contains("damaged"), "{text}");
}

/// Picture files and a manifest of `lines` beside them.
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

/// A line for each of the films, its label from its number.
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
    assert_eq!((patients.source.to_string().as_str(), patients.n), ("the column `patient`", 8));
    assert!(!patients.crossing.is_empty());
}

#[test]
fn a_manifest_without_splits_is_split_by_patients() {
    let text = "path,label,patient\n".to_owned()
        + &rows(|number| format!("films/{number}.png,{},p{}", class(number), number / 4));
    let (_dir, path) = manifest(&text);
    let options = LoadOptions { test_fraction: 0.3, val_fraction: 0.0, ..LoadOptions::default() };
    let data = load_dataset(&path, &options, &silent).unwrap();
    assert!(!data.test.is_empty() && data.findings.clean_test.iter().all(|&clean| clean));
    assert!(data.findings.patients.unwrap().crossing.is_empty());
}

#[test]
fn each_wrong_manifest_is_refused_with_its_line() {
    let good = rows(|number| format!("films/{number}.png,{}", class(number)));
    let cases: [(&str, &str); 15] = [
        ("", "no column `path`"),
        ("films/0.png,normal\n", "no column `path`: expected the header path,label"),
        ("path,label\n", "lists no picture"),
        ("path,label,path\nfilms/0.png,a,b\n", "the column `path` twice"),
        ("path,label\n../outside.png,normal\n", "line 2: `../outside.png` leaves the folder"),
        ("path,label\nfilms/../../outside.png,normal\n", "line 2: `films/../../outside.png` leaves"),
        ("path,label\n/etc/passwd,normal\n", "line 2: `/etc/passwd` leaves the folder"),
        ("path,label\nC:\\films\\0.png,normal\n", "line 2: `C:/films/0.png` is no path relative"),
        ("path,label\n,normal\n", "line 2: the path is empty"),
        ("path,label\nfilms/0.png,\n", "line 2: the label is empty"),
        ("path,label\nfilms/0.png,a\n./films/0.png,b\n", "line 3: `films/0.png` stands in line 2 already"),
        ("path,label,split\nfilms/0.png,a,trian\n", "line 2: unknown split `trian`"),
        ("path,label,split\nfilms/0.png,a,train\nfilms/1.png,b,\n", "line 3: the split is empty"),
        ("path,label\nfilms/0.png,a,b\n", "line 2: it has 3 cells, the header 2"),
        ("path,label\nfilms/0.png,a\nfilms/1.png,a\n", "only one class, `a`"),
    ];
    for (text, expected) in cases {
        let (_dir, path) = manifest(text);
        let found = refusal(&path);
        assert!(found.contains(expected), "{text:?}: {found}");
    }
    let (_dir, path) = manifest(&("path,label\n".to_owned() + &good));
    assert!(load(&path).is_ok(), "the films are good");
    fs::write(&path, b"path,label\nfilms/0.png,a\nfilms/\xff.png,b\n").unwrap();
    assert!(refusal(&path).contains("line 3 is no UTF-8"));
    fs::write(&path, "path,label\n".to_owned() + &good + "films/none.png,normal\n").unwrap();
    assert!(matches!(load(&path), Err(DataError::BadFiles { files, .. }) if files.len() == 1));
}

#[cfg(unix)]
#[test]
fn a_manifest_cannot_leave_its_folder_by_a_link() {
    let (_dir, path) = manifest("path,label\nfilms/link.png,normal\n");
    std::os::unix::fs::symlink("../../outside.png", path.with_file_name("films").join("link.png")).unwrap();
    assert!(refusal(&path).contains("leaves the folder of the file by a link"));
}

#[test]
fn an_unknown_label_is_named_to_whoever_asks_a_model() {
    let (_dir, path) = manifest("path,label\nfilms/0.png,normal\nfilms/1.png,fracture\n");
    let class_names = ["normal".to_owned(), "sick".to_owned()];
    let input = ModelInput { class_names: &class_names, channels: 1, trained_on: None };
    let error = load_for_model(&path, &input, &LoadOptions::default(), &silent).unwrap_err();
    assert!(matches!(&error, DataError::UnknownClass { class, .. } if class == "fracture"), "{error}");
}

/// The values of CIFAR-10's picture `number`: planes of red, green and blue.
fn planes(number: usize) -> Vec<u8> {
    noise(3072, number as u64)
}

/// A batch of the binary version.
fn binary_batch(from: usize, n: usize) -> Vec<u8> {
    (from..from + n).flat_map(|number| [vec![(number % 10) as u8], planes(number)].concat()).collect()
}

/// A batch of the Python version, as protocol 2 pickles it.
fn pickled_batch(from: usize, n: usize, fortran: bool) -> Vec<u8> {
    pickled_batch_of("u1", from, n, fortran)
}

/// The same with another name of its type.
fn pickled_batch_of(dtype: &str, from: usize, n: usize, fortran: bool) -> Vec<u8> {
    let mut bytes = b"\x80\x02}(U\x04datacnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K".to_vec();
    bytes.push(n as u8);
    bytes.extend(b"M\x00\x0c\x86cnumpy\ndtype\nU");
    bytes.push(dtype.len() as u8);
    bytes.extend(dtype.bytes());
    bytes.extend(b"K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb");
    bytes.push(if fortran { 0x88 } else { 0x89 });
    let values: Vec<u8> = (from..from + n).flat_map(planes).collect();
    bytes.push(b'T');
    bytes.extend((values.len() as u32).to_le_bytes());
    bytes.extend(values);
    bytes.extend(b"tbU\x06labels](");
    bytes.extend((from..from + n).flat_map(|number| [b'K', (number % 10) as u8]));
    bytes.extend(b"eu.");
    bytes
}

#[test]
fn cifar_10_is_the_same_in_both_versions() {
    let (binary, python) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    for (name, from, n) in [("data_batch_1", 0, 30), ("data_batch_2", 30, 30), ("test_batch", 60, 20)] {
        written(&binary, &format!("{name}.bin"), &binary_batch(from, n));
        written(&python, name, &pickled_batch(from, n, false));
    }
    let options = LoadOptions { resize: 32, val_fraction: 0.2, ..LoadOptions::default() };
    let read = |dir: &TempDir| load_dataset(dir.path(), &options, &silent).unwrap();
    let (binary, python) = (read(&binary), read(&python));
    assert_eq!(binary.class_names[..3], ["airplane", "automobile", "bird"]);
    assert_eq!((binary.channels, binary.train.len() + binary.val.len(), binary.test.len()), (3, 60, 20));
    assert_eq!(binary.test.class_counts(10), [2; 10]);
    for index in 0..20 {
        assert_eq!(binary.test.image(index).pixels, python.test.image(index).pixels);
        assert_eq!(binary.test.labels()[index], python.test.labels()[index]);
    }
    // The first pixel: the first value of each plane.
    let first = planes(60);
    assert_eq!(binary.test.image(0).pixels[..3], [first[0], first[1024], first[2048]]);
}

#[test]
fn each_wrong_batch_of_cifar_10_is_refused() {
    let cases: [(&str, Vec<u8>, &str); 8] = [
        ("data_batch_1.bin", binary_batch(0, 3)[..9000].to_vec(), "no multiple of the 3073"),
        ("data_batch_1.bin", vec![200; 3073], "label 200, expected 0 to 9"),
        ("data_batch_1.bin", vec![], "it has no picture"),
        ("data_batch_1", pickled_batch(0, 5, true), "in C order"),
        ("data_batch_1", pickled_batch_of("i1", 0, 5, false), "no array of uint8"),
        ("data_batch_1", pickled_batch_of("<u2", 0, 5, false), "no array of uint8"),
        ("data_batch_1", pickled_batch(0, 5, false)[..3000].to_vec(), "damaged"),
        ("data_batch_1", b"\x80\x02cos\nsystem\nU\x02ls\x85R.".to_vec(), "expected a dictionary"),
    ];
    for (name, bytes, expected) in cases {
        let dir = tempfile::tempdir().unwrap();
        written(&dir, name, &bytes);
        let text = load(dir.path()).unwrap_err().to_string();
        assert!(text.contains(name) && text.contains(expected), "{text}");
    }
}

#[test]
fn a_flipped_byte_in_the_pixels_of_an_npz_is_found_by_its_checksum() {
    let dir = TempDir::new().unwrap();
    let stored = |arrays: Vec<(&str, Vec<u8>)>| {
        let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
        let options = SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        for (key, bytes) in arrays {
            zip.start_file(format!("{key}.npy"), options).unwrap();
            zip.write_all(&bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    };
    let mut bytes = stored(medmnist());
    assert!(load(&written(&dir, "sound.npz", &bytes)).is_ok());
    bytes[5_000] ^= 1;
    let text = refusal(&written(&dir, "flipped.npz", &bytes));
    assert!(text.contains("train_images") && text.contains("damaged"), "{text}");
    // What the header of the last array tells is told first: nothing is read in vain.
    let mut arrays = medmnist();
    arrays[5].1 = labels(&[0, 1, 0]);
    let mut bytes = stored(arrays);
    bytes[5_000] ^= 1;
    assert!(
        refusal(&written(&dir, "both.npz", &bytes)).contains("`test_labels` has 3 labels for 10 pictures")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Either data or an error, whatever the bytes.
    #[test]
    fn mutated_files_never_panic(at in any::<prop::sample::Index>(), with in 1u8..=255, kind in 0usize..3) {
        let dir = tempfile::tempdir().unwrap();
        let (name, mut bytes) = match kind {
            0 => ("set.npz", archive(&medmnist())),
            1 => ("list.csv", b"path,label,split\na.png,x,train\nb.png,y,test\n".to_vec()),
            _ => ("data_batch_1", pickled_batch(0, 12, false)),
        };
        // In the first bytes and the last ones, which are not pixels.
        let at = at.index(usize::min(bytes.len(), 600));
        let at = if with % 2 == 0 { at } else { bytes.len() - 1 - at };
        bytes[at] ^= with;
        let path = written(&dir, name, &bytes);
        let _ = load(if kind == 2 { dir.path() } else { &path });
    }
}
