//! One film: a patient projected by Beer and Lambert's law, exposed, and developed to 8 bit.
//!
//! ```text
//! depth  = mu_tissue (tissue - air - lung (1 - lung_tissue) air_left) + mu_bone bone + texture
//! light  = exp(-depth) + scatter
//! noisy  = light + noise sqrt(light / photons)
//! value  = 255 / (1 + exp(-contrast (-ln(noisy) - level)))
//! ```
//! The chain is the same for every diagnosis, so the classes differ in the lungs only. The sums are plain f32 operations in
//! a fixed order, and transcendental functions come from `libm`: pixels are the same on every machine.

use roentgen_tensor::rng::CounterRng;

use super::chest::Chest;
use super::disease::{Diagnosis, Opacities};
use super::marks;
use super::texture::Texture;
use super::vessels;

/// Side of the film, in cm.
const FILM: f32 = 36.0;
/// Attenuation of soft tissue and of bone on top of it, per cm.
const MU_TISSUE: f32 = 0.19;
const MU_BONE: f32 = 0.26;

/// The exposure of a film, random and independent of the diagnosis.
struct Exposure {
    scatter: f32,
    photons: f32,
    contrast: f32,
    /// Offset of the middle grey from the mean optical depth of the film.
    level: f32,
}

impl Exposure {
    fn draw(rng: &mut CounterRng) -> Self {
        Self {
            scatter: rng.range(0.01, 0.05),
            photons: rng.range(2_000.0, 12_000.0),
            contrast: rng.range(1.1, 1.9),
            level: rng.range(-0.45, 0.35),
        }
    }
}

/// Generates one film of `size` x `size` pixels, rows from the top, bright where rays are absorbed.
pub(super) fn draw(diagnosis: Diagnosis, size: usize, rng: &mut CounterRng) -> Vec<u8> {
    let chest = Chest::draw(rng);
    let tissue_texture = [Texture::draw(9, rng), Texture::draw(26, rng)];
    let exposure = Exposure::draw(rng);
    let vessels = vessels::draw(&chest, size, FILM, rng);
    let opacities = Opacities::draw(diagnosis, &chest, rng);

    let mut depth = Vec::with_capacity(size * size);
    for row in 0..size {
        for column in 0..size {
            let [u, v] = [column, row].map(|pixel| (2 * pixel + 1) as f32 / size as f32 - 1.0);
            let [x, y] = chest.pose.to_patient([u * 0.5 * FILM, v * 0.5 * FILM]);
            let ray = chest.ray(x, y);
            let mut tissue = ray.tissue - ray.air;
            if ray.lung > 0.0 {
                let uneven = 0.5 * tissue_texture[0].at(u, v) + 0.5 * tissue_texture[1].at(u, v);
                let filled = (chest.lung_tissue * (1.0 + 0.3 * uneven)).clamp(0.0, 1.0);
                let vessel = vessels[row * size + column].min(ray.lung);
                let air = (ray.lung - vessel) * (1.0 - filled);
                tissue -= air * opacities.air_left([x, y], u, v);
            }
            depth.push(MU_TISSUE * tissue.max(0.0) + MU_BONE * ray.bone);
        }
    }
    marks::draw(&mut depth, size, rng);
    develop(&depth, &exposure, rng)
}

/// From optical depth to grey values.
fn develop(depth: &[f32], exposure: &Exposure, rng: &mut CounterRng) -> Vec<u8> {
    // Automatic exposure, as on real machines: the mean depth of the film sets the middle grey.
    let level = depth.iter().sum::<f32>() / depth.len() as f32 + exposure.level;
    let value = |&depth: &f32| {
        let light = libm::expf(-depth) + exposure.scatter;
        let noisy = light + quantum_noise(rng) * (light / exposure.photons).sqrt();
        let depth = -libm::logf(noisy.max(1e-4));
        let value = 255.0 / (1.0 + libm::expf(-exposure.contrast * (depth - level)));
        (value + 0.5) as u8
    };
    depth.iter().map(value).collect()
}

/// Approximately a standard normal number: the sum of the four bytes of a word (Irwin-Hall), fast enough for every pixel.
fn quantum_noise(rng: &mut CounterRng) -> f32 {
    // Mean 4 * 127.5, variance 4 * (256^2 - 1) / 12.
    let sum: u32 = rng.bits().to_le_bytes().iter().map(|&byte| u32::from(byte)).sum();
    (sum as f32 - 510.0) * (1.0 / 147.8)
}
