//! Class weights for the loss.

/// `n / (n_classes * n_c)` for a class of `n_c` of `n` images: what scikit-learn calls `balanced`. A class
/// without an image gets 0.
#[must_use]
pub fn class_weights_balanced(labels: &[u32], n_classes: usize) -> Vec<f32> {
    let mut counts = vec![0usize; n_classes];
    for &label in labels {
        counts[label as usize] += 1;
    }
    let weight = |&count: &usize| match count {
        0 => 0.0,
        _ => (labels.len() as f64 / (n_classes as f64 * count as f64)) as f32,
    };
    counts.iter().map(weight).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_those_of_scikit_learn() {
        // compute_class_weight("balanced", classes=[0, 1, 2], y=[0, 0, 0, 1, 1, 2])
        let weights = class_weights_balanced(&[0, 0, 0, 1, 1, 2], 3);
        assert_eq!(weights, [2.0 / 3.0, 1.0, 2.0]);
        assert_eq!(class_weights_balanced(&[0, 0], 2), [0.5, 0.0]);
    }
}
