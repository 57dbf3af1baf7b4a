//! Smooth random fields that make lung tissue and opacities uneven.

use roentgen_tensor::rng::CounterRng;

/// Value noise over the square `[-1, 1] x [-1, 1]`: random numbers on a lattice, interpolated smoothly.
pub(super) struct Texture {
    cells: usize,
    lattice: Vec<f32>,
}

impl Texture {
    /// A field with `cells` x `cells` lattice cells and values in `[-1, 1)`.
    pub(super) fn draw(cells: usize, rng: &mut CounterRng) -> Self {
        let lattice = (0..(cells + 1) * (cells + 1)).map(|_| rng.range(-1.0, 1.0)).collect();
        Self { cells, lattice }
    }

    /// The value at a point; outside the square, the value at its border.
    pub(super) fn at(&self, x: f32, y: f32) -> f32 {
        let (column, across) = self.cell(x);
        let (row, down) = self.cell(y);
        let corner = |row: usize, column: usize| self.lattice[row * (self.cells + 1) + column];
        let top = mix(corner(row, column), corner(row, column + 1), across);
        let bottom = mix(corner(row + 1, column), corner(row + 1, column + 1), across);
        mix(top, bottom, down)
    }

    /// The cell of a coordinate, and the interpolation weight inside it.
    fn cell(&self, coordinate: f32) -> (usize, f32) {
        let scaled = ((coordinate + 1.0) * 0.5).clamp(0.0, 1.0) * self.cells as f32;
        let cell = (scaled as usize).min(self.cells - 1);
        (cell, smooth_step(0.0, 1.0, scaled - cell as f32))
    }
}

/// Linear interpolation.
pub(super) fn mix(from: f32, to: f32, share: f32) -> f32 {
    from + (to - from) * share
}

/// 0 before `start`, 1 after `end`, a smooth cubic in between. `start` may be greater than `end`.
pub(super) fn smooth_step(start: f32, end: f32, value: f32) -> f32 {
    let share = ((value - start) / (end - start)).clamp(0.0, 1.0);
    share * share * (3.0 - 2.0 * share)
}

/// Chord of the unit circle at distance `offset` from its centre, as a fraction of its diameter; 0 outside.
pub(super) fn unit_chord(offset: f32) -> f32 {
    (1.0 - offset * offset).max(0.0).sqrt()
}
