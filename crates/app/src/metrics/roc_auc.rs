//! The area under the ROC curve of one class against the rest, and its 95 % interval from the influence of each image.

use std::collections::BTreeMap;

use super::groups::Groups;
use super::interval::{Interval, NO_WIDTH, student_quantile};

/// The images in the order of their probability of a class, the least likely first.
#[derive(Debug)]
pub(super) struct Ranking {
    ranked: Vec<Ranked>,
    /// Images of the class.
    n_positive: f64,
    /// All others.
    n_negative: f64,
}

/// An image in the order of a probability.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranked {
    pub image: u32,
    /// Whether it is of the class.
    pub is_positive: bool,
    /// Whether the image before it has the same probability.
    is_tied: bool,
}

/// Images of the class and others among images of equal probability.
fn counts(ties: &[Ranked]) -> [f64; 2] {
    let n_positive = ties.iter().filter(|ranked| ranked.is_positive).count();
    [n_positive as f64, (ties.len() - n_positive) as f64]
}

impl Ranking {
    /// The ranking of images with these probabilities.
    pub(super) fn new(scores: &[f64], is_positive: impl Fn(usize) -> bool) -> Self {
        let mut order: Vec<u32> = (0..scores.len() as u32).collect();
        order.sort_by(|&a, &b| scores[a as usize].total_cmp(&scores[b as usize]));
        let mut before = f64::NAN;
        let ranked = |image: u32| {
            let score = scores[image as usize];
            let is_tied = std::mem::replace(&mut before, score) == score;
            Ranked { image, is_positive: is_positive(image as usize), is_tied }
        };
        let ranked: Vec<Ranked> = order.into_iter().map(ranked).collect();
        let [n_positive, n_negative] = counts(&ranked);
        Self { ranked, n_positive, n_negative }
    }

    /// The images with equal probabilities, the least likely first.
    pub(super) fn ties(&self) -> impl DoubleEndedIterator<Item = &[Ranked]> {
        self.ranked.chunk_by(|_, next| next.is_tied)
    }

    /// The area under the curve: the share of pairs of an image of the class and another one in which the first has the higher
    /// probability, a tie counting half (Hanley and McNeil 1982); `None` without a pair. All sums are of whole numbers and
    /// halves, so they are exact.
    pub(super) fn roc_auc(&self) -> Option<f64> {
        let (mut wins, mut negatives_below) = (0.0, 0.0);
        for [positives, negatives] in self.ties().map(counts) {
            wins += positives * (negatives_below + negatives / 2.0);
            negatives_below += negatives;
        }
        let n_pairs = self.n_positive * self.n_negative;
        (n_pairs > 0.0).then(|| wins / n_pairs)
    }

    /// The derivative of the area with respect to how often an image counts, for each image: the share of its pairs in which
    /// the image of the class has the higher probability, less the area, divided by the number of images of the class, or of
    /// others for one of these (DeLong, DeLong and Clarke-Pearson 1988). `roc_auc` is [`Self::roc_auc`].
    pub(super) fn influences(&self, roc_auc: f64) -> Vec<f64> {
        let Self { n_positive, n_negative, .. } = *self;
        let (mut positives_below, mut negatives_below) = (0.0, 0.0);
        let mut influences = vec![0.0; self.ranked.len()];
        for ties in self.ties() {
            let [positives, negatives] = counts(ties);
            let share_below = (negatives_below + negatives / 2.0) / n_negative;
            let share_above = (n_positive - positives_below - positives / 2.0) / n_positive;
            for &Ranked { image, is_positive, .. } in ties {
                influences[image as usize] = if is_positive {
                    (share_below - roc_auc) / n_positive
                } else {
                    (share_above - roc_auc) / n_negative
                };
            }
            positives_below += positives;
            negatives_below += negatives;
        }
        influences
    }
}

