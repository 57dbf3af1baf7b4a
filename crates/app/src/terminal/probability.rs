//! Probabilities as a reader should take them.

/// What is shown where the class of a rejected image would be.
pub(crate) const REJECTED: &str = "rejected";

/// No model is surer than this: beyond it, a probability is a claim about fewer images than any test set has.
const MAX_SHOWN: f64 = 0.99;
/// No class is less likely than this.
const MIN_SHOWN: f64 = 0.01;

/// A probability as a percentage. Never `100.0 %`: from 99 % on `> 99 %`, and below 1 % `< 1 %`.
#[must_use]
pub(crate) fn probability_text(probability: f64) -> String {
    if probability > MAX_SHOWN {
        "> 99 %".to_owned()
    } else if probability < MIN_SHOWN {
        "< 1 %".to_owned()
    } else {
        format!("{:.1} %", 100.0 * probability)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_probability_is_shown_as_certain() {
        let shown = [1.0, 0.999_9, 0.99, 0.876, 0.5, 0.01, 0.009, 0.0].map(probability_text);
        assert_eq!(shown, ["> 99 %", "> 99 %", "99.0 %", "87.6 %", "50.0 %", "1.0 %", "< 1 %", "< 1 %"]);
    }
}
