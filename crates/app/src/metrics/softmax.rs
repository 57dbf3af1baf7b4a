//! From logits to probabilities.

/// The probabilities of logits, however large these are.
pub(crate) fn softmax(mut logits: Vec<f64>) -> Vec<f64> {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    logits.iter_mut().for_each(|logit| *logit = libm::exp(*logit - largest));
    let sum: f64 = logits.iter().sum();
    logits.iter_mut().for_each(|exponential| *exponential /= sum);
    logits
}
