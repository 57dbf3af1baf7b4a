//! Everything that changes while a trainer trains: what a checkpoint holds of it.

use roentgen_optim::{Moments, WeightAverage};
use roentgen_tensor::parameter::Buffer;

use super::Trainer;

/// Everything that changes while a trainer trains, in the order of its parameters.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TrainerState {
    /// Steps done.
    pub step: usize,
    /// Values of the parameters.
    pub values: Vec<Vec<f32>>,
    /// Running statistics of the batch norms.
    pub buffers: Vec<Vec<f32>>,
    /// Steps of Adam.
    pub adam_steps: u64,
    /// Moments of Adam; empty before the first step.
    pub moments: Vec<Moments>,
    /// Steps of the running average.
    pub average_steps: u64,
    /// Values of the running average; empty without one.
    pub averages: Vec<Vec<f32>>,
}

impl Trainer {
    /// The current state.
    pub(crate) fn state(&self) -> TrainerState {
        let mut values = Vec::new();
        self.training.model.for_each_parameter(&mut |parameter| values.push(parameter.value.to_vec()));
        let buffers = self.buffers().into_iter().map(|buffer| buffer.value.to_vec()).collect();
        let (adam_steps, moments) = self.training.adam.state();
        let (average_steps, averages) = self.average.as_ref().map(WeightAverage::state).unwrap_or_default();
        TrainerState {
            step: self.step,
            values,
            buffers,
            adam_steps,
            moments: moments.to_vec(),
            average_steps,
            averages: averages.to_vec(),
        }
    }

    /// Continues from a [`Self::state`] as if there had been no interruption.
    ///
    /// # Errors
    /// If it is the state of another model or another recipe.
    pub(crate) fn restore(&mut self, state: TrainerState) -> Result<(), String> {
        let TrainerState { step, values, buffers, adam_steps, moments, average_steps, averages } = state;
        let mut shapes = Vec::new();
        self.training.model.for_each_parameter(&mut |parameter| shapes.push(parameter.value.len()));
        let lengths_fit = |found: &mut dyn Iterator<Item = usize>| found.eq(shapes.iter().copied());
        let n_averaged = if self.average.is_some() && step > 0 { shapes.len() } else { 0 };
        let fits = step <= self.n_steps()
            && lengths_fit(&mut values.iter().map(Vec::len))
            && (moments.is_empty() && step == 0
                || lengths_fit(&mut moments.iter().map(|moments| moments.m.len()))
                    && lengths_fit(&mut moments.iter().map(|moments| moments.v.len())))
            && averages.len() == n_averaged
            && (n_averaged == 0 || lengths_fit(&mut averages.iter().map(Vec::len)))
            && fits_buffers(&buffers, &self.buffers());
        if !fits {
            return Err("it belongs to another model or another recipe".to_owned());
        }
        let (mut values, mut buffers) = (values.into_iter(), buffers.into_iter());
        self.training.model.for_each_parameter_mut(&mut |parameter| {
            parameter.value.copy_from_slice(&values.next().expect("checked above"));
        });
        self.training.model.for_each_buffer_mut(&mut |buffer| {
            buffer.value.copy_from_slice(&buffers.next().expect("checked above"));
        });
        self.training.adam.restore(adam_steps, moments);
        if let Some(own) = &mut self.average {
            own.restore(average_steps, averages);
        }
        self.step = step;
        Ok(())
    }
}

/// Whether these can be the values of the buffers of a model.
fn fits_buffers(values: &[Vec<f32>], buffers: &[Buffer]) -> bool {
    let fits = |(values, buffer): (&Vec<f32>, &Buffer)| {
        let may_be_negative = !buffer.name.ends_with("running_var");
        values.len() == buffer.value.len() && values.iter().all(|value| may_be_negative || *value >= 0.0)
    };
    values.len() == buffers.len() && values.iter().zip(buffers).all(fits)
}
