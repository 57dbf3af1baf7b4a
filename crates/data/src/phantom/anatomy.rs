//! The healthy chest: how much tissue, air and bone a ray passes through at each point of the film. Lengths in cm.
//!
//! Every organ is a simple solid whose chord along the ray has a closed form. Air replaces soft tissue, bone is added to it,
//! the heart and the mediastinum displace the lung.

use super::chest::{Chest, RIBS};
use super::texture::{mix, smooth_step, unit_chord};

/// Right and left lung, as the index of the pairs in [`Chest`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Right = 0,
    Left = 1,
}

impl Side {
    /// -1 to the right of the patient, 1 to the left.
    pub(super) fn sign(self) -> f32 {
        match self {
            Self::Right => -1.0,
            Self::Left => 1.0,
        }
    }
}

/// The lengths that one ray passes through.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ray {
    /// Soft tissue, as if lungs and airways were filled with it.
    pub(super) tissue: f32,
    /// Aerated lung.
    pub(super) lung: f32,
    /// Free air: trachea, stomach.
    pub(super) air: f32,
    /// Bone, in addition to the soft tissue.
    pub(super) bone: f32,
}

/// A point inside a lung: `across` from -1 (at the midline) to 1 (at the chest wall), `down` from 0
/// (apex) to 1 (base).
#[derive(Clone, Copy, Debug)]
pub(super) struct LungPoint {
    pub(super) side: Side,
    pub(super) across: f32,
    pub(super) down: f32,
}

/// Distance of the lungs from the midline.
const MEDIAL: f32 = 1.7;
/// Height at which the lungs are widest.
const WIDEST: f32 = 4.0;

impl Chest {
    /// Everything that a ray at the patient coordinates `(x, y)` passes through.
    pub(super) fn ray(&self, x: f32, y: f32) -> Ray {
        let tissue = self.trunk_chord(x, y);
        let lung = (self.lung_chord(x, y) - self.heart_chord(x, y) - self.mediastinum_chord(x, y)).max(0.0);
        let air = self.trachea_chord(x, y) + self.stomach_chord(x, y);
        let breast = self.breast_chord(x, y);
        let bone = self.spine(x, y) + self.ribs(x, y) + self.clavicle(x, y);
        Ray {
            tissue: tissue + breast,
            lung,
            air: air.min(tissue),
            bone: if tissue > 0.0 { bone } else { 0.0 },
        }
    }

    /// Outer limit of the lung of a side at height `y`; `None` above its apex.
    fn lung_reach_at(&self, side: Side, y: f32) -> Option<f32> {
        let offset = (y - WIDEST) / (WIDEST - self.apex);
        let widest = self.lung_reach[side as usize];
        (offset > -1.0).then(|| MEDIAL + 1.0 + (widest - MEDIAL - 1.0) * unit_chord(offset))
    }

    /// The lung coordinates of a point, if it is inside the outline of a lung.
    pub(super) fn lung_point(&self, x: f32, y: f32) -> Option<LungPoint> {
        let side = if x < 0.0 { Side::Right } else { Side::Left };
        let reach = self.lung_reach_at(side, y)?;
        let across = (2.0 * x * side.sign() - reach - MEDIAL) / (reach - MEDIAL);
        let down = (y - self.apex) / (self.dome[side as usize] - self.apex);
        (across.abs() < 1.0 && down < 1.4).then_some(LungPoint { side, across, down })
    }

    /// Patient coordinates of a point given in lung coordinates.
    pub(super) fn at_lung_point(&self, point: LungPoint) -> [f32; 2] {
        let y = self.apex + point.down * (self.dome[point.side as usize] - self.apex);
        let reach = self.lung_reach_at(point.side, y).unwrap_or(MEDIAL + 1.0);
        [point.side.sign() * (0.5 * (reach + MEDIAL) + 0.5 * (reach - MEDIAL) * point.across), y]
    }

    fn lung_chord(&self, x: f32, y: f32) -> f32 {
        let Some(LungPoint { side, across, .. }) = self.lung_point(x, y) else { return 0.0 };
        // The dome of the diaphragm slopes away in depth too, so the lung thins out over a few cm.
        let from_crest = (x.abs() - 6.0) / 6.0;
        let floor = self.dome[side as usize] + self.dome_arch * from_crest * from_crest;
        let above_floor = smooth_step(0.4, -2.2, y - floor);
        let depth = self.lung_depth * unit_chord((y - WIDEST) / (WIDEST - self.apex + 0.5));
        // Flatter than a circle: the lung fills the rib cage up to the wall.
        let profile = unit_chord(across * across);
        2.0 * depth * profile * above_floor
    }

    fn trunk_chord(&self, x: f32, y: f32) -> f32 {
        let [chest, depth] = self.trunk;
        let shoulders = smooth_step(-16.5, -11.5, y);
        let half_width = mix(5.6, mix(19.0, chest, smooth_step(-12.5, -3.0, y)), shoulders);
        2.0 * mix(5.5, depth, shoulders) * unit_chord(x / half_width)
    }

