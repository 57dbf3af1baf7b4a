//! Trainings on several ranks, which mpirun starts: the program that was built with `--features mpi`.
//!
//! `ROENTGEN_TEST_MPIRUN` names the mpirun of the MPI that the program was built with; `cargo xtask check` runs these tests
//! with every MPI that it finds.
#![forbid(unsafe_code)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// What has to be the same to the byte.
const FILES: [&str; 5] = [
    "model.safetensors",
    "model-last.safetensors",
    "log.jsonl",
    "predictions.jsonl",
    "predictions_val.jsonl",
];
/// Everything that has a state, a first training that is not in a checkpoint, and a checkpoint after every step.
const PLAIN: &str = "train --films 48 --epochs 2 --width 8 --batch 12 --micro-batches 4 --ema 0.9 --patience 3 \
                     --oversample-hard 2 --checkpoint-minutes 0 --threads 1 --no-audit";
/// The run that is killed: as short as one can be that has two epochs.
const SHORT: &str = "train --films 24 --epochs 2 --width 8 --batch 12 --micro-batches 4 --checkpoint-minutes 0 --threads 1 \
                     --no-audit --quiet";
/// Longest that a rank may go on after another one was lost; with a machine that has fewer cores than ranks.
const SECONDS_TO_END: u64 = 30;
/// Its multiples are spread evenly over the unit interval, however many there are.
const GOLDEN_RATIO: f64 = 0.618_033_988_749_895;

/// A folder in which ranks work.
struct Job {
    folder: TempDir,
}

impl Job {
    fn new() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// mpirun for `n` ranks; the program and its arguments follow.
    fn mpirun(&self) -> Command {
        let name = std::env::var("ROENTGEN_TEST_MPIRUN").unwrap_or_else(|_| "mpirun".to_owned());
        let mut command = Command::new(name);
        command.current_dir(self.folder.path());
        // More ranks than cores, and as root in a container: Open MPI wants to be asked for both. MPICH ignores these.
        command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
        command.env("OMPI_MCA_rmaps_base_oversubscribe", "1");
        command
    }

    fn command(&self, n: usize, args: &str) -> Command {
        let mut command = self.mpirun();
        command.args(["-n", &n.to_string(), env!("CARGO_BIN_EXE_roentgen")]).args(args.split_whitespace());
        command
    }

    fn run(&self, n: usize, args: &str) -> Output {
        self.command(n, args).output().expect("mpirun starts")
    }

    fn succeeds(&self, n: usize, args: &str) {
        let output = self.run(n, args);
        assert!(output.status.success(), "{n} ranks, {args}: {}", said(&output));
    }

    fn files(&self, run: &str) -> Vec<Vec<u8>> {
        let read = |name| {
            let path = self.path(run).join(name);
            fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
        };
        FILES.map(read).into()
    }

