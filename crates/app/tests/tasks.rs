//! Tasks that train a share each in one folder, and `collect`, which ends with the bytes of a single process.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::program::{refuses, roentgen, text, train, write_images};

const SEEDS: &str = "train films --seeds 0..2 --size 16 --epochs 2 --width 8 --batch 16 --json";
/// Every second training has four times the work.
const GRID: &str = "[settings]\nmax-lr = [0.01, 0.02]\nwidth = [8, 16]\n";
const SWEEP: &str = "sweep space.toml --films 40 --batch 16 --size 16 --epochs 1";

fn start(args: &str, folder: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_roentgen"));
    command.args(args.split(' ')).current_dir(folder).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("the program starts")
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn tasks_at_the_same_time_are_collected_to_the_result_of_one_process() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films", &[("ill", 24), ("well", 20)]);
    let alone = start(&format!("{SEEDS} --out alone"), here).wait_with_output().unwrap().stdout;
    let task = |task: &str| start(&format!("{SEEDS} --out runs/shared --task {task}"), here);
    // More tasks than trainings, all at once: one of them creates the folder.
    let tasks: Vec<Child> = ["1/4", "2/4", "3/4", "4/4"].into_iter().map(task).collect();
    let outputs: Vec<_> = tasks.into_iter().map(|task| task.wait_with_output().unwrap()).collect();
    for (output, trained) in outputs.iter().zip([vec!["seed-0"], vec!["seed-1"], vec!["seed-2"], vec![]]) {
        assert!(output.status.success(), "{}", text(&output.stderr));
        let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(printed["trained"], Value::from(trained));
    }
    assert!(
        text(&outputs[0].stderr).contains("roentgen collect runs/shared"),
        "{}",
        text(&outputs[0].stderr)
    );
    // A task that is started again has nothing to do.
    let again = task("2/4").wait_with_output().unwrap();
    assert!(text(&again.stderr).contains("seed-1 has ended before"), "{}", text(&again.stderr));

    let kept = here.join("runs/shared/seed-1/metrics.json");
    let film = here.join("films/ill/film01.png");
    fs::rename(&film, here.join("film")).unwrap();
    refuses(&["collect", "runs/shared"], 2, &["the images are no longer those"], here);
    fs::rename(here.join("film"), film).unwrap();
    fs::rename(&kept, here.join("kept")).unwrap();
    let missing = "trainings of runs/shared have not ended: seed-1; start their tasks again";
    refuses(&["collect", "runs/shared"], 1, &[missing, "roentgen train --resume runs/shared"], here);
    fs::rename(here.join("kept"), kept).unwrap();
    let output = roentgen(&["collect", "runs/shared", "--json"], here);
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert!(output.stdout == alone, "{}", text(&output.stdout));
    for file in ["config.toml", "metrics.json", "seed-0/model.safetensors", "seed-2/predictions.jsonl"] {
        let read = |run: &str| fs::read(here.join(run).join(file)).unwrap();
        assert!(read("alone") == read("runs/shared"), "{file}");
    }
    assert!(!here.join("runs/shared/.lock").exists());
    refuses(&["collect", "runs/shared"], 2, &["the run is finished", "runs/shared/metrics.json"], here);
}

#[test]
fn tasks_of_a_sweep_have_equal_work_and_the_same_result() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    fs::write(here.join("space.toml"), GRID).unwrap();
    let run = |args: &str| {
        let output = roentgen(&args.split(' ').collect::<Vec<_>>(), here);
        assert!(output.status.success(), "{args}: {}", text(&output.stderr));
        text(&output.stderr)
    };
    run(&format!("{SWEEP} --out alone --quiet"));
    // The two wide ones are not in the same task.
    for (task, trained) in [("1/2", ["1", "2"]), ("2/2", ["3", "4"])] {
        run(&format!("{SWEEP} --out shared --quiet --task {task}"));
        assert!(
            trained.iter().all(|n| here.join(format!("shared/training-{n}/metrics.json")).exists()),
            "{task}"
        );
    }
    run("collect shared --quiet");
    for file in ["sweep.json", "sweep.html", "space.toml", "training-4/log.jsonl"] {
        let read = |run: &str| fs::read(here.join(run).join(file)).unwrap();
        assert!(read("alone") == read("shared"), "{file}");
    }
    assert_eq!(json(&here.join("shared/sweep.json"))["trainings"].as_array().unwrap().len(), 4);
    fs::write(here.join("space.toml"), format!("halving = 2\n{GRID}")).unwrap();
    let halving = format!("{SWEEP} --out halved --task 1/2");
    refuses(&halving.split(' ').collect::<Vec<_>>(), 2, &["halving cannot be used with tasks"], here);
    assert!(!here.join("halved").exists());
}

