//! A run that is killed at any moment goes on to the same bytes. A plain run is killed 25 times; by hand, runs of every kind on
//! a disk whose fsync is slow, each as often as `ROENTGEN_TEST_KILLS` says.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::{roentgen, text};

/// A run with everything that has a state, and a checkpoint after every step.
const PLAIN: &str = "train --films 60 --epochs 3 --width 8 --batch 8 --ema 0.9 --patience 3 --checkpoint-minutes 0 --threads 1";
/// A first training, whose outcome is in no checkpoint, and a second one.
const TWICE: &str =
    "train --films 48 --epochs 2 --width 8 --batch 16 --oversample-hard 2 --checkpoint-minutes 0 --threads 1";
/// A model with 16 times the weights of the others, from larger images.
const LARGE: &str =
    "train --films 120 --epochs 2 --width 32 --size 40 --batch 40 --ema 0.9 --checkpoint-minutes 0";
/// Three runs, and their results together.
const FOLDS: &str =
    "train films/train --epochs 2 --folds 3 --width 8 --batch 16 --checkpoint-minutes 0 --threads 1";
/// Four settings, of which the better half is trained again, for twice as many epochs.
const SWEEP: &str =
    "sweep space.toml --films 40 --batch 16 --size 16 --epochs 2 --checkpoint-minutes 0 --threads 1";
const SPACE: &str = "halving = 2\nmin-epochs = 1\n[settings]\nmax-lr = [0.01, 0.02]\nwidth = [8, 16]\n";
/// One of two tasks, with two trainings.
const TASK: &str = "train --films 40 --seeds 0..2 --epochs 2 --width 8 --batch 16 --size 16 --checkpoint-minutes 0 \
                    --threads 1 --task 1/2";
/// What has to be the same to the byte.
const FILES: [&str; 5] =
    ["model.safetensors", "model-last.safetensors", "log.jsonl", "predictions.jsonl", "sweep.json"];
/// How long a slow fsync takes, in microseconds.
const SLOW_FSYNC_US: u32 = 20_000;

/// Its multiples are spread evenly over the unit interval, however many there are.
const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;

/// How a run fares that is killed.
struct Kills {
    folder: TempDir,
    args: &'static str,
    is_slow: bool,
    expected: BTreeMap<PathBuf, Vec<u8>>,
    took: Duration,
}

impl Kills {
    fn new(args: &'static str, is_slow: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let films: Vec<&str> = "data phantom --out films --films 60 --quiet".split(' ').collect();
        assert!(roentgen(&films, folder.path()).status.success());
        fs::write(folder.path().join("space.toml"), SPACE).unwrap();
        let mut kills = Self { folder, args, is_slow, expected: BTreeMap::new(), took: Duration::ZERO };
        let start = Instant::now();
        assert!(kills.started("whole").wait().unwrap().success());
        kills.took = start.elapsed();
        kills.expected = files(&kills.path("whole"));
        kills
    }

    fn path(&self, run: &str) -> PathBuf {
        self.folder.path().join(run)
    }

    /// A run that works while the test goes on.
    fn started(&self, out: &str) -> Child {
        let mut command = if self.is_slow {
            // The tracer is not the parent, so that the child is the program itself.
            let slow = format!("inject=fsync,fdatasync:delay_exit={SLOW_FSYNC_US}");
            let mut strace = Command::new("strace");
            strace.args([
                "-D",
                "-f",
                "-qq",
                "--seccomp-bpf",
                "-o",
                "/dev/null",
                "-e",
                "trace=fsync,fdatasync",
            ]);
            strace.args(["-e", &slow, env!("CARGO_BIN_EXE_roentgen")]);
            strace
        } else {
            Command::new(env!("CARGO_BIN_EXE_roentgen"))
        };
        command.args(self.args.split(' ')).args(["--quiet", "--out", out]).current_dir(self.folder.path());
        command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts")
    }

    /// Goes on with a run that was killed; whether there was something to resume.
    fn go_on(&self, run: &str) -> bool {
        let path = self.path(run);
        let command = self.args.split(' ').next().expect("a command");
        let resume = || roentgen(&[command, "--quiet", "--resume", run], self.folder.path());
        if ["metrics.json", "sweep.json"].iter().any(|name| path.join(name).exists()) {
            // Killed, perhaps, before it had removed what only an unfinished run needs.
            let output = resume();
            assert!(text(&output.stderr).contains("the run is finished"), "{}", text(&output.stderr));
            return false;
        }
        let can_resume = path.join("config.toml").exists();
        // A task goes on with its own command.
        if can_resume && self.args != TASK {
            let output = resume();
            assert!(output.status.success(), "{run}: {}", text(&output.stderr));
        } else {
            // Or killed before there was anything to go on with: the same command begins again.
            let mut args: Vec<&str> = self.args.split(' ').collect();
            args.extend(["--quiet", "--out", run]);
            let output = roentgen(&args, self.folder.path());
            assert!(output.status.success(), "{run}: {}", text(&output.stderr));
        }
        can_resume
    }

