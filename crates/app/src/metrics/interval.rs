//! 95 % intervals: Wilson's for shares, the bootstrap for everything else.

use rayon::prelude::*;
use roentgen_tensor::rng::{CounterRng, Purpose};

/// Lower and upper end.
pub type Interval = [f64; 2];

/// Standard normal quantile of 97.5 %.
const Z: f64 = 1.959_963_984_540_054;

/// Interval of a share of `part` in `whole` (Wilson 1927): right also for few images, and for all or none of them.
/// None where there is nothing to take a share of.
#[must_use]
pub fn wilson(part: u64, whole: u64) -> Option<Interval> {
    if whole == 0 {
        return None;
    }
    let (n, share) = (whole as f64, part as f64 / whole as f64);
    let centre = share + Z * Z / (2.0 * n);
    let spread = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    // Exact at the ends, which rounding would miss by a hair.
    let low = if part == 0 { 0.0 } else { (centre - spread) / scale };
    let high = if part == whole { 1.0 } else { (centre + spread) / scale };
    Some([low, high])
}

/// Samples that a bootstrap draws.
pub const RESAMPLES: usize = 1000;

/// Percentile intervals (Efron 1979) of several figures of `n` images at once.
///
/// `figures` computes them from how often each image counts. Images are drawn with replacement; with `groups`, whole
/// groups are: images of one patient tell less than as many images of many. A figure that most samples leave undefined
/// has no interval. The draws have a key of their own, so the intervals of the same predictions are always the same.
#[must_use]
pub fn bootstrap(
    n: usize,
    groups: Option<&[u32]>,
    figures: impl Fn(&[f64]) -> Vec<Option<f64>> + Sync,
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
            None => figures(&times),
            Some(groups) => figures(&groups.iter().map(|&group| times[group]).collect::<Vec<_>>()),
        }
    };
    let samples: Vec<Vec<Option<f64>>> = (0..RESAMPLES).into_par_iter().map(sample).collect();
    let n_figures = samples.first().map_or(0, Vec::len);
    (0..n_figures).map(|figure| interval_of(samples.iter().filter_map(|sample| sample[figure]))).collect()
}

/// The groups numbered from 0 without gaps: a number that no image has must not be drawn.
fn consecutive(groups: &[u32]) -> Vec<usize> {
    let mut numbers = groups.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    groups.iter().map(|group| numbers.partition_point(|number| number < group)).collect()
}

/// The middle 95 % of the values, interpolated; none of fewer than half of the samples.
fn interval_of(values: impl Iterator<Item = f64>) -> Option<Interval> {
    let mut values: Vec<f64> = values.collect();
    if values.len() < RESAMPLES / 2 {
        return None;
    }
    values.sort_unstable_by(f64::total_cmp);
    let quantile = |share: f64| {
        let place = share * (values.len() - 1) as f64;
        let (below, above) = (values[place.floor() as usize], values[place.ceil() as usize]);
        below + (above - below) * place.fract()
    };
    Some([quantile(0.025), quantile(0.975)])
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
}
