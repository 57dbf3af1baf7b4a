//! The metrics of every epoch in the format of TensorBoard: records of `Event` messages (tensorflow, `event.proto`,
//! `summary.proto`; records as in its `record_writer.cc`).

use std::time::{SystemTime, UNIX_EPOCH};

use prost::{Message, Oneof};

use crate::run_dir::records::LogLine;

/// The subfolder of the run folder; TensorBoard searches it for files with `tfevents` in their name.
pub(crate) const FOLDER: &str = "tensorboard";
/// See [`FOLDER`].
pub(crate) const FILE: &str = "tensorboard/events.out.tfevents.0.roentgen";

#[derive(Clone, PartialEq, Message)]
struct Event {
    /// Seconds since 1970.
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(oneof = "What", tags = "3, 5")]
    what: Option<What>,
}

#[derive(Clone, PartialEq, Oneof)]
enum What {
    #[prost(string, tag = "3")]
    FileVersion(String),
    #[prost(message, tag = "5")]
    Summary(Summary),
}

#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, tag = "2")]
    simple_value: f32,
}

/// The first record of a file.
#[must_use]
pub(crate) fn beginning() -> Vec<u8> {
    record(&Event { wall_time: now(), step: 0, what: Some(What::FileVersion("brain.Event:2".to_owned())) })
}

/// The records of an epoch.
#[must_use]
pub(crate) fn scalars(line: &LogLine) -> Vec<u8> {
    let values = [
        ("loss/train", Some(line.train_loss)),
        ("loss/validation", line.val_loss),
        ("accuracy/train", Some(line.train_accuracy)),
        ("accuracy/validation", line.val_accuracy),
        ("learning rate", Some(line.lr)),
    ];
    let value =
        |(tag, value): (&str, Option<f64>)| Some(Value { tag: tag.to_owned(), simple_value: value? as f32 });
    let summary = Summary { value: values.into_iter().filter_map(value).collect() };
    record(&Event { wall_time: now(), step: line.epoch as i64, what: Some(What::Summary(summary)) })
}

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

/// Length, its checksum, content, its checksum.
fn record(event: &Event) -> Vec<u8> {
    let content = event.encode_to_vec();
    let length = (content.len() as u64).to_le_bytes();
    [&length[..], &masked_crc(&length).to_le_bytes(), &content, &masked_crc(&content).to_le_bytes()].concat()
}

/// A CRC of data that holds CRCs would be too regular; so it is turned and shifted.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::instruction_sets::InstructionSets;

    #[test]
    fn records_have_their_lengths_and_checksums() {
        let line = LogLine {
            epoch: 3,
            train_loss: 0.5,
            train_accuracy: 0.75,
            val_loss: None,
            val_accuracy: None,
            val_score: None,
            lr: 0.01,
            saved: true,
            instruction_sets: InstructionSets::default(),
        };
        let bytes = scalars(&line);
        let (length, rest) = bytes.split_first_chunk::<8>().expect("a length");
        let length = u64::from_le_bytes(*length) as usize;
        assert_eq!(bytes.len(), 8 + 4 + length + 4);
        let event = Event::decode(&rest[4..4 + length]).expect("an event");
        let Some(What::Summary(summary)) = event.what else { panic!("a summary") };
        assert_eq!((event.step, summary.value.len()), (3, 3), "what is not known is left out");
        // The CRC-32C of "123456789" is known; masked, it is that.
        assert_eq!(crc32c::crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(masked_crc(b"123456789"), 0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8));
    }
}
