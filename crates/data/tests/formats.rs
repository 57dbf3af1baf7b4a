//! The formats with many images in a file: what is read, and what is rejected.

use std::fs;
use std::io::{Cursor, Write as _};

use proptest::prelude::*;
use roentgen_data::{
    LoadOptions, ModelInput, SizeLimits, SubsetOrigin, load_dataset, load_for_model, silent,
};
use tempfile::TempDir;
use zip::write::{SimpleFileOptions, ZipWriter};

use crate::files::{load, load_error, noise, written};

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

/// 40 training, 10 validation and 10 test images of 28x28 in two classes.
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

/// The same with one of the arrays replaced.
fn with(key: &'static str, bytes: Vec<u8>) -> Vec<u8> {
    let mut arrays = medmnist();
    arrays.iter_mut().filter(|(of, _)| *of == key).for_each(|(_, array)| array.clone_from(&bytes));
    archive(&arrays)
}

#[test]
fn a_medmnist_file_is_read_with_its_sets_and_class_names() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, "pneumoniamnist_64.npz", &archive(&medmnist()));
    let data = load(&path).unwrap();
    assert_eq!(data.class_names, ["normal", "pneumonia"]);
    assert_eq!((data.train.len(), data.val.len(), data.test.len()), (40, 10, 10));
    assert_eq!((data.val_origin, data.test_origin), (SubsetOrigin::Given, SubsetOrigin::Given));
    assert_eq!((data.channels, data.train.name(0)), (1, "train_images[000000]"));
    assert_eq!(data.test.class_counts(2), [5, 5]);
    // The pixels are those of the file, at their own size.
    let view = data.train.image(0);
    assert_eq!((view.width, view.height), (28, 28));
    assert_eq!(view.pixels, &noise(784, 1)[..]);
}

#[test]
fn the_cache_of_a_packed_file_holds_its_pixels_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, "set.npz", &archive(&medmnist()));
    let options = LoadOptions { cache: Some(dir.path().join("cache")), ..LoadOptions::default() };
    let cached = || {
        let data = load_dataset(&path, &options, &silent).unwrap();
        [data.train, data.val, data.test].map(|set| set.digest())
    };
    let digests = || {
        let data = load(&path).unwrap();
        [data.train, data.val, data.test].map(|set| set.digest())
    };
    let file = || {
        let files: Vec<_> = fs::read_dir(dir.path().join("cache")).unwrap().collect();
        assert_eq!(files.len(), 1);
        fs::read(files[0].as_ref().unwrap().path()).unwrap()
    };
    let first = digests();
    assert_eq!([cached(), cached()], [first.clone(), first.clone()]);
    let before = file();
    // Other labels are read from the data; they are not in the cache.
    let labels_of_40 = labels(&(0..40).map(|at| at / 20).collect::<Vec<u8>>());
    written(&dir, "set.npz", &with("train_labels", labels_of_40));
    assert_ne!(digests(), first);
    // The images have another order now, by class.
    assert_eq!([cached(), cached()], [digests(), digests()]);
    let relabelled = file();
    written(&dir, "set.npz", &with("val_images", images("(10, 28, 28)", 7840, 4)));
    assert_eq!([cached(), cached()], [digests(), digests()]);
    assert!(before != relabelled && before != file(), "other pixels");
}

#[test]
fn a_model_is_evaluated_on_the_test_set_of_another_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, "pneumoniamnist.npz", &archive(&medmnist()));
    let class_names = ["pneumonia".to_owned(), "normal".to_owned()];
    let input = ModelInput { class_names: &class_names, trained_on: None };
    let data = load_for_model(&path, &input, &LoadOptions::default(), &silent).unwrap();
    assert_eq!(data.test.len(), 10);
    // The model's order of classes, not the file's.
    assert_eq!(data.test.labels()[0], 0);
    assert_eq!(data.test.name(0), "test_images[000001]");
}

