//! 95 % intervals by the bootstrap (Efron 1979), of metrics of the confusion matrix and of means; also by groups of images.
//!
//! A plain percentile interval is too narrow on few images, and worse where the metric is close to its limit or rare
//! images decide it (`tests/interval_coverage.rs` measures it). So each kind of metric has the interval that fits it:
//!
//! - [`Samples::percentile`]: percentiles that are widened as Student's t is against the normal distribution (Hesterberg
//!   2015), for metrics of the confusion matrix and for differences;
//! - [`gain_interval`]: the same with two groups more, for a difference of two accuracies;
//! - [`mean_interval`]: the studentised bootstrap, for means such as the log loss, which a few images with a large loss
//!   decide.

use rayon::prelude::*;
use roentgen_tensor::rng::{CounterRng, Purpose};

use super::groups::Groups;
use super::interval::{Interval, NO_WIDTH, normal_cdf, student_quantile};
use super::quantile::quantile;

/// Fewest groups that have an interval. No mean of resampled groups is beyond the least and the largest of them, and of a
/// symmetric distribution all groups are on the same side of its centre once in 16 times with five groups, and every
/// second time with two.
const MIN_GROUPS: usize = 5;
/// Samples that a bootstrap draws.
pub(super) const RESAMPLES: usize = 1000;

/// How often each of `n_groups` groups is drawn in a sample. The draws have a key of their own, so the intervals of the same
/// predictions are always the same.
fn draw(n_groups: usize, sample: usize) -> Vec<f64> {
    let mut rng = CounterRng::new(0, Purpose::Bootstrap, sample as u64, 0);
    let mut times = vec![0.0; n_groups];
    for _ in 0..n_groups {
        times[rng.below(n_groups as u32) as usize] += 1.0;
    }
    times
}

/// The values of one metric in the samples of a bootstrap.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Samples {
    /// Where the metric is defined, in ascending order.
    values: Vec<f64>,
    n_groups: usize,
}

/// Draws whole groups of images with replacement, for images of one patient are less informative than as many images of many
/// patients, and computes several metrics of each sample with `values`, from how often each image counts.
#[must_use]
pub(crate) fn bootstrap<const N: usize>(
    groups: &Groups,
    values: impl Fn(&[f64]) -> [Option<f64>; N] + Sync,
) -> [Samples; N] {
    let sample = |index: usize| values(&groups.per_image(&draw(groups.n(), index)));
    let samples: Vec<[Option<f64>; N]> = (0..RESAMPLES).into_par_iter().map(sample).collect();
    std::array::from_fn(|metric| {
        let mut values: Vec<f64> = samples.iter().filter_map(|sample| sample[metric]).collect();
        values.sort_unstable_by(f64::total_cmp);
        Samples { values, n_groups: groups.n() }
    })
}

impl Samples {
    /// Whether they show how far other images would differ. They do not where there are few groups, where the metric is undefined
    /// in most samples, or where these all agree, as where nothing is wrong.
    fn are_informative(&self) -> bool {
        self.n_groups >= MIN_GROUPS
            && self.values.len() >= RESAMPLES / 2
            && quantile(&self.values, 0.975) - quantile(&self.values, 0.025) > NO_WIDTH
    }

    /// The middle 95 % of the samples, and a little more of few groups.
    #[must_use]
    pub(crate) fn percentile(&self) -> Option<Interval> {
        self.are_informative().then(|| {
            let n = self.n_groups as f64;
            let tail = normal_cdf(-student_quantile(n - 1.0) * (n / (n - 1.0)).sqrt());
            [quantile(&self.values, tail), quantile(&self.values, 1.0 - tail)]
        })
    }
}

