//! A checkpoint: everything that a run needs to continue as if it had not been interrupted.
//!
//! ```text
//! "ROENTGEN CHECKPOINT 5\n", blake3 digest of what follows (32 bytes), a safetensors file
//! ```
//! The safetensors file holds the state of the trainer; its metadata, the [`RunState`]. Random numbers have no state: they
//! are keyed by seed, epoch and step.

use std::borrow::Cow;
use std::collections::HashMap;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use roentgen_optim::Moments;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde::{Deserialize, Serialize};

use crate::model::initial_model::InitialModel;
use crate::model::instruction_sets::InstructionSets;
use crate::model::little_endian::{from_little_endian, little_endian};
use crate::run_dir::error::RunDirError;
use crate::run_dir::file_names::{CHECKPOINT, MODEL};
use crate::run_dir::run_folder::RunFolder;
use crate::training::early_stopping::EarlyStopping;
use crate::training::epoch_selection::EpochSelection;
use crate::training::trainer::{EpochProgress, TrainerState};

pub(crate) mod checks;
#[cfg(test)]
mod forgery_tests;

/// First bytes of the file; the number is that of the format.
pub(crate) const MAGIC: &[u8] = b"ROENTGEN CHECKPOINT 5\n";
/// Largest file that is read: a ResNet9 of width 256 has 1.7 GB with its moments and its average.
pub(crate) const MAX_BYTES: u64 = 1 << 32;
pub(crate) const DIGEST: usize = 32;
const KEY: &str = "roentgen";
/// Ends of epochs that follow each other faster have no checkpoint of their own: what a kill costs is little, and writing each, with
/// the models, took a fifth of the time of a sweep of short trainings.
const SHORTEST_PAUSE: Duration = Duration::from_secs(10);

/// The progress of a run.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct RunState {
    /// Digest of the settings and of the images with their patients and classes; a run is resumed with the same ones only.
    pub inputs_digest: String,
    /// The settings that it is a digest of, as [`settings`](super::inputs::settings) writes them.
    pub settings: String,
    /// Epochs that are over.
    pub epoch: usize,
    /// Progress of the current epoch.
    pub progress: EpochProgress,
    /// Whether early stopping has ended the run.
    pub stopped_early: bool,
    /// The epoch whose weights are saved; 0 before the first is over.
    pub saved_epoch: usize,
    /// [`weights_digest`](crate::model::model_file::weights_digest) of that epoch's model, which has a file of its own.
    pub saved_digest: String,
    /// Chooses it.
    pub selection: EpochSelection,
    /// Counts the epochs without improvement.
    pub early_stopping: EarlyStopping,
    /// The arithmetic that computed its weights.
    pub instruction_sets: InstructionSets,
    /// Length of the log, and of the log of times, in bytes.
    pub log_bytes: [u64; 2],
    /// The model of `--init`.
    pub init: Option<InitialModel>,
    /// Seconds of training, validation included.
    pub seconds: f64,
    /// Seconds of training steps.
    pub step_seconds: f64,
    /// Seconds of them spent on making batches.
    pub data_seconds: f64,
}

/// The bytes of a checkpoint.
#[must_use]
pub(crate) fn to_bytes(run_state: &RunState, trainer: &TrainerState) -> Vec<u8> {
    let TrainerState { step, values, buffers, adam_steps, moments, average_steps, averages } = trainer;
    let counters = [*step as u64, *adam_steps, *average_steps].map(u64::to_le_bytes).concat();
    let mut tensors = vec![("counters".to_owned(), Dtype::U64, 3, Cow::from(counters))];
    for (kind, all) in [("value", values), ("buffer", buffers), ("average", averages)] {
        let kind_tensors = all.iter().enumerate().map(|(index, values)| tensor(kind, index, values));
        tensors.extend(kind_tensors);
    }
    for (index, Moments { m, v }) in moments.iter().enumerate() {
        tensors.extend([tensor("m", index, m), tensor("v", index, v)]);
    }
    let views = tensors.iter().map(|(name, dtype, len, bytes)| {
        (name.as_str(), TensorView::new(*dtype, vec![*len], bytes).expect("bytes and shape agree"))
    });
    let run_state = serde_json::to_string(run_state).expect("numbers and a digest");
    let metadata = HashMap::from([(KEY.to_owned(), run_state)]);
    sealed(&safetensors::serialize(views, Some(metadata)).expect("names and sizes are in bounds"))
}