#[test]
fn labels_that_are_not_those_of_the_set_in_the_file_name_are_numbers() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, "bloodmnist_benign_vs_malignant.npz", &archive(&medmnist()));
    let data = load(&path).unwrap();
    assert_eq!(data.class_names, ["0", "1"]);
    let notes = &data.findings.notes;
    assert!(notes.iter().any(|note| note.starts_with("its labels are not those of bloodmnist")), "{notes:?}");
    // A model with these classes is evaluated on them; one of all of BloodMNIST on any of its classes.
    for (known, label) in [(["0", "1"], 0), (["eosinophil", "basophil"], 1)] {
        let class_names = known.map(str::to_owned);
        let input = ModelInput { class_names: &class_names, trained_on: None };
        let data = load_for_model(&path, &input, &LoadOptions::default(), &silent).unwrap();
        let first = (0..10).find(|&index| data.test.name(index) == "test_images[000000]").unwrap();
        assert_eq!(data.test.labels()[first], label, "{known:?}");
    }
}

#[test]
fn missing_sets_are_split_off_and_other_classes_and_colour_are_read() {
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
    let tiny = "60 of 60 images are under 16 pixels: only their exact duplicates are found";
    assert_eq!(data.findings.notes, ["ignored other arrays: notes", tiny]);
}

#[test]
fn each_invalid_npz_is_rejected_with_its_reason() {
    let dir = tempfile::tempdir().unwrap();
    let three_of = |n: usize| images(&format!("(40, {n}, 28)"), 40 * n * 28, 1);
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("no zip", b"hello".to_vec(), "not a .npz file"),
        ("cut", archive(&medmnist())[..5000].to_vec(), "not a .npz file, or it is damaged"),
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
        ("empty", with("train_images", images("(40, 0, 28)", 0, 1)), "no pixels"),
        (
            "several labels",
            with("train_labels", npy("'|u1'", false, "(40, 14)", &[0; 40 * 14])),
            "14 labels for each image",
        ),
        ("too few labels", with("train_labels", labels(&[0, 1, 0])), "3 labels for 40 images"),
        ("float labels", with("train_labels", npy("'<f8'", false, "(40,)", &[0; 320])), "expected integers"),
        ("negative", with("train_labels", npy("'|i1'", false, "(40,)", &[255; 40])), "negative labels"),
        ("big endian", with("train_labels", npy("'>i4'", false, "(40,)", &[0; 160])), "big-endian"),
        (
            "lies about its size",
            with("train_images", npy("'|u1'", false, "(40, 29, 28)", &noise(40 * 784, 1))),
            "damaged",
        ),
        (
            "endless",
            with("train_images", npy("'|u1'", false, "(9000000000, 28, 28)", &[])),
            "exceed the limit of 6144 MiB",
        ),
        (
            "overflowing",
            with("train_images", npy("'|u1'", false, "(9000000000000000000, 20000, 20000)", &[])),
            "the shape is too large",
        ),
        ("wide", with("train_images", npy("'|u1'", false, "(40, 28, 30000)", &[])), "a side of 30000 pixels"),
        (
            "one class",
            archive(&[("train_images", three_of(28)), ("train_labels", labels(&[3; 40]))]),
            "only one class, `3`",
        ),
        ("no labels", archive(&[("train_images", three_of(28))]), "no `train_labels`"),
        (
            "grows",
            with("train_images", npy("'|u1'", false, "(400000, 28, 28)", &[])),
            "would be decompressed to 299 MiB, which no images need",
        ),
        (
            "too many",
            with("train_images", npy("'|u1'", false, "(600000, 1, 1)", &[7; 600_000])),
            "40 labels for 600000 images",
        ),
        ("nothing", archive(&[("x", labels(&[1]))]), "has no images: expected the keys train_images"),
        ("other keys", archive(&[("x", labels(&[1])), ("y", labels(&[1]))]), "found x, y; rename the arrays"),
        ("no entries", archive(&[]), "found no arrays"),
        ("no bytes", vec![], "it is empty (0 bytes)"),
        ("only a test set", archive(&medmnist()[4..]), "a `test` set, but no `train` set"),
    ];
    for (name, bytes, expected) in cases {
        let text = load_error(&written(&dir, &format!("{name}.npz"), &bytes));
        assert!(text.contains(expected), "{name}: {text}");
    }
}

