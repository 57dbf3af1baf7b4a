//! The sum of the gradients of all ranks, after each has added up those of its own shards.

use roentgen_layers::ResNet;

use super::step::ShardOutcome;
use crate::ranks::Ranks;
use crate::ranks::error::RankError;

/// Parameters with more numbers than this have a message of their own; all others share one.
const LARGE: usize = 1 << 14;

/// Replaces gradients and running statistics of `model` by their sums over all ranks; returns the sum of the outcomes.
///
/// # Errors
/// If a rank cannot be reached.
pub(super) fn sum_over_ranks(
    ranks: &Ranks,
    model: &mut ResNet,
    outcome: ShardOutcome,
) -> Result<ShardOutcome, RankError> {
    if ranks.size() == 1 {
        return Ok(outcome);
    }
    let mut small = vec![outcome.loss];
    let mut result = Ok(());
    model.for_each_parameter_mut(&mut |parameter| {
        if parameter.grad.len() <= LARGE {
            small.extend_from_slice(&parameter.grad);
        } else if result.is_ok() {
            result = ranks.sum(&mut parameter.grad);
        }
    });
    result?;
    model.for_each_buffer(&mut |buffer| small.extend_from_slice(&buffer.value));
    ranks.sum(&mut small)?;
    let (loss, mut rest) = small.split_first().expect("the loss is the first");
    let mut take_back = |values: &mut [f32]| {
        let (own, others) = rest.split_at(values.len());
        values.copy_from_slice(own);
        rest = others;
    };
    model.for_each_parameter_mut(&mut |parameter| {
        if parameter.grad.len() <= LARGE {
            take_back(&mut parameter.grad);
        }
    });
    model.for_each_buffer_mut(&mut |buffer| take_back(&mut buffer.value));
    let n_right = ranks.sum_of_counts(outcome.n_right as u64)? as usize;
    Ok(ShardOutcome { loss: *loss, n_right })
}