/// Interval of the mean of `gains`: for each image, 1 if only the second of two models is right, -1 if only the first is, else
/// 0.
///
/// Where only one of them has such images, no sample has a mean of the other sign, however few they are. So two groups are
/// added to those that are drawn: one that only the first model is right about, and one that only the second is (Bonett and
/// Price 2012, "Adjusted Wald confidence interval for a difference of binomial proportions based on paired data"). They have
/// the mean size of the others, and the mean gain, without its sign, of those that have one; of all their images if no group
/// has one.
#[must_use]
pub(crate) fn gain_interval(gains: &[i64], groups: &Groups) -> Option<Interval> {
    if groups.n() < MIN_GROUPS {
        return None;
    }
    let mut sums = groups.sums(gains.iter().map(|&gain| gain as f64).enumerate());
    let n_images = gains.len() as f64 / groups.n() as f64;
    let steps: Vec<f64> = sums.iter().map(|[_, gain]| gain.abs()).filter(|&step| step > 0.0).collect();
    let step = if steps.is_empty() { n_images } else { steps.iter().sum::<f64>() / steps.len() as f64 };
    // No group gains more than its images.
    let n_images = n_images.max(step);
    // In an order that makes the interval of the opposite gains the opposite one.
    let sign = sums.iter().map(|[_, gain]| *gain).find(|&gain| gain != 0.0).unwrap_or(1.0).signum();
    sums.extend([[n_images, sign * step], [n_images, -sign * step]]);
    let [samples] = bootstrap(&Groups::new(sums.len(), None), |times| [Some(mean_and_error(&sums, times).0)]);
    samples.percentile()
}

/// Interval of the mean of positive numbers, one for each image: the studentised bootstrap (Efron and Tibshirani 1993,
/// section 12.5).
///
/// `None` for fewer than [`MIN_GROUPS`] groups. Also where its upper end is more than twice as far from the mean as the largest value
/// of a group: few images, of which one or two have nearly the whole sum, do not bound the mean, and the resamples without these
/// have no error worth the name.
#[must_use]
pub(crate) fn mean_interval(values: &[f64], groups: &Groups) -> Option<Interval> {
    let sums = groups.sums(values.iter().copied().enumerate());
    let (mean, error) = mean_and_error(&sums, &vec![1.0; groups.n()]);
    let student = |sample: usize| {
        let (sample_mean, sample_error) = mean_and_error(&sums, &draw(groups.n(), sample));
        (sample_error > NO_WIDTH).then(|| (sample_mean - mean) / sample_error)
    };
    let mut students: Vec<f64> = (0..RESAMPLES).into_par_iter().filter_map(student).collect();
    students.sort_unstable_by(f64::total_cmp);
    let is_informative = groups.n() >= MIN_GROUPS && error > NO_WIDTH && students.len() >= RESAMPLES / 2;
    let largest = sums.iter().map(|[n, sum]| sum / n).fold(0.0, f64::max);
    let interval = is_informative.then(|| {
        let end = |share: f64| mean - error * quantile(&students, share);
        [end(0.975).max(0.0), end(0.025)]
    });
    interval.filter(|[low, high]| high - low > NO_WIDTH && high - mean <= 2.0 * (largest - mean))
}

