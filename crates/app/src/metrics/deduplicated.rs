//! The test figures without the images that leaked.

use roentgen_data::group_ids;

use super::{PartMetrics, Predictions};

/// How many test pictures leaked, and the figures of the others; no figures where none or all leaked.
pub(crate) fn deduplicated_test(
    class_names: &[String],
    predictions: &Predictions,
    patients: &[Option<String>],
    clean: &[bool],
) -> (usize, Option<PartMetrics>) {
    let kept: Vec<usize> = (0..predictions.len()).filter(|&image| clean[image]).collect();
    let n_leaked = predictions.len() - kept.len();
    if n_leaked == 0 || kept.is_empty() {
        return (n_leaked, None);
    }
    let patients: Vec<Option<String>> = kept.iter().map(|&image| patients[image].clone()).collect();
    let (predictions, groups) = (predictions.only(&kept), group_ids(&patients));
    (n_leaked, Some(PartMetrics::new(class_names.to_vec(), &predictions, groups.as_deref())))
}
