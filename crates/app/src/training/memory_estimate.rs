//! How much memory a run takes at most, estimated before it begins: a run that cannot fit would end in an abort, in a kill
//! or in swapping.

use roentgen_data::{Dataset, ImageSet};
use roentgen_layers::ResNet9Config;

use crate::config::TrainConfig;
use crate::config::build::resnet9_config;
use crate::memory::{FreeMemory, MemoryShare, free_memory, used_memory};
use crate::model::inference::evaluation_batch;
use crate::terminal::screen::{counted, mebibytes};
use crate::training::error::TrainingError;
use crate::training::hard_examples::{first_training, n_epoch_images};
use crate::training::probe_training::probe_network;
use crate::training::trainer::measured_batch;

/// The program itself, its threads and what the allocator keeps.
const PROGRAM_BYTES: usize = 56 << 20;
/// Copies of the weights after training: values, gradients, the tensors of the file, and the file.
const FINAL_COPIES: usize = 4;
/// The advice of `inspect` and `lr-find`.
pub(crate) const LOWER_SETTINGS: Remedy = Remedy::Settings("lower --batch, --size or --width");
/// The advice for a training.
pub(crate) const SMALLER_TRAINING: Remedy =
    Remedy::Settings("raise --micro-batches, or lower --batch, --size or --width");
/// The advice for a training that is continued.
pub(crate) const MORE_ROOM: Remedy =
    Remedy::Room("end other programs, lower --threads, or continue it on a machine with more memory");
/// The advice for a run whose largest part is [`Part::Measurement`].
const NO_AVERAGE: &str = "turn the averaging of weights off with --ema 0";
/// The same where the images are so small that [`measured_batch`] does not depend on their size.
const SMALLER_OR_NO_AVERAGE: &str =
    "lower --size or --width, or turn the averaging of weights off with --ema 0";
/// The advice for a run whose largest part is [`Part::FirstTraining`]: batch and width of this training are fixed.
const NO_FIRST_TRAINING: &str = "lower --size, or turn the oversampling off with --oversample-hard 1";
/// Bytes for an image and a class in the evaluation of a set: logit, probability, rank, and both numbers as text.
const BYTES_OF_CLASS: usize = 80;

/// Advice where there is too little memory.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Remedy {
    /// To change settings: those of the command that make a training step smaller.
    Settings(&'static str),
    /// To make room, because the settings cannot be changed.
    Room(&'static str),
}

/// The part of a run that takes the most memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Part {
    /// A training step.
    #[default]
    Training,
    /// A forward pass that measures the batch norms of averaged weights.
    Measurement,
    /// A step of the first training of hard-example oversampling.
    FirstTraining,
}

/// The bytes of a run by purpose, and what the largest of them depend on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct MemoryEstimate {
    /// All at once, at the worst moment.
    pub total_bytes: usize,
    /// Images of all sets, as loaded, with their names, and those of an epoch again where it repeats hard examples; without their
    /// pixels if these stay in a cache file.
    pub data_bytes: usize,
    /// Parameters, their gradients, the moments of Adam, the running average.
    pub parameter_bytes: usize,
    /// Activations of the largest part, and their gradients.
    pub activation_bytes: usize,
    /// Working memory of the kernels.
    pub kernel_bytes: usize,
    /// Evaluation of the validation set, with the filters that are prepared for it.
    pub validation_bytes: usize,
    /// Copies of the weights for a checkpoint, which may still be written during the next evaluation.
    pub checkpoint_bytes: usize,
    /// After training, when its memory is free again: the model as a file, and the evaluation of every set.
    pub final_bytes: usize,
    /// The part that takes most of it.
    part: Part,
    /// Images that go through the network together there.
    n_images: usize,
    /// Side of an image.
    size: usize,
    /// Channels of the first convolution.
    width: usize,
}

/// The sizes that an estimate depends on, besides those of the network.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RunSizes {
    /// Images that go through the network together in training: of a batch or a shard of it.
    pub batch: usize,
    /// Parts that a batch is cut into.
    pub n_shards: usize,
    /// Side of an image.
    pub size: usize,
    /// Threads.
    pub n_threads: usize,
    /// Images of the validation set.
    pub n_validated: usize,
    /// Images of the largest set: also the training set is evaluated, to know what its images look like.
    pub n_evaluated: usize,
    /// Bytes of all images.
    pub data_bytes: usize,
    /// Whether the weights are averaged.
    pub is_averaged: bool,
}

