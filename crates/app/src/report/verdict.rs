//! The top of the page: the result, and what a reader must know to interpret it.

use maud::{Markup, html};
use roentgen_data::{Dataset, Patients, SubsetOrigin};

use super::input::{ReportInput, sentence, with_code};
use crate::config::TrainConfig;
use crate::metrics::shortcut_audit::Audit;
use crate::metrics::test_metrics::TestMetrics;
use crate::metrics::{MajorityBaseline, SubsetMetrics, WIDE_INTERVAL};
use crate::model::model_card::ModelCard;
use crate::model::training_digests::TrainingDigests;
use crate::run_dir::records::Metrics;
use crate::terminal::figures::percent;
use crate::terminal::screen::{by_number, counted};

/// Of a run from weights that were trained, themselves or through other models, on images that no file lists.
pub(crate) const UNKNOWN_TRAINING_IMAGES: &str = "the training images of the initial weights are not all known; they may include \
     the test images and the validation images";

/// What to do about leakage if the initial model was trained on the same data with another split.
pub(crate) const SAME_SPLIT: &str =
    "the images are those of the initial model; split them as there, with its --seed and fractions";

/// What the images of [`Metrics::main`] are called.
fn main_images(metrics: &Metrics) -> &'static str {
    match &metrics.test {
        None if metrics.val_deduplicated.is_some() => "validation images (without leakage)",
        None => "validation images",
        Some(test) if test.test_deduplicated.is_some() => "test images (without leakage)",
        Some(_) => "test images",
    }
}

/// The result of a run, for people.
#[derive(Debug)]
pub(crate) struct Verdict {
    /// What a reader must see first.
    pub headline: String,
    /// The figures behind it.
    pub detail: String,
}

/// The result of a run. Where every test image leaked, the classes can be predicted without what the images are about, or the
/// model is no better than a guess, that is the headline.
pub(crate) fn verdict(metrics: &Metrics, config: &TrainConfig, is_medical: bool) -> Verdict {
    let (Some(main), Some(baseline)) = (metrics.main(), &metrics.majority_baseline) else {
        let headline = "The model was trained on all images; no image was left to test it on.".to_owned();
        return Verdict { headline, detail: String::new() };
    };
    let (n, n_correct) = (main.confusion.n(), main.confusion.n_correct());
    let [low, high] = main.accuracy.interval.unwrap_or([0.0, 1.0]);
    let images = main_images(metrics);
    let accuracy = percent(main.confusion.accuracy());
    let result = format!("The model classified {n_correct} of {n} {images} correctly: accuracy {accuracy}");
    let interval = format!("95 % interval {} to {}", percent(low), percent(high));
    let comparison =
        format!("Always predicting the most frequent class gives {}.", percent(baseline.accuracy));
    let all = format!("{result}, {interval}. {comparison}");
    let warning = all_leaked_sentence(metrics, &accuracy);
    match warning.or_else(|| shortcut_headline(metrics, config, is_medical, &accuracy)) {
        Some(headline) => Verdict { headline, detail: all },
        None if baseline.exceeded => {
            Verdict { headline: format!("{result}."), detail: format!("{interval}. {comparison}") }
        }
        None => Verdict { headline: not_exceeded_sentence(main, baseline), detail: all },
    }
}

/// Whether the model, or the one that it started from, knows every image of [`Metrics::main`].
pub(super) fn has_only_leaked_images(metrics: &Metrics) -> bool {
    all_leaked_sentence(metrics, "").is_some()
}

/// The headline where the model, or the one that it started from, knows every image of [`Metrics::main`].
fn all_leaked_sentence(metrics: &Metrics, accuracy: &str) -> Option<String> {
    let (image, n_leaked, sets) = match &metrics.test {
        Some(test) if test.test_deduplicated.is_none() => {
            ("test image", test.n_leaked, "a training or validation set")
        }
        None if metrics.val_deduplicated.is_none() => {
            ("validation image", metrics.n_leaked_val, "a training set")
        }
        _ => return None,
    };
    let every = match n_leaked {
        0 => return None,
        1 => "The only",
        _ => "Every",
    };
    Some(format!(
        "{every} {image}, or its patient, also occurs in {sets}, so the accuracy of {accuracy} says nothing about other images."
    ))
}

