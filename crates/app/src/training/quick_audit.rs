//! The shortcut audit at the end of a run: linear classifiers in place of the networks of `roentgen audit`.
//!
//! They are fitted on the border of the training images, on the images with their centre blanked, and on facts of the files,
//! and compared with the model of the run on the same images. A linear classifier is a lower bound: where it predicts the
//! classes from the border, so does a network. It costs seconds instead of minutes. No random number is drawn and no
//! weight is changed.
//!
//! Images of `--test` are not checked: they may be from another place and lack the shortcut of the training data, which the check
//! would then miss.

use rayon::prelude::*;
use roentgen_data::{Dataset, FileFacts, ImageSet, Mask};

use super::linear_classifier::{self, LinearClassifier};
use super::work::multiplications;
use crate::config::TrainConfig;
use crate::metrics::Predictions;
use crate::metrics::shortcut_audit::{Audit, NoAudit, Probe, Probes};
use crate::model::inference::Evaluation;

/// Side to which images are reduced for the linear classifiers, in pixels.
const SIDE: usize = 24;
/// Most training images that they are fitted on, evenly spaced over the set.
const MAX_FITTED: usize = 1_000;
/// Most validation and test images that they are evaluated on, evenly spaced: intervals of more take longer than the fits.
const MAX_EVALUATED: usize = 300;
/// Fewer training images of a class are too few to fit on.
const MIN_OF_CLASS: usize = 5;
/// The audit may take this fraction of the training.
const MAX_SHARE: f64 = 0.1;
/// Multiplications of a training step that take as long as one of a linear classifier: the kernels use all vector
/// units. An estimate: a run of the phantom set took 82 s of processor time for 6.1e12 multiplications, and two fits of
/// that size by themselves 0.78 s for 1.2e9.
const KERNEL_SPEED: f64 = 60.0;
/// The work of the intervals of a probe for an image and a class, in multiplications of a linear classifier.
const INTERVAL_WORK: f64 = 1.5e6;
/// Probes that have intervals, with that of full images.
const N_PROBES: f64 = 4.0;

/// Audits the data of a run; `full_image` holds the predictions of its model for the validation set, then the test set, and
/// `is_leaked` which of these images leaked.
///
/// # Errors
/// The reason why there is no audit.
pub(crate) fn quick_audit(
    config: &TrainConfig,
    data: &Dataset,
    is_leaked: &[bool],
    full_image: &Predictions,
) -> Result<Audit, NoAudit> {
    let is_leaked = &is_leaked[..n_checked(config, data)];
    let (not_leaked, fitted) = (indices_without(is_leaked), evenly_spaced(data.train.len(), MAX_FITTED));
    let evaluated: Vec<usize> =
        evenly_spaced(not_leaked.len(), MAX_EVALUATED).into_iter().map(|at| not_leaked[at]).collect();
    let share = share_of_training(config, data, fitted.len(), evaluated.len());
    let fitted = data.train.select(&fitted);
    let is_enough =
        fitted.class_counts(data.class_names.len()).into_iter().all(|count| count >= MIN_OF_CLASS);
    let obstacles = [
        (!config.audit, NoAudit::SwitchedOff),
        (evaluated.is_empty(), NoAudit::NothingToCheck),
        (!is_enough, NoAudit::FewTrainingImages),
        (share > MAX_SHARE, NoAudit::ShortTraining),
    ];
    if let Some((_, reason)) = obstacles.into_iter().find(|(holds, _)| *holds) {
        return Err(reason);
    }
    let n_leaked = is_leaked.len() - not_leaked.len();
    let full_image = full_image.only(&evaluated);
    let evaluated = selected(data, &evaluated);
    let groups = evaluated.groups();
    let full_image = Probe::new(&data.class_names, &full_image, groups.ids());
    let (squared_train, squared) = (fitted.squared(SIDE), evaluated.squared(SIDE));
    let masked = [Mask::BorderOnly, Mask::CentreBlanked];
    let probes: Vec<Probe> = masked
        .par_iter()
        .map(|&mask| {
            let rows =
                |set: &ImageSet| (0..set.len()).map(|image| visible_values(set, image, mask)).collect();
            probe([rows(&squared_train), rows(&squared)], &fitted, &evaluated, &data.class_names)
        })
        .collect();
    let file_facts = file_facts_probe(&fitted, &evaluated, &data.class_names);
    let [border, centre_blanked]: [Probe; 2] = probes.try_into().expect("a probe for each mask");
    Ok(Audit::new(Probes { full_image, border, centre_blanked, file_facts }, evaluated.len(), n_leaked))
}

