//! A linear classifier: softmax regression on standardised features, for few features and some thousand rows.

use crate::metrics::softmax;

/// Steps of gradient descent.
pub(crate) const STEPS: usize = 400;
/// Momentum of Nesterov's method.
const MOMENTUM: f64 = 0.9;
/// L2 regularisation: without it, the weights grow without bound where the features separate the classes perfectly.
const L2: f64 = 1e-3;

/// Weights of each class, on features with mean 0 and standard deviation 1.
#[derive(Clone, Debug)]
pub(crate) struct LinearClassifier {
    mean: Vec<f64>,
    std: Vec<f64>,
    /// `(n_classes, features + 1)`, the bias last.
    weights: Vec<Vec<f64>>,
}

impl LinearClassifier {
    /// Fits rows of features to their classes.
    ///
    /// # Panics
    /// If there is no row, or rows differ in length.
    #[must_use]
    pub(crate) fn fit(rows: &[Vec<f64>], labels: &[u32], n_classes: usize) -> Self {
        let (n, n_features) = (rows.len() as f64, rows[0].len());
        let mean_of = |column: usize| rows.iter().map(|row| row[column]).sum::<f64>() / n;
        let mean: Vec<f64> = (0..n_features).map(mean_of).collect();
        let std = (0..n_features).map(|column| {
            let variance = rows.iter().map(|row| (row[column] - mean[column]).powi(2)).sum::<f64>() / n;
            // A constant feature carries no information: infinity makes it zero.
            if variance.sqrt() > 1e-9 { variance.sqrt() } else { f64::INFINITY }
        });
        let std = std.collect();
        let zeros = vec![vec![0.0; n_features + 1]; n_classes];
        let mut model = Self { mean, std, weights: zeros.clone() };
        let inputs: Vec<Vec<f64>> = rows.iter().map(|row| model.standardised(row)).collect();
        // The curvature of the loss is at most half the mean squared length of an input (Böhning 1992).
        let squares = inputs.iter().flatten().map(|x| x * x).sum::<f64>() / n;
        let rate = 1.0 / (squares / 2.0 + L2);
        let mut velocity = zeros.clone();
        for _ in 0..STEPS {
            let mut gradient = zeros.clone();
            for (input, &label) in inputs.iter().zip(labels) {
                for (class, p) in softmax(model.logits_of(input)).into_iter().enumerate() {
                    let error = (p - f64::from(class == label as usize)) / n;
                    gradient[class].iter_mut().zip(input).for_each(|(g, x)| *g += error * x);
                }
            }
            for ((weights, velocity), gradient) in model.weights.iter_mut().zip(&mut velocity).zip(&gradient)
            {
                for ((w, v), g) in weights.iter_mut().zip(velocity).zip(gradient) {
                    let step = rate * (g + L2 * *w);
                    *v = MOMENTUM * *v - step;
                    *w += MOMENTUM * *v - step;
                }
            }
        }
        model
    }

    /// The logit of each class.
    #[must_use]
    pub(crate) fn logits(&self, row: &[f64]) -> Vec<f64> {
        self.logits_of(&self.standardised(row))
    }

    fn standardised(&self, row: &[f64]) -> Vec<f64> {
        let features = row.iter().zip(&self.mean).zip(&self.std);
        features.map(|((x, mean), std)| (x - mean) / std).chain([1.0]).collect()
    }

    fn logits_of(&self, input: &[f64]) -> Vec<f64> {
        self.weights.iter().map(|weights| weights.iter().zip(input).map(|(w, x)| w * x).sum()).collect()
    }
}

#[cfg(test)]
mod tests {
    use roentgen_tensor::rng::{CounterRng, Purpose};

    use super::*;

    /// Rows whose first feature shifts with the class; the second is noise, the third never changes.
    fn rows(n: usize, shift: f64) -> (Vec<Vec<f64>>, Vec<u32>) {
        let mut rng = CounterRng::new(0, Purpose::Synthetic, 0, n as u64);
        let row = |i: usize| {
            vec![100.0 + shift * (i % 3) as f64 + f64::from(rng.normal()), f64::from(rng.normal()), 5.0]
        };
        ((0..n).map(row).collect(), (0..n as u32).map(|i| i % 3).collect())
    }

    fn accuracy(model: &LinearClassifier, rows: &[Vec<f64>], labels: &[u32]) -> f64 {
        let correct = rows.iter().zip(labels).filter(|(row, label)| {
            let logits = model.logits(row);
            logits.iter().all(|logit| *logit <= logits[**label as usize])
        });
        correct.count() as f64 / rows.len() as f64
    }

    #[test]
    fn it_learns_linearly_separable_classes() {
        let (train, labels) = rows(600, 6.0);
        let model = LinearClassifier::fit(&train, &labels, 3);
        let (test, labels) = rows(300, 6.0);
        assert!(accuracy(&model, &test, &labels) > 0.98);
    }

    #[test]
    fn accuracy_on_pure_noise_is_chance() {
        let (train, labels) = rows(600, 0.0);
        let model = LinearClassifier::fit(&train, &labels, 3);
        let (test, labels) = rows(3_000, 0.0);
        let accuracy = accuracy(&model, &test, &labels);
        assert!((0.29..0.38).contains(&accuracy), "{accuracy}");
    }

    #[test]
    fn the_gradient_vanishes_at_the_fit() {
        let (train, labels) = rows(300, 1.0);
        let model = LinearClassifier::fit(&train, &labels, 3);
        let mut slope = 0.0;
        for (row, &label) in train.iter().zip(&labels) {
            let p = softmax(model.logits(row));
            slope += (p[0] - f64::from(label == 0)) * (row[0] - model.mean[0]) / model.std[0] / 300.0;
        }
        assert!((slope + L2 * model.weights[0][0]).abs() < 1e-6, "{slope}");
    }
}
