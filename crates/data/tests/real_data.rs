//! Counts over the real data that some workplaces have beside the repository.

use roentgen_data::{ImageSet, SubsetOrigin, colour};

use crate::files::load;
use crate::real_sets::{covid3, cxr3_train, real_data};

#[test]
fn covid3_is_grey_with_its_own_test_set() {
    let Some(data) = covid3() else { return };
    assert_eq!(data.class_names, ["Covid", "Normal", "Viral Pneumonia"]);
    assert_eq!(data.channels, 1);
    assert_eq!(data.train.len() + data.val.len(), 251);
    assert_eq!(data.val.class_counts(3), [11, 7, 7]);
    assert_eq!(data.test.len(), 66);
    assert_eq!((data.val_origin, data.test_origin), (SubsetOrigin::SplitOff, SubsetOrigin::Given));
    assert!(data.findings.bad.is_empty(), "{:?}", data.findings.bad);
}

#[test]
fn cxr3_is_grey_and_split() {
    let Some(data) = cxr3_train() else { return };
    assert_eq!(data.class_names, ["covid", "normal", "pneumonia"]);
    assert_eq!(data.channels, 1);
    assert_eq!(data.test.class_counts(3), [15, 113, 372]);
    assert_eq!(data.val.class_counts(3), [15, 113, 372]);
    assert_eq!(data.train.len(), 1134 + 3717 + 154 - 1000);
    assert!(data.findings.bad.is_empty(), "{:?}", data.findings.bad);
}

#[test]
fn pneumoniamnist_is_read_from_its_npz() {
    let Some(dir) = real_data("pneumoniamnist-trainval.npz") else { return };
    let data = load(&dir).unwrap();
    assert_eq!(data.class_names, ["normal", "pneumonia"]);
    assert_eq!(
        (data.channels, data.val_origin, data.test_origin),
        (1, SubsetOrigin::Given, SubsetOrigin::SplitOff)
    );
    assert_eq!(data.train.len() + data.test.len(), 4599);
    assert_eq!(data.val.class_counts(2), [135, 389]);
}

#[test]
fn the_test_images_of_covid3_that_are_also_in_train_are_found() {
    let Some(data) = covid3() else { return };
    let leaked: Vec<&str> = data.findings.leakage.iter().map(|leaked| leaked.image.path.as_str()).collect();
    for stem in [
        "COVID-00003b",
        "COVID-00012",
        "COVID-00022",
        "COVID-00033",
        "COVID-00037",
        "0112",
        // The same file as 0112, which is a near-duplicate of a training film.
        "auntminnie-2020_01_31_20_24_2322_2020_01_31_x-ray_coronavirus_US",
        "radiopaedia-2019-novel-coronavirus-infected-pneumonia",
    ] {
        assert!(
            leaked.iter().any(|path| path.contains(&format!("/{stem}."))),
            "{stem} is not in {leaked:#?}"
        );
    }
    assert_eq!(data.findings.is_leaked_test.iter().filter(|&&is_leaked| is_leaked).count(), 9, "{leaked:#?}");
}

#[test]
fn no_film_is_in_colour() {
    for (name, data) in [("covid3", covid3()), ("cxr3-train", cxr3_train())] {
        let Some(data) = data else { continue };
        let most_colour =
            |set: &ImageSet| (0..set.len()).map(|at| set.facts(at).unwrap().colour).fold(0.0, f32::max);
        let most = [&data.train, &data.val, &data.test].map(most_colour).into_iter().fold(0.0, f32::max);
        println!("{name}: {most}");
        assert!(f64::from(most) < colour::MAX_VARIETY / 10.0, "{name}: {most}");
    }
}
