//! The time of each layer in a training step, forward and backward.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use roentgen_layers::{Event, LossHead, Pass, ResNet9Config};
use roentgen_optim::{AdamConfig, OneCycle};
use serde::{Deserialize, Serialize};

use super::case::noise;
use super::conv_layers::ConvLayer;
use super::timing::median;
use crate::training::step::TrainingStep;

/// Steps that are run first and not counted.
const WARM_UP: usize = 2;
/// Steps that are counted.
const STEPS: usize = 15;

/// One row of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct ProfileRow {
    /// A layer, the loss, or the optimiser.
    name: String,
    /// Median milliseconds.
    forward_ms: f64,
    /// Milliseconds of its convolutions, measured alone; `None` if it has none.
    forward_conv_ms: Option<f64>,
    /// Median milliseconds.
    backward_ms: f64,
    /// Milliseconds of its convolutions, measured alone; `None` if it has none.
    backward_conv_ms: Option<f64>,
}

/// Times the layers of training steps at one batch size; `convolutions` are the same convolutions, measured alone.
pub(super) fn measure(
    model: &ResNet9Config,
    size: usize,
    batch: usize,
    convolutions: &[ConvLayer],
) -> Vec<ProfileRow> {
    let (x, labels) = noise(model, size, batch);
    let mut network = model.build(0);
    let events = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&events);
    network.observe(Box::new(move |event| {
        log.lock().unwrap_or_else(PoisonError::into_inner).push((event, Instant::now()));
    }));
    let mut step = TrainingStep::new(network, LossHead::default(), AdamConfig::default());
    let rates = OneCycle::new(0.001, 1000).at(500);

    let names = model.architecture().layer_names();
    let mut times = StepTimes::new(names.len());
    for count in 0..WARM_UP + STEPS {
        step.take(&x, &labels, rates, Pass::Train { seed: 0, step: count as u64, shard: 0 });
        let end = Instant::now();
        let events = std::mem::take(&mut *events.lock().unwrap_or_else(PoisonError::into_inner));
        if count >= WARM_UP {
            times.add(&events, end);
        }
    }
    times.rows(&names, convolutions)
}

/// The times of all steps.
#[derive(Default)]
struct StepTimes {
    /// By layer.
    forward: Vec<Vec<Duration>>,
    /// By layer.
    backward: Vec<Vec<Duration>>,
    loss: Vec<Duration>,
    optimiser: Vec<Duration>,
}

impl StepTimes {
    fn new(n_layers: usize) -> Self {
        let none = vec![Vec::new(); n_layers];
        Self { forward: none.clone(), backward: none, ..Self::default() }
    }

    /// Adds the events of one step: each ends the work that began with the event before; `end` ends the optimiser.
    fn add(&mut self, events: &[(Event, Instant)], end: Instant) {
        for pair in events.windows(2) {
            let [(_, from), (event, to)] = pair else { continue };
            let times = match event {
                Event::ForwardBegins => continue,
                Event::ForwardDone(layer) => &mut self.forward[*layer],
                Event::BackwardBegins => &mut self.loss,
                Event::BackwardDone(layer) => &mut self.backward[*layer],
            };
            times.push(*to - *from);
        }
        if let Some((_, last)) = events.last() {
            self.optimiser.push(end - *last);
        }
    }

    fn rows(&self, names: &[&str], convolutions: &[ConvLayer]) -> Vec<ProfileRow> {
        let layers = names.iter().enumerate().map(|(layer, &name)| {
            // A residual block has two convolutions.
            let own = || convolutions.iter().filter(|conv| conv.name.split('.').next() == Some(name));
            let has_any = own().next().is_some();
            let backward =
                |conv: &ConvLayer| conv.backward_weight.ms + conv.backward_input.map_or(0.0, |pass| pass.ms);
            ProfileRow {
                name: name.to_owned(),
                forward_ms: median_ms(&self.forward[layer]),
                forward_conv_ms: has_any.then(|| own().map(|conv| conv.forward.ms).sum()),
                backward_ms: median_ms(&self.backward[layer]),
                backward_conv_ms: has_any.then(|| own().map(backward).sum()),
            }
        });
        let beside = |name: &str, forward: &[Duration], backward: &[Duration]| ProfileRow {
            name: name.to_owned(),
            forward_ms: median_ms(forward),
            forward_conv_ms: None,
            backward_ms: median_ms(backward),
            backward_conv_ms: None,
        };
        let rest = [beside("loss", &self.loss, &[]), beside("optimiser", &[], &self.optimiser)];
        layers.chain(rest).collect()
    }
}

fn median_ms(times: &[Duration]) -> f64 {
    let mut times_ms: Vec<f64> = times.iter().map(|time| time.as_secs_f64() * 1e3).collect();
    times_ms.sort_unstable_by(f64::total_cmp);
    if times_ms.is_empty() { 0.0 } else { median(&times_ms) }
}

/// The profile as a table, headings first, the whole step last.
pub(super) fn rows(profile: &[ProfileRow]) -> Vec<Vec<String>> {
    let total = |of: fn(&ProfileRow) -> f64| profile.iter().map(of).sum::<f64>();
    let whole = ProfileRow {
        name: "step".to_owned(),
        forward_ms: total(|row| row.forward_ms),
        forward_conv_ms: Some(total(|row| row.forward_conv_ms.unwrap_or(0.0))),
        backward_ms: total(|row| row.backward_ms),
        backward_conv_ms: Some(total(|row| row.backward_conv_ms.unwrap_or(0.0))),
    };
    let whole_ms = whole.forward_ms + whole.backward_ms;
    let ms = |value: f64| format!("{value:.1}");
    let heading = ["", "forward", "convolutions", "backward", "convolutions", "share"];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    for row in profile.iter().chain([&whole]) {
        rows.push(vec![
            row.name.clone(),
            ms(row.forward_ms),
            row.forward_conv_ms.map_or_else(String::new, ms),
            ms(row.backward_ms),
            row.backward_conv_ms.map_or_else(String::new, ms),
            format!("{:.1} %", (row.forward_ms + row.backward_ms) / whole_ms * 100.0),
        ]);
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_layer_of_a_step_is_timed_in_both_directions() {
        let model = ResNet9Config { width: 8, ..ResNet9Config::new(1, 3) };
        let profile = measure(&model, 8, 4, &[]);
        let n_layers = model.architecture().layer_names().len();
        assert_eq!(profile.len(), n_layers + 2);
        for row in &profile[..n_layers] {
            assert!(row.forward_ms > 0.0 && row.backward_ms > 0.0, "{row:?}");
        }
        assert!(profile[n_layers + 1].backward_ms > 0.0, "the optimiser takes time");
        assert_eq!(rows(&profile).len(), profile.len() + 2);
    }
}
