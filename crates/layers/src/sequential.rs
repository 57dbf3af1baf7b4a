//! Layers one after the other.

use std::fmt;

use ndarray::Array4;
use roentgen_tensor::parameter::{Buffer, Parameter};

use crate::activation::{resize, shape};
use crate::{Layer, Pass};

/// How far a pass through a chain has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A forward pass begins.
    ForwardBegins,
    /// The layer of this index has done its forward.
    ForwardDone(usize),
    /// A backward pass begins.
    BackwardBegins,
    /// The layer of this index has done its backward.
    BackwardDone(usize),
}

/// Someone who watches a chain, with a clock perhaps.
pub type Observer = Box<dyn FnMut(Event) + Send>;

/// A chain of layers; keeps the activations between them.
#[derive(Default)]
pub struct Sequential {
    layers: Vec<Box<dyn Layer>>,
    /// Output of every layer but the last, whose output belongs to the caller.
    between: Vec<Array4<f32>>,
    /// The gradient on its way back alternates between this and the caller's.
    spare_grad: Array4<f32>,
    observer: Option<Observer>,
}

impl Sequential {
    /// An empty chain.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a layer.
    #[must_use]
    pub fn then(mut self, layer: impl Layer + 'static) -> Self {
        self.layers.push(Box::new(layer));
        self.between.resize_with(self.layers.len() - 1, || Array4::default((0, 0, 0, 0)));
        self
    }

    /// What the layer of this index gave in the last forward.
    ///
    /// # Panics
    /// For the last layer, whose output belongs to the caller, and beyond.
    #[must_use]
    pub fn between(&self, layer: usize) -> &Array4<f32> {
        &self.between[layer]
    }

    /// From now on tells `observer` of every layer that a pass has gone through.
    pub fn observe(&mut self, observer: Observer) {
        self.observer = Some(observer);
    }
}

/// Tells the observer, if there is one.
fn tell(observer: &mut Option<Observer>, event: Event) {
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
        tell(&mut self.observer, Event::ForwardBegins);
        for (i, layer) in self.layers.iter_mut().enumerate() {
            let (before, after) = self.between.split_at_mut(i);
            let x = before.last().unwrap_or(x);
            let y = after.first_mut().unwrap_or(y);
            resize(y, layer.out_shape(shape(x)));
            layer.forward(x, y, pass);
            tell(&mut self.observer, Event::ForwardDone(i));
        }
    }

    fn backward(
        &mut self,
        x: &Array4<f32>,
        y: &Array4<f32>,
        grad_y: &mut Array4<f32>,
        grad_x: Option<&mut Array4<f32>>,
    ) {
        tell(&mut self.observer, Event::BackwardBegins);
        for (i, layer) in self.layers.iter_mut().enumerate().skip(1).rev() {
            let (x, y) = (&self.between[i - 1], self.between.get(i).unwrap_or(y));
            resize(&mut self.spare_grad, shape(x));
            layer.backward(x, y, grad_y, Some(&mut self.spare_grad));
            std::mem::swap(grad_y, &mut self.spare_grad);
            tell(&mut self.observer, Event::BackwardDone(i));
        }
        if let Some(first) = self.layers.first_mut() {
            first.backward(x, self.between.first().unwrap_or(y), grad_y, grad_x);
            tell(&mut self.observer, Event::BackwardDone(0));
        }
    }

    fn for_each_parameter(&mut self, visit: &mut dyn FnMut(&mut Parameter)) {
        self.layers.iter_mut().for_each(|layer| layer.for_each_parameter(visit));
    }

    fn for_each_buffer(&mut self, visit: &mut dyn FnMut(&mut Buffer)) {
        self.layers.iter_mut().for_each(|layer| layer.for_each_buffer(visit));
    }
}
