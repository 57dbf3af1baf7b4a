//! 95 % intervals of shares: Wilson's, also by groups of images. And the distributions that other intervals share.

use super::groups::Groups;

/// Lower and upper end.
pub(crate) type Interval = [f64; 2];

/// Standard normal quantile of 97.5 %.
pub(super) const Z: f64 = 1.959_963_984_540_054;
/// An interval that is no wider than rounding.
pub(super) const NO_WIDTH: f64 = 1e-12;

/// Fewest groups whose agreement shows that the images of a group are independent of each other: fewer agree by chance.
const FEW_GROUPS: usize = 5;

/// Coefficients of a polynomial in one over the degrees of freedom, for the 97.5 % quantile of Student's distribution: five from
/// its expansion (Abramowitz and Stegun, 26.7.5), and two that make it exact for one and two degrees.
const STUDENT: [f64; 7] = [
    Z,
    2.372_271_230_298_562,
    2.822_498_615_739_611,
    2.555_849_679_507_722,
    1.589_534_053_393_822,
    0.648_401_649_682_398,
    0.757_685_523_012_526,
];

/// The 97.5 % quantile of Student's distribution, for one degree of freedom or more; at most 0.1 % off.
pub(super) fn student_quantile(degrees: f64) -> f64 {
    STUDENT.iter().rev().fold(0.0, |sum, factor| sum / degrees + factor)
}

/// The share of the standard normal distribution below a value.
pub(super) fn normal_cdf(value: f64) -> f64 {
    0.5 * libm::erfc(-value / std::f64::consts::SQRT_2)
}