    /// Kills a run at each of `n` moments spread over its length; in such an order that the first ones are spread, too.
    fn kill(&mut self, name: &str, n: u32) {
        let mut n_resumed = 0;
        for kill in 0..n {
            let run = format!("run{kill}");
            let mut child = self.started(&run);
            sleep(self.took.mul_f64((f64::from(kill) * GOLDEN_RATIO).fract()));
            if child.try_wait().unwrap().is_some() {
                // The machine has become faster since: the next moments come earlier.
                self.took = self.took * 9 / 10;
            }
            child.kill().expect("it can be killed, or has ended");
            child.wait().unwrap();
            n_resumed += u32::from(self.go_on(&run));
            let path = self.path(&run);
            assert!(files(&path) == self.expected, "{name}, kill {kill} of {n}: the bytes differ");
            let mut left: Vec<_> =
                fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name()).collect();
            // The folder of tasks is locked until they are collected.
            left.retain(|name| self.args != TASK || name != ".lock");
            assert!(
                !left.iter().any(|name| name.to_string_lossy().starts_with('.')),
                "kill {kill}: {left:?}"
            );
            fs::remove_dir_all(&path).unwrap();
            if (kill + 1) % 25 == 0 {
                let done = kill + 1;
                println!("{name}: {done} kills, all runs the same to the byte, {n_resumed} of them resumed");
            }
        }
        // Not more: on a machine whose speed changes, many a kill comes before the run begins or after it has ended.
        assert!(n_resumed > n / 4, "{n_resumed} were broken off in their middle");
    }
}

/// The files of a run, and of its folds, by their path in it.
fn files(run: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let entries = walkdir::WalkDir::new(run).into_iter().map(|entry| entry.expect("an entry"));
    let of_run = entries.filter(|entry| FILES.contains(&&*entry.file_name().to_string_lossy()));
    of_run
        .map(|entry| {
            let name = entry.path().strip_prefix(run).expect("a file of the run");
            (name.to_owned(), fs::read(entry.path()).expect("a file of the run"))
        })
        .collect()
}

/// Kills a run on a slow disk, as often as the user asks for.
fn kill_on_a_slow_disk(name: &str, args: &'static str) {
    let n = std::env::var("ROENTGEN_TEST_KILLS").map_or(50, |n| n.parse().expect("a number of kills"));
    if Command::new("strace").arg("-V").output().is_err() {
        println!("skipped: strace, which slows down fsync, is not installed");
        return;
    }
    Kills::new(args, true).kill(name, n);
}

#[test]
fn a_run_killed_at_any_moment_goes_on_to_the_same_bytes() {
    Kills::new(PLAIN, false).kill("plain", 25);
}

#[test]
fn a_sweep_killed_at_any_moment_goes_on_to_the_same_bytes() {
    Kills::new(SWEEP, false).kill("sweep", 10);
}

#[test]
fn a_task_killed_at_any_moment_goes_on_to_the_same_bytes() {
    Kills::new(TASK, false).kill("task", 10);
}

#[test]
#[ignore = "takes as long as ROENTGEN_TEST_KILLS says"]
fn a_run_killed_on_a_slow_disk_goes_on_to_the_same_bytes() {
    kill_on_a_slow_disk("plain, slow fsync", PLAIN);
}

#[test]
#[ignore = "takes as long as ROENTGEN_TEST_KILLS says"]
fn a_run_of_two_trainings_killed_on_a_slow_disk_goes_on_to_the_same_bytes() {
    kill_on_a_slow_disk("two trainings, slow fsync", TWICE);
}

#[test]
#[ignore = "takes as long as ROENTGEN_TEST_KILLS says"]
fn a_large_run_killed_on_a_slow_disk_goes_on_to_the_same_bytes() {
    kill_on_a_slow_disk("large, slow fsync", LARGE);
}

#[test]
#[ignore = "takes as long as ROENTGEN_TEST_KILLS says"]
fn folds_killed_on_a_slow_disk_go_on_to_the_same_bytes() {
    kill_on_a_slow_disk("folds, slow fsync", FOLDS);
}
