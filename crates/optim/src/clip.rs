//! Gradient clipping: one bad batch must not throw the weights away.

use rayon::join;

/// How gradients are bounded before the optimiser sees them.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clip {
    /// Not at all.
    Off,
    /// Every element to `-bound..=bound` (PyTorch's `clip_grad_value_`).
    Value(f32),
    /// All gradients scaled together, so that their joint Euclidean norm is at most this (`clip_grad_norm_`).
    Norm(f32),
}

impl Clip {
    /// Clipping of one step as `(scale, bound)`: `g` becomes `clamp(g * scale, -bound, bound)`.
    ///
    /// Only `Norm` uses `grad_norm`, the joint norm of all gradients. A norm that is not a number gives a
    /// scale that is none either: the weights become NaN and the loss tells, as in PyTorch.
    ///
    /// # Panics
    /// If `Norm` is asked for without a norm.
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

/// Elements that one task adds up in order; fixes the tree of partial sums, whatever the threads.
const LEAF: usize = 1 << 14;

/// Sum of the squares of `values`, in f64: the square of the norm is the sum of this over all gradients.
///
/// The order of the additions depends on the length alone.
#[must_use]
pub fn sum_of_squares(values: &[f32]) -> f64 {
    if values.len() <= LEAF {
        return values.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
    }
    let middle = (values.len() / 2).next_multiple_of(LEAF);
    let (left, right) = values.split_at(middle.min(values.len()));
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
            // Integers this small add up without rounding.
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