/// The headline where the accuracy does not exceed the baseline, for the screen; `None` where it does, and where all images are
/// of one class, so that the baseline is 100 %.
pub(crate) fn not_exceeded_in_words(main: &SubsetMetrics) -> Option<String> {
    if main.per_class.iter().filter(|class| class.n > 0).count() < 2 {
        return None;
    }
    let baseline = MajorityBaseline::of(main).filter(|baseline| !baseline.exceeded)?;
    Some(not_exceeded_sentence(main, &baseline))
}

/// The headline where the accuracy does not exceed the baseline. Where most images are of one class, such a model may still
/// distinguish the classes.
fn not_exceeded_sentence(main: &SubsetMetrics, baseline: &MajorityBaseline) -> String {
    let (confusion, balanced) = (&main.confusion, main.balanced_accuracy);
    let n_classes = main.per_class.iter().filter(|class| class.n > 0).count();
    let guess = 1.0 / n_classes as f64;
    let distinguishes = match (balanced.value, balanced.interval) {
        (Some(value), Some([low, _])) if n_classes > 1 && low > guess => format!(
            " It does distinguish the classes: its balanced accuracy is {}, that of a guess {}.",
            percent(value),
            percent(guess)
        ),
        _ => String::new(),
    };
    let is = if baseline.is_missed(main.accuracy.interval) {
        "is significantly worse"
    } else {
        "is not significantly better"
    };
    format!(
        "The accuracy of the model, {}, {is} than that of always predicting the most frequent class, {}.{distinguishes}",
        percent(confusion.accuracy()),
        percent(baseline.accuracy)
    )
}

/// The headline where the classes can be predicted without what the images are about.
fn shortcut_headline(
    metrics: &Metrics,
    config: &TrainConfig,
    is_medical: bool,
    accuracy: &str,
) -> Option<String> {
    let how = metrics.audit.as_ref()?.strongest_shortcut()?;
    let own_set = match &metrics.test {
        None => Some("validation set"),
        Some(_) => config.test.is_none().then_some("test set"),
    };
    let subject = if is_medical { "the disease" } else { "what the images show" };
    Some(shortcut_sentence(accuracy, own_set, how, subject))
}

/// The same in words. The accuracy is that on `own_set`, or on the images of `--test`, which the check left out.
fn shortcut_sentence(accuracy: &str, own_set: Option<&str>, how: &str, subject: &str) -> String {
    match own_set {
        Some(set) => format!(
            "{accuracy} on its own {set}; the classes can be predicted {how}, so this says little about {subject}."
        ),
        None => format!(
            "{accuracy} on the test set; the classes of the validation images can be predicted {how}, so the model may have \
             learned this and not {subject}."
        ),
    }
}

/// What the metrics do not show: where the accuracy comes from.
fn caution(input: &ReportInput<'_>) -> Markup {
    html! {
        p.caution {
            @if input.model.card.medical { strong { "Not for clinical use. " } }
            "High accuracy may come from where the images were taken and not from what they show. "
            @match &input.metrics.audit {
                Some(audit) => { (shortcut_check(audit)) }
                None => { "Check the data for such shortcuts with " code { "roentgen audit" } "." }
            }
        }
    }
}

/// What the check for shortcuts at the end of a run found.
fn shortcut_check(audit: &Audit) -> Markup {
    html! {
        @if audit.full_image.is_better_than_chance() { "In this run, " } @else { "For this run this is " }
        (with_code(&audit.verdict)) " (" a href="#shortcuts" { "shortcuts" } ")."
        @if !audit.flagged { " " code { "roentgen audit" } " trains networks to look further." }
    }
}

/// What a reader must know to interpret the verdict.
pub(super) fn remarks(input: &ReportInput<'_>) -> Markup {
    html! {
        (caution(input))
        // The advice after it is for the command line.
        @if let Some(text) = input.metrics.warning.as_ref().and_then(|text| text.split("; ").next()) {
            p.remark.bad { (sentence(text)) }
        }
        (leakage_remark(input))
        @if input.metrics.test.is_none() && input.metrics.val.is_some() {
            p.remark.bad { "There is no test set. The saved epoch was chosen on these same validation images, "
                "so the metrics are too optimistic." }
        }
        @if let Some([low, high]) = input.metrics.main().and_then(|main| main.accuracy.interval) {
            @if high - low > WIDE_INTERVAL {
                p.remark { "The interval is wide because there are few independent images: a difference of a few percentage points "
                    "from another model may be chance." }
            }
        }
        (rejection_remark(input.metrics))
        (shift_remark(input.metrics))
    }
}

