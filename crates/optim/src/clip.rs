//! Gradient clipping: limits the effect of a single bad batch.

use rayon::join;

/// How gradients are bounded before the optimiser uses them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clip {
    /// No clipping.
    Off,
    /// Every element is clipped to `-bound..=bound` (PyTorch's `clip_grad_value_`).
    Value(f32),
    /// All gradients are scaled together so that their joint Euclidean norm is at most this (`clip_grad_norm_`).
    Norm(f32),
}

impl Clip {
    /// The clipping of one step as `(scale, bound)`: `g` becomes `clamp(g * scale, -bound, bound)`.
    ///
    /// Only `Norm` uses `grad_norm`, the joint norm of all gradients. If it is NaN, the scale is NaN too: then the weights
    /// and the loss become NaN, as in PyTorch.
    ///
    /// # Panics
    /// For `Norm` without `grad_norm`.
    pub(crate) fn scale_and_bound(self, grad_norm: Option<f64>) -> (f32, f32) {
        match self {
            Self::Off => (1.0, f32::INFINITY),
            Self::Value(bound) => (1.0, bound),
            Self::Norm(max_norm) => {
                let norm = grad_norm.expect("Clip::Norm needs the norm of all gradients");
                let scale = f64::from(max_norm) / (norm + 1e-6);
                (if scale > 1.0 { 1.0 } else { scale as f32 }, f32::INFINITY)
            }
        }
    }
}

/// Elements that one task adds up in order. It determines the tree of partial sums, with any number of threads.
const LEAF: usize = 1 << 14;

/// The sum of the squares of `values`, in f64. Summed over all gradients, it is the square of their joint norm.
///
/// The order of the additions depends on the length alone.
#[must_use]
pub fn sum_of_squares(values: &[f32]) -> f64 {
    if values.len() <= LEAF {
        return values.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    }
    let middle = (values.len() / 2).next_multiple_of(LEAF);
    let (left, right) = values.split_at(middle);
    let (left, right) = join(|| sum_of_squares(left), || sum_of_squares(right));
    left + right
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sum_of_squares_matches_a_plain_sum_at_any_length() {
        for len in [0, 1, LEAF - 1, LEAF, LEAF + 1, 2 * LEAF, 5 * LEAF + 17] {
            let values: Vec<f32> = (0..len).map(|i| (i % 13) as f32 - 6.0).collect();
            let expected: f64 = values.iter().map(|&x| f64::from(x).powi(2)).sum();
            // The sums of such small integers are exact.
            assert_eq!(sum_of_squares(&values), expected, "length {len}");
        }
    }

    #[test]
    fn norm_scales_down_only() {
        assert_eq!(Clip::Norm(1.0).scale_and_bound(Some(0.5)).0, 1.0);
        let (scale, bound) = Clip::Norm(1.0).scale_and_bound(Some(4.0));
        assert!((scale - 0.25).abs() < 1e-6 && bound == f32::INFINITY);
        assert!(Clip::Norm(1.0).scale_and_bound(Some(f64::NAN)).0.is_nan());
    }
}