/// The bytes of a file with this content.
pub(crate) fn sealed(content: &[u8]) -> Vec<u8> {
    [MAGIC, blake3::hash(content).as_bytes(), content].concat()
}

/// Name, type, length and bytes.
type NamedTensor<'a> = (String, Dtype, usize, Cow<'a, [u8]>);

fn tensor<'a>(kind: &str, index: usize, values: &'a [f32]) -> NamedTensor<'a> {
    (format!("{kind}.{index}"), Dtype::F32, values.len(), little_endian(values))
}

/// Writes the saved model and checkpoints while training continues.
#[derive(Debug)]
pub(crate) struct Writer {
    folder: RunFolder,
    /// The saved model, until it is on its way to the disk.
    model: Option<Vec<u8>>,
    /// When the last checkpoint was begun, or the first epoch.
    last: Instant,
    pause: Duration,
    pending: Option<JoinHandle<Result<(), RunDirError>>>,
}

impl Writer {
    /// Writes into a run folder, after each epoch if `longest_pause` is zero.
    #[must_use]
    pub(crate) fn new(folder: RunFolder, longest_pause: Duration) -> Self {
        let pause = SHORTEST_PAUSE.min(longest_pause);
        Self { folder, model: None, last: Instant::now(), pause, pending: None }
    }

    /// Takes the file of the model that the run saves from now on.
    pub(crate) fn set_model(&mut self, bytes: Vec<u8>) {
        self.model = Some(bytes);
    }

    /// Whether the end of an epoch is to have a checkpoint.
    #[must_use]
    pub(crate) fn is_due(&self) -> bool {
        self.last.elapsed() >= self.pause
    }

    /// Begins to write the saved model, if the disk does not have it, and then a checkpoint, which names it; once the previous one
    /// is on the disk.
    ///
    /// # Errors
    /// As [`Self::wait`], for the previous one.
    pub(crate) fn save(&mut self, run_state: RunState, state: TrainerState) -> Result<(), RunDirError> {
        self.wait()?;
        self.last = Instant::now();
        let (folder, model) = (self.folder.clone(), self.model.take());
        self.pending = Some(thread::spawn(move || {
            model.map_or(Ok(()), |bytes| folder.write(MODEL, &bytes))?;
            folder.write(CHECKPOINT, &to_bytes(&run_state, &state))
        }));
        Ok(())
    }

    /// Waits as [`Self::wait`], and returns the saved model if the disk does not have it.
    ///
    /// # Errors
    /// As [`RunFolder::write`].
    pub(crate) fn end(mut self) -> Result<Option<Vec<u8>>, RunDirError> {
        self.wait()?;
        Ok(self.model.take())
    }

    /// Waits until the last checkpoint is on disk.
    ///
    /// # Errors
    /// As [`RunFolder::write`].
    pub(crate) fn wait(&mut self) -> Result<(), RunDirError> {
        let pending = self.pending.take();
        pending.map_or(Ok(()), |writing| writing.join().expect("writing a file does not panic"))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A run that ends here early reports another error. Its best model so far may be of use.
        let _ = self.wait();
        if let Some(bytes) = self.model.take() {
            let _ = self.folder.write(MODEL, &bytes);
        }
    }
}

