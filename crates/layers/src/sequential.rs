//! A chain of layers.

use std::fmt;
use std::ops::Range;

use ndarray::Array4;
use roentgen_tensor::parameter::{Buffer, Parameter};

use crate::activation::{reshape, shape};
use crate::workspace::Borrowed;
use crate::{Layer, Pass, Workspace};

/// A point in a training pass through a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A forward pass begins.
    ForwardBegins,
    /// The forward pass of the layer of this index has ended.
    ForwardDone(usize),
    /// A backward pass begins.
    BackwardBegins,
    /// The backward pass of the layer of this index has ended.
    BackwardDone(usize),
}

/// Called at every event of a chain, for example to read a clock.
pub type Observer = Box<dyn FnMut(Event) + Send + Sync>;

/// A chain of layers, with the activations between them.
#[derive(Default)]
pub struct Sequential {
    layers: Vec<Box<dyn Layer>>,
    /// Output of every layer except the last, whose output belongs to the caller.
    between: Vec<Array4<f32>>,
    /// Gradients in the backward pass: that of `between[i]` is in `grads[i % 2]`.
    grads: [Array4<f32>; 2],
    observer: Option<Observer>,
}

impl Sequential {
    /// An empty chain.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a layer, whose parameters get the next indices.
    #[must_use]
    pub fn then(mut self, mut layer: impl Layer + 'static) -> Self {
        let mut index = 0;
        self.for_each_parameter(&mut |_| index += 1);
        layer.for_each_parameter_mut(&mut |parameter| {
            parameter.index = index;
            index += 1;
        });
        self.layers.push(Box::new(layer));
        self.between.resize_with(self.layers.len() - 1, || Array4::default((0, 0, 0, 0)));
        self
    }

    /// From now on calls `observer` at every event of a training pass.
    pub fn observe(&mut self, observer: Observer) {
        self.observer = Some(observer);
    }
}

/// Calls the observer, if there is one.
fn notify(observer: &mut Option<Observer>, event: Event) {
    if let Some(observer) = observer {
        observer(event);
    }
}

impl fmt::Debug for Sequential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sequential of {} layers", self.layers.len())
    }
}

impl Layer for Sequential {
    fn out_shape(&self, x: [usize; 4]) -> [usize; 4] {
        self.layers.iter().fold(x, |shape, layer| layer.out_shape(shape))
    }

    fn forward(&mut self, x: &Array4<f32>, y: &mut Array4<f32>, pass: Pass) {
        notify(&mut self.observer, Event::ForwardBegins);
        for (i, layer) in self.layers.iter_mut().enumerate() {
            let (before, after) = self.between.split_at_mut(i);
            let x = before.last().unwrap_or(x);
            let y = after.first_mut().unwrap_or(y);
            reshape(y, layer.out_shape(shape(x)));
            layer.forward(x, y, pass);
            notify(&mut self.observer, Event::ForwardDone(i));
        }
    }

    fn backward(&mut self, x: &Array4<f32>, grad_y: &Array4<f32>, grad_x: Option<&mut Array4<f32>>) {
        self.backward_with(x, grad_y, grad_x, &mut |_| {});
    }

    fn infer(&self, x: &Array4<f32>, y: &mut Array4<f32>, workspace: &mut Workspace) {
        self.infer_layers(0..self.layers.len(), x, y, workspace);
    }

    fn for_each_parameter(&self, visit: &mut dyn FnMut(&Parameter)) {
        self.layers.iter().for_each(|layer| layer.for_each_parameter(visit));
    }

    fn for_each_parameter_mut(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        self.layers.iter_mut().for_each(|layer| layer.for_each_parameter_mut(visit));
    }

    fn for_each_buffer(&self, visit: &mut dyn FnMut(&Buffer)) {
        self.layers.iter().for_each(|layer| layer.for_each_buffer(visit));
    }

