//! A run cannot be lost: whatever breaks it off, it goes on as if nothing had happened.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::{roentgen, text, write_images};

/// A run with everything that has a state, and a checkpoint after every step.
const ARGS: [&str; 16] = [
    "train",
    "--quiet",
    "--films",
    "120",
    "--width",
    "8",
    "--batch",
    "16",
    "--ema",
    "0.9",
    "--patience",
    "3",
    "--checkpoint-minutes",
    "0",
    "--threads",
    "1",
];
/// Three epochs after a first training, whose outcome is in no checkpoint.
const TWICE: [&str; 4] = ["--epochs", "3", "--oversample-hard", "3"];
/// More than a test waits for.
const LONG: [&str; 2] = ["--epochs", "300"];
/// What has to be the same to the byte.
const FILES: [&str; 5] = [
    "model.safetensors",
    "model-last.safetensors",
    "log.jsonl",
    "predictions.jsonl",
    "predictions_val.jsonl",
];

/// A run that works while the test goes on.
fn started(folder: &Path, more: &[&str], out: &str) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roentgen"));
    let args = [&ARGS[..], more, &["--out", out]].concat();
    command.args(args).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

/// Waits until the run has written a file.
fn wait_for(child: &mut Child, file: &Path) {
    while !file.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended before {} was there", file.display());
        sleep(Duration::from_millis(1));
    }
}

#[cfg(unix)]
fn send(signal: &str, child: &Child) {
    Command::new("kill").args([format!("-{signal}"), child.id().to_string()]).status().unwrap();
}

/// The files of the run that nothing breaks off.
fn unbroken(folder: &Path, more: &[&str]) -> Vec<Vec<u8>> {
    let output = roentgen(&[&ARGS[..], more, &["--out", "whole"]].concat(), folder);
    assert!(output.status.success(), "{}", text(&output.stderr));
    files(&folder.join("whole"))
}

fn files(run: &Path) -> Vec<Vec<u8>> {
    FILES.iter().map(|name| fs::read(run.join(name)).expect(name)).collect()
}

#[cfg(unix)]
#[test]
fn signals_end_a_run_politely() {
    let folder = TempDir::new().unwrap();
    let expected = unbroken(folder.path(), &TWICE);
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let mut child = started(folder.path(), &LONG, signal);
        wait_for(&mut child, &folder.path().join(signal).join("checkpoint.bin"));
        send(signal, &child);
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        let said = text(&output.stderr);
        assert!(said.contains(&format!("roentgen train --resume {signal}")), "{said}");
    }
    // Interrupted in the middle, and gone on with another number of threads.
    let mut child = started(folder.path(), &TWICE, "run");
    wait_for(&mut child, &folder.path().join("run/checkpoint.bin"));
    send("INT", &child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let output = roentgen(&["train", "--resume", "run", "--threads", "3"], folder.path());
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(files(&folder.path().join("run")) == expected, "the bytes differ");
}

/// A folder of images that take a minute to read: one large image under many names.
#[cfg(unix)]
fn write_slow_folder(folder: &Path) {
    let mut state = 1_u32;
    let image = image::GrayImage::from_fn(3000, 3000, |_, _| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        image::Luma([(state >> 24) as u8])
    });
    for class in ["a", "b"] {
        fs::create_dir_all(folder.join(class)).unwrap();
    }
    image.save(folder.join("a/0.png")).unwrap();
    for number in 1..600 {
        let name = format!("{}/{number}.png", ["a", "b"][number % 2]);
        fs::hard_link(folder.join("a/0.png"), folder.join(name)).unwrap();
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_reading_of_data() {
    let folder = TempDir::new().unwrap();
    write_slow_folder(&folder.path().join("films"));
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        for command in ["inspect films", "train films --quiet --out run"] {
            // As in the background of a script, where the system ignores Ctrl-C.
            let script = format!("trap '' INT; exec {} {command}", env!("CARGO_BIN_EXE_roentgen"));
            let mut command = Command::new("sh");
            let command = command.args(["-c", &script]).current_dir(folder.path());
            let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            sleep(Duration::from_millis(500));
            assert!(child.try_wait().unwrap().is_none(), "it has read everything already");
            send(signal, &child);
            let start = Instant::now();
            assert_eq!(child.wait().unwrap().code(), Some(code), "{signal}: {script}");
            assert!(start.elapsed() < Duration::from_secs(5), "{signal}: {:?}", start.elapsed());
            assert!(!folder.path().join("run").exists());
        }
    }
}

