//! The facts of many files, as the mean and the variance of each: no text and no identifier. Where a batch of images differs
//! from the validation images, they say how its files differ; they are no reason to call it different.

use std::collections::BTreeMap;

use roentgen_data::FileFacts;
use serde::{Deserialize, Serialize};

/// A difference of means counts if it is larger than this many of its standard errors,
const MIN_STANDARD_ERRORS: f64 = 3.0;
/// and than this share of the standard deviation within both: among many files, the smallest difference is certain.
const MIN_DEVIATIONS: f64 = 0.5;

/// The facts of files.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub(super) struct FactsSummary {
    /// Images that have facts.
    n: usize,
    /// By the name of the fact.
    facts: BTreeMap<String, Moments>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
struct Moments {
    mean: f64,
    variance: f64,
}

/// A fact whose means differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[cfg_attr(feature = "serve", derive(utoipa::ToSchema))]
pub(crate) struct FactDifference {
    /// Its name.
    pub fact: &'static str,
    /// Mean of the batch; of sizes the geometric one, of properties the share of the files that have it.
    pub batch: f64,
    /// The same of the validation images.
    pub validation: f64,
}

impl FactsSummary {
    /// Adds a file.
    pub(super) fn add(&mut self, facts: &FileFacts) {
        let named = FileFacts::NAMES.into_iter().zip(facts.values());
        self.add_values(named.filter(|(name, _)| is_compared(name)));
    }

    /// Adds the file of a summary of one, to the same result.
    #[cfg(feature = "serve")]
    pub(super) fn add_one(&mut self, one: &Self) {
        if one.n == 1 {
            self.add_values(one.facts.iter().map(|(name, moments)| (&**name, moments.mean)));
        }
    }

    fn add_values<'a>(&mut self, values: impl Iterator<Item = (&'a str, f64)>) {
        self.n += 1;
        let n = self.n as f64;
        for (name, value) in values {
            let Moments { mean, variance } = self.facts.entry(name.to_owned()).or_default();
            let before = value - *mean;
            *mean += before / n;
            *variance += (before * (value - *mean) - *variance) / n;
        }
    }

    /// The facts in which the files of a batch differ from those of the validation images.
    pub(super) fn differences(&self, validation: &Self) -> Vec<FactDifference> {
        let difference = |fact: &'static str| {
            let (batch, reference) = (self.facts.get(fact)?, validation.facts.get(fact)?);
            let distance = (batch.mean - reference.mean).abs();
            let standard_error =
                (batch.variance / self.n as f64 + reference.variance / validation.n as f64).sqrt();
            let deviation = f64::midpoint(batch.variance, reference.variance).sqrt();
            // A fact that never varies has neither, but rounding errors.
            let least = (MIN_STANDARD_ERRORS * standard_error).max(MIN_DEVIATIONS * deviation).max(1e-6);
            let [batch, validation] = [batch, reference].map(|moments| shown_value(fact, moments.mean));
            (distance > least).then(|| FactDifference { fact: shown_name(fact), batch, validation })
        };
        FileFacts::NAMES.into_iter().filter_map(difference).collect()
    }

    /// Whether every number is one that [`Self::add`] leaves, of at most `n_images` images.
    pub(super) fn is_valid(&self, n_images: usize) -> bool {
        let is_valid = |Moments { mean, variance }: &Moments| {
            mean.is_finite() && variance.is_finite() && *variance >= 0.0
        };
        self.n <= n_images && (self.n > 0 || self.facts.is_empty()) && self.facts.values().all(is_valid)
    }
}

impl FactDifference {
    /// Such as `width (128 instead of 1024 pixels)`.
    pub(super) fn in_words(&self) -> String {
        let Self { fact, batch, validation } = *self;
        let text = |value: f64| match fact {
            "width" | "height" => format!("{value:.0}"),
            "MONOCHROME1" | "view PA" | "view AP" | "view lateral" => format!("{:.0} %", 100.0 * value),
            _ => format!("{}", (100.0 * value).round() / 100.0),
        };
        let unit = if matches!(fact, "width" | "height") { " pixels" } else { "" };
        format!("{fact} ({} instead of {}{unit})", text(batch), text(validation))
    }
}

#[cfg(feature = "serve")]
impl FactDifference {
    /// The same without terms of file formats.
    pub(super) fn in_plain_words(&self) -> String {
        match self.fact {
            "width" | "height" | "width by height" | "brightness" => self.in_words(),
            "bit depth" => "the number of grey levels".to_owned(),
            "channels" => "colour".to_owned(),
            "JPEG quantisation" => "the strength of compression".to_owned(),
            "MONOCHROME1" => "storage as a negative".to_owned(),
            view => format!("the {view}"),
        }
    }
}

/// The devices are numbered anew in every data set.
fn is_compared(fact: &str) -> bool {
    !fact.starts_with("device")
}

fn shown_name(fact: &'static str) -> &'static str {
    match fact {
        "aspect" => "width by height",
        "mean" => "brightness",
        "jpeg quantisation" => "JPEG quantisation",
        "monochrome1" => "MONOCHROME1",
        fact => fact,
    }
}

/// Sizes are logarithms among the values.
fn shown_value(fact: &str, mean: f64) -> f64 {
    if matches!(fact, "width" | "height" | "aspect") { libm::exp(mean) } else { mean }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(facts: impl Iterator<Item = FileFacts>) -> FactsSummary {
        let mut summary = FactsSummary::default();
        facts.for_each(|facts| summary.add(&facts));
        summary
    }

    /// A file of `width` x 100 pixels, whose brightness depends on `number`.
    fn file(width: u32, number: u32) -> FileFacts {
        let mean = 0.4 + 0.1 * (number % 3) as f32;
        FileFacts { width, height: 100, bit_depth: 8, channels: 1, mean, ..FileFacts::default() }
    }

    #[test]
    fn only_facts_that_differ_are_listed() {
        let validation = summary((0..90).map(|i| file(200, i)));
        let same = summary((0..21).map(|i| file(200, i)));
        assert!(same.differences(&validation).is_empty());
        let other = summary((0..20).map(|i| FileFacts {
            bit_depth: 12,
            is_monochrome1: i % 2 == 0,
            device: i,
            ..file(150, i)
        }));
        let listed: Vec<String> =
            other.differences(&validation).iter().map(FactDifference::in_words).collect();
        let expected = [
            "width (150 instead of 200 pixels)",
            "width by height (1.5 instead of 2)",
            "bit depth (12 instead of 8)",
            "MONOCHROME1 (50 % instead of 0 %)",
        ];
        assert_eq!(listed, expected);
        #[cfg(feature = "serve")]
        {
            let plain: Vec<String> =
                other.differences(&validation).iter().map(FactDifference::in_plain_words).collect();
            let words = ["the number of grey levels", "storage as a negative"];
            assert_eq!(plain, [expected[0], expected[1], words[0], words[1]]);
        }
        // Without validation images that have facts.
        assert!(other.differences(&FactsSummary::default()).is_empty());
    }

    #[test]
    fn moments_are_those_of_all_values() {
        let moments = summary((0..3).map(|i| file(200, i))).facts["mean"];
        assert!(
            (moments.mean - 0.5).abs() < 1e-6 && (moments.variance - 0.02 / 3.0).abs() < 1e-6,
            "{moments:?}"
        );
    }
}