/// Whether images or patients occur in several sets, and what that does to the metrics.
fn leakage_remark(input: &ReportInput<'_>) -> Markup {
    let leaky = input.metrics.test.as_ref().filter(|test| test.n_leaked > 0);
    let has_leaky_val = input.metrics.has_leaky_val();
    let findings = &input.data.findings;
    let patients = findings.patients.as_ref();
    let may_share_patients =
        patients.is_some_and(|patients| !patients.crossing.is_empty() || patients.n_matching_guesses > 0);
    html! {
        @if let Some(TestMetrics { n_leaked, test, test_deduplicated, .. }) = leaky {
            p.remark.bad {
                (counted(*n_leaked, "test image"))
                @if patients.is_some() { (by_number(*n_leaked, " or its patient", " or their patients")) }
                (by_number(*n_leaked, " also occurs", " also occur")) " in the training or validation set"
                @if input.config.init.is_some() { ", or in those of the initial model" } ". "
                @if test_deduplicated.is_some() {
                    "The metrics above, the confusion matrix and the curves leave " (by_number(*n_leaked, "it", "them"))
                    " out. On all "
                    (test.confusion.n()) " test images the accuracy is " (percent(test.confusion.accuracy())) "."
                } @else {
                    "No other image is left, so the metrics say nothing about other images."
                }
            }
        }
        @if has_leaky_val {
            p.remark.bad { (sentence(&leaky_val_in_words(input.metrics, input.config, input.data, &input.model.card))) }
        }
        @if input.model.card.has_unknown_training_images {
            p.remark.bad { (sentence(UNKNOWN_TRAINING_IMAGES)) }
        } @else if leaky.is_none() && !has_leaky_val && findings.leakage.is_empty() && !may_share_patients {
            p.remark.good { (no_leakage_in_words(patients)) }
        }
    }
}

/// That no leakage was found: of images that are alike, and of patients as far as they are known.
fn no_leakage_in_words(patients: Option<&Patients>) -> String {
    match patients {
        None => "No image was found in more than one set.".to_owned(),
        Some(Patients { n_unknown: 0, .. }) => {
            "No image and no patient was found in more than one set.".to_owned()
        }
        Some(Patients { n_unknown, .. }) => format!(
            "No image, and no known patient, was found in more than one set (patient unknown: {}).",
            counted(*n_unknown, "image")
        ),
    }
}

/// Whether the initial model was trained on the data of the run, which could be split as they were for it: `digests` has its
/// training and validation images. Folds are tested on all images, so no split is that of the initial model.
pub(crate) fn has_data_of_initial_model(
    config: &TrainConfig,
    data: &Dataset,
    digests: &TrainingDigests,
) -> bool {
    let is_initialised = config.init.is_some() && config.fold.is_none();
    is_initialised && digests.are_all_in(&[&data.train, &data.val, &data.test])
}

/// How many validation images leaked, what that does to the metrics of a run without a test set, and what to do about it.
pub(crate) fn leaky_val_in_words(
    metrics: &Metrics,
    config: &TrainConfig,
    data: &Dataset,
    card: &ModelCard,
) -> String {
    let n = metrics.n_leaked_val;
    let them = by_number(n, "it", "them");
    let consequence = match (&metrics.test, &metrics.val, &metrics.val_deduplicated) {
        (Some(_), ..) => String::new(),
        (None, Some(all), Some(_)) => format!(
            " The result leaves {them} out; on all {} validation images the accuracy is {}.",
            all.confusion.n(),
            percent(all.confusion.accuracy())
        ),
        _ => " No other image is left, so the metrics say nothing about other images.".to_owned(),
    };
    let or_initial = if config.init.is_some() { ", or in that of the initial model" } else { "" };
    // Besides those of the initial model, these are images of the run itself.
    let has_other_split = data.val_origin == SubsetOrigin::SplitOff
        && has_data_of_initial_model(config, data, &card.training_digests);
    let take_out = by_number(
        n,
        "take this image out of one of the two sets",
        "take these images out of one of the two sets",
    );
    let remedy = if has_other_split { SAME_SPLIT } else { take_out };
    format!(
        "{} {} in the training set{or_initial}.{consequence} The epoch was chosen, and the probabilities \
         calibrated, on {}: {remedy}",
        counted(n, "validation image"),
        by_number(n, "or its patient also occurs", "or their patients also occur"),
        by_number(n, "it too", "all of them")
    )
}

