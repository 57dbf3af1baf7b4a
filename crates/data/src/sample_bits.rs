//! How many bits of 16-bit samples are used.
//!
//! Films of 10, 12 and 14 bits are often stored in files of 16 bits as they are, and are black unless their range is known.
//! It is, in this order:
//! 1. what the file says (the chunk sBIT of PNG), if no value is larger than that;
//! 2. the smallest number of bits that holds the largest value of the training images, which a model keeps;
//! 3. for an image with a larger value, and where there are no training images, the smallest even number of bits that holds
//!    the largest value of the image itself: detectors have 10, 12, 14 or 16.
//!
//! A few much larger values, such as of a hot pixel, do not count ([`needed_bits`]); they become white.
//!
//! Where zero is white (TIFF), the same holds for the values in the file: decoding has inverted them within their own bits, and an
//! image of which more are used is lifted to their white.
//!
//! DICOM files have a display pipeline of their own.

use std::collections::BTreeMap;

use image::DynamicImage;

use crate::decode::{Decoded, FileTraits, OpenedImage};
use crate::file_notes::FileNote;
use crate::small_image::needed_bits;

/// An image that uses this many bits less than its range has is dark. Detectors have 10, 12, 14 or 16 bits, so that it may be
/// of another one.
const DARK: u8 = 2;

/// What the file says, if it can be true.
fn stated_bits(traits: &FileTraits, needed: u8) -> Option<u8> {
    traits.significant_bits.filter(|bits| (needed..=16).contains(bits))
}

fn needed_by(image: &Decoded) -> Option<u8> {
    let wide = image.image.wide.as_ref()?;
    // Of the values in the file, and not of the inverted ones.
    Some(image.traits.inverted_bits.unwrap_or(wide.needed_bits))
}

/// The bits that hold every value of the training images; `None` if these have no samples of 16 bits.
pub(crate) fn of_training_images<'a>(images: impl Iterator<Item = &'a Decoded>) -> Option<u8> {
    let bits = |image: &Decoded| {
        let needed = needed_by(image)?;
        Some(stated_bits(&image.traits, needed).unwrap_or(needed))
    };
    images.filter_map(bits).max()
}

/// The bits that an image uses, where the training images use `of_training`.
fn resolved(traits: &FileTraits, needed: u8, of_training: Option<u8>) -> u8 {
    let by_values = of_training.filter(|&bits| needed <= bits).unwrap_or_else(|| needed.next_multiple_of(2));
    stated_bits(traits, needed).unwrap_or(by_values)
}

/// How many bits images use whose samples have 16.
#[derive(Clone, Debug, Default)]
pub(crate) struct UsedBits {
    /// Images by their number of bits.
    counts: BTreeMap<u8, usize>,
    n_dark: usize,
    /// The same of images whose zero is white.
    n_light: usize,
}

impl UsedBits {
    /// Makes the pixels of further images.
    pub(crate) fn apply<'a>(
        &mut self,
        images: impl Iterator<Item = &'a mut Decoded>,
        of_training: Option<u8>,
    ) {
        for image in images {
            let Some(needed) = needed_by(image) else { continue };
            let bits = resolved(&image.traits, needed, of_training);
            *self.counts.entry(bits).or_default() += 1;
            if needed + DARK <= bits {
                let is_inverted = image.traits.inverted_bits.is_some();
                *(if is_inverted { &mut self.n_light } else { &mut self.n_dark }) += 1;
            }
            image.use_bits(bits);
        }
    }

    /// Adds those of further images.
    pub(crate) fn add(&mut self, further: Self) {
        self.n_dark += further.n_dark;
        self.n_light += further.n_light;
        for (bits, count) in further.counts {
            *self.counts.entry(bits).or_default() += count;
        }
    }

    /// What was done, a sentence each.
    pub(crate) fn notes(&self) -> Vec<FileNote> {
        let Self { counts, n_dark, n_light } = self;
        let n: usize = counts.values().sum();
        let narrow = counts.iter().filter(|(bits, _)| **bits < 16).map(|(bits, count)| {
            FileNote {
                text: format!(
                    "{count} of {n} images with samples of 16 bits use only {bits} of them, and are read as images of {bits} bits"
                ),
                of_one: Some("it uses only some of the 16 bits of its samples, and was read accordingly"),
            }
        });
        let dark = (*n_dark > 0).then(|| FileNote {
            text: format!(
                "{n_dark} of {n} images with samples of 16 bits are dark: their largest value is less than a quarter of white; \
                 if they have fewer bits than the others, scale them up, or store the number of bits in the chunk sBIT"
            ),
            of_one: Some("it is dark: its largest value is less than a quarter of white"),
        });
        let light = (*n_light > 0).then(|| FileNote {
            text: format!(
                "{n_light} of {n} images with samples of 16 bits are light: their zero is white, and their largest sample is less \
                 than a quarter of black; if they have fewer bits than the others, scale them up"
            ),
            of_one: Some("it is light: its zero is white, and its largest sample is less than a quarter of black"),
        });
        narrow.chain(dark).chain(light).collect()
    }
}

