//! A running average of the weights: an exponential moving average, with a warm-up of its decay. It has less noise than the
//! weights of a single step while the learning rate is high, and averages of weights tend to be in a flatter minimum (Izmailov
//! et al. 2018, whose average gives all steps the same weight).

use rayon::prelude::*;
use roentgen_tensor::parameter::Parameter;

/// Values in one task: 256 KiB of each array.
const CHUNK: usize = 1 << 16;

/// The exponential moving average of every parameter.
#[derive(Clone, Debug)]
pub struct WeightAverage {
    /// Weight of the old average in each step, once there were many steps.
    decay: f64,
    n_steps_done: u64,
    /// Weight of the new values in this step: 1 minus the decay.
    new_share: f32,
    values: Vec<Vec<f32>>,
}

impl WeightAverage {
    /// An average over about the last `1 / (1 - decay)` steps.
    ///
    /// # Panics
    /// If `decay` is not in `[0, 1)`.
    #[must_use]
    pub fn new(decay: f64) -> Self {
        assert!((0.0..1.0).contains(&decay), "WeightAverage: decay {decay} is not in 0..1");
        Self { decay, n_steps_done: 0, new_share: 1.0, values: Vec::new() }
    }

    /// Begins the update of all parameters after a step.
    ///
    /// In the first steps the decay is smaller, at most `t / (t + 10)` in step `t`, so that the random initial weights soon
    /// lose their influence. This warm-up is our choice; TensorFlow's `ExponentialMovingAverage` has a similar one,
    /// `(1 + t) / (10 + t)`.
    pub fn begin_step(&mut self) {
        let t = self.n_steps_done as f64;
        self.new_share = (1.0 - self.decay.min(t / (t + 10.0))) as f32;
        self.n_steps_done += 1;
    }

    /// Adds the values of `parameter` to its average; parameters come in order.
    ///
    /// # Panics
    /// If the first step skips the index of a parameter, or if the length of a parameter changes.
    pub fn update(&mut self, parameter: &Parameter) {
        let index = parameter.index;
        if index == self.values.len() {
            self.values.push(parameter.value.to_vec());
            return;
        }
        let (average, new_share) = (&mut self.values[index], self.new_share);
        assert_eq!(
            average.len(),
            parameter.value.len(),
            "WeightAverage: the length of parameter {index} has changed"
        );
        average.par_chunks_mut(CHUNK).zip(parameter.value.par_chunks(CHUNK)).for_each(|(average, value)| {
            average
                .iter_mut()
                .zip(value)
                .for_each(|(average, value)| *average += new_share * (value - *average));
        });
    }

    /// Its state: the number of steps, and the average of each parameter.
    #[must_use]
    pub fn state(&self) -> (u64, &[Vec<f32>]) {
        (self.n_steps_done, &self.values)
    }

    /// Restores a [`Self::state`]; the next steps are the same as without an interruption.
    pub fn restore(&mut self, n_steps_done: u64, values: Vec<Vec<f32>>) {
        (self.n_steps_done, self.values) = (n_steps_done, values);
    }

    /// Swaps the values of `parameter` and their average; a second call swaps them back.
    ///
    /// # Panics
    /// Before the first step.
    pub fn swap(&mut self, parameter: &mut Parameter) {
        self.values[parameter.index].swap_with_slice(&mut parameter.value);
    }
}

#[cfg(test)]
mod tests {
    use roentgen_tensor::parameter::ParameterKind;

    use super::*;

    fn averaged(decay: f64, values: impl Iterator<Item = f32>) -> (f32, Parameter) {
        let mut parameter = Parameter::filled("w".into(), ParameterKind::Bias, &[2], 0.0);
        let mut average = WeightAverage::new(decay);
        for value in values {
            parameter.value.fill(value);
            average.begin_step();
            average.update(&parameter);
        }
        average.swap(&mut parameter);
        let mean = parameter.value[1];
        average.swap(&mut parameter);
        (mean, parameter)
    }

    #[test]
    fn after_many_steps_it_is_the_exponential_average() {
        let (mean, parameter) = averaged(0.9, (0..500).map(|step| step as f32));
        // The average of a ramp lags decay / (1 - decay) steps behind.
        assert!((mean - (499.0 - 9.0)).abs() < 1e-2, "{mean}");
        assert_eq!(parameter.value[..], [499.0; 2], "swapped back");
    }

    #[test]
    fn the_initial_weights_soon_lose_their_influence() {
        let (mean, _) = averaged(0.999, std::iter::once(1e3).chain(std::iter::repeat_n(1.0, 99)));
        assert!(mean < 1.01, "{mean}");
    }
}
