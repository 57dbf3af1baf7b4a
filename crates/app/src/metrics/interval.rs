//! 95 % intervals: Wilson's for shares, the bootstrap for everything else; both by groups of images where there are any.

use std::collections::BTreeMap;

use rayon::prelude::*;
use roentgen_tensor::rng::{CounterRng, Purpose};

/// Lower and upper end.
pub(crate) type Interval = [f64; 2];

/// Standard normal quantile of 97.5 %.
const Z: f64 = 1.959_963_984_540_054;

/// Interval of a share of `part` in `whole` (Wilson 1927): right also for few images, and for all or none of them.
/// None where there is nothing to take a share of.
#[must_use]
pub(crate) fn wilson(part: u64, whole: u64) -> Option<Interval> {
    if whole == 0 {
        return None;
    }
    Some(wilson_of(part as f64 / whole as f64, whole as f64))
}

/// The same of `n` images, which need not be a whole number.
fn wilson_of(share: f64, n: f64) -> Interval {
    let centre = share + Z * Z / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    // Exact at the ends, which rounding would miss by a hair.
    let low = if share == 0.0 { 0.0 } else { (centre - spread) / scale };
    let high = if share == 1.0 { 1.0 } else { (centre + spread) / scale };
    [low, high]
}

/// [`wilson`] of the share of the images that are `hits`; with `groups`, for the equivalent number of independent images.
#[must_use]
pub(crate) fn share_interval(hits: &[bool], groups: Option<&[u32]>) -> Option<Interval> {
    let (n_hits, n) = (hits.iter().filter(|&&hit| hit).count(), hits.len());
    match groups {
        Some(groups) if n > 0 => Some(wilson_of(n_hits as f64 / n as f64, effective_size(hits, groups))),
        _ => wilson(n_hits as u64, n as u64),
    }
}

/// How many independent images are as informative about a share as these: their number over the design effect (Rao and
/// Scott 1992), by which the share varies more from group to group than it would from image to image. No more than
/// there are; where it does not vary, as if the images of a group were one and the same (Kish 1965).
fn effective_size(hits: &[bool], groups: &[u32]) -> f64 {
    // Of each group, its images and its hits.
    let mut counts: BTreeMap<u32, [f64; 2]> = BTreeMap::new();
    for (&hit, &group) in hits.iter().zip(groups) {
        let [n, n_hits] = counts.entry(group).or_default();
        *n += 1.0;
        *n_hits += f64::from(hit);
    }
    let n = hits.len() as f64;
    let share = counts.values().map(|[_, n_hits]| n_hits).sum::<f64>() / n;
    // An unbiased variance takes one less than the number it sums over.
    let unbiased = |sum: f64, n: f64| sum * n / (n - 1.0);
    let by_group = counts.values().map(|[n, n_hits]| (n_hits - n * share).powi(2)).sum();
    let by_image = n * share * (1.0 - share);
    let effect = if by_image > 0.0 && counts.len() > 1 {
        unbiased(by_group, counts.len() as f64) / unbiased(by_image, n)
    } else {
        counts.values().map(|[n, _]| n * n).sum::<f64>() / n
    };
    n / effect.max(1.0)
}

/// Samples that a bootstrap draws.
pub(super) const RESAMPLES: usize = 1000;
/// An interval that is no wider than rounding.
const NO_WIDTH: f64 = 1e-12;

/// Percentile intervals (Efron 1979) of several metrics of `n` images at once.
///
/// `values` computes them from how often each image counts. Images are drawn with replacement; with `groups`, whole
/// groups are: images of one patient are less informative than as many images of many. A metric that most samples leave undefined
/// has no interval; nor has one on which they all agree, as on a single group or where nothing is wrong: they do not show
/// how far other images would differ. The draws have a key of their own, so the intervals of the same predictions are always the same.
#[must_use]
pub(crate) fn bootstrap(
    n: usize,
    groups: Option<&[u32]>,
    values: impl Fn(&[f64]) -> Vec<Option<f64>> + Sync,
) -> Vec<Option<Interval>> {
    let groups = groups.map(consecutive);
    let n_groups = groups.as_ref().map_or(n, |groups| groups.iter().max().map_or(0, |last| last + 1));
    let sample = |index: usize| {
        let mut rng = CounterRng::new(0, Purpose::Bootstrap, index as u64, 0);
        let mut times = vec![0.0; n_groups];
        for _ in 0..n_groups {
            times[rng.below(n_groups as u32) as usize] += 1.0;
        }
        match &groups {
            None => values(&times),
            Some(groups) => values(&groups.iter().map(|&group| times[group]).collect::<Vec<_>>()),
        }
    };
    let samples: Vec<Vec<Option<f64>>> = (0..RESAMPLES).into_par_iter().map(sample).collect();
    let n_metrics = samples.first().map_or(0, Vec::len);
    (0..n_metrics).map(|metric| interval_of(samples.iter().filter_map(|sample| sample[metric]))).collect()
}

