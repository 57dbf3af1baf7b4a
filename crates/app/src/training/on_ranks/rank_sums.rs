//! The sum of the gradients of all ranks, after each has added up those of its own shards.
//!
//! The sum of a layer's gradient begins when the backward pass of the last shard has set it, on a thread of its own, while the
//! pass goes on to the layers before. The last layers have most of the weights and the least work, so nearly all of the
//! transfer is hidden. All ranks sum in the same order, that of the backward pass.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};

use roentgen_layers::{Layer, ResNet};

use crate::ranks::Ranks;
use crate::ranks::error::RankError;
use crate::training::step::ShardOutcome;

/// Parameters with more numbers than this have a message of their own; all others share one.
const LARGE: usize = 1 << 14;

/// A gradient, and the index of its parameter.
type Gradient = (usize, Vec<f32>);

/// Sums over all ranks.
#[derive(Debug)]
pub(in crate::training) struct RankSums {
    ranks: Ranks,
    /// Absent in a process that works alone.
    summing: Option<Summing>,
    /// Gradients that are being summed.
    n_pending: usize,
}

/// A thread that sums gradients in the order in which it gets them.
#[derive(Debug)]
struct Summing {
    to_sum: Option<Sender<Gradient>>,
    summed: Receiver<Result<Gradient, RankError>>,
    thread: Option<JoinHandle<()>>,
}

impl Summing {
    fn start(ranks: Ranks) -> Self {
        let (to_sum, gradients) = channel::<Gradient>();
        let (results, summed) = channel();
        let thread = thread::spawn(move || {
            for (index, mut gradient) in gradients {
                let result = ranks.sum(&mut gradient).map(|()| (index, gradient));
                if results.send(result).is_err() {
                    return;
                }
            }
        });
        Self { to_sum: Some(to_sum), summed, thread: Some(thread) }
    }
}

impl Drop for Summing {
    fn drop(&mut self) {
        drop(self.to_sum.take());
        // MPI must not end while the thread uses it.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

impl RankSums {
    pub(in crate::training) fn new(ranks: Ranks) -> Self {
        let summing = (ranks.size() > 1).then(|| Summing::start(ranks.clone()));
        Self { ranks, summing, n_pending: 0 }
    }

    pub(in crate::training) fn ranks(&self) -> &Ranks {
        &self.ranks
    }

    /// Begins to sum the large gradients of a layer. They are missing in the layer until [`Self::finish`].
    pub(in crate::training) fn begin_layer(&mut self, layer: &mut dyn Layer) {
        let Some(to_sum) = self.summing.as_ref().and_then(|summing| summing.to_sum.as_ref()) else { return };
        layer.for_each_parameter_mut(&mut |parameter| {
            if parameter.grad.len() > LARGE {
                let gradient = std::mem::take(&mut parameter.grad);
                to_sum.send((parameter.index, gradient)).expect("the thread waits for gradients");
                self.n_pending += 1;
            }
        });
    }

    /// Completes the gradients and the running statistics of `model`; returns the sum of the outcomes.
    ///
    /// # Errors
    /// If a rank cannot be reached.
    pub(in crate::training) fn finish(
        &mut self,
        model: &mut ResNet,
        outcome: ShardOutcome,
    ) -> Result<ShardOutcome, RankError> {
        let Some(summing) = &self.summing else { return Ok(outcome) };
        let mut large: Vec<Gradient> = Vec::new();
        for _ in 0..std::mem::take(&mut self.n_pending) {
            large.push(summing.summed.recv().expect("the thread sums what it was given")?);
        }
        large.sort_unstable_by_key(|(index, _)| *index);
        let mut large = large.into_iter().peekable();
        model.for_each_parameter_mut(&mut |parameter| {
            if let Some((_, gradient)) = large.next_if(|(index, _)| *index == parameter.index) {
                parameter.grad = gradient;
            }
        });
        let loss = self.sum_small(model, outcome.loss)?;
        let n_correct = self.ranks.sum_of_counts(outcome.n_correct as u64)? as usize;
        Ok(ShardOutcome { loss, n_correct })
    }

    /// Sums all small gradients, the running statistics and the loss, in one message. Returns the loss.
    fn sum_small(&self, model: &mut ResNet, loss: f32) -> Result<f32, RankError> {
        let mut small = vec![loss];
        model.for_each_parameter(&mut |parameter| {
            if parameter.grad.len() <= LARGE {
                small.extend_from_slice(&parameter.grad);
            }
        });
        model.for_each_buffer(&mut |buffer| small.extend_from_slice(&buffer.value));
        self.ranks.sum(&mut small)?;
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
        Ok(*loss)
    }
}