#[cfg(unix)]
#[test]
fn the_first_signal_is_answered_while_the_step_goes_on() {
    let folder = TempDir::new().unwrap();
    // One step of a large batch of large images takes seconds.
    let slow = ["--films", "120", "--batch", "120", "--size", "64", "--threads", "1", "--epochs", "300"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_roentgen"));
    command.args(["train", "--out", "run"]).args(slow).current_dir(folder.path());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut shown = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(shown.any(|line| line.unwrap().starts_with("run ")), "it ended before it had begun");
    send("INT", &child);
    let mut said = [0; 64];
    let n = child.stderr.as_mut().unwrap().read(&mut said).unwrap();
    let said = text(&said[..n]);
    assert!(said.contains("stopping") && child.try_wait().unwrap().is_none(), "{said}");
    send("INT", &child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(!folder.path().join("run/checkpoint.bin").exists(), "the second one ends at once");
}

/// A run that was broken off after its first step, and what is in its checkpoint.
#[cfg(unix)]
fn broken_off(folder: &Path) -> Vec<u8> {
    let mut child = started(folder, &LONG, "run");
    let checkpoint = folder.join("run/checkpoint.bin");
    wait_for(&mut child, &checkpoint);
    child.kill().unwrap();
    child.wait().unwrap();
    fs::read(checkpoint).unwrap()
}

#[cfg(unix)]
#[test]
fn a_run_goes_on_with_images_that_were_moved_and_with_no_others() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    for (out, seed) in [("films", "0"), ("others", "1")] {
        let films = ["data", "phantom", "--films", "60", "--seed", seed, "--quiet", "--out", out];
        assert!(roentgen(&films, here).status.success());
    }
    let args = [
        "train",
        "films",
        "--test",
        "films/test",
        "--out",
        "run",
        "--width",
        "8",
        "--batch",
        "8",
        "--epochs",
        "12",
        "--threads",
        "1",
    ];
    let mut command = Command::new(env!("CARGO_BIN_EXE_roentgen"));
    command.args(args).args(["--checkpoint-minutes", "0", "--no-audit"]).current_dir(here);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    wait_for(&mut child, &here.join("run/checkpoint.bin"));
    child.kill().unwrap();
    child.wait().unwrap();
    fs::rename(here.join("films"), here.join("moved")).unwrap();
    let output = roentgen(&["train", "--resume", "run"], here);
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("give their new place with --data"), "{said}");
    let resume = |data: &str| {
        let test = format!("{data}/test");
        roentgen(&["train", "--quiet", "--resume", "run", "--data", data, "--test", &test], here)
    };
    let output = resume("others");
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("the images are no longer those of the run"),
        "{}",
        text(&output.stderr)
    );
    let output = resume("moved");
    assert!(output.status.success() && here.join("run/report.html").exists(), "{}", text(&output.stderr));
    // As if it had been killed before its first checkpoint.
    let expected = fs::read(here.join("run/log.jsonl")).unwrap();
    fs::remove_file(here.join("run/metrics.json")).unwrap();
    let output = resume("others");
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("no longer those that it began with"), "{}", text(&output.stderr));
    let output = resume("moved");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(fs::read(here.join("run/log.jsonl")).unwrap() == expected, "the bytes differ");
    for name in ["metrics.json", "images.blake3"] {
        fs::remove_file(here.join("run").join(name)).unwrap();
    }
    let output = resume("moved");
    assert_eq!(output.status.code(), Some(2));
    let said = text(&output.stderr);
    assert!(said.contains("images.blake3") && said.contains("start another run"), "{said}");
}