/// The influence of groups of images on an area.
struct GroupInfluences {
    /// The sum of the influences of the images of each group.
    sums: Vec<f64>,
    /// For each class, the number of groups that have images of it, and the sum of the squares of what these images contribute.
    by_class: BTreeMap<u32, [f64; 2]>,
}

impl GroupInfluences {
    fn new(influences: &[f64], class_of: impl Fn(usize) -> u32, groups: &Groups) -> Self {
        let images = influences.iter().enumerate();
        let mut images: Vec<(u32, u32, f64)> =
            images.map(|(image, &influence)| (groups.group(image), class_of(image), influence)).collect();
        images.sort_by_key(|&(group, class, _)| (group, class));
        let (mut sums, mut by_class) = (Vec::new(), BTreeMap::<u32, [f64; 2]>::new());
        for group in images.chunk_by(|a, b| a.0 == b.0) {
            let mut sum = 0.0;
            for class_images in group.chunk_by(|a, b| a.1 == b.1) {
                let part: f64 = class_images.iter().map(|(.., influence)| influence).sum();
                let [n, squares] = by_class.entry(class_images[0].1).or_default();
                *n += 1.0;
                *squares += part * part;
                sum += part;
            }
            sums.push(sum);
        }
        Self { sums, by_class }
    }

    /// Whether each class has two groups. A single one shows nothing of how far another would differ: its influence is zero.
    fn have_variance(&self) -> bool {
        self.by_class.values().all(|&[n, _]| n > 1.0)
    }

    /// The variance of the area: the sum of the squared influences, of each class with one less than its groups as the divisor
    /// (DeLong, DeLong and Clarke-Pearson 1988); what a group contributes through several classes goes together (Obuchowski 1997).
    fn variance(&self) -> f64 {
        let unbiased = |n: f64| n / (n - 1.0);
        let group_factor = unbiased(self.sums.len() as f64);
        let squares: f64 = self.sums.iter().map(|sum| sum * sum).sum();
        let by_class = self.by_class.values().map(|&[n, squares]| (unbiased(n) - group_factor) * squares);
        group_factor * squares + by_class.sum::<f64>()
    }

    /// How well the variance is known. Where few groups have almost all of the influence, it is itself uncertain: twice the
    /// squared variance over the variance of the variance (Satterthwaite 1946). No more than the numbers of groups allow, for
    /// with few groups that estimate is too large.
    fn degrees(&self) -> f64 {
        let n = self.sums.len() as f64;
        let [squares, fourths] = [2, 4].map(|power| self.sums.iter().map(|sum| sum.powi(power)).sum::<f64>());
        let relative_variance = (fourths / (squares * squares) - 1.0 / n).max(0.0);
        (2.0 / relative_variance).min(n - 1.0).min(self.degrees_of_classes())
    }

    /// Those of a variance to which each class but the largest contributes one over its groups (Welch 1947). With two classes,
    /// one less than the groups of the smaller one.
    fn degrees_of_classes(&self) -> f64 {
        let mut numbers: Vec<f64> = self.by_class.values().map(|&[n, _]| n).collect();
        numbers.sort_unstable_by(f64::total_cmp);
        numbers.pop();
        let sum: f64 = numbers.iter().map(|n| 1.0 / n).sum();
        sum * sum / numbers.iter().map(|n| 1.0 / (n * n * (n - 1.0))).sum::<f64>()
    }
}