    fn heart_chord(&self, x: f32, y: f32) -> f32 {
        let [x, y] = [x - self.heart_centre[0], y - self.heart_centre[1]];
        let [cosine, sine] = self.heart_tilt;
        let (along, across) = (cosine * x + sine * y, cosine * y - sine * x);
        let (along, across) = (along / self.heart_axes[0], across / self.heart_axes[1]);
        let offset_squared = along * along + across * across;
        // A blunt solid, because the border of the heart is a clear line on a film.
        15.0 * unit_chord(offset_squared)
    }

    fn mediastinum_chord(&self, x: f32, y: f32) -> f32 {
        let upper = self.mediastinum * mix(0.8, 1.15, smooth_step(-10.0, 2.0, y));
        let column = 14.0 * unit_chord(x / upper);
        let (from_knob_x, from_knob_y) = (x - self.mediastinum * 0.75, y + 5.0);
        let knob_offset = (from_knob_x * from_knob_x + from_knob_y * from_knob_y).sqrt() / self.knob_radius;
        column + 8.0 * unit_chord(knob_offset)
    }

    fn trachea_chord(&self, x: f32, y: f32) -> f32 {
        1.8 * unit_chord(x / 0.9) * smooth_step(-5.0, -6.5, y)
    }

    fn stomach_chord(&self, x: f32, y: f32) -> f32 {
        if self.stomach_gas <= 0.1 {
            return 0.0;
        }
        let (across, down) =
            ((x - 6.0) / (1.5 * self.stomach_gas), (y - self.dome[1] - 2.8) / self.stomach_gas);
        4.0 * self.stomach_gas * unit_chord((across * across + down * down).sqrt())
    }

    fn breast_chord(&self, x: f32, y: f32) -> f32 {
        let [thickness, height, half_width] = self.breast;
        let (across, down) = ((x.abs() - 7.5) / half_width, (y - height) / (half_width * 0.9));
        // The lower border is the sharper one.
        let down = if down < 0.0 { down * 0.7 } else { down };
        thickness * unit_chord((across * across + down * down).sqrt())
    }

    fn spine(&self, x: f32, y: f32) -> f32 {
        // A vertebra every 2.4 cm, with a thinner disc in between.
        let phase = (y + 40.0) / 2.4;
        let in_disc = smooth_step(0.36, 0.48, (phase - phase.floor() - 0.5).abs());
        2.2 * unit_chord(x / 1.9) * (1.0 - 0.35 * in_disc)
    }

    /// Ribs: the posterior part rises from the spine and falls towards the side, the anterior part returns lower.
    fn ribs(&self, x: f32, y: f32) -> f32 {
        let side = if x < 0.0 { Side::Right } else { Side::Left };
        let Some(reach) = self.lung_reach_at(side, y) else { return 0.0 };
        let outwards = (x.abs() - 1.5) / (reach - 1.0);
        if !(0.0..=1.04).contains(&outwards) {
            return 0.0;
        }
        let behind = y - self.rib_slope * outwards * outwards + 1.6 * outwards * (1.0 - outwards);
        let inwards = 1.0 - outwards;
        let front = y - self.rib_slope - 5.5 * inwards * (1.0 - 0.35 * inwards);
        // Near the side the ray passes along the rib.
        let edge = 1.0 + 0.9 * smooth_step(0.75, 1.0, outwards);
        let posterior = 1.3 * self.rib_band(behind, 0.62);
        let anterior = 0.55 * self.rib_band(front, 0.7) * smooth_step(0.4, 0.6, outwards);
        self.rib_density * edge * (posterior + anterior)
    }

    /// Bone of the nearest rib at a height from which the slope has been subtracted: a tube with a dense wall.
    fn rib_band(&self, height: f32, half_width: f32) -> f32 {
        let number = ((height - self.rib_start) / self.rib_spacing + 0.5).floor();
        if !(0.0..RIBS as f32).contains(&number) {
            return 0.0;
        }
        let middle = self.rib_start + number * self.rib_spacing + self.rib_shift[number as usize];
        let offset = (height - middle) / half_width;
        let (outer, inner) = (unit_chord(offset), unit_chord(offset * 1.35));
        outer - 0.55 * inner
    }

    fn clavicle(&self, x: f32, y: f32) -> f32 {
        let outwards = (x.abs() - 1.6) / 12.5;
        if !(0.0..=1.0).contains(&outwards) {
            return 0.0;
        }
        // A flat S.
        let bend = 0.8 * outwards * (1.0 - outwards) * (1.0 - 2.0 * outwards);
        let middle = -9.2 - self.clavicle_rise * outwards - 2.0 * bend;
        1.3 * unit_chord((y - middle) / 0.75)
    }
}