/// Reads a checkpoint.
///
/// # Errors
/// If any byte has changed since it was written; the text is for the user.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<(RunState, TrainerState), String> {
    let damaged = || "it is damaged: its digest is not that of its content".to_owned();
    let rest = bytes.strip_prefix(MAGIC).ok_or("it is damaged, or of another version")?;
    let (digest, content) = rest.split_at_checked(DIGEST).ok_or_else(damaged)?;
    if blake3::hash(content).as_bytes() != digest {
        return Err(damaged());
    }
    let broken = |error: safetensors::SafeTensorError| format!("its tensors cannot be read ({error})");
    let (_, metadata) = SafeTensors::read_metadata(content).map_err(broken)?;
    let tensors = SafeTensors::deserialize(content).map_err(broken)?;
    let run_state = metadata.metadata().as_ref().and_then(|map| map.get(KEY)).ok_or("it has no run state")?;
    let run_state = serde_json::from_str(run_state).map_err(|error| format!("its run state: {error}"))?;
    Ok((run_state, trainer_state(&tensors)?))
}

/// The state of the trainer in the tensors of a checkpoint.
fn trainer_state(tensors: &SafeTensors<'_>) -> Result<TrainerState, String> {
    let counters = tensors.tensor("counters").ok().filter(|counters| counters.dtype() == Dtype::U64);
    let counters = counters.ok_or("it has no counters")?;
    let (counters, _) = counters.data().as_chunks::<8>();
    let &[step, adam_steps, average_steps] = counters else { return Err("it has no counters".to_owned()) };
    let [values, buffers, averages, m, v] =
        ["value", "buffer", "average", "m", "v"].map(|kind| all_of_kind(tensors, kind));
    // A tensor that was not read is one that no program of this version writes.
    let n_read: usize = [&values, &buffers, &averages, &m, &v].map(Vec::len).iter().sum();
    if n_read + 1 != tensors.len() || m.len() != v.len() {
        return Err("it has other tensors than a checkpoint".to_owned());
    }
    Ok(TrainerState {
        step: usize::try_from(u64::from_le_bytes(step)).map_err(|_| "its number of steps is too large")?,
        values,
        buffers,
        adam_steps: u64::from_le_bytes(adam_steps),
        moments: m.into_iter().zip(v).map(|(m, v)| Moments { m, v }).collect(),
        average_steps: u64::from_le_bytes(average_steps),
        averages,
    })
}

/// The values of the tensors `kind.0`, `kind.1` and so on.
fn all_of_kind(tensors: &SafeTensors<'_>, kind: &str) -> Vec<Vec<f32>> {
    let values = |index: usize| -> Option<Vec<f32>> {
        let tensor = tensors.tensor(&format!("{kind}.{index}")).ok()?;
        (tensor.dtype() == Dtype::F32).then(|| from_little_endian(tensor.data()))
    };
    (0..).map_while(values).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> (RunState, TrainerState) {
        let run_state = RunState {
            inputs_digest: "d".into(),
            epoch: 2,
            instruction_sets: InstructionSets::of_this_build(),
            seconds: 0.1 + 0.2,
            ..RunState::default()
        };
        let state = TrainerState {
            step: 77,
            values: vec![vec![1.5, -0.0], vec![f32::MIN_POSITIVE]],
            buffers: vec![vec![3.0; 5]],
            adam_steps: 77,
            moments: vec![Moments { m: vec![0.1, 0.2], v: vec![0.3, 0.4] }],
            average_steps: 76,
            averages: vec![vec![9.0]],
        };
        (run_state, state)
    }

    #[test]
    fn a_checkpoint_is_read_back_unchanged() {
        let (run_state, state) = example();
        assert_eq!(from_bytes(&to_bytes(&run_state, &state)), Ok((run_state, state)));
    }

    #[test]
    fn every_flipped_byte_and_every_cut_is_found() {
        let (run_state, state) = example();
        let bytes = to_bytes(&run_state, &state);
        for at in 0..bytes.len() {
            for flip in [1, 0x80, 0xFF] {
                let mut flipped = bytes.clone();
                flipped[at] ^= flip;
                assert!(from_bytes(&flipped).is_err(), "byte {at} flipped by {flip}");
            }
            assert!(from_bytes(&bytes[..at]).is_err(), "cut to {at}");
        }
        assert!(from_bytes(&[&bytes[..], b"x"].concat()).is_err(), "one byte too many");
    }
}
