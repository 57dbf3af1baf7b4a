//! One patient: a random chest and its pose. Lengths in cm.

use roentgen_tensor::rng::CounterRng;

/// Ribs per side that are visible above the diaphragm.
pub(super) const RIBS: usize = 10;

/// Everything that differs between healthy chests.
///
/// Patient coordinates: the origin is on the midline between the lungs, x increases towards the patient's left (the right
/// of the film), y downwards.
pub(super) struct Chest {
    /// Film to patient: rotation, magnification and shift.
    pub(super) pose: Pose,
    /// Half width and half depth of the trunk at the chest.
    pub(super) trunk: [f32; 2],
    /// Distance from the midline to the outer limit of the lungs at their widest, right and left.
    pub(super) lung_reach: [f32; 2],
    /// Height of the apexes.
    pub(super) apex: f32,
    /// Half depth of the lungs at their thickest.
    pub(super) lung_depth: f32,
    /// Fraction of tissue in an aerated lung.
    pub(super) lung_tissue: f32,
    /// Height of the domes of the diaphragm, right and left, and their curvature.
    pub(super) dome: [f32; 2],
    pub(super) dome_arch: f32,
    /// Heart: centre, half axes, tilt.
    pub(super) heart_centre: [f32; 2],
    pub(super) heart_axes: [f32; 2],
    pub(super) heart_tilt: [f32; 2],
    /// Half width of the mediastinum, and radius of the aortic knob.
    pub(super) mediastinum: f32,
    pub(super) knob_radius: f32,
    /// Ribs: first height, spacing, slope outwards, density, and a small shift of each.
    pub(super) rib_start: f32,
    pub(super) rib_spacing: f32,
    pub(super) rib_slope: f32,
    pub(super) rib_density: f32,
    pub(super) rib_shift: [f32; RIBS],
    /// Clavicles: rise towards the shoulder.
    pub(super) clavicle_rise: f32,
    /// Soft tissue in front of the lower chest (breast or chest muscle): thickness, height, half width.
    pub(super) breast: [f32; 3],
    /// Gas in the stomach below the left dome: radius, 0 for none.
    pub(super) stomach_gas: f32,
    /// Prominence of the vessels.
    pub(super) vessels: f32,
}

/// The position of the patient on the film.
pub(super) struct Pose {
    cosine: f32,
    sine: f32,
    scale: f32,
    shift: [f32; 2],
}

impl Pose {
    fn draw(rng: &mut CounterRng) -> Self {
        let angle = rng.range(-0.12, 0.12);
        Self {
            cosine: libm::cosf(angle),
            sine: libm::sinf(angle),
            scale: rng.range(0.9, 1.12),
            shift: [rng.range(-1.7, 1.7), rng.range(-1.7, 1.7)],
        }
    }

    /// Patient coordinates of a point of the film, whose origin is its centre.
    pub(super) fn to_patient(&self, film: [f32; 2]) -> [f32; 2] {
        let [x, y] = [film[0] - self.shift[0], film[1] - self.shift[1]];
        [(self.cosine * x + self.sine * y) / self.scale, (self.cosine * y - self.sine * x) / self.scale]
    }

    /// The inverse.
    pub(super) fn to_film(&self, patient: [f32; 2]) -> [f32; 2] {
        let [x, y] = [patient[0] * self.scale, patient[1] * self.scale];
        [self.cosine * x - self.sine * y + self.shift[0], self.cosine * y + self.sine * x + self.shift[1]]
    }
}

impl Chest {
    /// Draws a patient.
    pub(super) fn draw(rng: &mut CounterRng) -> Self {
        let pose = Pose::draw(rng);
        let stoutness = rng.range(0.0, 1.0);
        let reach = rng.range(11.3, 12.7);
        // A slight rotation about the long axis makes one lung wider and the other narrower.
        let turn = rng.range(-0.7, 0.7);
        let dome = rng.range(7.0, 10.5);
        let tilt = rng.range(0.35, 0.75);
        let heart = rng.range(0.85, 1.2);
        let mut rib_shift = [0.0; RIBS];
        for shift in &mut rib_shift {
            *shift = rng.range(-0.12, 0.12);
        }
        let breast_thickness = (rng.range(-1.2, 3.6)).max(0.0);
        Self {
            pose,
            trunk: [15.0 + 2.0 * stoutness + rng.range(-0.4, 0.4), 9.5 + 2.5 * stoutness],
            lung_reach: [reach - turn, reach + turn],
            apex: rng.range(-13.2, -11.8),
            lung_depth: rng.range(7.3, 8.8),
            lung_tissue: rng.range(0.2, 0.32),
            dome: [dome, dome + rng.range(0.2, 1.4)],
            dome_arch: rng.range(2.2, 3.8),
            heart_centre: [rng.range(1.6, 2.6) + turn, dome - rng.range(3.0, 4.2)],
            heart_axes: [6.3 * heart, 4.9 * heart],
            heart_tilt: [libm::cosf(tilt), libm::sinf(tilt)],
            mediastinum: rng.range(2.3, 3.2),
            knob_radius: rng.range(1.3, 2.1),
            rib_start: rng.range(-12.2, -10.8),
            rib_spacing: rng.range(1.95, 2.35),
            rib_slope: rng.range(2.2, 4.2),
            rib_density: rng.range(0.6, 1.3),
            rib_shift,
            clavicle_rise: rng.range(1.0, 4.0),
            breast: [breast_thickness, rng.range(4.5, 8.0), rng.range(4.0, 5.5)],
            stomach_gas: (rng.range(-2.0, 2.2)).max(0.0),
            vessels: rng.range(0.6, 1.4),
        }
    }
}