/// The standard normal quantile, by bisection of the distribution function.
pub(super) fn normal_quantile(share: f64) -> f64 {
    let (mut low, mut high) = (-8.0, 8.0);
    for _ in 0..40 {
        let middle = (low + high) / 2.0;
        if normal_cdf(middle) < share { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

/// Interval of a share of `part` in `whole` (Wilson 1927): valid also for few images, and for a share of 0 or 1. `None`
/// if `whole` is 0.
#[must_use]
pub(super) fn wilson(part: u64, whole: u64) -> Option<Interval> {
    if whole == 0 {
        return None;
    }
    Some(wilson_of(part as f64 / whole as f64, whole as f64, Z))
}

/// The same of `n` images, which need not be a whole number, with the quantile `z`.
fn wilson_of(share: f64, n: f64, z: f64) -> Interval {
    let centre = share + z * z / (2.0 * n);
    let spread = z * (share * (1.0 - share) / n + z * z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + z * z / n;
    // Exact at the ends, which rounding would miss by a hair.
    let low = if share == 0.0 { 0.0 } else { (centre - spread) / scale };
    let high = if share == 1.0 { 1.0 } else { (centre + spread) / scale };
    [low, high]
}

/// [`wilson`] of the share of hits among some images; where groups are given, for the equivalent number of independent images.
#[must_use]
pub(super) fn share_interval(hits: impl Iterator<Item = (usize, bool)>, groups: &Groups) -> Option<Interval> {
    if !groups.are_given() {
        let (n_hits, n) = hits.fold((0, 0), |(n_hits, n), (_, hit)| (n_hits + u64::from(hit), n + 1));
        return wilson(n_hits, n);
    }
    let mut counts = groups.sums(hits.map(|(image, hit)| (image, f64::from(hit))));
    counts.retain(|&[n, _]| n > 0.0);
    let n: f64 = counts.iter().map(|[n, _]| n).sum();
    let n_hits: f64 = counts.iter().map(|[_, n_hits]| n_hits).sum();
    (n > 0.0).then(|| {
        let (size, quantile) = effective_size(&counts, n, n_hits / n);
        wilson_of(n_hits / n, size, quantile)
    })
}

/// How many independent images are as informative about a share as these `n`: their number over the design effect (Rao and
/// Scott 1992), by which the share varies more from group to group than it would from image to image. No more than
/// there are; where it does not vary, as if the images of a group were one and the same (Kish 1965).
///
/// Also the quantile for an interval: Student's where the design effect is an estimate from few groups, which is uncertain itself;
/// of fewer than [`FEW_GROUPS`], also where it is 1 or less.
///
/// `counts` has the images and the hits of each group.
fn effective_size(counts: &[[f64; 2]], n: f64, share: f64) -> (f64, f64) {
    // An unbiased variance takes one less than the number it sums over.
    let unbiased = |sum: f64, n: f64| sum * n / (n - 1.0);
    let by_group = counts.iter().map(|[n, n_hits]| (n_hits - n * share).powi(2)).sum();
    let by_image = n * share * (1.0 - share);
    if by_image > 0.0 && counts.len() > 1 {
        let n_groups = counts.len() as f64;
        let effect = unbiased(by_group, n_groups) / unbiased(by_image, n);
        // Where each image is a group, it is 1 but for rounding.
        let is_uncertain = n_groups < n && (effect > 1.0 || counts.len() < FEW_GROUPS);
        if is_uncertain { (n / effect.max(1.0), student_quantile(n_groups - 1.0)) } else { (n, Z) }
    } else {
        let effect = counts.iter().map(|[n, _]| n * n).sum::<f64>() / n;
        (n / effect.max(1.0), Z)
    }
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
    fn students_quantiles_are_those_of_the_tables() {
        let few_degrees =
            [(1.0, 12.706_205), (2.0, 4.302_653), (3.0, 3.182_446), (4.0, 2.776_445), (5.0, 2.570_582)];
        let more_degrees = [(10.0, 2.228_139), (30.0, 2.042_272), (f64::INFINITY, 1.959_964)];
        for (degrees, expected) in few_degrees.into_iter().chain(more_degrees) {
            let found = student_quantile(degrees);
            assert!((found / expected - 1.0).abs() < 1e-4, "{degrees}: {found} against {expected}");
        }
        // By integration of its density.
        let between = student_quantile(1.5);
        assert!((between / 6.016_66 - 1.0).abs() < 1e-3, "{between}");
    }

    #[test]
    fn the_normal_quantile_inverts_the_distribution_function() {
        assert!((normal_cdf(Z) - 0.975).abs() < 1e-12 && (normal_quantile(0.975) - Z).abs() < 1e-9);
    }

    #[test]
    fn a_share_by_groups_is_that_of_fewer_images() {
        let hits = |of: fn(usize) -> bool| (0..400).map(of).collect::<Vec<bool>>();
        let fours: Vec<u32> = (0..400).map(|i| i / 4).collect();
        let interval = |hits: &[bool], ids: Option<&[u32]>| {
            share_interval(hits.iter().copied().enumerate(), &Groups::new(hits.len(), ids))
        };
        let width = |hits: &[bool], ids: Option<&[u32]>| {
            let [low, high] = interval(hits, ids).expect("there are images");
            high - low
        };
        // All four of a group alike: a quarter of the images, twice the width.
        let alike = hits(|i| i / 4 % 5 > 0);
        assert!((width(&alike, Some(&fours)) / width(&alike, None) - 2.0).abs() < 0.05);
        // Nothing wrong in 100 groups is as much as in 100 images.
        assert_eq!(interval(&hits(|_| true), Some(&fours)), wilson(100, 100));
        // One of each group: no less is known than of images of 400 patients.
        let spread = hits(|i| i % 4 > 0);
        assert_eq!(interval(&spread, Some(&fours)), wilson(300, 400));
        let each: Vec<u32> = (0..400).collect();
        assert!((width(&alike, Some(&each)) / width(&alike, None) - 1.0).abs() < 1e-9);
        // A single patient is one image.
        assert_eq!(interval(&alike, Some(&[7; 400])), Some(wilson_of(0.8, 1.0, Z)));
        assert_eq!(interval(&[], Some(&[])), None);
    }

    fn of_groups(hits: &[bool], groups: &[u32]) -> Option<Interval> {
        share_interval(hits.iter().copied().enumerate(), &Groups::new(hits.len(), Some(groups)))
    }

    #[test]
    fn two_to_four_groups_that_agree_have_students_quantile() {
        let half: Vec<bool> = (0..24).map(|image| image % 2 == 0).collect();
        let of_equal_groups =
            |n: u32| of_groups(&half, &(0..24).map(|image| image * n / 24).collect::<Vec<_>>());
        for n in 2..FEW_GROUPS as u32 {
            let expected = wilson_of(0.5, 24.0, student_quantile(f64::from(n) - 1.0));
            assert_eq!(of_equal_groups(n), Some(expected), "{n} groups");
        }
        assert_eq!(of_equal_groups(6), wilson(12, 24));
    }

    #[test]
    fn a_share_by_groups_of_one_image_is_that_of_the_images() {
        for n in 1..=40 {
            let each: Vec<u32> = (0..n).collect();
            for n_hits in 0..=n {
                let hits: Vec<bool> = (0..n).map(|image| image < n_hits).collect();
                let expected = wilson(u64::from(n_hits), u64::from(n));
                assert_eq!(of_groups(&hits, &each), expected, "{n_hits} of {n}");
            }
        }
    }
}