#[cfg(unix)]
#[test]
fn a_run_goes_on_with_its_own_patients_and_class_names_only() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films", &[("any", 48)]);
    // The sets are given: no split depends on the patients, who have two images each.
    let mut list = "path,label,split,patient\n".to_owned();
    for number in 0..48 {
        let (label, split) = (["healthy", "ill"][number % 2], ["train", "train", "val", "test"][number / 12]);
        list += &format!("films/any/film{number:02}.png,{label},{split},p{}\n", number / 2);
    }
    fs::write(here.join("list.csv"), &list).unwrap();
    let args = ["train", "list.csv", "--out", "run", "--width", "8", "--batch", "4", "--epochs", "100"];
    let mut command = Command::new(env!("CARGO_BIN_EXE_roentgen"));
    command.args(args).args(["--threads", "1", "--checkpoint-minutes", "0", "--no-audit"]).current_dir(here);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    wait_for(&mut child, &here.join("run/checkpoint.bin"));
    child.kill().unwrap();
    child.wait().unwrap();
    let resume_with = |list: &str| {
        fs::write(here.join("list.csv"), list).unwrap();
        roentgen(&["train", "--quiet", "--resume", "run"], here)
    };
    // Another name leaves the order of the classes as it was.
    for (before, after) in [("train,p0\n", "train,p1\n"), (",ill,", ",sick,")] {
        let output = resume_with(&list.replace(before, after));
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("their patients or class names have changed"), "{said}");
    }
    let output = resume_with(&list);
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[cfg(unix)]
#[test]
fn a_checkpoint_that_does_not_fit_is_refused() {
    let folder = TempDir::new().unwrap();
    let good = broken_off(folder.path());
    let run = folder.path().join("run");
    let refused = |words: &str| {
        let output = roentgen(&["train", "--resume", "run"], folder.path());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(words) && !said.contains("panicked"), "{words}: {said}");
    };
    let mut damaged = good.clone();
    damaged[good.len() / 2] ^= 4;
    fs::write(run.join("checkpoint.bin"), damaged).unwrap();
    refused("damaged");
    refused("delete checkpoint.bin and resume");
    fs::write(run.join("checkpoint.bin"), &good).unwrap();
    let config = fs::read_to_string(run.join("config.toml")).unwrap();
    fs::write(run.join("config.toml"), config.replace("max-lr = 0.01", "max-lr = 0.02")).unwrap();
    refused("no longer those of the run");
    fs::write(run.join("config.toml"), config).unwrap();
    fs::write(run.join("metrics.json"), "{}").unwrap();
    refused("the run is finished");
    fs::remove_dir_all(&run).unwrap();
    refused("not the folder of a run");
}

#[cfg(unix)]
#[test]
fn best_weights_that_are_not_those_of_the_run_are_refused_before_training_goes_on() {
    let folder = TempDir::new().unwrap();
    let run = folder.path().join("run");
    let mut child = started(folder.path(), &LONG, "run");
    // The checkpoint of a later epoch knows of the best one, whichever that is.
    while fs::read_to_string(run.join("log.jsonl")).unwrap_or_default().lines().count() < 3 {
        assert!(child.try_wait().unwrap().is_none(), "it ended before three epochs were over");
        sleep(Duration::from_millis(1));
    }
    send("INT", &child);
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let model = run.join("model.safetensors");
    let good = fs::read(&model).unwrap();
    let refused = |words: &str| {
        let output = roentgen(&["train", "--quiet", "--resume", "run"], folder.path());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("model.safetensors") && said.contains(words), "{words}: {said}");
    };
    let mut damaged = good.clone();
    damaged[good.len() / 2] ^= 4;
    fs::write(&model, damaged).unwrap();
    refused("damaged");
    let other = [&ARGS[..], &["--epochs", "1", "--seed", "5", "--out", "other"]].concat();
    assert!(roentgen(&other, folder.path()).status.success());
    fs::copy(folder.path().join("other/model.safetensors"), &model).unwrap();
    refused("not the model that this run saved");
    fs::remove_file(&model).unwrap();
    refused("model.safetensors");
}

