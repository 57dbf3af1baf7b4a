//! The loss of a run: class weights, label smoothing, and the class prior that its predictions assume.

use ndarray::Array4;
use roentgen_data::{Sampler, batch_ranges, class_weights_balanced, class_weights_sqrt};
use roentgen_layers::LossHead;

use crate::config::{ClassPrior, ClassWeights, SamplerChoice, TrainConfig};
use crate::model::class_priors::ClassPriors;

/// The loss of `config`, where `counts` are the images of each class in an epoch.
pub(crate) fn loss_head(config: &TrainConfig, counts: &[usize]) -> LossHead {
    let class_weights = class_weights(config, counts);
    let log_prior = match config.prior {
        ClassPrior::Training => None,
        ClassPrior::Balanced => {
            let shares = shares_of_loss(counts, config.sampler, class_weights.as_deref());
            Some(shares.into_iter().map(|share| libm::log(share) as f32).collect())
        }
    };
    LossHead { class_weights, label_smoothing: config.label_smoothing as f32, log_prior }
}

/// The training loss of the epoch `epoch`, counted from 0, of a network whose logits are all zero. `labels` are those of the
/// images of an epoch, and `counts` the images of each class.
///
/// It depends on the batches too, because the loss of a batch is divided by the class weights of its own images.
pub(crate) fn loss_of_guessing(config: &TrainConfig, counts: &[usize], labels: &[u32], epoch: usize) -> f64 {
    let loss_head = loss_head(config, counts);
    let mut order = Vec::new();
    Sampler::from(config.sampler).epoch_order(labels, config.seed, epoch as u64, &mut order);
    // What an image of each class adds to the loss of its batch, before this is divided by the sum of the class weights.
    let (logits, mut grad_logits) = (Array4::zeros((1, 1, 1, counts.len())), Array4::zeros((0, 0, 0, 0)));
    let mut loss_of =
        |class| f64::from(loss_head.forward_backward_shard(&logits, &[class], 1.0, &mut grad_logits));
    let class_losses: Vec<f64> = (0..counts.len() as u32).map(&mut loss_of).collect();
    let mut sum = 0.0;
    for batch in batch_ranges(order.len(), config.batch(labels.len())) {
        let batch_labels: Vec<u32> =
            order[batch].iter().map(|sample| labels[sample.image as usize]).collect();
        let batch_sum: f64 = batch_labels.iter().map(|&class| class_losses[class as usize]).sum();
        sum += batch_sum / f64::from(loss_head.total_weight(&batch_labels)) * batch_labels.len() as f64;
    }
    sum / order.len() as f64
}

/// The class prior that the predictions of a model trained by `config` assume, and that of the training set, where `epoch_counts`
/// are the images of each class in an epoch, hard examples as often as they are used, and `counts` those in the training set.
pub(crate) fn class_priors(
    config: &TrainConfig,
    class_names: &[String],
    epoch_counts: &[usize],
    counts: &[usize],
) -> ClassPriors {
    let training_set = shares_of_loss(counts, SamplerChoice::Shuffled, None);
    let predictions = match config.prior {
        ClassPrior::Training => {
            let class_weights = class_weights(config, epoch_counts);
            shares_of_loss(epoch_counts, config.sampler, class_weights.as_deref())
        }
        ClassPrior::Balanced => vec![1.0 / counts.len() as f64; counts.len()],
    };
    ClassPriors::new(class_names, &predictions, &training_set)
}

fn class_weights(config: &TrainConfig, counts: &[usize]) -> Option<Vec<f32>> {
    match config.class_weights {
        ClassWeights::None => None,
        ClassWeights::Sqrt => Some(class_weights_sqrt(counts)),
        ClassWeights::Balanced => Some(class_weights_balanced(counts)),
    }
}