    /// The figures and the report of a run, without how long it took.
    fn texts_without_times(&self, run: &str) -> [String; 2] {
        let read = |name| fs::read_to_string(self.path(run).join(name)).unwrap();
        let is_time = |line: &&str| {
            ["\"train_images_per_s\"", "\"train_seconds\"", "\"data_loading_fraction\""]
                .iter()
                .any(|name| line.trim().starts_with(name))
        };
        let metrics = read("metrics.json").lines().filter(|line| !is_time(line)).collect::<Vec<_>>().concat();
        let report = read("report.html").split('>').filter(|part| !part.contains(" images/s")).collect();
        [metrics, report]
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// The processes of the program that work in `folder`, with their ranks.
fn ranks_in(folder: &Path) -> Vec<(usize, Pid)> {
    let folder = folder.canonicalize().unwrap();
    let rank_of = |pid: i32| -> Option<usize> {
        let process = Path::new("/proc").join(pid.to_string());
        let is_program =
            fs::read_link(process.join("exe")).ok()? == Path::new(env!("CARGO_BIN_EXE_roentgen"));
        let is_here = fs::read_link(process.join("cwd")).ok()? == folder;
        let environ = fs::read(process.join("environ")).ok()?;
        let variables = environ.split(|byte| *byte == 0).map(String::from_utf8_lossy);
        let rank = variables
            .into_iter()
            .find_map(|line| {
                let value = line.strip_prefix("OMPI_COMM_WORLD_RANK=").or(line.strip_prefix("PMI_RANK="));
                value.map(str::to_owned)
            })?
            .parse()
            .ok()?;
        (is_program && is_here).then_some(rank)
    };
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_string_lossy().parse::<i32>().ok());
    pids.filter_map(|pid| rank_of(pid).zip(Pid::from_raw(pid))).collect()
}

#[test]
fn any_number_of_ranks_gives_the_same_bytes() {
    let job = Job::new();
    // Of files each rank decodes a share.
    job.succeeds(1, "data phantom --films 48 --out films --quiet");
    // A report has the path as it is given, and ranks make it absolute.
    let args = PLAIN.replace("--films 48", &format!("--data {}", job.path("films").display()));
    for (n, cache) in [(1, ""), (2, ""), (4, "--cache cache")] {
        job.succeeds(n, &format!("{args} --out on-{n} {cache}"));
    }
    // Without mpirun.
    let mut alone = Command::new(env!("CARGO_BIN_EXE_roentgen"));
    alone.args(args.split_whitespace()).args(["--out", "alone"]).current_dir(job.folder.path());
    assert!(alone.output().unwrap().status.success());
    let expected = job.files("alone");
    for run in ["on-1", "on-2", "on-4"] {
        assert!(job.files(run) == expected, "{run}");
        assert_eq!(job.texts_without_times(run), job.texts_without_times("alone"), "{run}");
    }
    assert!(!job.path("alone/checkpoint.bin").exists() && !job.path("on-4/checkpoint.bin").exists());
}

#[test]
fn a_number_of_ranks_that_does_not_fit_is_refused_once() {
    let job = Job::new();
    let output = job.run(3, &format!("{PLAIN} --out run"));
    let text = said(&output);
    assert!(!output.status.success() && text.contains("start 2 or 4"), "{text}");
    assert_eq!(text.matches("error: 3 ranks").count(), 1, "{text}");
    let output = job.run(2, "train --films 24 --out run");
    assert!(said(&output).contains("give --micro-batches 2"), "{}", said(&output));
    let output = job.run(2, "train nosuch --micro-batches 2 --out run");
    assert_eq!(said(&output).matches("nosuch").count(), 1, "{}", said(&output));
    let text = said(&job.run(2, "train --films 24 --seeds 0..1 --out run --task 1/2"));
    assert!(text.contains("a task is the work of one process, and 2 were started"), "{text}");
    assert!(!job.path("run").exists(), "nothing is created");
}

#[test]
fn the_launcher_of_another_mpi_is_refused() {
    let job = Job::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_roentgen"));
    command.current_dir(job.folder.path()).args(SHORT.split_whitespace()).args(["--out", "run"]);
    // As in a program of MPICH that Open MPI starts, and the reverse: a launcher that this one's library does not know.
    let output = command.env("OMPI_COMM_WORLD_SIZE", "2").output().expect("the program starts");
    let text = said(&output);
    assert!(text.contains("OMPI_COMM_WORLD_SIZE is 2, but this process finds no other"), "{text}");
    assert_eq!(output.status.code(), Some(2));
    assert!(!job.path("run").exists());
}

#[test]
fn a_training_that_diverges_is_reported_once() {
    let job = Job::new();
    let settings = "--films 48 --width 8 --size 16 --micro-batches 2 --epochs 3 --no-audit";
    let diverging = "--lr 1000 --clip off --decay decoupled --weight-decay 10 --out run";
    let output = job.run(2, &format!("train {settings} {diverging}"));
    let text = said(&output);
    assert!(!output.status.success(), "{text}");
    assert_eq!(text.matches("training has diverged").count(), 1, "{text}");
}

/// Settings of several short trainings.
const SEVERAL: &str = "films/train --epochs 2 --width 8 --batch 12 --threads 1";

#[test]
fn trainings_that_ranks_share_end_with_the_bytes_of_one_process() {
    let job = Job::new();
    job.succeeds(1, "data phantom --films 40 --out films --quiet");
    let space = "halving = 2\nmin-epochs = 1\n[settings]\nmax-lr = [0.01, 0.02]\nwidth = [8, 16]\n";
    fs::write(job.path("space.toml"), space).unwrap();
    for (name, args, files) in [
        (
            "seeds",
            "train --seeds 0..2",
            &["metrics.json", "seed-1/model.safetensors", "seed-2/log.jsonl"][..],
        ),
        ("folds", "train --folds 3", &["metrics.json", "predictions.jsonl", "fold-2/model.safetensors"]),
        ("sweep", "sweep space.toml", &["sweep.json", "sweep.html", "training-4-rung-1/log.jsonl"]),
    ] {
        let args = format!(
            "{args} {}",
            if name == "sweep" { SEVERAL.replace("--width 8 ", "") } else { SEVERAL.into() }
        );
        let read = |run: &str| -> Vec<Vec<u8>> {
            files.iter().map(|file| fs::read(job.path(run).join(file)).unwrap()).collect()
        };
        job.succeeds(1, &format!("{args} --out {name}-1"));
        // More ranks than there are trainings of the last rung.
        for n in [2, 4] {
            let run = format!("{name}-{n}");
            job.succeeds(n, &format!("{args} --out {run}"));
            assert!(read(&run) == read(&format!("{name}-1")), "{run}");
        }
    }
    // As if both ranks had been killed in their second training.
    for entry in ["metrics.json", "fold-2/metrics.json", "fold-3/metrics.json", "fold-3/config.toml"] {
        fs::remove_file(job.path("folds-2").join(entry)).unwrap();
    }
    job.succeeds(4, "train --resume folds-2");
    for file in ["metrics.json", "predictions.jsonl", "fold-3/model.safetensors"] {
        assert!(
            fs::read(job.path("folds-2").join(file)).unwrap()
                == fs::read(job.path("folds-1").join(file)).unwrap()
        );
    }
}

#[test]
fn another_program_on_one_rank_is_named() {
    let job = Job::new();
    let (own, other) = (env!("CARGO_BIN_EXE_roentgen"), job.path("other"));
    let mut bytes = fs::read(own).unwrap();
    bytes.push(0);
    fs::write(&other, bytes).unwrap();
    fs::set_permissions(&other, fs::metadata(own).unwrap().permissions()).unwrap();
    let mut command = job.mpirun();
    let args: Vec<&str> = PLAIN.split_whitespace().chain(["--out", "run"]).collect();
    command.args(["-n", "3", own]).args(&args).args([":", "-n", "1"]).arg(&other).args(&args);
    let output = command.output().unwrap();
    let text = said(&output);
    assert!(!output.status.success() && text.contains("the digest of the program of rank 3 is"), "{text}");
    assert!(!job.path("run").exists());
}

#[test]
fn other_images_on_one_rank_are_named() {
    let job = Job::new();
    let program = env!("CARGO_BIN_EXE_roentgen");
    job.succeeds(1, "data phantom --films 24 --out films --quiet");
    // A namespace of its own lets one rank see another folder at the same path.
    let hidden = "mount -t tmpfs none films && exec \"$0\" \"$@\"";
    let probe = Command::new("unshare").args(["-m", "true"]).status();
    if !probe.is_ok_and(|status| status.success()) {
        println!("skipped: `unshare -m` does not work here, so that all ranks see the same files");
        return;
    }
    let args: Vec<&str> = PLAIN.split_whitespace().chain(["--out", "run", "--data", "films/train"]).collect();
    let args: Vec<&str> = args.into_iter().filter(|arg| !["--films", "48"].contains(arg)).collect();
    let mut command = job.mpirun();
    command.args(["-n", "1", program]).args(&args);
    command.args([":", "-n", "1", "unshare", "-m", "sh", "-c", hidden, program]).args(&args);
    let output = command.output().unwrap();
    let text = said(&output);
    assert!(!output.status.success() && text.contains("rank 1: ") && text.contains("films/train"), "{text}");
    assert!(!job.path("run").exists());
}

#[test]
fn a_rank_that_stops_is_given_up_with_a_reason() {
    let job = Job::new();
    let mut command = job.command(2, &format!("{} --out run", SHORT.replace("--epochs 2", "--epochs 4000")));
    command.env("ROENTGEN_RANK_TIMEOUT", "6");
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    wait_for(|| job.path("run/checkpoint.bin").exists());
    let (_, stopped) = ranks_in(job.folder.path()).into_iter().find(|(rank, _)| *rank == 1).expect("rank 1");
    kill_process(stopped, Signal::STOP).unwrap();
    let start = Instant::now();
    // mpirun ends a process that does not react to the first signal with a second one.
    let output = child.wait_with_output().unwrap();
    assert!(start.elapsed() < Duration::from_secs(SECONDS_TO_END), "{:?}", start.elapsed());
    let text = said(&output);
    let expected = "rank 0 has had no sign of life from rank 1 for 6 s";
    assert!(!output.status.success() && text.contains(expected), "{text}");
    assert!(ranks_in(job.folder.path()).is_empty(), "a rank goes on");
}

#[test]
fn a_signal_to_any_rank_ends_all_with_a_checkpoint() {
    let job = Job::new();
    // So many epochs that the signal comes in one of them, and none is left out.
    let many = PLAIN.replace("--epochs 2", "--epochs 300").replace("--patience 3", "--patience 300");
    let long = many.replace("--checkpoint-minutes 0", "--checkpoint-minutes 60");
    job.succeeds(1, &format!("{long} --out whole"));
    for rank in [0, 1] {
        let run = format!("run{rank}");
        let mut command = job.command(2, &format!("{long} --out {run}"));
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        wait_for(|| job.path(&run).join("log.jsonl").exists());
        let of_rank = ranks_in(job.folder.path()).into_iter().find(|(of, _)| *of == rank);
        kill_process(of_rank.expect("the rank").1, Signal::TERM).unwrap();
        let output = child.wait_with_output().unwrap();
        let text = said(&output);
        // The exit code of mpirun is not always that of the rank.
        assert!(!output.status.success() && text.contains("interrupted; continue with: "), "{text}");
        assert!(!job.path(&run).join("metrics.json").exists(), "{run} has ended");
        job.succeeds(4, &format!("train --resume {run}"));
        assert!(job.files(&run)[2..] == job.files("whole")[2..], "{run}");
    }
}

#[test]
fn the_end_of_the_input_stops_all_ranks_of_one_training_and_is_refused_for_several() {
    let job = Job::new();
    let start = |args: &str| {
        let mut command = job.command(2, &format!("{args} --stop-with-input"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut child = start(&format!("{} --out run", SHORT.replace("--epochs 2", "--epochs 4000")));
    wait_for(|| job.path("run/checkpoint.bin").exists());
    drop(child.stdin.take());
    let text = said(&child.wait_with_output().unwrap());
    assert!(text.contains("interrupted; continue with: "), "{text}");
    let mut child = start("train --films 24 --seeds 0..1 --out seeds");
    let _open = child.stdin.take();
    let output = child.wait_with_output().unwrap();
    let text = said(&output);
    assert!(!output.status.success() && text.contains("--stop-with-input cannot be used with"), "{text}");
    assert!(!job.path("seeds").exists());
}

#[test]
fn a_signal_to_a_rank_that_trains_nothing_does_not_take_the_others_down() {
    let job = Job::new();
    let args =
        "train --seeds 0..1 --films 40 --epochs 40 --width 8 --batch 12 --threads 1 --no-audit --quiet";
    let mut command = job.command(3, &format!("{args} --out run"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let have_begun =
        || ["run/seed-0/log.jsonl", "run/seed-1/log.jsonl"].iter().all(|log| job.path(log).exists());
    wait_for(|| have_begun() || child.try_wait().unwrap().is_some());
    let (_, idle) = ranks_in(job.folder.path()).into_iter().find(|(rank, _)| *rank == 2).expect("rank 2");
    kill_process(idle, Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success() && job.path("run/metrics.json").exists());
}

/// The views of the test images are many, so that a signal comes while the ranks share them.
#[test]
fn a_signal_after_the_training_ends_all_ranks() {
    const LONG: &str = "train --films 240 --epochs 1 --width 8 --batch 48 --micro-batches 4 --threads 1 --no-audit --quiet \
                        --tta --zoom 0.3 --aspect 0.3";
    let job = Job::new();
    job.succeeds(2, &format!("{LONG} --out whole"));
    let mut command = job.command(2, &format!("{LONG} --out run"));
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    wait_for(|| job.path("run/model-last.safetensors").exists());
    let (_, pid) = ranks_in(job.folder.path()).into_iter().find(|(rank, _)| *rank == 1).expect("rank 1");
    kill_process(pid, Signal::TERM).unwrap();
    assert!(!child.wait().unwrap().success() && !job.path("run/metrics.json").exists());
    job.succeeds(4, "train --resume run");
    assert!(job.files("run") == job.files("whole"));
    assert_eq!(job.texts_without_times("run"), job.texts_without_times("whole"));
}

fn wait_for(mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "it takes too long");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// 25 kills of a rank, each followed by a resumption on another number of ranks: 50 with both MPIs. Some at a time, for
/// mpirun mostly waits for what is left to end.
#[test]
fn a_run_whose_ranks_are_killed_goes_on_to_the_same_bytes() {
    const KILLS: usize = 25;
    const AT_A_TIME: usize = 3;
    let job = Job::new();
    let mut whole = job.command(2, &format!("{SHORT} --out whole")).spawn().unwrap();
    wait_for(|| job.path("whole/config.toml").exists());
    let start = Instant::now();
    wait_for(|| job.path("whole/metrics.json").exists());
    let took = start.elapsed();
    assert!(whole.wait().unwrap().success());
    let expected = &job.files("whole");
    let n_resumed: usize = std::thread::scope(|scope| {
        let kills = |first: usize| (first..KILLS).step_by(AT_A_TIME);
        let start = |first| scope.spawn(move || kill_ranks(kills(first), took, expected));
        let threads: Vec<_> = (0..AT_A_TIME).map(start).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    println!("{KILLS} kills, {n_resumed} resumed");
    assert!(n_resumed >= KILLS / 4, "only {n_resumed} of {KILLS} could be resumed");
}

/// Kills a rank of a new run for each number, and lets it go on; a run takes about as long as `took`. Returns how many runs
/// could be resumed.
fn kill_ranks(kills: impl Iterator<Item = usize>, mut took: Duration, expected: &[Vec<u8>]) -> usize {
    const SIZES: [usize; 3] = [2, 4, 1];
    let job = Job::new();
    let has_begun = |run: &str| job.path(run).join("config.toml").exists();
    let has_ended = |run: &str| job.path(run).join("metrics.json").exists();
    let mut n_resumed = 0;
    for kill in kills {
        let run = format!("run{kill}");
        let size = SIZES[kill % 2];
        let mut command = job.command(size, &format!("{SHORT} --out {run}"));
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Every fifth is killed before it has a folder, if the machine is not much faster than before.
        if kill % 5 > 0 {
            wait_for(|| has_begun(&run));
        }
        let (start, moment) = (Instant::now(), took.mul_f64((kill as f64 * GOLDEN_RATIO).fract()));
        while start.elapsed() < moment {
            if has_ended(&run) {
                // The machine has become faster since the first run, beside which other tests may have run.
                took = start.elapsed();
                break;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        for (_, pid) in ranks_in(job.folder.path()).into_iter().filter(|(rank, _)| *rank == kill % size) {
            let _ = kill_process(pid, Signal::KILL);
        }
        let killed = Instant::now();
        while !ranks_in(job.folder.path()).is_empty() || child.try_wait().unwrap().is_none() {
            let seconds = killed.elapsed().as_secs();
            if seconds >= SECONDS_TO_END {
                assert!(ranks_in(job.folder.path()).is_empty(), "the other ranks go on after {seconds} s");
                // Open MPI 4.1 sometimes waits for ever for a rank that was killed while it was being started.
                println!("mpirun itself did not end");
                child.kill().unwrap();
                child.wait().unwrap();
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        if !has_ended(&run) {
            let size = SIZES[(kill + 1) % SIZES.len()];
            let can_resume = has_begun(&run);
            n_resumed += usize::from(can_resume);
            let resumed = format!("train --resume {run} --quiet");
            let args = if can_resume { resumed } else { format!("{SHORT} --out {run}") };
            job.succeeds(size, &args);
        }
        assert!(job.files(&run) == expected, "{run}, killed on {size} ranks");
    }
    n_resumed
}
