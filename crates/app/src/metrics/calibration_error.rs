//! The expected calibration error, its debiased estimate, and its interval.
//!
//! The error of `n` images is the mean over bins of `|confidence - accuracy|`. Chance alone makes these gaps larger than
//! they are for all other images, the more so the fewer images are in a bin: a perfectly calibrated model has an error
//! above 0 on every set. A percentile bootstrap resamples images that have the bias already and adds it once more, so its
//! interval can miss the value that it belongs to. Hence:
//!
//! - *debiased*: the error less the bias that is expected of gaps of this size with normally distributed noise (Kumar, Liang
//!   and Ma 2019, Verified Uncertainty Calibration, <https://arxiv.org/abs/1909.10155>, who estimate it by sampling; here
//!   it is the mean of the folded normal distribution);
//! - *interval*: every error from which the observed one is not a surprise (a test-inversion interval). A model whose gaps
//!   are `t` times the observed ones is drawn many times: each bin's number of correct predictions binomially, and how many images
//!   are in bins of large and of small gaps normally. `t` is in the interval if the observed error is among the middle 95 % of
//!   those drawn, or a little more where few predictions are wrong.
//!
//! `tests/interval_coverage.rs` measures how often the interval has the true error.

use std::sync::LazyLock;

use rayon::prelude::*;
use roentgen_tensor::rng::{CounterRng, Purpose};

use super::bootstrap::RESAMPLES;
use super::groups::Groups;
use super::interval::{Interval, NO_WIDTH, normal_cdf, normal_quantile, student_quantile};

/// Bins of equal width.
const BINS: usize = 15;
/// Halvings of the range of `t` in the search for an end of the interval.
const HALVINGS: usize = 14;
/// Variance of a binomial distribution above which it is taken as normal.
const NORMAL_FROM: f64 = 20.0;
/// Largest `t`: the gaps are as large as they can be by then.
const MAX_T: f64 = 1e6;

/// Fewest degrees of freedom. Without a mistake the draws alone say how large an error may be.
const MIN_DEGREES: f64 = 10.0;

/// The confidence of one prediction, and whether the prediction is correct.
#[derive(Clone, Copy, Debug)]
pub(super) struct Confidence {
    /// The probability of the predicted class.
    pub probability: f64,
    /// Whether the predicted class is the true one.
    pub is_correct: bool,
}

/// The bin of a probability.
fn bin_of(probability: f64) -> usize {
    ((probability * BINS as f64).ceil() as usize).clamp(1, BINS) - 1
}

/// One bin.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bin {
    /// Images.
    pub n: f64,
    /// Sum of the probabilities of the predicted classes.
    pub probability_sum: f64,
    /// Correct predictions.
    pub n_correct: f64,
}

impl Bin {
    pub(super) fn confidence(&self) -> f64 {
        self.probability_sum / self.n
    }

    pub(super) fn accuracy(&self) -> f64 {
        self.n_correct / self.n
    }
}

/// The bins of a set.
#[derive(Clone, Debug)]
pub(super) struct Bins {
    bins: [Bin; BINS],
    n: f64,
}

impl Bins {
    pub(super) fn new(confidences: impl Iterator<Item = Confidence>) -> Self {
        let mut bins = [Bin::default(); BINS];
        let mut n = 0.0;
        for Confidence { probability, is_correct } in confidences {
            let bin = &mut bins[bin_of(probability)];
            bin.n += 1.0;
            bin.probability_sum += probability;
            bin.n_correct += f64::from(is_correct);
            n += 1.0;
        }
        Self { bins, n }
    }

    /// The bins that have images.
    pub(super) fn used(&self) -> impl Iterator<Item = &Bin> {
        self.bins.iter().filter(|bin| bin.n > 0.0)
    }

    /// Expected calibration error (Guo et al. 2017); `None` without images.
    pub(super) fn ece(&self) -> Option<f64> {
        let gaps: f64 = self.bins.iter().map(|bin| (bin.probability_sum - bin.n_correct).abs()).sum();
        (self.n > 0.0).then(|| gaps / self.n)
    }

    /// The same without its expected bias; at least 0.
    pub(super) fn debiased(&self) -> Option<f64> {
        let bias = |bin: &Bin| {
            let gap = bin.confidence() - bin.accuracy();
            let sd = (bin.accuracy() * (1.0 - bin.accuracy()) / bin.n).sqrt();
            bin.n / self.n * (mean_of_folded_normal(gap, sd) - gap.abs())
        };
        Some((self.ece()? - self.used().map(bias).sum::<f64>()).max(0.0))
    }

