//! A running average of the weights (Polyak and Juditsky 1992): steadier than any one of them while the learning rate
//! is high, and the flatter for it.

use rayon::prelude::*;
use roentgen_tensor::parameter::Parameter;

/// Values that one task averages: a few hundred KiB.
const CHUNK: usize = 1 << 16;

/// The exponential average of every parameter.
#[derive(Clone, Debug)]
pub struct WeightAverage {
    /// Share of the old average that stays in each step, in the long run.
    decay: f64,
    steps: u64,
    /// `1 - decay` of this step.
    weight: f32,
    values: Vec<Vec<f32>>,
}

impl WeightAverage {
    /// An average that forgets weights in about `1 / (1 - decay)` steps.
    ///
    /// # Panics
    /// If `decay` is not in `[0, 1)`.
    #[must_use]
    pub fn new(decay: f64) -> Self {
        assert!((0.0..1.0).contains(&decay), "WeightAverage: decay {decay} is not in 0..1");
        Self { decay, steps: 0, weight: 1.0, values: Vec::new() }
    }

    /// Begins the update of all parameters after a step.
    ///
    /// Early on the average is over what there is: its decay is at most `t / (t + 10)` in step `t`, so that the random
    /// first weights are soon forgotten.
    pub fn begin_step(&mut self) {
        let t = self.steps as f64;
        self.weight = (1.0 - self.decay.min(t / (t + 10.0))) as f32;
        self.steps += 1;
    }

    /// Takes in the weights of parameter number `index`; they come in order.
    ///
    /// # Panics
    /// If parameters don't come in the same order each step.
    pub fn update(&mut self, index: usize, parameter: &Parameter) {
        if index == self.values.len() {
            self.values.push(parameter.value.to_vec());
            return;
        }
        let (average, weight) = (&mut self.values[index], self.weight);
        assert_eq!(average.len(), parameter.value.len(), "WeightAverage: parameter {index} has changed");
        average.par_chunks_mut(CHUNK).zip(parameter.value.par_chunks(CHUNK)).for_each(|(average, value)| {
            average
                .iter_mut()
                .zip(value)
                .for_each(|(average, value)| *average += weight * (value - *average));
        });
    }

    /// Number of its steps, and the average of each parameter.
    #[must_use]
    pub fn state(&self) -> (u64, &[Vec<f32>]) {
        (self.steps, &self.values)
    }

    /// Goes on from a [`Self::state`] as if there had been no break.
    pub fn restore(&mut self, steps: u64, values: Vec<Vec<f32>>) {
        (self.steps, self.values) = (steps, values);
    }

    /// Exchanges the weights of parameter number `index` and their average; a second time to have them back.
    ///
    /// # Panics
    /// Before the first step.
    pub fn swap(&mut self, index: usize, parameter: &mut Parameter) {
        self.values[index].swap_with_slice(&mut parameter.value);
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
            average.update(0, &parameter);
        }
        average.swap(0, &mut parameter);
        let mean = parameter.value[1];
        average.swap(0, &mut parameter);
        (mean, parameter)
    }

    #[test]
    fn in_the_long_run_it_is_the_exponential_average() {
        let (mean, parameter) = averaged(0.9, (0..500).map(|step| step as f32));
        // Of a ramp, the average is decay / (1 - decay) steps behind.
        assert!((mean - (499.0 - 9.0)).abs() < 1e-2, "{mean}");
        assert_eq!(parameter.value[..], [499.0; 2], "swapped back");
    }

    #[test]
    fn the_first_weights_are_soon_forgotten() {
        let (mean, _) = averaged(0.999, std::iter::once(1e3).chain(std::iter::repeat_n(1.0, 99)));
        assert!(mean < 1.01, "{mean}");
    }
}