#[cfg(unix)]
#[test]
fn a_cross_validation_that_was_broken_off_goes_on_to_the_same_bytes() {
    let folder = TempDir::new().unwrap();
    let films = ["data", "phantom", "--out", "films", "--films", "60", "--quiet"];
    assert!(roentgen(&films, folder.path()).status.success());
    let args = |out: &'static str| {
        let of_folds = ["--data", "films/train", "--epochs", "2", "--folds", "3", "--width", "8"];
        [&["train", "--quiet", "--batch", "16", "--threads", "1"], &of_folds[..], &["--out", out]].concat()
    };
    assert!(roentgen(&args("whole"), folder.path()).status.success());
    let mut command = Command::new(env!("CARGO_BIN_EXE_roentgen"));
    let command = command.args(args("run")).current_dir(folder.path());
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(&mut child, &folder.path().join("run/fold-2/config.toml"));
    child.kill().unwrap();
    child.wait().unwrap();
    // The images have been moved in the meantime; those of another set are not taken for them.
    fs::rename(folder.path().join("films"), folder.path().join("moved")).unwrap();
    let resume =
        |data: &str| roentgen(&["train", "--quiet", "--resume", "run", "--data", data], folder.path());
    let output = resume("moved/test");
    assert_eq!(output.status.code(), Some(2), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("no longer those"), "{}", text(&output.stderr));
    let output = resume("moved/train");
    assert!(output.status.success(), "{}", text(&output.stderr));
    let read = |run: &str, name: &str| fs::read(folder.path().join(run).join(name)).unwrap();
    for name in ["metrics.json", "predictions.jsonl", "config.toml", "fold-3/model.safetensors"] {
        assert!(read("run", name) == read("whole", name), "{name} differs");
    }
}

#[cfg(unix)]
#[test]
fn a_run_folder_in_use_is_refused() {
    let folder = TempDir::new().unwrap();
    let mut child = started(folder.path(), &LONG, "run");
    wait_for(&mut child, &folder.path().join("run/config.toml"));
    let output = roentgen(&["train", "--resume", "run"], folder.path());
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(text(&output.stderr).contains("in use by another run"), "{}", text(&output.stderr));
}

#[cfg(unix)]
#[test]
fn a_full_disk_is_one_clear_error_and_keeps_the_last_checkpoint() {
    let folder = TempDir::new().unwrap();
    let good = broken_off(folder.path());
    // A limit on the size of files takes the place of a full disk: 64 blocks of 512 bytes.
    let program = env!("CARGO_BIN_EXE_roentgen");
    let script = format!("ulimit -f 64; exec {program} train --quiet --resume run");
    let output = Command::new("sh").args(["-c", &script]).current_dir(folder.path()).output().unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("cannot write run/checkpoint.bin") && said.contains("free space"), "{said}");
    assert!(said.contains("then continue with: roentgen train --resume run"), "{said}");
    assert!(
        fs::read(folder.path().join("run/checkpoint.bin")).unwrap() == good,
        "the checkpoint has changed"
    );
}

#[test]
fn runs_that_start_together_get_folders_of_their_own() {
    let folder = TempDir::new().unwrap();
    let program = env!("CARGO_BIN_EXE_roentgen");
    let start = |seed: u32| {
        let args =
            ["train", "--films", "24", "--size", "8", "--width", "8", "--epochs", "1", "--quiet", "--seed"];
        let mut command = std::process::Command::new(program);
        command.args(args).arg(seed.to_string()).current_dir(folder.path()).spawn().unwrap()
    };
    let children: Vec<_> = (0..3).map(start).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    let runs: Vec<_> = fs::read_dir(folder.path().join("runs")).unwrap().flatten().collect();
    assert_eq!(runs.len(), 3, "{runs:?}");
    assert!(runs.iter().all(|run| run.path().join("metrics.json").is_file()));
}

#[test]
fn a_run_goes_on_with_its_own_number_of_threads_unless_the_program_chose_it() {
    let folder = TempDir::new().unwrap();
    let n_processors = std::thread::available_parallelism().unwrap().get();
    let given = (n_processors + 1).to_string();
    crate::program::train(&["--films", "24", "--threads", &given, "--out", "run"], folder.path());
    let resumed = || -> serde_json::Value {
        // As if it had been killed before its first checkpoint.
        for name in ["metrics.json", "log.jsonl"] {
            fs::remove_file(folder.path().join("run").join(name)).unwrap();
        }
        let output = roentgen(&["train", "--resume", "run", "--json"], folder.path());
        assert!(output.status.success(), "{}", text(&output.stderr));
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap()["threads"].clone()
    };
    assert_eq!(resumed(), given.parse::<usize>().unwrap());
    // As on a machine with more processors.
    let config = folder.path().join("run/config.toml");
    let line = format!("threads = {given}\n");
    let text = fs::read_to_string(&config).unwrap();
    fs::write(&config, text.replacen(&line, "", 1) + &line).unwrap();
    assert_eq!(resumed(), n_processors);
}
