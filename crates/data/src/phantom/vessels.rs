//! Lung vessels: tapering branches that spread from the hila. Without them normal lungs would be smooth, and any unevenness
//! would reveal a disease.

use roentgen_tensor::rng::CounterRng;

use super::anatomy::{LungPoint, Side};
use super::chest::Chest;

/// Branches per lung.
const BRANCHES: usize = 11;

/// Thickness of vessels at every pixel, in cm.
pub(super) fn draw(chest: &Chest, size: usize, film_cm: f32, rng: &mut CounterRng) -> Vec<f32> {
    let mut thickness = vec![0.0; size * size];
    for side in [Side::Right, Side::Left] {
        let hilum_point = LungPoint { side, across: -0.55, down: 0.5 + rng.range(-0.05, 0.05) };
        let hilum = chest.at_lung_point(hilum_point);
        for branch in 0..BRANCHES {
            // Fanned out over the lung, from straight up through outwards to straight down.
            let fan = (branch as f32 + rng.range(0.0, 1.0)) / BRANCHES as f32;
            let angle = (fan - 0.5) * 2.9;
            let mut bend = rng.range(-0.05, 0.05);
            let mut heading = angle;
            let length = rng.range(3.5, 8.5);
            let width = chest.vessels * rng.range(0.4, 0.75);
            let mut at = hilum;
            let step = 0.25;
            let steps = (length / step) as usize;
            for index in 0..steps {
                let remaining = 1.0 - index as f32 / steps as f32;
                stamp(&mut thickness, size, chest.pose.to_film(at), film_cm, width * remaining + 0.06);
                at[0] += side.sign() * libm::cosf(heading) * step;
                at[1] += libm::sinf(heading) * step;
                heading += bend;
                bend += rng.range(-0.03, 0.03);
            }
        }
    }
    thickness
}

/// Adds a round vessel of half width `radius` around a point of the film; where vessels overlap, the thicker one counts.
fn stamp(thickness: &mut [f32], size: usize, centre: [f32; 2], film_cm: f32, radius: f32) {
    let pixel = film_cm / size as f32;
    // A vessel thinner than a pixel is spread over one pixel, with accordingly less thickness.
    let spread = radius.max(0.7 * pixel);
    let peak = 3.2 * radius * (radius / spread);
    let position = centre.map(|cm| cm / pixel + 0.5 * size as f32 - 0.5);
    let around = spread / pixel;
    let range = |middle: f32| {
        let (low, high) =
            ((middle - around).ceil().max(0.0), (middle + around).floor().min(size as f32 - 1.0));
        low as usize..(high + 1.0).max(0.0) as usize
    };
    for row in range(position[1]) {
        for column in range(position[0]) {
            let (dx, dy) = ((column as f32 - position[0]) / around, (row as f32 - position[1]) / around);
            let here = peak * (1.0 - dx * dx - dy * dy).max(0.0);
            let thickest = &mut thickness[row * size + column];
            *thickest = thickest.max(here);
        }
    }
}