/// Whether the test images are from elsewhere than the training and validation images.
fn shift_remark(metrics: &Metrics) -> Markup {
    let n_leaked = metrics.test.as_ref().map_or(0, |test| test.n_leaked);
    html! {
        @if let Some(shift) = metrics.shift.as_ref().filter(|shift| shift.detected) {
            p.remark { (sentence(&shift.in_words_for_test_set(n_leaked))) }
        }
    }
}

/// How many test images are too unlike the training images, and what that does to the accuracy.
fn rejection_remark(metrics: &Metrics) -> Markup {
    let test = metrics.test.as_ref();
    let rejected = test.and_then(|test| Some((test, test.n_main_rejected.filter(|&n| n > 0)?)));
    html! {
        @if let Some((test, n_rejected)) = rejected {
            p.remark { code { "roentgen predict" } " would reject " (n_rejected) " of the " (test.main().confusion.n())
                " test images as out-of-distribution: too unlike the training images. "
                @if let Some(accepted) = &test.test_accepted {
                    "Without them the accuracy is " (percent(accepted.confusion.accuracy())) "."
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Predictions;
    use crate::metrics::shortcut_audit::tests::audit;

    #[test]
    fn a_model_that_finds_a_rare_class_is_said_to_distinguish_the_classes() {
        let words = |n_found: u32, n_false: u32| {
            let mut predictions = Predictions::new(2);
            for image in 0..600 {
                let is_ill = image < 30;
                let is_found = if is_ill { image < n_found } else { image < 30 + n_false };
                let logits = if is_found { [0.0, 2.0] } else { [2.0, 0.0] };
                predictions.add(u32::from(is_ill), logits.into_iter());
            }
            let metrics = SubsetMetrics::new(vec!["well".into(), "ill".into()], &predictions, None);
            not_exceeded_in_words(&metrics)
        };
        let sentence = |n_found: u32, n_false: u32| words(n_found, n_false).expect("a sentence");
        let said = sentence(28, 40);
        assert!(
            said.starts_with("The accuracy of the model, 93.0 %, is significantly worse")
                && said.contains(", 95.0 %."),
            "{said}"
        );
        let said_of_fewer = sentence(28, 30);
        assert!(said_of_fewer.contains("94.7 %, is not significantly better"), "{said_of_fewer}");
        assert!(said.ends_with("its balanced accuracy is 93.2 %, that of a guess 50.0 %."), "{said}");
        assert!(!sentence(0, 0).contains("distinguish"));
        assert_eq!(words(30, 0), None, "all are correct");
    }

    #[test]
    fn of_images_of_one_class_nothing_is_said_of_the_baseline() {
        let mut predictions = Predictions::new(2);
        (0..20).for_each(|_| predictions.add(0, [2.0, 0.0].into_iter()));
        let metrics = SubsetMetrics::new(vec!["well".into(), "ill".into()], &predictions, None);
        assert_eq!(not_exceeded_in_words(&metrics), None);
    }

    #[test]
    fn a_separate_test_set_is_not_called_the_own_one_of_the_model() {
        let sentence = |own_set| shortcut_sentence("98.0 %", own_set, "from its border", "the disease");
        assert!(sentence(Some("test set")).starts_with("98.0 % on its own test set; the classes can be"));
        let elsewhere = sentence(None);
        assert!(elsewhere.starts_with("98.0 % on the test set; the classes of the validation images can be"));
    }

    #[test]
    fn a_check_without_a_result_is_not_called_free_of_shortcuts() {
        let unknown = shortcut_check(&audit(30, 30)).into_string();
        assert!(unknown.starts_with("For this run this is not known: even whole images do not"), "{unknown}");
        let found = shortcut_check(&audit(56, 30)).into_string();
        assert!(found.starts_with("In this run, no shortcut found"), "{found}");
    }
}