    /// Interval of the calibration error; `None` for a single image. `effect` is how much more the number of correct
    /// predictions varies than that of independent images would (see `design_effect`).
    pub(super) fn interval(&self, effect: f64) -> Option<Interval> {
        let observed = self.ece().filter(|_| self.n > 1.0)?;
        // The share of the drawn errors that are at most the observed one falls with `t`.
        let share_of_spread = self.share_of_spread();
        let share_at_most = |t: f64| {
            let of_mix = (effect * share_of_spread * self.spread_at(t) / self.n).sqrt();
            let is_at_most = |draw: &&Draws| {
                self.drawn_error(t, effect, &draw.of_bins) + of_mix * draw.of_mix.normal <= observed
            };
            let n = DRAWS.par_iter().filter(is_at_most).count();
            n as f64 / RESAMPLES as f64
        };
        let end = |target: f64| {
            if share_at_most(0.0) <= target {
                return 0.0;
            }
            let (mut low, mut high) = (0.0, 1.0);
            while share_at_most(high) > target && high < MAX_T {
                (low, high) = (high, 2.0 * high);
            }
            for _ in 0..HALVINGS {
                let middle = (low + high) / 2.0;
                if share_at_most(middle) > target { low = middle } else { high = middle }
            }
            self.error_at((low + high) / 2.0)
        };
        // The debiased estimate comes from another approximation: it is part of the interval at any rate.
        let estimate = self.debiased()?;
        let tail = self.tail(effect);
        let [low, high] = [end(1.0 - tail).min(estimate), end(tail).max(estimate)];
        // Gaps smaller than chance leads one to expect of any model: the observed error is an upper end at least.
        let high = if high > 0.0 { high } else { observed };
        (high - low > NO_WIDTH).then_some([low, high])
    }

    /// The share of the drawn errors that surprises, on each side: 2.5 %, and less where few predictions are wrong, or few right.
    /// The shape of the gaps is known from these alone, which a multiple `t` of the observed gaps does not allow for; Student's
    /// distribution with as many degrees of freedom does.
    fn tail(&self, effect: f64) -> f64 {
        let n_correct: f64 = self.bins.iter().map(|bin| bin.n_correct).sum();
        let n_rarer = n_correct.min(self.n - n_correct) / effect;
        normal_cdf(-student_quantile(n_rarer.max(MIN_DEGREES)))
    }

    /// How much more the number of correct predictions varies with groups of images than with independent ones: the sum over
    /// groups of the squared sum of deviations from the accuracy of the bin, divided by the sum of squared deviations (Rao and
    /// Scott 1992); at least 1. The bins are those of `confidences`.
    pub(super) fn design_effect(
        &self,
        confidences: impl Iterator<Item = Confidence>,
        groups: &Groups,
    ) -> f64 {
        let deviation = |Confidence { probability, is_correct }: Confidence| {
            f64::from(is_correct) - self.bins[bin_of(probability)].accuracy()
        };
        let deviations: Vec<f64> = confidences.map(deviation).collect();
        let by_image: f64 = deviations.iter().map(|deviation| deviation * deviation).sum();
        let sums = groups.sums(deviations.into_iter().enumerate());
        let by_group: f64 = sums.iter().map(|[_, sum]| sum * sum).sum();
        if by_image > 0.0 { (by_group / by_image).max(1.0) } else { 1.0 }
    }

    /// The accuracy of a bin if its gap is `t` times the observed one. Where its side of the confidence has no room for that, the
    /// accuracy is on the side with room for the larger gap, so that the gap never shrinks as `t` grows. (Where all predictions
    /// are correct, a larger error can only mean a lower accuracy.)
    fn accuracy_at(bin: &Bin, t: f64) -> f64 {
        let confidence = bin.confidence();
        let gap = t * (confidence - bin.accuracy());
        let [here, opposite] = [confidence - gap, confidence + gap].map(|accuracy| accuracy.clamp(0.0, 1.0));
        if (here - confidence).abs() >= (opposite - confidence).abs() { here } else { opposite }
    }

