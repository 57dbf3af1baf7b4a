//! Hard-example oversampling: the hardest images of each class are trained on several times an epoch, "just train
//! twice" (Liu et al. 2021, <https://arxiv.org/abs/2107.09044>).
//!
//! A first training, too short to memorise any image, misclassifies images that differ from the rest of their class: often
//! images from another source, which have little influence on the training because they are few. Repeating them gives them
//! more. The paper repeats every image that the first model misclassifies; here it is about the same share of every class, so
//! that large classes gain no weight over each other. The share is rounded to whole images: a class of 6 has none, one of 7
//! has one. Class weights and class priors count each image as often as it is used.

use roentgen_data::Dataset;

use crate::config::TrainConfig;
use crate::terminal::screen::{Screen, counted, thousands};
use crate::training::error::TrainingError;
use crate::training::interrupt;
use crate::training::probe_training::train_and_evaluate;

/// Share of every class that is repeated, rounded to whole images.
const SHARE: f64 = 0.08;
/// Images that the first training processes, about.
const IMAGES: usize = 30_000;
/// The advice if the first training diverges. It has a learning rate and a clipping of its own, so the advice names neither.
const REMEDY: &str = "check these images, or turn the oversampling off with --oversample-hard 1";

/// The images of an epoch: those of the training set, and the hard examples again, `config.oversample_hard` times in all.
///
/// # Errors
/// If the first training diverges.
pub(crate) fn oversample(
    config: &TrainConfig,
    data: &Dataset,
    screen: &Screen,
) -> Result<Vec<usize>, TrainingError> {
    let train_set = &data.train;
    let n_train = train_set.len();
    let first = first_training(config, n_train);
    let n_classes = data.class_names.len();
    let evaluation = train_and_evaluate(&first, train_set, train_set, n_classes, "probing", REMEDY, screen)?;
    let hardest = hardest(&evaluation.losses(), train_set.labels(), n_classes);
    let text = format!(
        "{} of {} training images, about {:.0} % of each class, are used {} each epoch",
        thousands(hardest.len()),
        thousands(n_train),
        100.0 * SHARE,
        counted(config.oversample_hard, "time")
    );
    // An interrupted training has not found the hard examples; the run ends anyway.
    if interrupt::signal().is_none() {
        screen.field("hard", &text);
    }
    let again = std::iter::repeat_n(hardest, config.oversample_hard - 1).flatten();
    Ok((0..n_train).chain(again).collect())
}

/// The settings of the first training: the plain recipe, since stronger augmentation would make easy images hard as well.
#[must_use]
pub(crate) fn first_training(config: &TrainConfig, n_train: usize) -> TrainConfig {
    TrainConfig {
        size: config.size,
        resize: config.resize,
        flip: config.flip,
        normalize: config.normalize,
        seed: config.seed,
        epochs: Some((IMAGES / n_train.max(1)).clamp(3, 12)),
        ..TrainConfig::default()
    }
}

/// How many images an epoch has.
#[must_use]
pub(crate) fn n_epoch_images(config: &TrainConfig, data: &Dataset) -> usize {
    let counts = data.train.class_counts(data.class_names.len());
    let n_hardest: usize = counts.iter().map(|&count| n_hardest(count)).sum();
    data.train.len() + (config.oversample_hard - 1) * n_hardest
}

/// How many images of a class are repeated.
fn n_hardest(n_images: usize) -> usize {
    (SHARE * n_images as f64).round() as usize
}

/// The images with the largest losses of each class, in ascending order; of equal losses the first images.
fn hardest(losses: &[f64], labels: &[u32], n_classes: usize) -> Vec<usize> {
    let mut images_by_class = vec![Vec::new(); n_classes];
    labels.iter().enumerate().for_each(|(image, &label)| images_by_class[label as usize].push(image));
    let mut hardest = Vec::new();
    for mut images in images_by_class {
        images.sort_by(|&a, &b| losses[b].total_cmp(&losses[a]));
        images.truncate(n_hardest(images.len()));
        hardest.extend(images);
    }
    hardest.sort_unstable();
    hardest
}

#[cfg(test)]
mod tests {
    use image::{GrayImage, Luma};
    use roentgen_data::{LoadOptions, load_dataset, silent};
    use roentgen_tensor::rng::{CounterRng, Purpose};

    use super::*;

    #[test]
    fn images_that_look_like_another_class_are_found_and_repeated() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut number = 0;
        // Noise; of 100 bright images, 6 are as dark as the other class.
        for (class, name, n, grey) in
            [("bright", "usual", 94, 150), ("bright", "odd", 6, 30), ("dark", "usual", 100, 30)]
        {
            std::fs::create_dir_all(folder.path().join(class)).expect("a folder");
            for index in 0..n {
                number += 1;
                let mut rng = CounterRng::new(number, Purpose::Split, 0, 0);
                let image = GrayImage::from_fn(28, 28, |_, _| Luma([grey + rng.below(80) as u8]));
                image.save(folder.path().join(class).join(format!("{name}{index}.png"))).expect("an image");
            }
        }
        let options = LoadOptions { val_fraction: Some(0.0), test_fraction: 0.0, ..LoadOptions::default() };
        let data = load_dataset(folder.path(), &options, &silent).expect("good images");
        let config = TrainConfig { oversample_hard: 3, ..TrainConfig::default() };
        let images = oversample(&config, &data, &Screen::new(true, false)).expect("no divergence");
        let set = data.train.select(&images);
        assert_eq!(set.len(), 200 + 2 * (8 + 8));
        for index in 0..200 {
            assert_eq!(set.name(index), data.train.name(index), "first every image once");
        }
        let odd = (0..set.len()).filter(|&index| set.name(index).contains("odd")).count();
        assert_eq!(odd, 6 * 3);
    }

    #[test]
    fn every_class_gives_the_same_share_of_its_largest_losses() {
        let labels = [vec![0; 50], vec![2; 25], vec![1; 6]].concat();
        let losses: Vec<f64> = (0..81).map(|i| f64::from(i * 37 % 81)).collect();
        let chosen = hardest(&losses, &labels, 3);
        let counts = [0, 1, 2].map(|class| chosen.iter().filter(|&&i| labels[i] == class).count());
        assert_eq!(counts, [4, 0, 2], "8 % of 50, 6 and 25");
        for class in [0, 2] {
            let (taken, left): (Vec<usize>, Vec<usize>) =
                (0..81).filter(|&i| labels[i] == class).partition(|i| chosen.contains(i));
            let least = taken.iter().map(|&i| losses[i]).fold(f64::INFINITY, f64::min);
            assert!(left.iter().all(|&i| losses[i] < least), "class {class}");
        }
        assert!(chosen.is_sorted());
        assert_eq!(hardest(&[1.0; 26], &[0; 26], 1), [0, 1], "of equal losses the first");
    }
}
