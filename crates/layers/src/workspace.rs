//! The memory of an evaluation.

use ndarray::Array4;

use crate::activation::reshape;

/// The results of the last evaluation, and the memory that it needed, which is allocated once and then reused.
///
/// It belongs to the caller, so that evaluation does not change the network. Each thread needs its own.
#[derive(Debug, Default)]
pub struct Workspace {
    pub(crate) first_block: Array4<f32>,
    pub(crate) feature_map: Array4<f32>,
    pub(crate) features: Array4<f32>,
    pub(crate) logits: Array4<f32>,
    /// Arrays for activations; those in use are empty here.
    slots: Vec<Array4<f32>>,
    /// Slots that this pass has used.
    n_used: usize,
    /// Arrays that are in use, plus 1 between [`Self::begin_pass`] and [`Self::end_pass`].
    n_open: usize,
    /// Batch norm of one layer, as a scale and a shift for each channel.
    pub(crate) per_channel: Vec<f32>,
    /// Indices of the largest pixels of a pool.
    pub(crate) argmax: Vec<u32>,
}

impl Workspace {
    /// The output of the first block, for a ResNet9 `(n, h, w, width)`: how much each of its filters responds at each pixel.
    #[must_use]
    pub fn first_block(&self) -> &Array4<f32> {
        &self.first_block
    }

    /// The output of the last block, for a ResNet9 `(n, h / 8, w / 8, 8 * width)`. It shows where in the image the features
    /// are that the classifier uses.
    #[must_use]
    pub fn feature_map(&self) -> &Array4<f32> {
        &self.feature_map
    }

    /// The largest value of each channel of [`Self::feature_map`], `(n, 1, 1, c)`: the input of the classifier.
    #[must_use]
    pub fn features(&self) -> &Array4<f32> {
        &self.features
    }

    /// The logits, `(n, 1, 1, n_classes)`.
    #[must_use]
    pub fn logits(&self) -> &Array4<f32> {
        &self.logits
    }

    /// Begins a pass of several calls of [`Layer::infer`](crate::Layer::infer); without it, each call is a pass.
    pub(crate) fn begin_pass(&mut self) {
        (self.n_used, self.n_open) = (0, 1);
    }

    /// Ends the pass that [`Self::begin_pass`] began.
    pub(crate) fn end_pass(&mut self) {
        self.n_open = 0;
    }

    /// An array of this shape with unspecified elements, for use until [`Self::give_back`].
    ///
    /// The k-th call of each pass gets the same array. So its shape changes only with the input, and it is not filled with
    /// zeros to make it longer.
    pub(crate) fn take(&mut self, shape: [usize; 4]) -> Borrowed {
        if self.n_open == 0 {
            self.n_used = 0;
        }
        if self.n_used == self.slots.len() {
            self.slots.push(Array4::default((0, 0, 0, 0)));
        }
        let slot = self.n_used;
        self.n_used += 1;
        self.n_open += 1;
        let mut array = std::mem::take(&mut self.slots[slot]);
        reshape(&mut array, shape);
        Borrowed { array, slot }
    }

    /// Returns an array of [`Self::take`].
    pub(crate) fn give_back(&mut self, borrowed: Borrowed) {
        self.slots[borrowed.slot] = borrowed.array;
        self.n_open -= 1;
    }
}

/// An array of a [`Workspace`] in use.
#[derive(Debug)]
pub(crate) struct Borrowed {
    pub(crate) array: Array4<f32>,
    slot: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes arrays as two layers and one inside the second do; returns their addresses.
    fn pass(workspace: &mut Workspace) -> [*const f32; 3] {
        let first = workspace.take([2, 4, 4, 8]);
        let second = workspace.take([2, 2, 2, 16]);
        let inner = workspace.take([2, 4, 4, 16]);
        let addresses = [&first, &second, &inner].map(|borrowed| borrowed.array.as_ptr());
        workspace.give_back(inner);
        workspace.give_back(first);
        workspace.give_back(second);
        addresses
    }

    #[test]
    fn every_pass_uses_the_same_arrays_in_the_same_order() {
        let mut workspace = Workspace::default();
        let first = pass(&mut workspace);
        assert_eq!(pass(&mut workspace), first);
        workspace.begin_pass();
        let (within, again) = (pass(&mut workspace), pass(&mut workspace));
        workspace.end_pass();
        assert_eq!(within, first);
        assert!(again.iter().all(|address| !first.contains(address)), "one pass uses each array once");
        assert_eq!(pass(&mut workspace), first);
    }
}
