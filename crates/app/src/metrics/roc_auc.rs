//! The area under the ROC curve of one class against the rest, of many samples at once.

/// The images in the order of their probability of a class, the least likely first.
#[derive(Debug)]
pub(super) struct Ranking {
    ranked: Vec<Ranked>,
}

/// An image in the order of a probability.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ranked {
    pub image: u32,
    /// Whether it is of the class.
    pub is_of: bool,
    /// Whether the image before it has the same probability.
    is_tied: bool,
}

impl Ranking {
    /// Of images with these probabilities.
    pub(super) fn new(scores: &[f64], is_of: impl Fn(usize) -> bool) -> Self {
        let mut order: Vec<u32> = (0..scores.len() as u32).collect();
        order.sort_by(|&a, &b| scores[a as usize].total_cmp(&scores[b as usize]));
        let mut before = f64::NAN;
        let ranked = |image: u32| {
            let score = scores[image as usize];
            let is_tied = std::mem::replace(&mut before, score) == score;
            Ranked { image, is_of: is_of(image as usize), is_tied }
        };
        Self { ranked: order.into_iter().map(ranked).collect() }
    }

    /// The images with equal probabilities, the least likely first.
    pub(super) fn ties(&self) -> impl DoubleEndedIterator<Item = &[Ranked]> {
        self.ranked.chunk_by(|_, next| next.is_tied)
    }

    /// The share of pairs of an image of the class and another one in which the first has the higher probability, a tie
    /// counting half (Hanley and McNeil 1982), in each of `N` samples, in which image `i` counts `times[i]` times. NaN where
    /// there is no such pair.
    ///
    /// An image that is read is used for all samples, and their sums fill a vector: this is where most of the time of the
    /// metrics of many classes is spent. All sums are of whole numbers and halves, so they are exact.
    pub(super) fn areas<const N: usize>(&self, times: &[[f64; N]]) -> [f64; N] {
        let (mut wins, mut n_of, mut n_rest) = ([0.0; N], [0.0; N], [0.0; N]);
        for ties in self.ties() {
            match ties {
                [Ranked { image, is_of: false, .. }] => add(&mut n_rest, &times[*image as usize]),
                _ => {
                    let (mut of, mut rest) = ([0.0; N], [0.0; N]);
                    for &Ranked { image, is_of, .. } in ties {
                        add(if is_of { &mut of } else { &mut rest }, &times[image as usize]);
                    }
                    for sample in 0..N {
                        wins[sample] += of[sample] * (n_rest[sample] + rest[sample] / 2.0);
                    }
                    add(&mut n_of, &of);
                    add(&mut n_rest, &rest);
                }
            }
        }
        // Without a pair this is 0 / 0.
        std::array::from_fn(|sample| wins[sample] / (n_of[sample] * n_rest[sample]))
    }
}

/// A plain loop, since calls that are not inlined here take longer than the additions.
#[inline(always)]
fn add<const N: usize>(sums: &mut [f64; N], terms: &[f64; N]) {
    for sample in 0..N {
        sums[sample] += terms[sample];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By all pairs.
    fn naive_area(scores: &[f64], is_of: &[bool], times: &[f64]) -> f64 {
        let (mut wins, mut n_pairs) = (0.0, 0.0);
        for i in (0..scores.len()).filter(|&i| is_of[i]) {
            for j in (0..scores.len()).filter(|&j| !is_of[j]) {
                let pairs = times[i] * times[j];
                n_pairs += pairs;
                wins += if scores[i] == scores[j] { 0.5 } else { f64::from(scores[i] > scores[j]) } * pairs;
            }
        }
        wins / n_pairs
    }

    #[test]
    fn areas_of_several_samples_are_those_of_each_by_all_pairs() {
        let n = 60;
        for (levels, every) in [(7, 3), (60, 2), (1000, 20), (1, 4)] {
            let scores: Vec<f64> = (0..n).map(|i| (i * 37 % 101 % levels) as f64).collect();
            let is_of: Vec<bool> = (0..n).map(|i| i % every == 0).collect();
            let times: Vec<[f64; 3]> =
                (0..n).map(|i| [1.0, ((i * 7 + 1) % 5) as f64, f64::from(i % every > 0)]).collect();
            let [once, drawn, none] = Ranking::new(&scores, |i| is_of[i]).areas(&times);
            let naive = |sample: usize| {
                naive_area(&scores, &is_of, &times.iter().map(|times| times[sample]).collect::<Vec<_>>())
            };
            assert_eq!([once, drawn], [naive(0), naive(1)], "{levels} levels");
            assert!(none.is_nan(), "no image of the class is in this sample");
        }
    }
}
