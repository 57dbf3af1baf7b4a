//! The two diseases: regions in which tissue or fluid replaces air.
//!
//! - Pneumonia: one dense consolidation in one lung, at a random position, sometimes with a smaller one.
//! - COVID-19: several faint patches (ground glass) in both lungs, along the chest wall and towards the base.

use roentgen_tensor::rng::CounterRng;

use super::anatomy::{LungPoint, Side};
use super::chest::Chest;
use super::texture::{Texture, smooth_step};

/// The diagnosis of a film: its class. In the order of the sorted class names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Diagnosis {
    /// Bilateral, peripheral ground-glass patches.
    Covid,
    /// No disease.
    Normal,
    /// A mostly one-sided dense consolidation.
    Pneumonia,
}

impl Diagnosis {
    /// All of them, in the order of their labels.
    pub const ALL: [Self; 3] = [Self::Covid, Self::Normal, Self::Pneumonia];

    /// The name of the class folder.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Covid => "covid",
            Self::Normal => "normal",
            Self::Pneumonia => "pneumonia",
        }
    }
}

/// A region of a lung with less air.
struct Opacity {
    centre: [f32; 2],
    /// Half axes in cm.
    axes: [f32; 2],
    /// Cosine and sine of its rotation.
    turn: [f32; 2],
    /// Fraction of the air that is replaced where it is densest.
    density: f32,
    /// Width of its border, as a fraction of its radius.
    border: f32,
}

/// All opacities of a film, with the texture that makes their borders irregular.
pub(super) struct Opacities {
    regions: Vec<Opacity>,
    /// Coarse and fine.
    textures: [Texture; 2],
    /// How much the texture eats into the regions.
    patchiness: f32,
}

impl Opacities {
    /// Draws what `diagnosis` shows in this patient.
    pub(super) fn draw(diagnosis: Diagnosis, chest: &Chest, rng: &mut CounterRng) -> Self {
        let textures = [Texture::draw(13, rng), Texture::draw(31, rng)];
        let (regions, patchiness) = match diagnosis {
            Diagnosis::Normal => (Vec::new(), 0.0),
            Diagnosis::Pneumonia => (consolidation(chest, rng), 0.45),
            Diagnosis::Covid => (ground_glass(chest, rng), 0.7),
        };
        Self { regions, textures, patchiness }
    }

    /// The share of air left at a point; `(u, v)` is the same point on the film, from -1 to 1.
    pub(super) fn air_left(&self, point: [f32; 2], u: f32, v: f32) -> f32 {
        if self.regions.is_empty() {
            return 1.0;
        }
        let [coarse, fine] = self.textures.each_ref().map(|texture| texture.at(u, v));
        let fray = self.patchiness * (0.65 * coarse + 0.35 * fine);
        self.regions.iter().fold(1.0, |air, region| air * (1.0 - region.share_at(point, fray)))
    }
}

impl Opacity {
    fn draw(centre: [f32; 2], axes: [f32; 2], density: f32, border: f32, rng: &mut CounterRng) -> Self {
        let angle = rng.range(-0.6, 0.6);
        Self { centre, axes, turn: [libm::cosf(angle), libm::sinf(angle)], density, border }
    }

    fn share_at(&self, [x, y]: [f32; 2], fray: f32) -> f32 {
        let [x, y] = [x - self.centre[0], y - self.centre[1]];
        let along = (self.turn[0] * x + self.turn[1] * y) / self.axes[0];
        let across = (self.turn[0] * y - self.turn[1] * x) / self.axes[1];
        let radius = (along * along + across * across).sqrt() + fray;
        self.density * smooth_step(1.0 + self.border, 1.0 - self.border, radius)
    }
}

/// Right or left with equal probability.
fn any_side(rng: &mut CounterRng) -> Side {
    if rng.below(2) == 0 { Side::Right } else { Side::Left }
}

fn other(side: Side) -> Side {
    match side {
        Side::Right => Side::Left,
        Side::Left => Side::Right,
    }
}

fn consolidation(chest: &Chest, rng: &mut CounterRng) -> Vec<Opacity> {
    let side = any_side(rng);
    let point = LungPoint { side, across: rng.range(-0.05, 0.6), down: rng.range(0.25, 0.75) };
    let axes = [rng.range(2.5, 4.2), rng.range(2.4, 4.0)];
    let density = rng.range(0.55, 0.85);
    let mut regions = vec![Opacity::draw(chest.at_lung_point(point), axes, density, 0.35, rng)];
    if rng.uniform() < 0.25 {
        let side = if rng.uniform() < 0.5 { side } else { other(side) };
        let point = LungPoint { side, across: rng.range(-0.3, 0.7), down: rng.range(0.2, 0.9) };
        let axes = [rng.range(1.2, 1.8), rng.range(1.2, 1.8)];
        regions.push(Opacity::draw(chest.at_lung_point(point), axes, 0.5 * density, 0.4, rng));
    }
    regions
}

fn ground_glass(chest: &Chest, rng: &mut CounterRng) -> Vec<Opacity> {
    let mut regions = Vec::new();
    for side in [Side::Right, Side::Left] {
        for _ in 0..2 + rng.below(3) {
            let point = LungPoint { side, across: rng.range(0.45, 0.95), down: rng.range(0.3, 0.95) };
            let axes = [rng.range(1.5, 2.5), rng.range(1.7, 3.2)];
            let density = rng.range(0.26, 0.46);
            regions.push(Opacity::draw(chest.at_lung_point(point), axes, density, 0.6, rng));
        }
    }
    regions
}
