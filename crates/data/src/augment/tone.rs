//! Brightness and contrast jitter: films come from different machines and exposures.

use roentgen_tensor::rng::CounterRng;

/// `contrast * x + brightness`, for values of mean 0 and standard deviation 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Tone {
    /// The factor.
    pub contrast: f32,
    /// The term, in standard deviations.
    pub brightness: f32,
}

impl Tone {
    /// Both random and uniform, at most `jitter` away from no change.
    pub(super) fn draw(rng: &mut CounterRng, jitter: f32) -> Self {
        Self { contrast: rng.range(1.0 - jitter, 1.0 + jitter), brightness: rng.range(-jitter, jitter) }
    }

    /// Changes normalised values.
    pub(crate) fn apply(&self, values: &mut [f32]) {
        for value in values {
            *value = self.contrast * *value + self.brightness;
        }
    }
}

#[cfg(test)]
mod tests {
    use roentgen_tensor::rng::Purpose;

    use super::*;

    #[test]
    fn tones_fill_their_range() {
        let tones: Vec<Tone> =
            (0..2_000).map(|i| Tone::draw(&mut CounterRng::new(0, Purpose::Augment, 0, i), 0.2)).collect();
        let least = tones.iter().fold(f32::MAX, |least, tone| least.min(tone.contrast));
        let most = tones.iter().fold(f32::MIN, |most, tone| most.max(tone.brightness));
        assert!((0.8..0.81).contains(&least) && (0.19..0.2).contains(&most), "{least} {most}");
    }

    #[test]
    fn contrast_is_about_the_mean() {
        let mut values = [-1.0, 0.0, 2.0];
        Tone { contrast: 1.5, brightness: 0.25 }.apply(&mut values);
        assert_eq!(values, [-1.25, 0.25, 3.25]);
    }
}