/// The time of the audit over that of the training, by the multiplications of both.
fn share_of_training(config: &TrainConfig, data: &Dataset, n_fitted: usize, n_evaluated: usize) -> f64 {
    let (n_classes, pixels) = (data.class_names.len() as f64, (SIDE * SIDE * data.channels) as f64);
    let fit_work = (linear_classifier::STEPS * n_fitted) as f64 * n_classes * pixels * 2.0;
    let interval_work = n_evaluated as f64 * n_classes * N_PROBES * INTERVAL_WORK;
    (fit_work + interval_work) * KERNEL_SPEED / multiplications(config, data)
}

/// `most` of `n` indices, evenly spaced from the first on; all, if there are no more.
pub(super) fn evenly_spaced(n: usize, most: usize) -> Vec<usize> {
    if n <= most { (0..n).collect() } else { (0..most).map(|at| at * n / most).collect() }
}

/// The values of the pixels that a mask leaves visible in a square image.
fn visible_values(set: &ImageSet, image: usize, mask: Mask) -> Vec<f64> {
    set.visible(image, mask).iter().map(|&value| f64::from(value)).collect()
}

/// The validation and test images without the leaked ones and those of `--test`, and how many leaked. A model may have memorised
/// the class of an image that it was trained on.
#[must_use]
pub(crate) fn without_leaked(config: &TrainConfig, data: &Dataset) -> (ImageSet, usize) {
    let is_leaked = [&data.findings.is_leaked_val[..], &data.findings.is_leaked_test].concat();
    let n = n_checked(config, data);
    let indices = indices_without(&is_leaked[..n]);
    (selected(data, &indices), n - indices.len())
}

/// The images at ascending indices into the validation set and after it the test set.
fn selected(data: &Dataset, indices: &[usize]) -> ImageSet {
    let n_val = data.val.len();
    let (val_indices, test_indices) = indices.split_at(indices.partition_point(|&index| index < n_val));
    let test_indices: Vec<usize> = test_indices.iter().map(|index| index - n_val).collect();
    data.val.select(val_indices).concat(&data.test.select(&test_indices))
}

/// How many images may be checked, of the validation set and after it the test set: all of both, or with `--test` the validation
/// images alone.
fn n_checked(config: &TrainConfig, data: &Dataset) -> usize {
    data.val.len() + if config.test.is_some() { 0 } else { data.test.len() }
}

/// The indices of the images that did not leak.
fn indices_without(is_leaked: &[bool]) -> Vec<usize> {
    is_leaked.iter().enumerate().filter(|(_, is_leaked)| !**is_leaked).map(|(index, _)| index).collect()
}

/// A linear classifier on facts of the files; none if the images have no files.
#[must_use]
pub(crate) fn file_facts_probe(
    train_set: &ImageSet,
    evaluated: &ImageSet,
    class_names: &[String],
) -> Option<Probe> {
    let rows = |set: &ImageSet| -> Option<Vec<Vec<f64>>> {
        (0..set.len())
            .map(|index| set.facts(index).map(|facts: &FileFacts| facts.values().to_vec()))
            .collect()
    };
    Some(probe([rows(train_set)?, rows(evaluated)?], train_set, evaluated, class_names))
}