impl MemoryEstimate {
    /// The estimate for a run with these settings on loaded data.
    pub(crate) fn of(config: &TrainConfig, data: &Dataset) -> Self {
        let (n_train, n_epoch) = (data.train.len(), n_epoch_images(config, data));
        let n_shards = config.micro_batches;
        let size = config.size as usize;
        let batch = config.batch(n_train).min(n_epoch).div_ceil(n_shards).max(1);
        let is_averaged = config.ema > 0.0;
        let measured = if is_averaged { measured_batch(config.width, size).min(n_epoch) } else { 0 };
        // A pass that only measures has no gradients, which are an eighth.
        let measured_as_trained = measured * 7 / 8;
        let is_measurement = measured_as_trained > batch;
        let (part, n_images) =
            if is_measurement { (Part::Measurement, measured) } else { (Part::Training, batch) };
        let set_bytes =
            [&data.train, &data.val, &data.test].into_iter().map(ImageSet::n_bytes).sum::<usize>();
        let is_oversampled = config.oversample_hard > 1;
        let copy_bytes = if is_oversampled { data.train.n_bytes() * n_epoch / n_train.max(1) } else { 0 };
        let sizes = RunSizes {
            batch: batch.max(measured_as_trained),
            n_shards,
            size,
            n_threads: config.threads(),
            n_validated: data.val.len(),
            n_evaluated: n_train.max(data.val.len()).max(data.test.len()),
            data_bytes: set_bytes + copy_bytes,
            is_averaged,
        };
        let run = Self { part, n_images, ..Self::of_sizes(&resnet9_config(config, data), sizes) };
        let first = is_oversampled.then(|| Self::of_first_training(config, data, set_bytes));
        first.filter(|first| first.total_bytes > run.total_bytes).unwrap_or(run)
    }

    /// The estimate for the first training of hard-example oversampling, beside the network of the run.
    fn of_first_training(config: &TrainConfig, data: &Dataset, data_bytes: usize) -> Self {
        let n_train = data.train.len();
        let first = first_training(config, n_train);
        let sizes = RunSizes {
            batch: first.batch(n_train).min(n_train).max(1),
            n_shards: 1,
            size: first.size as usize,
            n_threads: config.threads(),
            // It is evaluated on its own images, beside gradients and moments, and is not saved.
            n_validated: n_train,
            n_evaluated: n_train,
            data_bytes,
            is_averaged: false,
        };
        let run_bytes = 2 * size_of::<f32>() * resnet9_config(config, data).architecture().n_parameters();
        let first = Self::of_sizes(&probe_network(data.channels, data.class_names.len()), sizes);
        let parameter_bytes = first.parameter_bytes + run_bytes;
        let part = Part::FirstTraining;
        let first = Self { parameter_bytes, checkpoint_bytes: 0, final_bytes: 0, part, ..first };
        Self { total_bytes: first.sum(), ..first }
    }

    /// The estimate for a run of these sizes.
    pub(crate) fn of_sizes(network: &ResNet9Config, sizes: RunSizes) -> Self {
        let RunSizes { batch, n_shards, size, n_threads, n_validated, n_evaluated, data_bytes, is_averaged } =
            sizes;
        let architecture = network.architecture();
        let weight_bytes = size_of::<f32>() * architecture.n_parameters();
        let n_averages = usize::from(is_averaged);
        let training = architecture.training_memory(batch, size, n_threads);
        let forward = |n_images: usize| {
            let together = evaluation_batch(network.width, size).min(n_images).max(1);
            architecture.inference_memory(together, size, n_threads)
        };
        let evaluation = |n_images: usize| {
            let pass = forward(n_images);
            pass.activations + pass.kernels + n_images * network.n_classes * BYTES_OF_CLASS
        };
        let shared = training.shared.max(forward(n_validated).shared).max(forward(n_evaluated).shared);
        // The saved model, and the copy of weights, moments and average that a thread writes while training goes on, as tensors and
        // as a file.
        let checkpoint = (1 + 3 * (3 + n_averages)) * weight_bytes;
        let estimate = Self {
            total_bytes: 0,
            data_bytes,
            // Sums of gradients that wait: one for each level of the tree.
            parameter_bytes: (4 + n_averages + n_shards.ilog2() as usize) * weight_bytes,
            activation_bytes: training.activations,
            kernel_bytes: training.kernels + shared,
            validation_bytes: evaluation(n_validated),
            checkpoint_bytes: checkpoint,
            final_bytes: FINAL_COPIES * weight_bytes + evaluation(n_evaluated),
            part: Part::Training,
            n_images: batch,
            size,
            width: network.width,
        };
        Self { total_bytes: estimate.sum(), ..estimate }
    }

