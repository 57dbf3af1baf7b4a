//! Tests of the verdict.

use roentgen_tensor::rng::{CounterRng, Purpose};

use super::*;

/// A probe of images of two classes in turn, all of which have the higher probability for their own class.
fn perfect_probe(n_images: u32) -> Probe {
    let mut predictions = Predictions::new(2);
    for image in 0..n_images {
        let logits = if image % 2 == 0 { [1.0, 0.0] } else { [0.0, 1.0] };
        predictions.add(image % 2, logits.into_iter());
    }
    Probe::new(&["a".into(), "b".into()], &predictions, None)
}

/// One that knows nothing puts two before two others once in six times.
#[test]
fn a_perfect_probe_of_few_images_is_no_shortcut() {
    let audit = |n_images: u32| {
        let [full_image, border, centre_blanked] = [n_images; 3].map(perfect_probe);
        Audit::new(Probes { full_image, border, centre_blanked, file_facts: None }, n_images as usize, 0)
    };
    assert!(
        !audit(8).flagged && audit(8).verdict.starts_with("not known: even whole"),
        "{}",
        audit(8).verdict
    );
    assert!(audit(10).flagged);
}

/// Its other class may have a larger area, from fewer images.
#[test]
fn the_verdict_names_a_class_that_is_flagged() {
    let class = |name: &str, roc_auc: f64, interval: Interval| ClassRocAuc {
        class: name.into(),
        roc_auc: Some(roc_auc),
        interval: Some(interval),
        flagged: false,
        n: 30,
    };
    let probe = |per_class: Vec<ClassRocAuc>| Probe {
        roc_auc: Some(0.8),
        interval: Some([0.6, 0.9]),
        per_class,
        flagged: false,
        n: 30,
        by_group: false,
    };
    let full_image = || probe(vec![class("rare", 0.99, [0.9, 1.0]), class("common", 0.99, [0.98, 1.0])]);
    let border = probe(vec![class("rare", 0.97, [0.3, 1.0]), class("common", 0.9, [0.85, 0.94])]);
    let probes = Probes { full_image: full_image(), border, centre_blanked: probe(vec![]), file_facts: None };
    let audit = Audit::new(probes, 60, 0);
    assert!(audit.flagged && audit.verdict.contains("`common` can be predicted"), "{}", audit.verdict);
}

/// A probe of 60 images of two classes, of which about `n_correct` have the higher probability for their own class.
fn probe(n_correct: u32) -> Probe {
    let mut predictions = Predictions::new(2);
    for image in 0..60 {
        let sign = if image / 2 < n_correct / 2 { 1.0 } else { -1.0 } * f64::from(1 + image % 7);
        let logits = if image % 2 == 0 { [sign, 0.0] } else { [0.0, sign] };
        predictions.add(image % 2, logits.into_iter());
    }
    Probe::new(&["a".into(), "b".into()], &predictions, None)
}

pub(crate) fn audit(n_correct_full: u32, n_correct_border: u32) -> Audit {
    let (border, centre_blanked) = (probe(n_correct_border), probe(30));
    let probes = Probes { full_image: probe(n_correct_full), border, centre_blanked, file_facts: None };
    Audit::new(probes, 60, 0)
}

#[test]
fn where_full_images_are_at_chance_nothing_is_said_of_shortcuts() {
    let at_chance = audit(30, 30);
    assert!(at_chance.verdict.starts_with("not known: even whole images do not"), "{}", at_chance.verdict);
    assert!(audit(56, 30).verdict.starts_with("no shortcut found"));
    let flagged = audit(56, 56);
    assert!(flagged.flagged && flagged.verdict.starts_with("shortcut found"), "{}", flagged.verdict);
}

/// A probe of `class_counts` images of each class, with random logits; that of the true class is larger by `shift` on average.
fn drawn_probe(rng: &mut CounterRng, class_counts: &[u32], shift: f32) -> Probe {
    let names: Vec<String> = (0..class_counts.len()).map(|class| format!("class {class}")).collect();
    let mut predictions = Predictions::new(class_counts.len());
    for (class, &n) in class_counts.iter().enumerate() {
        for _ in 0..n {
            let logits: Vec<f64> = (0..class_counts.len())
                .map(|of| f64::from(rng.normal() + if of == class { shift } else { 0.0 }))
                .collect();
            predictions.add(class as u32, logits.into_iter());
        }
    }
    Probe::new(&names, &predictions, None)
}

