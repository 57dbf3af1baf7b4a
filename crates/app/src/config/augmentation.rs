//! What the settings do to the training images and to the training, in words: for the screen and for the report.

use roentgen_data::ImageSet;

use super::{ClassWeights, SamplerChoice, TrainConfig};

impl TrainConfig {
    /// What happens at random to each image of the training set, such as "random crops and flips".
    ///
    /// Where crops have no room to move, they are not called random: with a short side as long as the crop, only the long
    /// side of an image leaves room.
    #[must_use]
    pub(crate) fn describe_augmentation(&self, set: &ImageSet) -> String {
        let mut changes = Vec::new();
        let mut add = |is_on: bool, text: String| changes.extend(is_on.then_some(text));
        let crops = self.describe_crops(set);
        add(crops.is_some(), crops.unwrap_or_default());
        add(self.flip, "random flips".to_owned());
        add(self.rotate > 0.0, format!("rotation by up to {} degrees", self.rotate));
        let (reduced, enlarged) = (1.0 / (1.0 + self.zoom / 3.0), 1.0 + self.zoom);
        add(self.zoom > 0.0, format!("scaling by {reduced:.2} to {enlarged:.2}"));
        add(self.aspect > 0.0, format!("stretching by up to {:.0} %", 100.0 * self.aspect));
        let jitter = self.jitter;
        let text = format!(
            "contrast changed by up to {:.0} % and brightness by up to {jitter} standard deviations",
            100.0 * jitter
        );
        add(jitter > 0.0, text);
        add(self.erase > 0.0, format!("a rectangle erased in {:.0} % of the images", 100.0 * self.erase));
        if changes.is_empty() { "none".to_owned() } else { changes.join(", ") }
    }

    /// How large images become.
    pub(crate) fn describe_resizing(&self) -> String {
        format!("{}, cropped to {size}x{size}", self.fit.in_words(self.resize()), size = self.size)
    }

    /// How random the crops are; `None` if every image has a single position for its crop.
    fn describe_crops(&self, set: &ImageSet) -> Option<String> {
        if self.resize() > self.size {
            return Some("random crops".to_owned());
        }
        let size = self.size as usize;
        let has_room = |index: &usize| {
            let (height, width) = set.size(*index);
            width.max(height) > size
        };
        match (0..set.len()).filter(has_room).count() {
            0 => None,
            n if n == set.len() => Some("random crops along the long side".to_owned()),
            n => Some(format!("random crops along the long side of {n} of {} images", set.len())),
        }
    }

    /// What else changes the training compared with every image once in an epoch and the plain loss: one phrase each.
    #[must_use]
    pub(crate) fn describe_extras(&self) -> Vec<String> {
        let mut extras = Vec::new();
        let mut add = |is_on: bool, text: String| extras.extend(is_on.then_some(text));
        add(self.ema > 0.0, format!("weights averaged with decay {}", self.ema));
        add(self.oversample_hard > 1, format!("hard examples used {} times", self.oversample_hard));
        add(self.sampler == SamplerChoice::Balanced, "every class sampled equally often".to_owned());
        let weights = match self.class_weights {
            ClassWeights::None => None,
            ClassWeights::Sqrt => Some("square roots of balanced class weights"),
            ClassWeights::Balanced => Some("balanced class weights"),
        };
        add(weights.is_some(), weights.unwrap_or_default().to_owned());
        add(self.label_smoothing > 0.0, format!("label smoothing {}", self.label_smoothing));
        extras
    }
}

#[cfg(test)]
mod tests {
    use roentgen_data::{ArrayImages, LoadOptions, load_arrays, silent};

    use super::*;
    use crate::config::Preset;

    /// Training images of `height` x `width` pixels for a short side of `resize`.
    fn images(height: usize, width: usize, resize: u32) -> ImageSet {
        let pixel = |(n, y, x, _)| ((n * 37 + y * (n + 3) + x * 11) % 251) as u8;
        let images = ndarray::Array4::from_shape_fn((8, height, width, 1), pixel);
        let labels = [0, 1, 0, 1, 0, 1, 0, 1];
        let arrays = ArrayImages {
            images: images.view(),
            labels: &labels,
            class_names: &["a", "b"],
            subsets: None,
            patients: None,
        };
        let options = LoadOptions {
            resize,
            crop: resize,
            val_fraction: Some(0.0),
            test_fraction: 0.0,
            ..LoadOptions::default()
        };
        load_arrays(&arrays, &options, &silent).expect("two classes of images").train
    }

    fn config(size: u32, resize: Option<u32>) -> TrainConfig {
        TrainConfig { size, resize, ..TrainConfig::default() }
    }

    #[test]
    fn crops_are_called_random_only_where_they_have_room() {
        let square = images(32, 32, 32);
        assert_eq!(config(24, None).describe_augmentation(&square), "random crops, random flips");
        let tight = config(32, Some(32));
        assert_eq!(tight.describe_augmentation(&square), "random flips");
        assert_eq!(
            tight.describe_augmentation(&images(32, 50, 32)),
            "random crops along the long side, random flips"
        );
        let mixed = square.concat(&images(32, 50, 32));
        assert!(
            tight
                .describe_augmentation(&mixed)
                .starts_with("random crops along the long side of 8 of 16 images")
        );
        let still = TrainConfig { flip: false, ..tight };
        assert_eq!(still.describe_augmentation(&square), "none");
    }

    #[test]
    fn everything_that_a_preset_switches_on_is_named() {
        let robust = Preset::Robust.config();
        assert_eq!(
            robust.describe_augmentation(&images(32, 32, 32)),
            "random crops, random flips, rotation by up to 15 degrees, scaling by 0.91 to 1.30, stretching by up to 30 %, \
             contrast changed by up to 20 % and brightness by up to 0.2 standard deviations, a rectangle erased in 30 % \
             of the images"
        );
        assert_eq!(
            robust.describe_extras(),
            ["weights averaged with decay 0.99", "hard examples used 10 times"]
        );
        assert!(TrainConfig::default().describe_extras().is_empty());
    }
}