    fn sum(&self) -> usize {
        let Self { data_bytes, parameter_bytes, activation_bytes, kernel_bytes, .. } = self;
        let training = parameter_bytes + activation_bytes + self.validation_bytes + self.checkpoint_bytes;
        // Freed memory goes back to the system late, so part of what was used before the larger phase, or is after it, counts.
        let kept = training.min(self.final_bytes) / 5;
        PROGRAM_BYTES + data_bytes + kernel_bytes + training.max(self.final_bytes) + kept
    }

    /// The estimate for a process that does nothing but steps, or forward passes.
    pub(crate) fn of_steps(
        network: &ResNet9Config,
        batch: usize,
        size: usize,
        n_threads: usize,
        is_training: bool,
    ) -> Self {
        let architecture = network.architecture();
        let weight_bytes = size_of::<f32>() * architecture.n_parameters();
        let (copies, memory) = if is_training {
            (4, architecture.training_memory(batch, size, n_threads))
        } else {
            (2, architecture.inference_memory(batch, size, n_threads))
        };
        let estimate = Self {
            parameter_bytes: copies * weight_bytes,
            activation_bytes: memory.activations,
            kernel_bytes: memory.kernels + memory.shared,
            n_images: batch,
            size,
            width: network.width,
            ..Self::default()
        };
        Self { total_bytes: estimate.sum(), ..estimate }
    }

    /// Fails if the run takes more memory than there is; `remedy` is what the user of the command can do then.
    ///
    /// # Errors
    /// [`TrainingError::NotEnoughMemory`].
    pub(crate) fn check(&self, remedy: Remedy) -> Result<(), TrainingError> {
        self.check_beside(1, remedy)
    }

    /// As [`Self::check`], where `n_sharing` processes on this machine begin the same run now.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(crate) fn check_beside(&self, n_sharing: usize, remedy: Remedy) -> Result<(), TrainingError> {
        self.check_in(free_memory(n_sharing), used_memory(), remedy)
    }

    /// As [`Self::check`], also if the run takes more than the `share` of this process.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub(crate) fn check_share(&self, share: MemoryShare, remedy: Remedy) -> Result<(), TrainingError> {
        self.check_in(share.in_all, 0, remedy)?;
        self.check(remedy)
    }

    fn check_in(&self, free: Option<FreeMemory>, used: u64, remedy: Remedy) -> Result<(), TrainingError> {
        match free {
            Some(free) if !self.fits(free, used) => Err(TrainingError::NotEnoughMemory {
                needed: mebibytes(self.total_bytes as u64),
                free: mebibytes(free.bytes + used),
                limited_by: free.limited_by,
                activations: self.activations(),
                remedy: self.remedy(remedy),
            }),
            _ => Ok(()),
        }
    }

    /// The bytes that depend on the settings most, and what they are for.
    fn activations(&self) -> String {
        let Self { activation_bytes, part, n_images, size, width, .. } = self;
        let of = match part {
            Part::Training => "",
            Part::Measurement => ", on which the batch norms of the averaged weights are measured",
            Part::FirstTraining => ", in the first training of hard-example oversampling",
        };
        format!(
            "{} are the activations of {} of {size}x{size} at width {width}{of}",
            mebibytes(*activation_bytes as u64),
            counted(*n_images, "image")
        )
    }

    /// The advice where it is too much; if it names settings, those that make the largest part smaller.
    fn remedy(&self, remedy: Remedy) -> &'static str {
        match (remedy, self.part) {
            (Remedy::Settings(training_settings), Part::Training) => training_settings,
            (Remedy::Settings(_), Part::Measurement)
                if measured_batch(self.width, self.size) == measured_batch(1, 1) =>
            {
                SMALLER_OR_NO_AVERAGE
            }
            (Remedy::Settings(_), Part::Measurement) => NO_AVERAGE,
            (Remedy::Settings(_), Part::FirstTraining) => NO_FIRST_TRAINING,
            (Remedy::Room(text), _) => text,
        }
    }

    /// Whether the rest of it fits, of which this process has `used` already.
    fn fits(&self, free: FreeMemory, used: u64) -> bool {
        (self.total_bytes as u64).saturating_sub(used) <= free.bytes
    }
}