fn drawn_audit(seed: u64, class_counts: &[u32], [full, border, files]: [f32; 3]) -> Audit {
    let mut rng = CounterRng::new(seed, Purpose::Synthetic, 0, 0);
    let probes = Probes {
        full_image: drawn_probe(&mut rng, class_counts, full),
        border: drawn_probe(&mut rng, class_counts, border),
        centre_blanked: drawn_probe(&mut rng, class_counts, 0.0),
        file_facts: Some(drawn_probe(&mut rng, class_counts, files)),
    };
    Audit::new(probes, class_counts.iter().sum::<u32>() as usize, 0)
}

#[test]
fn hundreds_of_images_without_a_shortcut_have_none() {
    for class_counts in [&[100, 100, 100][..], &[300, 300, 40]] {
        let audits = (0..10).map(|seed| drawn_audit(seed, class_counts, [2.0, 0.0, 0.1]).verdict);
        let n_none = audits.filter(|verdict| verdict.starts_with("no shortcut found")).count();
        assert!(n_none >= 9, "{n_none} of 10 with {class_counts:?} images");
    }
}

/// Few images that lie close together by chance have a narrow interval.
#[test]
fn two_to_four_images_of_a_class_are_no_shortcut() {
    for n_rare in 2..=4 {
        let flagged: Vec<u64> =
            (0..30).filter(|&seed| drawn_audit(seed, &[n_rare, 300, 300], [2.0, 0.0, 0.0]).flagged).collect();
        assert!(flagged.is_empty(), "{n_rare} images, seeds {flagged:?}");
    }
    // The other classes have enough images.
    let audit = drawn_audit(0, &[2, 100, 100], [2.0, 4.0, 0.0]);
    assert!(audit.flagged && !audit.verdict.contains("`class 0`"), "{}", audit.verdict);
}

#[test]
fn where_few_images_leave_it_open_the_verdict_names_what_may_be_a_shortcut() {
    // The border makes no mistake, but of three images of a class.
    let probe = |roc_auc: f64, interval: Option<Interval>| {
        let class = |name: &str| ClassRocAuc {
            class: name.into(),
            roc_auc: Some(roc_auc),
            interval,
            flagged: false,
            n: 3,
        };
        let per_class = vec![class("rare"), class("common")];
        Probe { roc_auc: Some(roc_auc), interval, per_class, flagged: false, n: 3, by_group: false }
    };
    let (full_image, centre_blanked) = (probe(0.97, Some([0.7, 0.99])), probe(0.45, Some([0.3, 0.6])));
    let probes = Probes { full_image, border: probe(1.0, None), centre_blanked, file_facts: None };
    let verdict = Audit::new(probes, 63, 0).verdict;
    assert!(
        verdict.starts_with("no shortcut could be shown, and none excluded: with 3 images of"),
        "{verdict}"
    );
    assert!(verdict.contains("ROC AUC of the border"), "{verdict}");
    // Three drawn images are too few to show that full images are better than chance.
    assert!(!drawn_audit(0, &[3, 60], [1.8, 8.0, 0.0]).flagged);
    // An area of about 0.75 of 15 images, which may be one of 0.65 or 0.85.
    let verdict = drawn_audit(1, &[15, 15], [2.5, 0.5, 0.5]).verdict;
    assert!(verdict.contains("may be as high as that of a shortcut"), "{verdict}");
}

#[test]
fn full_images_that_predict_the_other_classes_are_better_than_chance() {
    let verdict = drawn_audit(0, &[1, 100, 100], [2.5, 0.0, 0.0]).verdict;
    assert!(verdict.contains("with 1 image of the smallest class"), "{verdict}");
}

#[test]
fn the_verdict_names_the_files_only_where_there_are_some() {
    let verdict = audit(56, 30).verdict;
    assert!(verdict.contains("the border and the images without their centre predict"), "{verdict}");
    let verdict = drawn_audit(0, &[100, 100], [2.0, 0.0, 0.0]).verdict;
    assert!(
        verdict.contains("the border, the images without their centre, and the files predict"),
        "{verdict}"
    );
}