/// Each class's share of the training loss: the number of its images, as the sampler draws them, times their weight,
/// divided by the sum over all classes. A class without images counts as if it had one.
fn shares_of_loss(counts: &[usize], sampler: SamplerChoice, class_weights: Option<&[f32]>) -> Vec<f64> {
    let weight = |class: usize| class_weights.map_or(1.0, |weights| f64::from(weights[class]));
    let total_weight = |class: usize| match (counts[class], sampler) {
        (0, _) => 1.0,
        (_, SamplerChoice::Balanced) => weight(class),
        (count, SamplerChoice::Shuffled) => count as f64 * weight(class),
    };
    let sum: f64 = (0..counts.len()).map(total_weight).sum();
    (0..counts.len()).map(|class| total_weight(class) / sum).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::assumed_prior::AssumedPrior;

    fn log_prior_of(config: &TrainConfig) -> Vec<f32> {
        let balanced = TrainConfig { prior: ClassPrior::Balanced, ..config.clone() };
        loss_head(&balanced, &[90, 10]).log_prior.expect("a prior")
    }

    #[test]
    fn the_prior_is_the_share_of_each_class_in_the_loss() {
        let ratio = |config: TrainConfig| {
            let log_prior = log_prior_of(&config);
            assert!((log_prior.iter().map(|log| log.exp()).sum::<f32>() - 1.0).abs() < 1e-6, "shares");
            (log_prior[0] - log_prior[1]).exp()
        };
        let weighted = |class_weights| TrainConfig { class_weights, ..TrainConfig::default() };
        assert!((ratio(TrainConfig::default()) - 9.0).abs() < 1e-4);
        assert!((ratio(weighted(ClassWeights::Sqrt)) - 3.0).abs() < 1e-4);
        assert!((ratio(weighted(ClassWeights::Balanced)) - 1.0).abs() < 1e-4);
        let sampler = SamplerChoice::Balanced;
        assert!((ratio(TrainConfig { sampler, ..TrainConfig::default() }) - 1.0).abs() < 1e-4);
    }

    #[test]
    fn a_class_without_images_has_a_finite_prior() {
        for class_weights in [ClassWeights::None, ClassWeights::Sqrt, ClassWeights::Balanced] {
            let config = TrainConfig { prior: ClassPrior::Balanced, class_weights, ..TrainConfig::default() };
            let log_prior = loss_head(&config, &[2, 0, 1]).log_prior.expect("a prior");
            assert!(log_prior.iter().all(|log| log.is_finite()), "{log_prior:?}");
        }
    }

    #[test]
    fn nothing_is_adjusted_by_default() {
        assert_eq!(loss_head(&TrainConfig::default(), &[1, 2]), LossHead::default());
        assert_eq!(priors(&TrainConfig::default()).log_shift(&[90, 10]), None);
    }

    fn priors(config: &TrainConfig) -> ClassPriors {
        class_priors(config, &["common".into(), "rare".into()], &[90, 10], &[90, 10])
    }

    #[test]
    fn repeated_images_count_as_often_as_they_are_used() {
        let names = ["common".into(), "rare".into()];
        let priors = class_priors(&TrainConfig::default(), &names, &[190, 10], &[90, 10]);
        assert!((priors.predictions["rare"] - 0.05).abs() < 1e-12 && priors.training_set["rare"] == 0.1);
        // With weights for the images of an epoch, every class has the same share of the loss.
        let weighted = TrainConfig { class_weights: ClassWeights::Balanced, ..TrainConfig::default() };
        let priors = class_priors(&weighted, &names, &[190, 10], &[90, 10]);
        assert!((priors.predictions["rare"] - 0.5).abs() < 1e-6);
    }

    #[test]
    fn class_weights_sampler_and_hard_examples_change_what_is_assumed_and_a_balanced_prior_replaces_it() {
        let names = ["common".into(), "rare".into()];
        let assumed = |config: &TrainConfig, epoch_counts: [usize; 2], counts: [usize; 2]| {
            AssumedPrior::of(config.prior, &class_priors(config, &names, &epoch_counts, &counts))
        };
        let default = TrainConfig::default();
        assert_eq!(assumed(&default, [90, 10], [90, 10]), AssumedPrior::Training);
        assert!(AssumedPrior::Training.in_words().is_none());
        let weighted = TrainConfig { class_weights: ClassWeights::Sqrt, ..default.clone() };
        let sampled = TrainConfig { sampler: SamplerChoice::Balanced, ..default.clone() };
        for config in [weighted, sampled] {
            assert_eq!(assumed(&config, [90, 10], [90, 10]), AssumedPrior::Reweighted);
            assert_eq!(assumed(&config, [50, 50], [50, 50]), AssumedPrior::Training, "no class is rare");
            let balanced = TrainConfig { prior: ClassPrior::Balanced, ..config };
            assert_eq!(assumed(&balanced, [90, 10], [90, 10]), AssumedPrior::Balanced);
            assert_eq!(assumed(&balanced, [50, 50], [50, 50]), AssumedPrior::Training, "no class is rare");
        }
        // 80 of 1,000 images are used 100 times, and none of 6.
        let oversampled = TrainConfig { oversample_hard: 100, ..default };
        let oversampled_prior = assumed(&oversampled, [1_000 + 99 * 80, 6], [1_000, 6]);
        assert_eq!(oversampled_prior, AssumedPrior::Reweighted);
        assert!(oversampled_prior.in_words().is_some_and(|words| words.contains("--oversample-hard")));
    }

    #[test]
    fn predictions_for_another_prior_are_shifted_to_that_of_a_set_with_the_same_shares() {
        let balanced = TrainConfig { prior: ClassPrior::Balanced, ..TrainConfig::default() };
        let weighted = TrainConfig { class_weights: ClassWeights::Balanced, ..TrainConfig::default() };
        let sampled = TrainConfig { sampler: SamplerChoice::Balanced, ..TrainConfig::default() };
        let both = TrainConfig { prior: ClassPrior::Balanced, ..weighted.clone() };
        for config in [balanced, weighted, sampled, both] {
            let priors = priors(&config);
            assert!((priors.predictions["rare"] - 0.5).abs() < 1e-6 && priors.training_set["rare"] == 0.1);
            let shift = priors.log_shift(&[90, 10]).expect("another prior");
            assert!((shift[0] - shift[1] - 9f64.ln()).abs() < 1e-6, "{shift:?}");
        }
    }
}
