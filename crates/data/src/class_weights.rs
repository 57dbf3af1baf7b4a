//! Class weights for the loss.

/// `n / (n_classes * n_c)` for a class of `n_c` of `n` images, by their counts: what scikit-learn calls `balanced`. A
/// class without an image gets 0.
#[must_use]
pub fn class_weights_balanced(counts: &[usize]) -> Vec<f32> {
    let n: usize = counts.iter().sum();
    let weight = |&count: &usize| match count {
        0 => 0.0,
        _ => (n as f64 / (counts.len() as f64 * count as f64)) as f32,
    };
    counts.iter().map(weight).collect()
}

/// The square root of the balanced weights: a class that is a hundred times rarer gets ten times the weight.
#[must_use]
pub fn class_weights_sqrt(counts: &[usize]) -> Vec<f32> {
    class_weights_balanced(counts).into_iter().map(f32::sqrt).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_those_of_scikit_learn() {
        // compute_class_weight("balanced", classes=[0, 1, 2], y=[0, 0, 0, 1, 1, 2])
        let weights = class_weights_balanced(&[3, 2, 1]);
        assert_eq!(weights, [2.0 / 3.0, 1.0, 2.0]);
        assert_eq!(class_weights_balanced(&[2, 0]), [0.5, 0.0]);
    }

    #[test]
    fn the_square_root_lies_between_none_and_balanced() {
        let (sqrt, balanced) = (class_weights_sqrt(&[9, 1]), class_weights_balanced(&[9, 1]));
        assert_eq!(sqrt[1] / sqrt[0], 3.0);
        assert!((balanced[1] / balanced[0] - 9.0).abs() < 1e-5);
        assert_eq!(class_weights_sqrt(&[2, 0])[1], 0.0);
    }
}
