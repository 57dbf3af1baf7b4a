//! Loads a trained model and predicts the class of image files.
//!
//! `cargo run --example predict -- runs/my-run image.png other.jpg`
#![forbid(unsafe_code)]

use std::env;
use std::error::Error;
use std::path::PathBuf;

use roentgen::{ImagePrediction, Model};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let run = arguments.next().ok_or("give a run folder or a model file, then image files")?;
    let files: Vec<PathBuf> = arguments.collect();

    let model = Model::read(&run)?;
    for (file, prediction) in files.iter().zip(model.predict(&files)) {
        println!("{}: {}", file.display(), in_words(&model, prediction));
    }
    Ok(())
}

fn in_words(model: &Model, prediction: Result<ImagePrediction, String>) -> String {
    match prediction {
        Err(reason) => reason,
        Ok(ImagePrediction { reject_reason: Some(reason), .. }) => format!("rejected: {reason}"),
        Ok(ImagePrediction { class, probabilities, .. }) => {
            format!("{}, probability {:.2}", model.class_names()[class], probabilities[class])
        }
    }
}
