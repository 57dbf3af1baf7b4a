//! The pictures of one part, in one buffer.

use crate::colour;
use crate::picture::Picture;

/// Small 8-bit pictures with their labels; short sides are equal, long sides are not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImageSet {
    channels: usize,
    pixels: Vec<u8>,
    /// Where each picture starts in `pixels`, and how large it is.
    places: Vec<Place>,
    labels: Vec<u32>,
    names: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    start: usize,
    height: usize,
    width: usize,
}

/// One picture of a set, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct ImageView<'a> {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// `height * width * channels` values, rows from the top, channels together.
    pub pixels: &'a [u8],
}

impl ImageSet {
    /// Packs pictures, bringing each to `channels`.
    pub(crate) fn pack(channels: usize, pictures: Vec<(Picture, String, u32)>) -> Self {
        let area = |picture: &Picture| picture.width as usize * picture.height as usize * channels;
        let total = pictures.iter().map(|(picture, ..)| area(picture)).sum();
        let mut set = Self { channels, pixels: Vec::with_capacity(total), ..Self::default() };
        for (picture, name, label) in pictures {
            let (height, width) = (picture.height as usize, picture.width as usize);
            set.places.push(Place { start: set.pixels.len(), height, width });
            match (picture.channels, channels) {
                (3, 1) => set.pixels.extend(colour::to_grey(&picture.pixels)),
                (1, 3) => set.pixels.extend(colour::to_rgb(&picture.pixels)),
                _ => set.pixels.extend(&picture.pixels),
            }
            set.labels.push(label);
            set.names.push(name);
        }
        set
    }

    /// Number of pictures.
    #[must_use]
    pub fn len(&self) -> usize {
        self.labels.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty()
    }

    /// 1 or 3.
    #[must_use]
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Class index of every picture.
    #[must_use]
    pub fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// Path of a picture inside the data folder.
    ///
    /// # Panics
    /// If there is no picture `index`; so does [`Self::image`].
    #[must_use]
    pub fn name(&self, index: usize) -> &str {
        &self.names[index]
    }

    /// The pixels of a picture.
    #[must_use]
    pub fn image(&self, index: usize) -> ImageView<'_> {
        let Place { start, height, width } = self.places[index];
        let pixels = &self.pixels[start..start + height * width * self.channels];
        ImageView { height, width, pixels }
    }

    /// Number of pictures of each class.
    #[must_use]
    pub fn class_counts(&self, n_classes: usize) -> Vec<usize> {
        let mut counts = vec![0; n_classes];
        for &label in &self.labels {
            counts[label as usize] += 1;
        }
        counts
    }
}