#[cfg(test)]
mod tests {
    use roentgen_data::{LoadOptions, PhantomOptions, phantom_dataset, silent};
    use roentgen_tensor::scratch::has_large_shared_cache;

    use super::*;
    use crate::run_dir::planned_folder::PlannedFolder;
    use crate::training::pipeline::{begin, reopen};
    use crate::training::resumption::Resumption;

    fn of(batch: usize, size: usize, width: usize) -> MemoryEstimate {
        let network = ResNet9Config { width, ..ResNet9Config::new(1, 3) };
        let sizes = RunSizes {
            batch,
            n_shards: 1,
            size,
            n_threads: 2,
            n_validated: 100,
            n_evaluated: 100,
            data_bytes: 1 << 20,
            is_averaged: false,
        };
        MemoryEstimate::of_sizes(&network, sizes)
    }

    #[test]
    fn what_the_message_says_to_lower_lowers_the_estimate() {
        let all = of(128, 64, 64);
        for lower in [of(64, 64, 64), of(128, 48, 64), of(128, 64, 32)] {
            assert!(lower.total_bytes < all.total_bytes, "{lower:?} {all:?}");
        }
    }

    fn films() -> Dataset {
        let films = PhantomOptions { train: 60, val: 3, test: 3, ..PhantomOptions::default() };
        phantom_dataset(&films, &LoadOptions::default(), &silent).expect("films")
    }

    #[test]
    fn each_flag_of_the_message_lowers_the_largest_part() {
        let data = films();
        let plain = TrainConfig { size: 48, batch: Some(48), ..TrainConfig::default() };
        let averaged = TrainConfig { ema: 0.99, micro_batches: 16, ..plain.clone() };
        let oversampled =
            TrainConfig { width: 8, batch: Some(4), oversample_hard: 10, ..TrainConfig::default() };
        let measurement_words = "60 images of 48x48 at width 64, on which the batch norms";
        let first_training_words = "32 images of 24x24 at width 32, in the first training";
        for (config, part, words, flags) in [
            (plain, Part::Training, "48 images of", &["--micro-batches", "--batch", "--size", "--width"][..]),
            (averaged, Part::Measurement, measurement_words, &["--size", "--width", "--ema"][..]),
            (oversampled, Part::FirstTraining, first_training_words, &["--size", "--oversample-hard"][..]),
        ] {
            let all = MemoryEstimate::of(&config, &data);
            assert!(all.part == part && all.activations().contains(words), "{}", all.activations());
            let remedy = all.remedy(SMALLER_TRAINING);
            let named: Vec<&str> = remedy.split([' ', ',']).filter(|word| word.starts_with("--")).collect();
            assert_eq!(named, flags);
            for &flag in flags {
                let mut lower = config.clone();
                match flag {
                    "--batch" => lower.batch = Some(24),
                    "--micro-batches" => lower.micro_batches = 2,
                    "--size" => lower.size = config.size * 2 / 3,
                    "--width" => lower.width = 32,
                    "--ema" => lower.ema = 0.0,
                    "--oversample-hard" => lower.oversample_hard = 1,
                    _ => panic!("{flag} is not tried"),
                }
                let lower = MemoryEstimate::of(&lower, &data);
                assert!(lower.total_bytes < all.total_bytes, "{flag}: {lower:?} {all:?}");
            }
        }
    }

    #[test]
    fn oversampling_takes_memory_for_its_copies_and_for_its_first_training() {
        let data = films();
        let [wide, narrow] = [(64, 100), (8, 4)].map(|(width, batch)| {
            [1, 10].map(|oversample_hard| {
                let batch = Some(batch);
                let config = TrainConfig { width, batch, oversample_hard, ..TrainConfig::default() };
                MemoryEstimate::of(&config, &data)
            })
        });
        // 2 of the 20 images of each class are used ten times, so a batch has 100 images, and not 60.
        let copied = data.train.n_bytes() * (60 + 9 * 3 * 2) / 60;
        assert_eq!(wide[1].data_bytes, wide[0].data_bytes + copied);
        assert!(wide[1].activation_bytes > wide[0].activation_bytes * 3 / 2, "{wide:?}");
        // The first training has its own batch and width, and one copy of the images.
        let first = probe_network(1, 3).architecture().training_memory(32, 24, 1);
        assert_eq!(narrow[1].activation_bytes, first.activations);
        assert_eq!(narrow[1].data_bytes, narrow[0].data_bytes);
        assert!(narrow[1].total_bytes > narrow[0].total_bytes + first.activations / 2, "{narrow:?}");
    }