/// The mean over images and its standard error when group `i`, with its images and their sum, counts `times[i]` times.
fn mean_and_error(sums: &[[f64; 2]], times: &[f64]) -> (f64, f64) {
    let total = |of: usize| sums.iter().zip(times).map(|(sums, times)| times * sums[of]).sum::<f64>();
    let (n, mean) = (total(0), total(1) / total(0));
    let squares = sums.iter().zip(times).map(|([n, sum], times)| times * (sum - n * mean).powi(2));
    (mean, squares.sum::<f64>().sqrt() / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(values: &[f64]) -> impl Fn(&[f64]) -> [Option<f64>; 1] + '_ {
        move |times| {
            let n: f64 = times.iter().sum();
            [Some(times.iter().zip(values).map(|(times, value)| times * value).sum::<f64>() / n)]
        }
    }

    /// The interval of a mean of many independent numbers reaches 1.96 standard errors to either side.
    #[test]
    fn the_bootstrap_of_a_mean_is_that_of_the_normal_distribution() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 20)).collect();
        let [low, high] = bootstrap(&Groups::new(400, None), mean(&values))[0].percentile().expect("a mean");
        let (centre, error) = (9.5, 1.96 * (33.25f64 / 400.0).sqrt());
        assert!((low - (centre - error)).abs() < 0.1 * error, "{low}");
        assert!((high - (centre + error)).abs() < 0.1 * error, "{high}");
    }

    /// Four equal numbers in each group: as little is known as of a quarter of the images.
    #[test]
    fn groups_widen_the_interval() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i / 4 % 20)).collect();
        let groups: Vec<u32> = (0..400).map(|i| i / 4).collect();
        let width = |[low, high]: Interval| high - low;
        let width_with = |ids: Option<&[u32]>| {
            width(bootstrap(&Groups::new(400, ids), mean(&values))[0].percentile().expect("a mean"))
        };
        let (alone, grouped) = (width_with(None), width_with(Some(&groups)));
        assert!((grouped / alone - 2.0).abs() < 0.3, "{grouped} against {alone}");
    }

    #[test]
    fn groups_may_be_numbered_with_gaps() {
        let values: Vec<f64> = (0..60).map(|i| f64::from(i / 10)).collect();
        let groups: Vec<u32> = (0..60).map(|i| i / 10).collect();
        let gaps: Vec<u32> = groups.iter().map(|group| 10 * group).collect();
        let samples = |ids: &[u32]| bootstrap(&Groups::new(60, Some(ids)), mean(&values));
        assert_eq!(samples(&gaps), samples(&groups));
    }

    #[test]
    fn a_figure_that_is_mostly_undefined_has_no_interval() {
        assert_eq!(bootstrap(&Groups::new(3, None), |_| [None])[0].percentile(), None);
    }

    #[test]
    fn samples_that_agree_have_no_interval() {
        let (same, differ) = ([0.1; 60], std::array::from_fn::<f64, 60, _>(|i| i as f64));
        let interval = |n: usize, ids: Option<&[u32]>, values: &[f64]| {
            let groups = Groups::new(n, ids);
            let [samples] = bootstrap(&groups, mean(values));
            assert_eq!(samples.percentile().is_some(), mean_interval(values, &groups).is_some());
            samples.percentile()
        };
        assert_eq!(interval(60, None, &same), None, "nothing varies");
        assert_eq!(interval(60, Some(&[3; 60]), &differ), None, "one patient");
        assert_eq!(interval(1, None, &[0.5]), None, "one image");
        assert!(interval(60, None, &differ).is_some());
    }

    /// Those of two images that differ from both contain each of them once: the mean is the same in all.
    #[test]
    fn fewer_than_five_images_or_patients_have_no_interval() {
        let (values, patients) = ([0.1, 0.4, 0.2, 0.5, 0.35], [0, 1, 2, 3, 4]);
        let percentile = |n: usize| bootstrap(&Groups::new(n, None), mean(&values[..n]))[0].percentile();
        for n in 2..MIN_GROUPS {
            let means =
                [None, Some(&patients[..n])].map(|ids| mean_interval(&values[..n], &Groups::new(n, ids)));
            assert_eq!((means, percentile(n)), ([None; 2], None), "{n}");
        }
        assert!(percentile(5).is_some());
    }

    /// 17 images, of which one is wrong: no other 17 images are known to have a mean loss below any bound.
    #[test]
    fn a_mean_that_the_images_do_not_bound_has_no_interval() {
        let mut losses: Vec<f64> = (0..17).map(|i| 1e-4 * f64::from(1 + i % 5)).collect();
        losses[3] = 5.4;
        let images = Groups::new(17, None);
        assert_eq!(mean_interval(&losses, &images), None);
        let several: Vec<f64> = (0..17).map(|i| 0.1 * f64::from(1 + i % 5)).collect();
        assert!(mean_interval(&several, &images).is_some_and(|[low, high]| low > 0.2 && high < 0.4));
    }

    #[test]
    fn a_mean_that_few_images_decide_has_more_room_above() {
        let skewed: Vec<f64> = (0..100).map(|i| if i % 25 == 0 { 4.0 } else { 0.05 }).collect();
        let mean = skewed.iter().sum::<f64>() / 100.0;
        let [low, high] = mean_interval(&skewed, &Groups::new(100, None)).expect("an interval");
        assert!(low > 0.0 && high - mean > 1.5 * (mean - low), "{low} to {high} around {mean}");
        let fours: Vec<u32> = (0..100).map(|i| i / 4).collect();
        let even: Vec<f64> = (0..100).map(|i| f64::from(i / 4 % 5)).collect();
        let width =
            |ids: Option<&[u32]>| mean_interval(&even, &Groups::new(100, ids)).map(|[low, high]| high - low);
        let (alone, grouped) = (width(None).expect("an interval"), width(Some(&fours)).expect("an interval"));
        assert!((grouped / alone - 2.0).abs() < 0.4, "{grouped} against {alone}");
    }
}