#[test]
fn a_key_that_occurs_twice_is_rejected() {
    let mut arrays = medmnist();
    arrays.push(("trazn_labels", labels(&[1; 40])));
    // Written under another name of the same length, since no writer would do it.
    let mut bytes = archive(&arrays);
    let positions: Vec<usize> = (0..bytes.len() - 5).filter(|&at| &bytes[at..at + 5] == b"trazn").collect();
    assert_eq!(positions.len(), 2, "in the local header and in the directory");
    positions.iter().for_each(|&at| bytes[at + 3] = b'i');
    let dir = tempfile::tempdir().unwrap();
    assert!(load_error(&written(&dir, "twice.npz", &bytes)).contains("the same key"));
}

#[test]
fn a_zip_bomb_is_rejected_before_it_is_decompressed() {
    let dir = tempfile::tempdir().unwrap();
    // 64 MiB of zeros in 64 KiB, against a limit of 1 MiB.
    let bytes = with("train_images", npy("'|u1'", false, "(40, 1310, 1281)", &vec![0; 40 * 1310 * 1281]));
    assert!(bytes.len() < 200_000);
    let limits = SizeLimits { array_bytes: 1 << 20, ..SizeLimits::default() };
    let options = LoadOptions { limits, ..LoadOptions::default() };
    let error = load_dataset(&written(&dir, "bomb.npz", &bytes), &options, &silent).unwrap_err().to_string();
    assert!(error.contains("exceed the limit of 1 MiB"), "{error}");
}

#[test]
fn the_limits_of_an_npz_apply_to_all_its_sets_together() {
    let dir = tempfile::tempdir().unwrap();
    let path = written(&dir, "set.npz", &archive(&medmnist()));
    let result = |limits: SizeLimits| {
        let options = LoadOptions { limits, ..LoadOptions::default() };
        load_dataset(&path, &options, &silent).map(|data| data.train.len()).map_err(|error| error.to_string())
    };
    let limits = SizeLimits { array_bytes: 60 * 784 + 60, packed_images: 60, ..SizeLimits::default() };
    assert_eq!(result(limits), Ok(40));
    let text = result(SizeLimits { array_bytes: 60 * 784 + 59, ..limits }).unwrap_err();
    assert!(text.contains("`test_labels` has the shape [10, 1]: all arrays together"), "{text}");
    let text = result(SizeLimits { packed_images: 59, ..limits }).unwrap_err();
    assert!(text.contains("60 images, more than the limit of 59"), "{text}");
}

#[test]
fn an_npz_with_another_compression_is_rejected_with_its_name() {
    let dir = tempfile::tempdir().unwrap();
    let mut bytes = archive(&medmnist());
    // The method of the first entry, in its local header and in the directory: bzip2.
    let directory = bytes.windows(4).position(|window| window == b"PK\x01\x02").unwrap();
    (bytes[8], bytes[directory + 10]) = (12, 12);
    let text = load_error(&written(&dir, "bzip2.npz", &bytes));
    assert!(text.contains("save it again with np.savez_compressed") && !text.contains("damaged"), "{text}");
}

/// The values of CIFAR-10's image `number`: planes of red, green and blue.
fn planes(number: usize) -> Vec<u8> {
    noise(3072, number as u64)
}

/// A batch of the binary version.
fn binary_batch(from: usize, n: usize) -> Vec<u8> {
    (from..from + n).flat_map(|number| [vec![(number % 10) as u8], planes(number)].concat()).collect()
}