/// Fits a linear classifier on rows of features of one set, and evaluates it on those of another.
fn probe(
    [train_rows, evaluated_rows]: [Vec<Vec<f64>>; 2],
    train_set: &ImageSet,
    evaluated: &ImageSet,
    class_names: &[String],
) -> Probe {
    let model = LinearClassifier::fit(&train_rows, train_set.labels(), class_names.len());
    let mut evaluation = Evaluation::new(class_names.len());
    for (row, &label) in evaluated_rows.iter().zip(evaluated.labels()) {
        let logits: Vec<f32> = model.logits(row).iter().map(|&logit| logit as f32).collect();
        evaluation.add(label, &logits);
    }
    let groups = evaluated.groups();
    Probe::new(class_names, &evaluation.predictions(1.0), groups.ids())
}

#[cfg(test)]
mod tests {
    use roentgen_data::{LoadOptions, PhantomOptions, phantom_dataset, silent};

    use super::*;

    /// Why there is no audit of a training of an epoch; `is_leaked` is that of every image.
    fn reason(config: TrainConfig, data: &Dataset, is_leaked: bool) -> Option<NoAudit> {
        let config = TrainConfig { epochs: Some(1), ..config };
        quick_audit(&config, data, &[is_leaked; 12], &Predictions::new(3)).err()
    }

    #[test]
    fn the_audit_is_left_out_where_it_would_cost_more_than_a_tenth() {
        let phantom = PhantomOptions { train: 30, val: 6, test: 6, ..PhantomOptions::default() };
        let data = phantom_dataset(&phantom, &LoadOptions::default(), &silent).expect("films");
        let share = |epochs: usize, width: usize| {
            let config = TrainConfig { epochs: Some(epochs), width, ..TrainConfig::default() };
            share_of_training(&config, &data, 30, 12)
        };
        assert!(share(12, 64) < MAX_SHARE && share(1, 64) > share(2, 64));
        assert!(share(1, 8) > MAX_SHARE, "a run of a second");
        let config = || TrainConfig { width: 8, ..TrainConfig::default() };
        assert_eq!(reason(config(), &data, false), Some(NoAudit::ShortTraining));
        assert_eq!(reason(config(), &data, true), Some(NoAudit::NothingToCheck));
        let switched_off = TrainConfig { audit: false, ..config() };
        assert_eq!(reason(switched_off, &data, false), Some(NoAudit::SwitchedOff));
    }

    #[test]
    fn few_training_images_are_a_reason_of_their_own() {
        let phantom = PhantomOptions { train: 12, val: 6, test: 6, ..PhantomOptions::default() };
        let data = phantom_dataset(&phantom, &LoadOptions::default(), &silent).expect("films");
        let found = reason(TrainConfig::default(), &data, false).expect("four films of each class");
        assert_eq!(found, NoAudit::FewTrainingImages);
        assert!(found.in_words().is_some_and(|text| !text.contains("short;")), "{found:?}");
    }

    #[test]
    fn images_of_a_separate_test_set_are_not_checked() {
        let phantom = PhantomOptions { train: 3, val: 6, test: 9, ..PhantomOptions::default() };
        let mut data = phantom_dataset(&phantom, &LoadOptions::default(), &silent).expect("films");
        (data.findings.is_leaked_val[0], data.findings.is_leaked_test[0]) = (true, true);
        let checked = |test: Option<&str>| {
            let config = TrainConfig { test: test.map(Into::into), ..TrainConfig::default() };
            let (images, n_leaked) = without_leaked(&config, &data);
            (images.len(), n_leaked)
        };
        assert_eq!([checked(None), checked(Some("elsewhere"))], [(13, 2), (5, 1)]);
    }

    #[test]
    fn a_thinned_set_keeps_the_whole_range() {
        assert_eq!(evenly_spaced(7, 3), [0, 2, 4]);
        assert_eq!(evenly_spaced(2, 300), [0, 1]);
        assert!(evenly_spaced(0, 300).is_empty());
        assert_eq!(evenly_spaced(301, 300).len(), 300);
    }
}