#[test]
fn images_that_were_moved_and_models_of_other_arithmetic_are_collected() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films", &[("ill", 24), ("well", 20)]);
    write_images(here, "others", &[("ill", 20), ("well", 24)]);
    let task = start(&format!("{SEEDS} --out shared --task 1/1"), here).wait_with_output().unwrap();
    assert!(task.status.success(), "{}", text(&task.stderr));
    fs::rename(here.join("films"), here.join("moved")).unwrap();
    refuses(&["collect", "shared"], 2, &["films"], here);
    refuses(&["collect", "shared", "--data", "others"], 2, &["the images are no longer those"], here);
    let moved = ["collect", "shared", "--data", "moved", "--quiet"];
    refuses(&[&moved[..], &["--threads", "0"]].concat(), 2, &["--threads"], here);
    // A model that another kind of CPU has computed: one letter of its name differs.
    let model = here.join("shared/seed-1/model.safetensors");
    let mut bytes = fs::read(&model).unwrap();
    let behind = |bytes: &[u8], key: &[u8]| {
        bytes.windows(key.len()).position(|window| window == key).expect("the key") + key.len()
    };
    let name = behind(&bytes, br#"\"instruction_sets\":[\""#);
    bytes[name] = b'X';
    let digest = behind(&bytes, br#"\"digest\":\""#);
    bytes[digest..digest + 64].fill(b'0');
    let hash = blake3::hash(&bytes).to_hex();
    bytes[digest..digest + 64].copy_from_slice(hash.as_bytes());
    fs::write(&model, bytes).unwrap();
    refuses(&moved, 2, &["add --other-cpu"], here);
    let output = roentgen(&[&moved[..], &["--other-cpu"]].concat(), here);
    assert!(output.status.success() && here.join("shared/metrics.json").exists(), "{}", text(&output.stderr));
}

#[test]
fn what_the_last_task_has_trained_stays_where_images_are_moved_before_the_first_one() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films", &[("ill", 24), ("well", 20)]);
    write_images(here, "others", &[("ill", 20), ("well", 24)]);
    let task = start(&format!("{SEEDS} --out shared --task 3/3"), here).wait_with_output().unwrap();
    assert!(task.status.success(), "{}", text(&task.stderr));
    let times = || fs::read(here.join("shared/seed-2/times.jsonl")).unwrap();
    let expected = times();
    fs::rename(here.join("films"), here.join("moved")).unwrap();
    let resume = ["train", "--resume", "shared", "--quiet", "--data"];
    refuses(&[&resume[..], &["others"]].concat(), 2, &["the images are no longer those"], here);
    let output = roentgen(&[&resume[..], &["moved"]].concat(), here);
    assert!(output.status.success() && here.join("shared/metrics.json").exists(), "{}", text(&output.stderr));
    assert!(times() == expected, "it was repeated");
}

#[test]
fn tasks_that_make_no_sense_are_refused() {
    let folder = TempDir::new().unwrap();
    let here = folder.path();
    write_images(here, "films", &[("ill", 24), ("well", 20)]);
    train(&["films", "--epochs", "1", "--size", "16", "--out", "single"], here);
    fs::create_dir(here.join("mine")).unwrap();
    fs::write(here.join("mine/notes.txt"), "precious").unwrap();
    let task = "train films --seeds 0..1 --epochs 1 --size 16 --task 2/2 --out shared";
    for (args, code, words) in [
        ("train films --epochs 1 --out run --task 1/2", 2, "--task cannot be used with a single training"),
        ("train films --seeds 0..4 --task 1/2", 2, "--out <DIR>"),
        ("train --resume run --task 1/2", 2, "cannot be used with"),
        ("train films --out run --other-cpu", 2, "--other-cpu cannot be used with a new training"),
        ("train films --seeds 0..4 --out run --task 3/2", 2, "expected I/N, such as 2/5"),
        ("train films --seeds 0..4 --out run --task 1/100000000000", 2, "expected at most 100,000 tasks"),
        ("train films --seeds 0..4 --out mine --task 1/2", 2, "is not an empty folder"),
        ("train films --seeds 0..4 --out films/run --task 1/2", 2, "would lie inside the data"),
        ("collect single", 2, "single: the run is finished, and its results are in single/report.html"),
        ("train films --out single", 2, "give a new folder (that run is finished"),
        ("evaluate shared", 2, "cannot read the model shared: it does not exist"),
        ("evaluate films", 2, "films has no model.safetensors: it is not the folder of a run"),
        (
            "collect films",
            2,
            "cannot collect films: it is not the folder of a run; give the --out of the tasks",
        ),
    ] {
        refuses(&args.split(' ').collect::<Vec<_>>(), code, &[words], here);
    }
    assert!(!here.join("run").exists());
    assert_eq!(fs::read_dir(here.join("mine")).unwrap().count(), 1);
    assert!(roentgen(&task.split(' ').collect::<Vec<_>>(), here).status.success());
    for (other, words) in [
        (task.replace("--size 16", "--size 24"), "size in config.toml differs"),
        (task.replace("0..1", "0..3"), "seeds in config.toml differs"),
    ] {
        refuses(&other.split(' ').collect::<Vec<_>>(), 2, &[words], here);
    }
    let inside = "it is the folder of several trainings; give the folder of one of them, such as shared/";
    refuses(&["evaluate", "shared"], 2, &[inside], here);
    let without_task = task.replace(" --task 2/2", "");
    refuses(
        &without_task.split(' ').collect::<Vec<_>>(),
        2,
        &["continue it with: roentgen train --resume shared"],
        here,
    );
    // Other images than those of the first task.
    let other = here.join("films/ill/film00.png");
    fs::rename(&other, here.join("film00.png")).unwrap();
    let words = "the images are no longer those that its trainings began with";
    refuses(&task.replace("2/2", "1/2").split(' ').collect::<Vec<_>>(), 2, &[words], here);
    fs::rename(here.join("film00.png"), other).unwrap();
    // The number of threads is no part of a result.
    let threads = format!("{} --threads 1", task.replace("2/2", "1/2"));
    let output = roentgen(&threads.split(' ').collect::<Vec<_>>(), here);
    assert!(output.status.success(), "{}", text(&output.stderr));
}
