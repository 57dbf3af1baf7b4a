//! The settings of a run, in one table. An item is all that there is to a setting: the field of [`TrainConfig`], the flag
//! `--name-of-the-field` with its help text, the key of the config file, the default, and the values that are accepted.
//!
//! `number` takes the range, `choice` the values of an enum; `common` shows the flag in `-h` too; `derived` says how the
//! program chooses where nothing is given.

use std::ops::Bound::{Excluded, Included};
use std::path::PathBuf;

use roentgen_data::ClassMapping;
use roentgen_optim::Clip;

use super::choices::{
    ChannelChoice, ClassPrior, ClassWeights, ClipChoice, ConvAlgorithmChoice, DecayKind, FitChoice,
    InvertChoice, NormalizeBy, SamplerChoice, Select, ViewList,
};
use super::input::{choice, number, path, switch, text};
use super::seed_range::SeedRange;
use super::setting::{Item, Setting, settings};

/// The value of `data` for films that the program draws.
pub(crate) const PHANTOM: &str = "phantom";

/// The largest integer that a config file can hold.
const MAX_INTEGER: u64 = i64::MAX as u64;

settings! {
    "Data" {
        /// Images: a folder with one sub-folder of images per class, or with train/, val/ and test/ folders
        /// of such sub-folders; a MedMNIST .npz file; a .csv or .tsv file with columns for path and label (split
        /// and patient are optional); a CIFAR-10 folder (binary version); or `phantom`, for films that the program draws
        data: PathBuf = PHANTOM.into() => path("DATA").also_argument("DATA").common();
        /// Number of phantom films in the training set; the validation set has an eighth as many, the test set a quarter
        films: u32 = 2400 => number("N", 24..=100_000);
        /// Images to test on, instead of the test set of DATA
        test: Option<PathBuf> = None => path("DATA").common();
        /// Leave out files that cannot be used, instead of stopping
        skip_bad: bool = false => switch();
        /// Fraction of the training set to validate on, where DATA has no validation set
        val_fraction: Option<f64> = None => number("FRACTION", 0.0..=0.5).derived("0.1, at most 2500 images");
        /// Fraction of the training set to test on, where DATA has no test set
        test_fraction: f64 = 0.1 => number("FRACTION", 0.0..=0.5);
        /// Regular expression that finds the patient in a file name: its group `patient`, else its first group, else the
        /// whole match. Not needed for names such as person1000_virus_1681, IM-0115-0001 and 00000013_005, but without it
        /// such a patient is a guess: that --test has the same names is a note, not leakage
        patient_pattern: Option<String> = None => text::<String>("REGEX");
        /// Column of a .csv file with the paths of the images, where it has another name than path, image, file, filename or
        /// filepath
        path_column: Option<String> = None => text::<String>("NAME");
        /// Column with the classes, where it has another name than label, class, target or finding
        label_column: Option<String> = None => text::<String>("NAME");
        /// Column that says train, val or test, where it has another name than split, set, subset, partition or fold
        split_column: Option<String> = None => text::<String>("NAME");
        /// Column with the patients, where it has another name than patient, patient_id, subject, subject_id or case
        patient_column: Option<String> = None => text::<String>("NAME");
        /// New names for classes, several of which may become one, such as
        /// "pneumonia=Viral Pneumonia+Bacterial Pneumonia"; further ones follow after commas
        classes: Option<ClassMapping> = None => text::<ClassMapping>("NAME=NAMES")
            .expected("NEW=OLD or NEW=OLD+OLD, separated by commas, each OLD once");
        /// Whether the images are medical: then texts warn of clinical use
        medical: Option<bool> = None => switch().default_text("if patients are known, or by the names of data, classes and files");
        /// Stop if the training, validation and test sets share images or patients, instead of only reporting it
        strict: bool = false => switch();
        /// Cross-validation: train N models, each tested on another part of the images. Images of one patient
        /// are always in the same fold
        folds: Option<usize> = None => number("N", 2..=100).common();
        /// Train only fold N of --folds, counted from 1
        fold: Option<usize> = None => number("N", 1..=100).expected("1 up to --folds");
        /// Colour channels of the images that the model sees
        channels: ChannelChoice = ChannelChoice::Auto => choice("CHANNELS");
        /// Side of the square crop that the model sees
        size: u32 = 24 => number("PIXELS", 8..=512).unit("pixels").common();
        /// Length to which the short side of each image is scaled before cropping
        resize: Option<u32> = None => number("PIXELS", 1..=8192)
            .expected("at least --size, at most 8192 pixels").derived("8/7 of --size, rounded up");
        /// How images that are not square become square, in training and in every prediction of the model
        fit: FitChoice = FitChoice::Crop => choice("FIT");
        /// Views of DICOM images to use (PA, AP, lateral), such as PA,AP; others are left out, also in predictions of the
        /// model
        view: Option<ViewList> = None => text::<ViewList>("VIEWS").expected("PA, AP, lateral, or several with commas between them");
        /// How to treat images that look like negatives of the others, with black and white exchanged
        invert: InvertChoice = InvertChoice::Never => choice("INVERT");
    }
    "Augmentation" {
        /// Flip training images from left to right at random. Switch it off (--no-flip) where left and right matter, such as
        /// for classes that differ by side
        flip: bool = true => switch();
        /// Rotate training images at random, by at most this angle in either direction
        rotate: f64 = 0.0 => number("DEGREES", 0.0..=45.0).unit("degrees");
        /// Scale training images at random: larger by at most this fraction, such as 0.3, or smaller by at most a third
        /// of it
        zoom: f64 = 0.0 => number("FRACTION", 0.0..=0.5);
        /// Change the ratio of width to height of training images at random, by at most this fraction, such as 0.4
        aspect: f64 = 0.0 => number("FRACTION", 0.0..=1.0);
        /// Change contrast (as a fraction) and brightness (in standard deviations) of training images at random, by at
        /// most this much, such as 0.2
        jitter: f64 = 0.0 => number("FRACTION", 0.0..=0.9);
        /// Erase a random rectangle in this fraction of the training images
        erase: f64 = 0.0 => number("FRACTION", 0.0..=1.0);
    }
    "Model" {
        /// Number of channels after the first convolution; later layers have multiples of it
        width: usize = 64 => number("N", 8..=256).unit("channels");
        /// Fraction of the features that dropout sets to zero before the last layer
        dropout: f64 = 0.2 => number("FRACTION", 0.0..=0.999);
        /// Weights to start from, instead of random ones: a run folder, a model file, or a safetensors file from PyTorch
        /// with the same tensor names
        init: Option<PathBuf> = None => path("FILE");
        /// Mean and standard deviation to normalise pixels with
        normalize: NormalizeBy = NormalizeBy::Set => choice("BY");
        /// Test-time augmentation: average the logits of several views of each image: mirrored (unless --no-flip)
        /// and, with --zoom or --aspect, scaled and stretched
        tta: bool = false => switch();
        /// Class frequencies that the model learns to assume; with balanced, it predicts rare classes more often
        prior: ClassPrior = ClassPrior::Training => choice("PRIOR");
        /// Algorithms for the convolutions; they differ in speed and rounding
        conv: ConvAlgorithmChoice = ConvAlgorithmChoice::Auto => choice("ALGORITHMS");
    }
    "Training" {
        /// Number of passes over the training set
        epochs: Option<usize> = None => number("N", 1..=100_000).common().derived(
            "12 to 40, fewer for larger training sets (phantom films: 4 to 40, 4 for the default 2400); twice as many with --rotate, --zoom or --aspect",
        );
        /// Early stopping: end the run after N epochs without a better validation score
        patience: Option<usize> = None => number("N", 1..=100_000).unit("epochs").default_text("never");
        /// Batch size: number of images in a training step
        batch: Option<usize> = None => number("N", 1..=65_536).unit("images").common()
            .derived("32, or 128 from 20000 training images on");
        /// Cut each batch into S shards, a power of two, which go through the network one after the other, each with batch
        /// statistics of its own (ghost batch norm), and whose gradients are added up in a fixed order. A batch then takes
        /// the memory of a shard; and on several machines, each has its share of the shards
        micro_batches: usize = 1 => number("S", 1..=1024).expected("a power of two, 1 to 1024");
        /// Largest learning rate of the one-cycle schedule, which also moves the beta1 of Adam from 0.95 to 0.85 and back;
        /// beta2 is 0.999
        max_lr: f64 = 0.01 => number("RATE", (Excluded(0.0), Included(1000.0))).alias("lr").common();
        /// Strength of the weight decay, which keeps weights small
        weight_decay: f64 = 1e-4 => number("RATE", 0.0..=10.0);
        /// How weight decay is applied
        decay: DecayKind = DecayKind::L2 => choice("KIND");
        /// Gradient clipping: value:BOUND, or BOUND alone, clips each element, norm:BOUND the norm of all of them; or off
        clip: ClipChoice = ClipChoice(Clip::Value(0.1)) => text("CLIP")
            .expected("value:BOUND or norm:BOUND with a BOUND above 0, or off");
        /// Weights of the classes in the loss
        class_weights: ClassWeights = ClassWeights::None => choice("KIND").common();
        /// Label smoothing: fraction of each label that is spread over all classes
        label_smoothing: f64 = 0.0 => number("FRACTION", 0.0..1.0);
        /// Sampling of the training images in an epoch
        sampler: SamplerChoice = SamplerChoice::Shuffled => choice("KIND");
        /// Hard-example oversampling: a short first training finds the 8 % of each class with the largest losses (none of
        /// fewer than 7 images), and each of these images is used N times in an epoch. 1 switches it off
        oversample_hard: usize = 1 => number("N", 1..=100).unit("times");
        /// Use an exponential moving average of the weights with this decay, such as 0.99, as the model. 0 switches it off
        ema: f64 = 0.0 => number("DECAY", 0.0..1.0);
        /// Validation score that decides which epoch is saved: the last one whose score is at most one standard error worse
        /// than the best
        select: Select = Select::Accuracy => choice("SCORE");
        /// Seed of everything random: splits, first weights, order, augmentation, dropout
        seed: u64 = 0 => number("N", 0..=MAX_INTEGER).common();
        /// Train one model for each of several seeds, and show mean and standard deviation of their test metrics; both ends
        /// are included, so 0..4 has five seeds
        seeds: Option<SeedRange> = None => text::<SeedRange>("FIRST..LAST").expected(SeedRange::EXPECTED).common();
    }
    "Run" {
        /// Minutes between checkpoints within an epoch; the end of an epoch has one too, but at most every ten seconds
        checkpoint_minutes: f64 = 5.0 => number("MINUTES", 0.0..=1e6);
        /// Also write the metrics of every epoch for TensorBoard, into the run folder
        tensorboard: bool = false => switch();
        /// At the end, check for shortcuts: whether the classes can be predicted from the border of the images, with their
        /// centre blanked, or from facts of the files. Left out where it would take more than a tenth of the training
        audit: bool = true => switch();
        /// Write numbers instead of the names of images and patients, and instead of paths, into all files of the run;
        /// pseudonyms.csv, and no other file, has what they stand for. The names of classes stay
        pseudonyms: bool = false => switch();
        /// Number of threads; the results do not depend on it
        threads: Option<usize> = None => number("N", 1..=1024).common().derived("one for each processor");
    }
}

/// All settings.
pub(crate) fn all() -> impl Iterator<Item = &'static dyn Setting> {
    SETTINGS.iter().map(|setting| &**setting)
}

/// The setting with this name.
pub(crate) fn named(name: &str) -> Option<&'static dyn Setting> {
    all().find(|setting| setting.name() == name)
}