/// The groups numbered from 0 without gaps: a number that no image has must not be drawn.
fn consecutive(groups: &[u32]) -> Vec<usize> {
    let mut numbers = groups.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    groups.iter().map(|group| numbers.partition_point(|number| number < group)).collect()
}

/// The middle 95 % of the values, interpolated; none of fewer than half of the samples, and none of no width.
fn interval_of(values: impl Iterator<Item = f64>) -> Option<Interval> {
    let mut values: Vec<f64> = values.collect();
    if values.len() < RESAMPLES / 2 {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    let quantile = |share: f64| {
        let position = share * (values.len() - 1) as f64;
        let (below, above) = (values[position.floor() as usize], values[position.ceil() as usize]);
        below + (above - below) * position.fract()
    };
    let [low, high] = [quantile(0.025), quantile(0.975)];
    (high - low > NO_WIDTH).then_some([low, high])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `statsmodels.stats.proportion.proportion_confint(part, whole, method="wilson")`.
    #[test]
    fn wilson_matches_statsmodels() {
        let cases = [
            (59, 66, [0.796_876_912_484, 0.947_666_527_445]),
            (66, 66, [0.944_997_442_986, 1.0]),
            (0, 10, [0.0, 0.277_532_799_863]),
        ];
        for (part, whole, expected) in cases {
            let found = wilson(part, whole).expect("there are images");
            for (found, expected) in found.into_iter().zip(expected) {
                assert!((found - expected).abs() < 1e-9, "{part} of {whole}: {found} against {expected}");
            }
        }
        assert_eq!(wilson(0, 0), None);
    }

    #[test]
    fn a_share_by_groups_is_that_of_fewer_images() {
        let hits = |of: fn(usize) -> bool| (0..400).map(of).collect::<Vec<bool>>();
        let fours: Vec<u32> = (0..400).map(|i| i / 4).collect();
        let width = |hits: &[bool], groups: Option<&[u32]>| {
            let [low, high] = share_interval(hits, groups).expect("there are images");
            high - low
        };
        // All four of a group alike: a quarter of the images, twice the width.
        let alike = hits(|i| i / 4 % 5 > 0);
        assert!((width(&alike, Some(&fours)) / width(&alike, None) - 2.0).abs() < 0.05);
        // Nothing wrong in 100 groups is as much as in 100 images.
        assert_eq!(share_interval(&hits(|_| true), Some(&fours)), wilson(100, 100));
        // One of each group: no less is known than of images of 400 patients.
        let spread = hits(|i| i % 4 > 0);
        assert_eq!(share_interval(&spread, Some(&fours)), wilson(300, 400));
        let each: Vec<u32> = (0..400).collect();
        assert!((width(&alike, Some(&each)) / width(&alike, None) - 1.0).abs() < 1e-9);
        // A single patient is one image.
        assert_eq!(share_interval(&alike, Some(&[7; 400])), Some(wilson_of(0.8, 1.0)));
        assert_eq!(share_interval(&[], Some(&[])), None);
    }

    fn mean(values: &[f64]) -> impl Fn(&[f64]) -> Vec<Option<f64>> + '_ {
        move |times| {
            let n: f64 = times.iter().sum();
            vec![Some(times.iter().zip(values).map(|(times, value)| times * value).sum::<f64>() / n)]
        }
    }

    /// Of a mean of many independent numbers, 1.96 standard errors to either side.
    #[test]
    fn the_bootstrap_of_a_mean_is_that_of_the_normal_distribution() {
        let values: Vec<f64> = (0..400).map(|i| f64::from(i % 20)).collect();
        let [low, high] = bootstrap(400, None, mean(&values))[0].expect("a mean");
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
        let alone = width(bootstrap(400, None, mean(&values))[0].expect("a mean"));
        let grouped = width(bootstrap(400, Some(&groups), mean(&values))[0].expect("a mean"));
        assert!((grouped / alone - 2.0).abs() < 0.3, "{grouped} against {alone}");
    }

    #[test]
    fn groups_may_be_numbered_with_gaps() {
        let values: Vec<f64> = (0..60).map(|i| f64::from(i / 10)).collect();
        let groups: Vec<u32> = (0..60).map(|i| i / 10).collect();
        let gaps: Vec<u32> = groups.iter().map(|group| 10 * group).collect();
        assert_eq!(bootstrap(60, Some(&gaps), mean(&values)), bootstrap(60, Some(&groups), mean(&values)));
    }

    #[test]
    fn a_figure_that_is_mostly_undefined_has_no_interval() {
        assert_eq!(bootstrap(3, None, |_| vec![None]), [None]);
    }

    #[test]
    fn samples_that_agree_tell_of_no_interval() {
        let (same, differ) = ([0.1; 60], std::array::from_fn::<f64, 60, _>(|i| i as f64));
        assert_eq!(bootstrap(60, None, mean(&same)), [None], "nothing varies");
        assert_eq!(bootstrap(60, Some(&[3; 60]), mean(&differ)), [None], "one patient");
        assert_eq!(bootstrap(1, None, mean(&[0.5])), [None], "one image");
        assert!(bootstrap(60, None, mean(&differ))[0].is_some());
    }
}
