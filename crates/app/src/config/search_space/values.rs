//! The values of one setting in a search: a list, or a range of numbers.

use roentgen_tensor::rng::CounterRng;

/// Digits of a number from a range, so that it is short on a command line.
const SIGNIFICANT_DIGITS: usize = 3;

/// How a range is spread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spacing {
    /// Equal differences are equally likely.
    Linear,
    /// Equal factors are equally likely.
    Log,
}

/// Numbers from one end to the other, both included.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Range {
    /// The lower end.
    pub from: f64,
    /// The upper end, above the lower one.
    pub to: f64,
    /// How numbers are spread between them.
    pub spacing: Spacing,
    /// Whether they are whole numbers.
    pub is_whole: bool,
}

impl Range {
    /// The number at a position from 0 to 1.
    fn at(self, position: f64) -> f64 {
        let Self { from, to, spacing, is_whole } = self;
        let value = match spacing {
            Spacing::Linear => from + position * (to - from),
            Spacing::Log => from * libm::pow(to / from, position),
        };
        let rounded = if is_whole {
            value.round()
        } else {
            format!("{value:.*e}", SIGNIFICANT_DIGITS - 1).parse().expect("a number that was just written")
        };
        rounded.clamp(from, to)
    }

    /// `steps` of its numbers, the ends among them; whole numbers that come twice are there once.
    pub(super) fn steps(self, steps: usize) -> Vec<String> {
        let mut texts: Vec<String> =
            (0..steps).map(|step| self.at(step as f64 / (steps - 1) as f64).to_string()).collect();
        texts.dedup();
        texts
    }

    fn draw(self, rng: &mut CounterRng) -> f64 {
        let position = f64::from(rng.uniform());
        if self.is_whole && self.spacing == Spacing::Linear {
            // The ends are as likely as the others.
            let (from, to) = (self.from - 0.5, self.to + 0.5);
            return (from + position * (to - from)).round().clamp(self.from, self.to);
        }
        self.at(position)
    }
}

/// The values of a searched setting.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Values {
    /// One of these texts, each as on the command line.
    List(Vec<String>),
    /// A number of a range.
    Range(Range),
}

impl Values {
    /// One of them, as on the command line.
    pub(super) fn draw(&self, rng: &mut CounterRng) -> String {
        match self {
            Self::List(texts) => texts[rng.below(texts.len() as u32) as usize].clone(),
            Self::Range(range) => range.draw(rng).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use roentgen_tensor::rng::Purpose;

    use super::*;

    fn draws(values: &Values, n: u64) -> Vec<String> {
        (0..n).map(|key| values.draw(&mut CounterRng::new(0, Purpose::Search, key, 0))).collect()
    }

    #[test]
    fn a_logarithmic_range_has_equal_factors_and_short_numbers() {
        let range = Range { from: 1e-5, to: 0.1, spacing: Spacing::Log, is_whole: false };
        assert_eq!(range.steps(5), ["0.00001", "0.0001", "0.001", "0.01", "0.1"]);
        let drawn: Vec<f64> =
            draws(&Values::Range(range), 400).iter().map(|text| text.parse().expect("a number")).collect();
        assert!(drawn.iter().all(|value| (1e-5..=0.1).contains(value)), "{drawn:?}");
        let small = drawn.iter().filter(|&&value| value < 1e-3).count();
        assert!((150..250).contains(&small), "half of the decades have half of the numbers: {small}");
        assert!(draws(&Values::Range(range), 20).iter().all(|text| text.trim_matches(['0', '.']).len() <= 3));
    }

    #[test]
    fn whole_numbers_are_equally_likely_and_their_steps_differ() {
        let range = Range { from: 1.0, to: 4.0, spacing: Spacing::Linear, is_whole: true };
        assert_eq!(range.steps(10), ["1", "2", "3", "4"]);
        let drawn = draws(&Values::Range(range), 400);
        for value in ["1", "2", "3", "4"] {
            let count = drawn.iter().filter(|text| *text == value).count();
            assert!((70..130).contains(&count), "{value}: {count}");
        }
    }

    #[test]
    fn ends_with_many_digits_are_not_left() {
        let range = Range { from: 0.123_45, to: 0.123_49, spacing: Spacing::Linear, is_whole: false };
        assert_eq!(range.steps(2), ["0.12345", "0.12345"][..1]);
    }
}
