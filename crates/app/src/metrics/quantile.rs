//! Quantiles of a sample.

/// The value below which a share of ascending values is, interpolated.
///
/// # Panics
/// Without values.
pub(crate) fn quantile(ascending: &[f64], share: f64) -> f64 {
    let position = share.clamp(0.0, 1.0) * (ascending.len() - 1) as f64;
    let (below, above) = (ascending[position.floor() as usize], ascending[position.ceil() as usize]);
    below + (above - below) * position.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_interpolated() {
        let found = [-0.1, 0.0, 0.25, 0.5, 1.0].map(|share| quantile(&[1.0, 2.0, 4.0], share));
        assert_eq!(found, [1.0, 1.0, 1.5, 2.0, 4.0]);
    }
}