/// An image at its own size, with the range of its samples filled.
pub(crate) fn scaled(opened: OpenedImage, of_training: Option<u8>) -> DynamicImage {
    let OpenedImage { mut image, traits, origin, .. } = opened;
    let samples: &mut [u16] = match &mut image {
        DynamicImage::ImageLuma16(image) => image,
        DynamicImage::ImageRgb16(image) => image,
        _ => return image,
    };
    if origin.is_none() {
        let needed = traits.inverted_bits.unwrap_or_else(|| needed_bits(samples));
        let bits = resolved(&traits, needed, of_training);
        let (white, lift) = ((1 << bits) - 1, u32::from(traits.lift(bits)));
        for sample in samples {
            *sample = ((u32::from(*sample) + lift).min(white) * u32::from(u16::MAX) / white) as u16;
        }
    }
    image
}

#[cfg(test)]
mod tests {
    use image::{ImageBuffer, Luma};

    use super::*;
    use crate::file_facts::FileFacts;
    use crate::options::LoadOptions;

    fn film(largest: u16, significant_bits: Option<u8>) -> Decoded {
        let at = |x: u32, y: u32| Luma([((x + 30 * y) * u32::from(largest) / 899) as u16]);
        let image = DynamicImage::ImageLuma16(ImageBuffer::from_fn(30, 30, at));
        let traits = FileTraits { significant_bits, ..FileTraits::default() };
        Decoded { traits, ..Decoded::new(&image, FileFacts::default(), &LoadOptions::default()) }
    }

    fn brightest(mut film: Decoded, of_training: Option<u8>) -> (u8, Vec<FileNote>) {
        let mut used = UsedBits::default();
        used.apply(std::iter::once(&mut film), of_training);
        (*film.image.pixels.iter().max().expect("pixels"), used.notes())
    }

    #[test]
    fn the_training_images_decide() {
        let train = [film(3_000, None), film(4_000, None), film(200, None)];
        assert_eq!(of_training_images(train.iter()), Some(12));
        assert_eq!(of_training_images([film(900, Some(12))].iter()), Some(12), "what the file says");
        assert_eq!(of_training_images([film(50_000, Some(12))].iter()), Some(16), "what cannot be true");
        assert_eq!(of_training_images([].iter()), None);
        let (found, notes) = brightest(film(2_047, None), Some(12));
        assert!((120..=128).contains(&found), "half of the range: {found}");
        assert!(notes[0].text.contains("use only 12 of them"), "{notes:?}");
    }

    #[test]
    fn a_few_hot_pixels_do_not_count() {
        let film = |n_hot: u32, hot: u16| {
            let at = |x, y| match x + 100 * y {
                pixel if pixel < n_hot => Luma([hot]),
                pixel => Luma([(pixel * 4_000 / 9_999) as u16]),
            };
            DynamicImage::ImageLuma16(ImageBuffer::from_fn(100, 100, at))
        };
        let bits = |image: DynamicImage| needed_bits(image.as_luma16().expect("16 bits"));
        assert_eq!((bits(film(0, 0)), bits(film(1, 65_535)), bits(film(10, 65_535))), (12, 12, 12));
        // Many, or not much larger.
        assert_eq!((bits(film(11, 65_535)), bits(film(1, 8_191)), bits(film(1, 16_383))), (16, 13, 12));
        assert_eq!(bits(DynamicImage::new_luma16(9, 9)), 8);
        let options = LoadOptions::default();
        let decoded = Decoded::new(&film(10, 65_535), FileFacts::default(), &options);
        assert_eq!(of_training_images(std::iter::once(&decoded)), Some(12));
    }

    #[test]
    fn an_image_that_the_model_does_not_know_decides_for_itself() {
        for (largest, of_training) in [(4_000, None), (2_047 * 2, None), (16_000, Some(12)), (1_000, None)] {
            let (found, _) = brightest(film(largest, None), of_training);
            assert!(found > 235, "{largest}: {found}");
        }
        assert!(brightest(film(4_000, Some(12)), Some(16)).0 > 235, "what the file says comes first");
        let (found, notes) = brightest(film(4_000, None), Some(16));
        assert!(found < 17 && notes.iter().any(|note| note.text.contains("are dark")), "{notes:?}");
        assert_eq!(brightest(film(65_535, None), None).1, Vec::new());
    }
}