    /// The true error of a model whose gaps are `t` times the observed ones.
    fn error_at(&self, t: f64) -> f64 {
        let gaps = self.used().map(|bin| bin.n * (bin.confidence() - Self::accuracy_at(bin, t)).abs());
        gaps.sum::<f64>() / self.n
    }

    /// The variance over images of the size of their bin's gap, for such a model. It makes the error depend on how many images of
    /// a set are in each bin.
    fn spread_at(&self, t: f64) -> f64 {
        let error = self.error_at(t);
        let squares = self.used().map(|bin| {
            let gap = (bin.confidence() - Self::accuracy_at(bin, t)).abs();
            bin.n * (gap - error).powi(2)
        });
        squares.sum::<f64>() / self.n
    }

    /// The share of the observed spread that chance within bins does not explain.
    fn share_of_spread(&self) -> f64 {
        let by_chance = self.used().map(|bin| bin.accuracy() * (1.0 - bin.accuracy())).sum::<f64>() / self.n;
        let spread = self.spread_at(1.0);
        if spread > by_chance { 1.0 - by_chance / spread } else { 0.0 }
    }

    /// The error of such a model on a set that is drawn.
    fn drawn_error(&self, t: f64, effect: f64, draws: &[Draw; BINS]) -> f64 {
        let gaps = self.bins.iter().zip(draws).filter(|(bin, _)| bin.n > 0.0).map(|(bin, &draw)| {
            let expected = bin.n * Self::accuracy_at(bin, t);
            let drawn = binomial(bin.n, Self::accuracy_at(bin, t), draw);
            (bin.probability_sum - expected - effect.sqrt() * (drawn - expected)).abs()
        });
        gaps.sum::<f64>() / self.n
    }
}

/// A position in a distribution.
#[derive(Clone, Copy, Debug)]
struct Draw {
    /// The share of the distribution below it.
    share: f64,
    /// The quantile of the standard normal distribution with this share.
    normal: f64,
}

impl Draw {
    fn new(share: f64) -> Self {
        Self { share, normal: normal_quantile(share) }
    }

    /// The position on the other side of the median.
    fn mirrored(self) -> Self {
        Self { share: 1.0 - self.share, normal: -self.normal }
    }
}

/// The numbers of one set that is drawn.
struct Draws {
    /// Of the correct predictions of each bin.
    of_bins: [Draw; BINS],
    /// Of how many images are in which bins.
    of_mix: Draw,
}

/// The same numbers in every interval. They take longer to compute than all else in an interval of a small set.
static DRAWS: LazyLock<Vec<Draws>> = LazyLock::new(|| (0..RESAMPLES).map(Draws::new).collect());

impl Draws {
    /// A key of their own beside that of the bootstrap.
    fn new(index: usize) -> Self {
        let mut rng = CounterRng::new(0, Purpose::Bootstrap, index as u64, 1);
        let mut draw = || Draw::new(f64::from(rng.uniform()));
        Self { of_bins: std::array::from_fn(|_| draw()), of_mix: draw() }
    }
}

/// The mean of `|x|` for a normally distributed `x`.
fn mean_of_folded_normal(mean: f64, sd: f64) -> f64 {
    if sd == 0.0 {
        return mean.abs();
    }
    let ratio = mean / sd;
    let density = (2.0 / std::f64::consts::PI).sqrt() * libm::exp(-ratio * ratio / 2.0);
    sd * density + mean * libm::erf(ratio / std::f64::consts::SQRT_2)
}