/// Interval of an area, or of a mean of areas, from the influence of each image on it, and from its class: for the area of one
/// class all others are one.
///
/// It is symmetric on the scale of the logit, where an area of 0.99 has as much room above as below, and has Student's quantile.
/// `None` where a class has a single image, or images of a single group.
pub(super) fn interval(
    roc_auc: f64,
    influences: &[f64],
    class_of: impl Fn(usize) -> u32,
    groups: &Groups,
) -> Option<Interval> {
    let influences = GroupInfluences::new(influences, class_of, groups);
    let is_between = (NO_WIDTH..=1.0 - NO_WIDTH).contains(&roc_auc);
    if !is_between || !influences.have_variance() || influences.variance().sqrt() < NO_WIDTH {
        // No error at all, or one patient: nothing shows how far other images would differ.
        return None;
    }
    let error = influences.variance().sqrt() / (roc_auc * (1.0 - roc_auc));
    let logit = libm::log(roc_auc / (1.0 - roc_auc));
    let reach = student_quantile(influences.degrees()) * error;
    Some([-reach, reach].map(|offset| 1.0 / (1.0 + libm::exp(-(logit + offset)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The area by counting all pairs; image `i` counts `times[i]` times.
    fn naive_roc_auc(scores: &[f64], is_positive: &[bool], times: &[f64]) -> f64 {
        let (mut wins, mut n_pairs) = (0.0, 0.0);
        for i in (0..scores.len()).filter(|&i| is_positive[i]) {
            for j in (0..scores.len()).filter(|&j| !is_positive[j]) {
                let pairs = times[i] * times[j];
                n_pairs += pairs;
                wins += if scores[i] == scores[j] { 0.5 } else { f64::from(scores[i] > scores[j]) } * pairs;
            }
        }
        wins / n_pairs
    }

    /// Scores on so many levels of 60 images, of which one in `every` is of the class.
    fn images(levels: usize, every: usize) -> (Vec<f64>, Vec<bool>) {
        (0..60).map(|i| ((i * 37 % 101 % levels) as f64, i % every == 0)).unzip()
    }

    #[test]
    fn areas_and_influences_are_those_of_all_pairs() {
        const STEP: f64 = 1e-6;
        for (levels, every) in [(7, 3), (60, 2), (1000, 20), (1, 4)] {
            let (scores, is_positive) = images(levels, every);
            let ranking = Ranking::new(&scores, |image| is_positive[image]);
            let roc_auc = ranking.roc_auc().expect("pairs");
            assert_eq!(roc_auc, naive_roc_auc(&scores, &is_positive, &[1.0; 60]), "{levels} levels");
            for (image, influence) in ranking.influences(roc_auc).into_iter().enumerate() {
                let mut times = [1.0; 60];
                times[image] += STEP;
                let slope = (naive_roc_auc(&scores, &is_positive, &times) - roc_auc) / STEP;
                assert!((influence - slope).abs() < 1e-6, "{levels} levels, {image}: {influence} {slope}");
            }
        }
        assert_eq!(Ranking::new(&[0.1, 0.2], |_| true).roc_auc(), None, "no other image");
    }

    #[test]
    fn close_to_one_there_is_more_room_below_than_above() {
        let scores: Vec<f64> = (0..200).map(|i| f64::from(i + 30 * (i % 50) / 49)).collect();
        let ranking = Ranking::new(&scores, |image| image >= 100);
        let roc_auc = ranking.roc_auc().expect("pairs");
        let (class_of, groups) = (|image: usize| u32::from(image >= 100), Groups::new(200, None));
        let [low, high] =
            interval(roc_auc, &ranking.influences(roc_auc), class_of, &groups).expect("an interval");
        assert!(
            roc_auc > 0.98 && high < 1.0 && roc_auc - low > 1.5 * (high - roc_auc),
            "{low} {roc_auc} {high}"
        );
        // A perfect area says nothing of the errors on other images.
        assert_eq!(interval(1.0, &[0.0; 200], class_of, &groups), None);
    }

    /// Four images of a patient, all alike: as little is known as of a quarter of the images.
    #[test]
    fn groups_widen_the_interval() {
        let (scores, is_positive): (Vec<f64>, Vec<bool>) =
            (0..400).map(|i| (f64::from(i / 4 * 37 % 101), i / 4 % 3 == 0)).unzip();
        let patients: Vec<u32> = (0..400).map(|i| i / 4 * 10).collect();
        let ranking = Ranking::new(&scores, |image| is_positive[image]);
        let roc_auc = ranking.roc_auc().expect("pairs");
        let width = |ids: Option<&[u32]>| {
            let (class_of, groups) = (|image: usize| u32::from(is_positive[image]), Groups::new(400, ids));
            interval(roc_auc, &ranking.influences(roc_auc), class_of, &groups).map(|[low, high]| high - low)
        };
        let (alone, grouped) =
            (width(None).expect("an interval"), width(Some(&patients)).expect("an interval"));
        assert!((grouped / alone - 2.0).abs() < 0.1, "{grouped} against {alone}");
        assert_eq!(width(Some(&[3; 400])), None, "one patient");
    }

    /// Else the interval is that of the other images alone, too narrow by far.
    #[test]
    fn the_area_of_one_image_or_one_patient_of_a_class_has_no_interval() {
        let has_interval = |n_positive: usize, ids: Option<&[u32]>| {
            let scores: Vec<f64> = (0..20).map(|i| f64::from(i * 7 % 20)).collect();
            let ranking = Ranking::new(&scores, |image| image < n_positive);
            let roc_auc = ranking.roc_auc().expect("pairs");
            let (class_of, groups) = (|image: usize| u32::from(image < n_positive), Groups::new(20, ids));
            interval(roc_auc, &ranking.influences(roc_auc), class_of, &groups).is_some()
        };
        assert_eq!(
            [1, 2, 18, 19].map(|n_positive| has_interval(n_positive, None)),
            [false, true, true, false]
        );
        let mut patients: Vec<u32> = (0..20).collect();
        patients[1] = patients[0];
        assert_eq!([2, 3].map(|n_positive| has_interval(n_positive, Some(&patients))), [false, true]);
    }

    #[test]
    fn few_images_with_all_the_influence_widen_the_interval() {
        let width = |influences: &[f64]| {
            let groups = Groups::new(influences.len(), None);
            let [low, high] =
                interval(0.9, influences, |image| u32::from(image % 2 == 0), &groups).expect("an interval");
            high - low
        };
        // The same variance, of 100 images and of two.
        let (even, two) = ([0.002; 100], [0.02 / 2f64.sqrt(), 0.02 / 2f64.sqrt()]);
        let mut concentrated = [0.0; 100];
        concentrated[..2].copy_from_slice(&two);
        assert!(width(&concentrated) > 1.2 * width(&even), "{} and {}", width(&concentrated), width(&even));
        let expected = 2.0 * student_quantile(49.0) * 0.02 * (50f64 / 49.0).sqrt();
        assert!((width(&even) - expected).abs() < 0.002);
    }

    /// Their influences are opposite, or nearly so: by their spread alone, the variance would be known for sure.
    #[test]
    fn the_degrees_of_freedom_are_those_of_the_smallest_class() {
        let degrees = |influences: &[f64], classes: &[u32], ids: Option<&[u32]>| {
            let groups = Groups::new(influences.len(), ids);
            GroupInfluences::new(influences, |image| classes[image], &groups).degrees()
        };
        let mut influences = [0.0001; 300];
        influences[..2].copy_from_slice(&[0.1, -0.1]);
        let mut classes = [1; 300];
        classes[..2].copy_from_slice(&[0, 0]);
        assert!((degrees(&influences, &classes, None) - 1.0).abs() < 1e-9);
        // Two and three patients with images of both classes.
        let (influences, classes) = ([0.1, 0.05, -0.1, -0.05, 0.2, 0.1], [0, 1, 0, 1, 0, 1]);
        let patients = [0, 0, 1, 1, 2, 2];
        for (n, expected) in [(4, 1.0), (6, 2.0)] {
            let found = degrees(&influences[..n], &classes[..n], Some(&patients[..n]));
            assert!((found - expected).abs() < 1e-9, "{n} images: {found}");
        }
        // 500 classes of two images each.
        let (influences, classes) = ([0.001; 1000], std::array::from_fn::<u32, 1000, _>(|i| i as u32 / 2));
        assert!((degrees(&influences, &classes, None) - 499.0).abs() < 1e-6);
    }
}