    #[test]
    fn a_run_fits_if_what_it_has_not_taken_yet_is_free() {
        let estimate = of(32, 24, 64);
        let total = estimate.total_bytes as u64;
        let free = |bytes: u64| FreeMemory { bytes, limited_by: "" };
        assert!(estimate.fits(free(total), 0) && !estimate.fits(free(total - 1), 0));
        assert!(estimate.fits(free(total - 10), 10) && !estimate.fits(free(total - 11), 10));
        // The setting that ended in an abort: more than any machine has.
        assert!(of(32, 512, 256).total_bytes > 50 << 30);
    }

    #[test]
    fn a_run_that_takes_more_than_the_share_of_its_process_does_not_begin() {
        let parent = tempfile::tempdir().expect("a temporary folder");
        let data = films();
        let config = TrainConfig { width: 8, batch: Some(12), ..TrainConfig::default() };
        let total = MemoryEstimate::of(&config, &data).total_bytes as u64;
        let share = |bytes: u64| MemoryShare { in_all: Some(FreeMemory { bytes, limited_by: "" }) };
        let begin_in = |bytes: u64| {
            let folder = PlannedFolder::Given(parent.path().join("run"));
            begin(&config, &data, folder, share(bytes)).map(drop)
        };
        assert!(matches!(begin_in(total - 1), Err(TrainingError::NotEnoughMemory { .. })));
        assert!(!parent.path().join("run").exists());
        begin_in(total).expect("it fits");
        let reopened = reopen(&parent.path().join("run"), &Resumption::default(), &data, share(1));
        assert!(matches!(reopened, Err(TrainingError::NotEnoughMemory { .. })));
    }

    /// Peak memory of whole runs as measured: `docs/notebook/memory.md` has the commands and the machines.
    #[test]
    fn the_estimate_is_near_the_measured_peak() {
        // Size, width, batch, validation and training images, threads, averaged, MiB. The last is of a machine whose large L3
        // cache spares the ring of scratch memory.
        let measured = [
            (24, 64, 32, 75, 600, 2, false, [640.0, 710.3]),
            (24, 64, 128, 75, 600, 2, false, [829.6, 823.9]),
            (24, 8, 32, 37, 300, 1, false, [79.2, 81.2]),
            (24, 128, 64, 25, 200, 2, false, [2087.7, 2327.5]),
            (48, 64, 32, 12, 100, 2, false, [848.0, 923.9]),
            (128, 32, 16, 7, 60, 2, false, [701.5, 640.5]),
            (256, 16, 8, 6, 48, 2, false, [721.3, 646.1]),
            (64, 64, 112, 25, 200, 2, true, [1845.6, 1881.0]),
            (16, 256, 16, 7, 60, 2, false, [6580.5, 7625.0]),
            (24, 256, 8, 6, 48, 2, false, [6903.9, 8501.4]),
        ];
        for (size, width, batch, n_validated, n_evaluated, n_threads, is_averaged, peaks) in measured {
            let peak = peaks[usize::from(has_large_shared_cache())];
            let network = ResNet9Config { width, ..ResNet9Config::new(1, 3) };
            let data_bytes = n_evaluated << 10;
            let n_shards = 1;
            let sizes = RunSizes {
                batch,
                n_shards,
                size,
                n_threads,
                n_validated,
                n_evaluated,
                data_bytes,
                is_averaged,
            };
            let estimate = MemoryEstimate::of_sizes(&network, sizes);
            let mib = estimate.total_bytes as f64 / f64::from(1 << 20);
            println!("{size} {width} {batch}: {mib:.0} MiB for {peak} MiB, {:.2}", mib / peak);
            assert!((0.9..1.5).contains(&(mib / peak)), "{size} {width} {batch}: {mib:.0} MiB, not {peak}");
        }
    }
}
