//! A run that diverges says so, and keeps its last good checkpoint.

use tempfile::TempDir;

use crate::program::{refuses, roentgen, text, write_images};

#[test]
fn a_run_that_ends_no_better_than_guessing_says_so() {
    let folder = TempDir::new().unwrap();
    let ends = |flags: &[&str], out: &str| {
        let fixed = ["train", "--films", "120", "--width", "8", "--epochs", "12", "--out", out];
        let output = roentgen(&[&fixed[..], flags].concat(), folder.path());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    for rate in ["30", "1000"] {
        let wild = ends(&["--max-lr", rate, "--clip", "off"], rate);
        for words in
            ["WARNING", "no better than guessing (1.0986)", "--lr (it is", "switch --clip on (it is off"]
        {
            assert!(wild.contains(words), "{words}: {wild}");
        }
        let report = std::fs::read_to_string(folder.path().join(rate).join("report.html")).unwrap();
        assert!(
            report.contains("no better than guessing (1.0986): training has diverged, or was too short.")
        );
    }
    assert!(!ends(&[], "tame").contains("WARNING"));
}

#[test]
fn a_run_that_diverges_keeps_its_last_good_checkpoint() {
    let folder = TempDir::new().unwrap();
    let wild = ["--max-lr", "1000", "--clip", "off", "--decay", "decoupled", "--weight-decay", "1"];
    let fixed = ["train", "--quiet", "--films", "120", "--width", "8", "--epochs", "20", "--out"];
    let diverges = |out: &str, more: &[&str]| {
        let output = roentgen(&[&fixed[..], &[out], &wild, more].concat(), folder.path());
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("became") && said.contains("epoch") && said.contains("lower --lr"), "{said}");
    };
    // Too short for a checkpoint by itself; its best model so far is kept all the same.
    diverges("short", &[]);
    assert!(folder.path().join("short/model.safetensors").exists());
    diverges("run", &["--checkpoint-minutes", "0"]);
    let bytes = std::fs::read(folder.path().join("run/checkpoint.bin")).unwrap();
    // The name of the format and a digest come before the tensors (src/training/checkpoint.rs).
    let tensors = &bytes[bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1 + 32..];
    let tensors = safetensors::SafeTensors::deserialize(tensors).unwrap();
    let values = |name: &str| {
        let bytes = tensors.tensor(name).unwrap().data().to_vec();
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<f32>>()
    };
    assert!(!values("value.0").is_empty());
    for name in tensors.names().into_iter().filter(|name| name.starts_with("value.")) {
        assert!(values(name).iter().all(|value| value.is_finite()), "{name}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_that_does_not_fit_into_memory_is_rejected_before_it_begins() {
    let folder = TempDir::new().unwrap();
    let train = |flags: &str, out: &str| {
        let program = assert_cmd::cargo::cargo_bin("roentgen");
        let fixed = "train --films 60 --epochs 1 --threads 1 --quiet";
        let line = format!("ulimit -v 1500000; exec {} {fixed} {flags} --out {out}", program.display());
        std::process::Command::new("sh").args(["-c", &line]).current_dir(folder.path()).output().unwrap()
    };
    let large = train("--width 128 --size 48 --batch 40", "large");
    let said = text(&large.stderr);
    assert_eq!(large.status.code(), Some(2), "{said}");
    for words in
        ["would take about", "(ulimit -v)", "40 images of 48x48 at width 128", "lower --batch, --size"]
    {
        assert!(said.contains(words), "{words}: {said}");
    }
    assert!(!folder.path().join("large").exists());
    let roentgen = assert_cmd::cargo::cargo_bin("roentgen");
    let films = "data phantom --out films --films 24 --quiet".split(' ').collect::<Vec<_>>();
    assert!(crate::program::roentgen(&films, folder.path()).status.success());
    for (command, remedy) in [
        ("bench --case train:2048", "at width 64: lower the batch of --case"),
        ("bench --case infer:65536", "at width 64: lower the batch of --case"),
        (
            "bench --filter train:128 --size 400",
            "at width 64: lower --size or --width, or select smaller batches with --filter",
        ),
        ("bench --filter conv1 --size 512 --width 256", "at width 256: lower --size or --width"),
        ("audit films --size 400", "at width 32: lower --size"),
    ] {
        let line = format!("ulimit -v 1500000; exec {} {command}", roentgen.display());
        let output = std::process::Command::new("sh").args(["-c", &line]).current_dir(folder.path()).output();
        let output = output.unwrap();
        let said = text(&output.stderr);
        let words = "error: the run would take about";
        assert!(output.status.code() == Some(2) && said.contains(words), "{command}: {said}");
        assert!(said.trim_end().ends_with(remedy), "{command}: {said}");
    }
    let small = train("--width 8", "small");
    assert!(small.status.success(), "{}", text(&small.stderr));
    // Continued where there is less memory: its settings cannot be changed.
    std::fs::remove_file(folder.path().join("small/metrics.json")).unwrap();
    let config = folder.path().join("small/config.toml");
    let larger = std::fs::read_to_string(&config).unwrap().replace("width = 8\n", "width = 256\n");
    std::fs::write(config, larger).unwrap();
    let line = format!("ulimit -v 1500000; exec {} train --resume small", roentgen.display());
    let output = std::process::Command::new("sh").args(["-c", &line]).current_dir(folder.path()).output();
    let said = text(&output.unwrap().stderr);
    assert!(
        said.contains("the run would take about") && said.contains("on a machine with more memory"),
        "{said}"
    );
}

#[test]
fn no_epoch_is_selected_by_an_area_that_is_not_defined() {
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "sets/train", &[("ill", 12), ("well", 12)]);
    write_images(folder.path(), "sets/val", &[("ill", 4)]);
    let args = ["train", "--data", "sets", "--select", "auc", "--out", "none"];
    refuses(&args, 2, &["--select auc", "of one class", "another --select"], folder.path());
}
