//! Images in memory: they give the same data set as a file with the same pixels, with the same checks.

use ndarray::{Array4, Axis};
use roentgen_data::{
    ArrayImages, DataError, Dataset, LoadOptions, Subset, SubsetOrigin, load_arrays, silent,
};

use crate::files::noise;

const CLASSES: [&str; 2] = ["cat", "dog"];

fn images(n: usize, channels: usize) -> Array4<u8> {
    let shape = (n, 40, 36, channels);
    Array4::from_shape_vec(shape, noise(n * 40 * 36 * channels, 5)).unwrap()
}

fn labels(n: u32) -> Vec<u32> {
    (0..n).map(|image| image % 2).collect()
}

fn load(arrays: &ArrayImages<'_>) -> Result<Dataset, DataError> {
    load_arrays(arrays, &LoadOptions::default(), &silent)
}

#[test]
fn missing_sets_are_split_off_and_duplicates_stay_together() {
    let mut images = images(60, 1);
    let first = images.index_axis(Axis(0), 0).to_owned();
    for duplicate in [2, 4, 6, 8] {
        images.index_axis_mut(Axis(0), duplicate).assign(&first);
    }
    let labels = labels(60);
    let arrays = ArrayImages {
        images: images.view(),
        labels: &labels,
        class_names: &CLASSES,
        subsets: None,
        patients: None,
    };
    let data = load(&arrays).unwrap();
    assert_eq!((data.train.len(), data.val.len(), data.test.len()), (48, 6, 6));
    assert_eq!((data.channels, data.train.channels(), data.val_origin), (1, 1, SubsetOrigin::SplitOff));
    assert_eq!((data.findings.duplicates.len(), data.findings.duplicates[0].len()), (1, 5));
    assert!(data.findings.leakage.is_empty() && !data.is_phantom());
    // The short side is the one of the options, and the labels are those of the array.
    let image = data.train.image(0);
    assert_eq!((image.width, image.height), (28, 31));
    for set in [&data.train, &data.val, &data.test] {
        for index in 0..set.len() {
            let number: usize = set.name(index)["images[".len()..][..6].parse().unwrap();
            assert_eq!(set.labels()[index], labels[number]);
        }
    }
}

#[test]
fn given_sets_are_kept_and_leakage_and_patients_found() {
    let mut images = images(30, 3);
    let first = images.index_axis(Axis(0), 0).to_owned();
    images.index_axis_mut(Axis(0), 28).assign(&first);
    let subsets: Vec<Subset> = (0..30).map(|image| Subset::ALL[[0, 1, 2][image / 10]]).collect();
    let patients: Vec<String> = (0..30).map(|image| format!("p{}", image / 3)).collect();
    let patients: Vec<&str> = patients.iter().map(String::as_str).collect();
    let data = load(&ArrayImages {
        images: images.view(),
        labels: &labels(30),
        class_names: &CLASSES,
        subsets: Some(&subsets),
        patients: Some(&patients),
    })
    .unwrap();
    assert_eq!((data.train.len(), data.val.len(), data.test.len()), (10, 10, 10));
    assert_eq!((data.channels, data.test_origin), (3, SubsetOrigin::Given));
    assert_eq!(data.findings.leakage.len(), 1);
    let patients = data.findings.patients.expect("known patients");
    assert_eq!((patients.n, patients.crossing), (10, vec!["p3".to_owned(), "p6".to_owned()]));
}

#[test]
fn what_does_not_match_is_an_error_that_names_it() {
    let (images, labels) = (images(20, 1), labels(20));
    let ok = ArrayImages {
        images: images.view(),
        labels: &labels,
        class_names: &CLASSES,
        subsets: None,
        patients: None,
    };
    assert!(load(&ok).is_ok());
    let (two, none) = (Array4::<u8>::zeros((20, 40, 36, 2)), Array4::<u8>::zeros((0, 40, 36, 1)));
    let cases = [
        (ArrayImages { images: two.view(), ..ok }, "their shape is [20, 40, 36, 2]"),
        (ArrayImages { labels: &labels[1..], ..ok }, "19 labels for 20 images"),
        (ArrayImages { subsets: Some(&[Subset::Train]), ..ok }, "1 sets for 20 images"),
        (ArrayImages { patients: Some(&["p"]), ..ok }, "1 patients for 20 images"),
        (ArrayImages { labels: &[2; 20], ..ok }, "a label is 2, expected less than 2"),
        (ArrayImages { class_names: &["cat", "cat"], ..ok }, "two classes have the name `cat`"),
        (ArrayImages { class_names: &["cat", ""], ..ok }, "the name of a class is blank"),
        (ArrayImages { class_names: &["-", "- "], ..ok }, "two classes differ in blanks only, `-` and `- `"),
        (ArrayImages { labels: &[0; 20], ..ok }, "class `dog`"),
        (ArrayImages { labels: &[0; 20], class_names: &["cat"], ..ok }, "only one class"),
        (ArrayImages { images: none.view(), labels: &[], ..ok }, "it lists no"),
    ];
    for (arrays, expected) in cases {
        let text = load(&arrays).expect_err(expected).to_string();
        assert!(text.starts_with("images in memory cannot be used: ") && text.contains(expected), "{text}");
    }
}
