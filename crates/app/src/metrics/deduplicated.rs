//! The metrics of the test set without its leaked images.

use roentgen_data::group_ids;

use super::{Predictions, SubsetMetrics};

/// How many test images leaked, and the metrics of the others; no metrics where none or all leaked.
pub(crate) fn deduplicated_test(
    class_names: &[String],
    predictions: &Predictions,
    patients: &[Option<String>],
    clean: &[bool],
) -> (usize, Option<SubsetMetrics>) {
    let kept: Vec<usize> = (0..predictions.len()).filter(|&image| clean[image]).collect();
    let n_leaked = predictions.len() - kept.len();
    if n_leaked == 0 || kept.is_empty() {
        return (n_leaked, None);
    }
    let patients: Vec<Option<String>> = kept.iter().map(|&image| patients[image].clone()).collect();
    let (predictions, groups) = (predictions.only(&kept), group_ids(&patients));
    (n_leaked, Some(SubsetMetrics::new(class_names.to_vec(), &predictions, groups.as_deref())))
}