    fn for_each_buffer_mut(&mut self, visit: &mut dyn FnMut(&mut Buffer)) {
        self.layers.iter_mut().for_each(|layer| layer.for_each_buffer_mut(visit));
    }
}

impl Sequential {
    /// As [`Layer::backward`]; calls `done` with each layer when its gradients are set.
    pub(crate) fn backward_with(
        &mut self,
        x: &Array4<f32>,
        grad_y: &Array4<f32>,
        mut grad_x: Option<&mut Array4<f32>>,
        done: &mut dyn FnMut(&mut dyn Layer),
    ) {
        notify(&mut self.observer, Event::BackwardBegins);
        let n_layers = self.layers.len();
        for (i, layer) in self.layers.iter_mut().enumerate().rev() {
            let [even, odd] = &mut self.grads;
            let (of_output, of_input) = if i % 2 == 0 { (even, odd) } else { (odd, even) };
            let grad_y = if i + 1 == n_layers { grad_y } else { &*of_output };
            if i == 0 {
                layer.backward(x, grad_y, grad_x.take());
            } else {
                let x = &self.between[i - 1];
                reshape(of_input, shape(x));
                layer.backward(x, grad_y, Some(of_input));
            }
            notify(&mut self.observer, Event::BackwardDone(i));
            done(layer.as_mut());
        }
    }

    /// As [`Layer::infer`], but only through the layers of this range; `y` gets the shape of their output.
    ///
    /// # Panics
    /// If the range is empty.
    pub(crate) fn infer_layers(
        &self,
        layers: Range<usize>,
        x: &Array4<f32>,
        y: &mut Array4<f32>,
        workspace: &mut Workspace,
    ) {
        let (last, others) = self.layers[layers].split_last().expect("at least one layer");
        let mut previous: Option<Borrowed> = None;
        for layer in others {
            let x = previous.as_ref().map_or(x, |previous| &previous.array);
            let mut y = workspace.take(layer.out_shape(shape(x)));
            layer.infer(x, &mut y.array, workspace);
            if let Some(read) = previous.replace(y) {
                workspace.give_back(read);
            }
        }
        let x = previous.as_ref().map_or(x, |previous| &previous.array);
        reshape(y, last.out_shape(shape(x)));
        last.infer(x, y, workspace);
        if let Some(read) = previous {
            workspace.give_back(read);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ConvBlock, GlobalMaxPool2d, Initializer};

    fn block(c_in: usize, c_out: usize) -> ConvBlock {
        ConvBlock::new(&mut Initializer::new(0), "block", c_in, c_out)
    }

    /// [`Architecture::training_memory`](crate::Architecture::training_memory) counts on it.
    #[test]
    fn each_array_of_gradients_is_as_large_as_the_largest_of_every_other_output() {
        let even = Sequential::new()
            .then(block(1, 2))
            .then(block(2, 8))
            .then(block(8, 3).with_pool())
            .then(GlobalMaxPool2d::default());
        let odd = Sequential::new()
            .then(block(1, 8))
            .then(block(8, 2).with_pool())
            .then(GlobalMaxPool2d::default());
        // The outputs between the layers have 128, 512 and 48 elements; 512 and 32.
        for (mut chain, c_out, expected) in [(even, 3, [128, 512]), (odd, 2, [512, 32])] {
            let x = Array4::from_shape_fn((4, 4, 4, 1), |(n, i, j, _)| (n + i * j) as f32 / 8.0);
            let (mut y, grad_y) = (Array4::zeros((4, 1, 1, c_out)), Array4::ones((4, 1, 1, c_out)));
            for step in 0..3 {
                chain.forward(&x, &mut y, Pass::Train { seed: 0, step, shard: 0 });
                chain.backward(&x, &grad_y, None);
            }
            assert_eq!(chain.grads.map(|grad| grad.into_raw_vec_and_offset().0.capacity()), expected);
        }
    }
}
