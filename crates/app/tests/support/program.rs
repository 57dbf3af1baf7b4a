//! What the tests of the program share.

use std::fs;
use std::path::Path;
use std::process::Output;

use assert_cmd::Command;
use serde_json::Value;

/// Runs the program.
pub(crate) fn roentgen(args: &[&str], folder: &Path) -> Output {
    let mut command = Command::cargo_bin("roentgen").expect("cargo builds the program for its tests");
    command.args(args).current_dir(folder).output().expect("the program starts")
}

/// What it said.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A small training run, of one epoch unless `args` say otherwise; returns what it printed as JSON.
pub(crate) fn train(args: &[&str], folder: &Path) -> Value {
    let epochs: &[&str] = if args.contains(&"--epochs") { &[] } else { &["--epochs", "1"] };
    let output = roentgen(&[&["train", "--width", "8", "--quiet", "--json"], epochs, args].concat(), folder);
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("one JSON object and nothing else")
}

/// Writes grey images of noise: `counts` of them in each class folder of `part`.
pub(crate) fn write_images(root: &Path, part: &str, counts: &[(&str, u32)]) {
    for (class_idx, (class, count)) in counts.iter().enumerate() {
        let folder = root.join(part).join(class);
        fs::create_dir_all(&folder).unwrap();
        for i in 0..*count {
            let mut state = 1 + i * 7 + class_idx as u32 * 1000;
            let image = image::GrayImage::from_fn(40, 36, |_, _| {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                image::Luma([(state >> 24) as u8])
            });
            image.save(folder.join(format!("film{i:02}.png"))).unwrap();
        }
    }
}

/// Runs a command that must fail with `code`, say each of `words` in one line, and leave nothing behind.
pub(crate) fn refuses(args: &[&str], code: i32, words: &[&str], folder: &Path) {
    let before = fs::read_dir(folder).unwrap().count();
    let output = roentgen(args, folder);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {said}");
    for word in words {
        assert!(said.contains(word), "{args:?} does not say {word:?}: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
    assert_eq!(fs::read_dir(folder).unwrap().count(), before, "{args:?} left something behind");
}