/// The number of events among `n` images of probability `p` each at a position in its distribution.
fn binomial(n: f64, p: f64, draw: Draw) -> f64 {
    if p <= 0.0 {
        return 0.0;
    }
    if p > 0.5 {
        return n - binomial(n, 1.0 - p, draw.mirrored());
    }
    let variance = n * p * (1.0 - p);
    if variance > NORMAL_FROM {
        return n * p + variance.sqrt() * draw.normal;
    }
    let odds = p / (1.0 - p);
    let mut probability = libm::exp(n * libm::log1p(-p));
    let (mut events, mut below) = (0.0, probability);
    while draw.share > below && events < n {
        events += 1.0;
        probability *= odds * (n - events + 1.0) / events;
        below += probability;
    }
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `n` predictions of equal probability, of which the first `n_correct` are correct.
    fn confidences(n: u32, probability: f64, n_correct: u32) -> impl Iterator<Item = Confidence> {
        (0..n).map(move |image| Confidence { probability, is_correct: image < n_correct })
    }

    fn bins(n: u32, probability: f64, n_correct: u32) -> Bins {
        Bins::new(confidences(n, probability, n_correct))
    }

    #[test]
    fn a_gap_that_chance_explains_is_debiased_and_its_interval_begins_at_zero() {
        let bins = bins(100, 0.9, 88);
        let (ece, debiased) = (bins.ece().expect("images"), bins.debiased().expect("images"));
        assert!((ece - 0.02).abs() < 1e-12 && debiased < 0.75 * ece, "{ece} and {debiased}");
        let [low, high] = bins.interval(1.0).expect("an interval");
        assert!(low == 0.0 && (0.06..0.11).contains(&high), "{low} to {high}");
    }

    #[test]
    fn of_a_large_gap_the_interval_is_that_of_the_accuracy() {
        let bins = bins(400, 0.95, 280);
        let [low, high] = bins.interval(1.0).expect("an interval");
        // 1.96 standard errors of the accuracy 0.7 around the gap of 0.25.
        let error = 1.96 * (0.21f64 / 400.0).sqrt();
        assert!(
            (low - (0.25 - error)).abs() < 0.006 && (high - (0.25 + error)).abs() < 0.006,
            "{low} to {high}"
        );
        assert!((bins.debiased().expect("images") - 0.25).abs() < 1e-9);
        let [low, high] = bins.interval(4.0).expect("an interval");
        assert!((high - low - 4.0 * error).abs() < 0.02, "twice the width: {low} to {high}");
    }

    #[test]
    fn the_true_error_never_falls_with_the_size_of_the_gaps() {
        for (probability, n_correct) in [(0.95, 30), (0.99, 10), (0.6, 95), (0.98, 100)] {
            let bins = bins(100, probability, n_correct);
            let errors: Vec<f64> = (0..200).map(|step| bins.error_at(f64::from(step) / 20.0)).collect();
            assert!(errors.is_sorted(), "{n_correct} of 100 at {probability}: {errors:?}");
        }
    }

    #[test]
    fn of_a_model_that_is_sure_and_wrong_the_interval_is_that_of_the_accuracy() {
        let [low, high] = bins(200, 0.95, 60).interval(1.0).expect("an interval");
        let error = 1.96 * (0.21f64 / 200.0).sqrt();
        assert!(
            (low - (0.65 - error)).abs() < 0.01 && (high - (0.65 + error)).abs() < 0.01,
            "{low} to {high}"
        );
    }

    #[test]
    fn without_a_mistake_the_interval_has_lower_accuracies() {
        let bins = bins(30, 0.98, 30);
        let [low, high] = bins.interval(1.0).expect("an interval");
        assert!(low == 0.0 && (0.1..0.2).contains(&high), "{low} to {high}");
    }

    #[test]
    fn images_of_a_patient_that_are_all_right_or_all_wrong_have_their_number_as_effect() {
        let threes: Vec<u32> = (0..120).map(|image| image / 3).collect();
        let effect = |ids: Option<&[u32]>| {
            bins(120, 0.9, 90).design_effect(confidences(120, 0.9, 90), &Groups::new(120, ids))
        };
        let grouped = effect(Some(&threes));
        assert!((grouped - 3.0).abs() < 1e-9, "{grouped}");
        assert_eq!(effect(None), 1.0);
    }

    #[test]
    fn binomial_numbers_have_their_mean_and_variance() {
        for (n, p) in [(20.0, 0.3), (20.0, 0.9), (1000.0, 0.4), (5.0, 0.0), (5.0, 1.0)] {
            let drawn: Vec<f64> =
                (0..4000).map(|i| binomial(n, p, Draw::new((f64::from(i) + 0.5) / 4000.0))).collect();
            let mean = drawn.iter().sum::<f64>() / 4000.0;
            let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4000.0;
            let expected = n * p * (1.0 - p);
            assert!((mean - n * p).abs() < 0.01 + 0.001 * n, "{n}, {p}: {mean}");
            assert!((variance - expected).abs() <= 0.02 * expected + 0.01, "{n}, {p}: {variance}");
        }
    }

    #[test]
    fn nothing_has_no_calibration_error() {
        let bins = Bins::new(std::iter::empty());
        assert_eq!((bins.ece(), bins.debiased(), bins.interval(1.0)), (None, None, None));
    }
}
