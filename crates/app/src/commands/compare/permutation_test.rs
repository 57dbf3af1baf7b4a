//! Whether the difference between two runs may be chance.

/// Most images of all patients together whose exact distribution is computed, where patients have several images.
const MAX_EXACT: usize = 10_000;

/// The p-value of a permutation test (Fisher 1935): the probability of a difference at least as large as the observed one if,
/// for each patient, a fair coin decided which predictions belong to which run. Errors on images of one patient often occur
/// together, so all images of a patient are swapped together. With one image per patient it is McNemar's exact test (1947).
///
/// `gains` has, for each patient, how many images only the second run predicted correctly, minus those of the first. The p-value
/// is exact, but for more than [`MAX_EXACT`] such images of patients with several of them: there the sum is nearly normal.
pub(super) fn permutation_p(gains: impl Iterator<Item = i64> + Clone) -> f64 {
    let observed = gains.clone().sum::<i64>().unsigned_abs() as usize;
    let steps: Vec<usize> = gains.map(|gain| gain.unsigned_abs() as usize).filter(|&step| step > 0).collect();
    let largest: usize = steps.iter().sum();
    if largest == steps.len() {
        return binomial_p(largest, observed);
    }
    if largest > MAX_EXACT { normal_p(&steps, observed) } else { exact_p(&steps, observed) }
}

/// Of `n` coins that all count the same: twice the tail of the binomial distribution.
fn binomial_p(n: usize, observed: usize) -> f64 {
    // The number of coins on the rarer side.
    let mut rarer = (n - observed) / 2;
    let log_factorial = |k: usize| libm::lgamma(k as f64 + 1.0);
    let log_ways = log_factorial(n) - log_factorial(rarer) - log_factorial(n - rarer);
    let mut probability = libm::exp(log_ways - n as f64 * std::f64::consts::LN_2);
    let mut tail = probability;
    while rarer > 0 && probability > 0.0 {
        probability *= rarer as f64 / (n - rarer + 1) as f64;
        tail += probability;
        rarer -= 1;
    }
    (2.0 * tail).min(1.0)
}

/// By the distribution of the sum over all coins, which takes as many operations as the number of coins times the largest sum.
fn exact_p(steps: &[usize], observed: usize) -> f64 {
    let largest: usize = steps.iter().sum();
    // Index 0 is the sum `-largest`.
    let mut probabilities = vec![0.0; 2 * largest + 1];
    probabilities[largest] = 1.0;
    for &step in steps {
        let before = probabilities.clone();
        for (sum, probability) in probabilities.iter_mut().enumerate() {
            let from_above = before.get(sum + step).copied().unwrap_or(0.0);
            let from_below = sum.checked_sub(step).map_or(0.0, |below| before[below]);
            *probability = (from_above + from_below) / 2.0;
        }
    }
    let is_as_large = |sum: usize| sum.abs_diff(largest) >= observed;
    (0..=2 * largest).filter(|&sum| is_as_large(sum)).map(|sum| probabilities[sum]).sum::<f64>().min(1.0)
}

/// By the normal distribution of the same variance. Sums are two apart, so the tail begins half way to the next smaller one.
fn normal_p(steps: &[usize], observed: usize) -> f64 {
    let variance: f64 = steps.iter().map(|&step| (step * step) as f64).sum();
    libm::erfc(observed.saturating_sub(1) as f64 / libm::sqrt(2.0 * variance))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `statsmodels.stats.contingency_tables.mcnemar(table, exact=True).pvalue`.
    #[test]
    fn mcnemar_matches_statsmodels() {
        let cases = [
            (1, 6, 0.125),
            (5, 5, 1.0),
            (0, 12, 0.000_488_281_25),
            (40, 71, 0.004_195_534_185_394_861),
            (0, 0, 1.0),
        ];
        for (first, second, expected) in cases {
            let p_of = |first: usize, second: usize| {
                permutation_p([vec![-1; first], vec![1; second], vec![0; 9]].concat().into_iter())
            };
            let found = p_of(first, second);
            assert!(
                (found - expected).abs() <= 1e-9 * expected,
                "{first}, {second}: {found} against {expected}"
            );
            assert!((p_of(second, first) - found).abs() < 1e-15);
        }
    }

    /// Counted by hand among the 16 results of four coins.
    #[test]
    fn all_images_of_a_patient_are_swapped_together() {
        assert_eq!(permutation_p([4, 1, 1, 1].into_iter()), 2.0 / 16.0);
        assert_eq!(permutation_p([4, 1, -1, 1].into_iter()), 8.0 / 16.0);
        assert_eq!(permutation_p([12, 0].into_iter()), 1.0, "one patient alone proves nothing");
    }

    #[test]
    fn the_ways_to_the_same_p_value_agree() {
        for (n, observed) in [(1, 1), (7, 5), (111, 31), (600, 0), (600, 100)] {
            let (closed, counted) = (binomial_p(n, observed), exact_p(&vec![1; n], observed));
            assert!((closed - counted).abs() <= 1e-11 * counted, "{n}, {observed}: {closed} and {counted}");
        }
        let steps: Vec<usize> = (0..900).map(|patient| 1 + patient % 4).collect();
        for observed in [0, 40, 90, 160, 200] {
            let (nearly, exact) = (normal_p(&steps, observed), exact_p(&steps, observed));
            assert!((nearly - exact).abs() < 0.002, "{observed}: {nearly} and {exact}");
        }
    }

    #[test]
    fn a_million_images_take_no_time() {
        let few = permutation_p((0..1_000_000).map(|image| if image < 501_000 { 1 } else { -1 }));
        assert!((few - 0.0456).abs() < 0.001, "two standard deviations: {few}");
        let patients = permutation_p((0..100_000).map(|patient| if patient < 50_316 { 4 } else { -4 }));
        assert!((patients - 0.0456).abs() < 0.001, "{patients}");
    }
}
