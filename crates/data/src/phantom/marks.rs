//! Objects on a film beside the patient: the side marker, and sometimes a cable. They are independent of the diagnosis, so
//! that a model learns nothing from them.

use roentgen_tensor::rng::CounterRng;

/// Optical depth of lead letters and of a cable.
const LEAD: f32 = 3.0;
const CABLE: f32 = 0.7;

/// The two letters on a grid of 4 x 6, one string per row.
const LETTERS: [[&str; 6]; 2] =
    [["#...", "#...", "#...", "#...", "#...", "####"], ["###.", "#..#", "#..#", "###.", "#.#.", "#..#"]];

/// Adds the marks to the optical depth of a film.
pub(super) fn draw(depth: &mut [f32], size: usize, rng: &mut CounterRng) {
    let letter = &LETTERS[rng.below(2) as usize];
    let cell = (size as f32 / 64.0).max(1.0);
    let margin = size as f32 * rng.range(0.02, 0.09);
    let (width, height) = (4.0 * cell, 6.0 * cell);
    let left = if rng.below(2) == 0 { margin } else { size as f32 - margin - width };
    let top = if rng.below(2) == 0 { margin } else { size as f32 - margin - height };
    for row in 0..size {
        for column in 0..size {
            let [x, y] = [(column as f32 - left) / cell, (row as f32 - top) / cell];
            if (0.0..4.0).contains(&x) && (0.0..6.0).contains(&y) {
                let line = letter[y as usize].as_bytes();
                if line[x as usize] == b'#' {
                    depth[row * size + column] += LEAD;
                }
            }
        }
    }
    if rng.uniform() < 0.3 {
        cable(depth, size, rng);
    }
}

/// A thin cable hanging across the film in a shallow curve.
fn cable(depth: &mut [f32], size: usize, rng: &mut CounterRng) {
    let side = size as f32;
    let (start, lean, bow) =
        (rng.range(0.1, 0.9) * side, rng.range(-0.4, 0.4) * side, rng.range(-0.3, 0.3) * side);
    let end_row = (rng.range(0.4, 1.0) * side) as usize;
    for row in 0..end_row.min(size) {
        let share = row as f32 / side;
        let column = start + lean * share + bow * share * (1.0 - share) * 4.0;
        if (0.0..side - 1.0).contains(&column) {
            let (first, weight) = (column as usize, column - column.floor());
            depth[row * size + first] += CABLE * (1.0 - weight);
            depth[row * size + first + 1] += CABLE * weight;
        }
    }
}