#[test]
fn the_binary_version_of_cifar_10_is_read() {
    let dir = tempfile::tempdir().unwrap();
    for (name, from, n) in [("data_batch_1", 0, 30), ("data_batch_2", 30, 30), ("test_batch", 60, 20)] {
        written(&dir, &format!("{name}.bin"), &binary_batch(from, n));
    }
    let options = LoadOptions { resize: 32, val_fraction: Some(0.2), ..LoadOptions::default() };
    let data = load_dataset(dir.path(), &options, &silent).unwrap();
    assert_eq!(data.class_names[..3], ["airplane", "automobile", "bird"]);
    assert_eq!((data.channels, data.train.len() + data.val.len(), data.test.len()), (3, 60, 20));
    assert_eq!(data.test.class_counts(10), [2; 10]);
    // Sorted by class: images 60 and 70 are the first of class 0. The first pixel has the first value of each plane.
    for (index, number) in [(0, 60), (1, 70)] {
        let planes = planes(number);
        assert_eq!(data.test.image(index).pixels[..3], [planes[0], planes[1024], planes[2048]]);
        assert_eq!(data.test.image(index).pixels[3 * 1023..], [planes[1023], planes[2047], planes[3071]]);
    }
}

#[test]
fn the_folder_around_cifar_10_is_read_and_a_missing_batch_is_noted() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("cifar-10-batches-bin")).unwrap();
    for name in ["data_batch_1", "data_batch_2", "data_batch_4", "data_batch_5", "test_batch"] {
        written(&dir, &format!("cifar-10-batches-bin/{name}.bin"), &binary_batch(0, 10));
    }
    let data = load(dir.path()).unwrap();
    assert_eq!(data.test.len(), 10);
    let expected = "only 4 of the 5 training files data_batch_1 to 5 were found";
    assert!(data.findings.notes[0].starts_with(expected), "{:?}", data.findings.notes);
}

#[test]
fn the_python_version_of_cifar_10_is_rejected_with_the_name_of_the_binary_one() {
    for folder in [".", "cifar-10-batches-py"] {
        for name in ["data_batch_1", "data_batch_4", "test_batch"] {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir_all(dir.path().join(folder)).unwrap();
            written(&dir, &format!("{folder}/{name}"), b"\x80\x02}.");
            let text = load(dir.path()).unwrap_err().to_string();
            assert!(text.contains("Python version") && text.contains("cifar-10-binary.tar.gz"), "{text}");
            assert!(text.contains(&dir.path().display().to_string()), "{text}");
            assert!(folder == "." || text.contains(folder), "{text}");
        }
    }
    // With both versions, the binary one is read.
    let dir = tempfile::tempdir().unwrap();
    written(&dir, "data_batch_1", b"\x80\x02}.");
    written(&dir, "data_batch_1.bin", &binary_batch(0, 40));
    assert!(load(dir.path()).is_ok());
}

#[test]
fn each_invalid_batch_of_cifar_10_is_rejected() {
    let name = "data_batch_1.bin";
    let cases: [(Vec<u8>, &str); 3] = [
        (binary_batch(0, 3)[..9000].to_vec(), "not a multiple of 3073"),
        (vec![200; 3073], "label 200, expected 0 to 9"),
        (vec![], "it has no image"),
    ];
    for (bytes, expected) in cases {
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
    let text = load_error(&written(&dir, "flipped.npz", &bytes));
    assert!(text.contains("train_images") && text.contains("damaged"), "{text}");
    // An error in any header is found before the data of the first array are read.
    let mut arrays = medmnist();
    arrays[5].1 = labels(&[0, 1, 0]);
    let mut bytes = stored(arrays);
    bytes[5_000] ^= 1;
    assert!(
        load_error(&written(&dir, "both.npz", &bytes)).contains("`test_labels` has 3 labels for 10 images")
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Every file gives data or an error.
    #[test]
    fn mutated_files_never_panic(at in any::<prop::sample::Index>(), with in 1u8..=255, kind in 0usize..3) {
        let dir = tempfile::tempdir().unwrap();
        let (name, mut bytes) = match kind {
            0 => ("set.npz", archive(&medmnist())),
            1 => ("list.csv", b"path,label,split\na.png,x,train\nb.png,y,test\n".to_vec()),
            _ => ("data_batch_1.bin", binary_batch(0, 12)),
        };
        // In the first bytes and the last ones, which are not pixels.
        let at = at.index(usize::min(bytes.len(), 600));
        let at = if with % 2 == 0 { at } else { bytes.len() - 1 - at };
        bytes[at] ^= with;
        let path = written(&dir, name, &bytes);
        let _ = load(if kind == 2 { dir.path() } else { &path });
    }
}
