//! Trainings that the server starts, as programs: they give the bytes of the command line, whatever ends the server meanwhile.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::program::{roentgen, text, train, write_images};

/// How long a training may take to get where a test waits for it.
const LONGEST: Duration = Duration::from_secs(60);
/// A training of some seconds, as the command line and as a request.
const FLAGS: [&str; 6] = ["--films", "60", "--epochs", "50", "--seed", "3"];

/// A server that runs.
struct Server {
    child: Child,
    output: BufReader<std::process::ChildStdout>,
    port: String,
    token: String,
}

impl Server {
    fn start(folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_roentgen"));
        command.args(["serve", "--no-open", "--threads", "1"]).current_dir(folder);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut link = String::new();
        output.read_line(&mut link).unwrap();
        let (address, token) = link.trim().split_once("/?token=").expect("a link");
        let (_, port) = address.rsplit_once(':').unwrap();
        Self { port: port.to_owned(), token: token.to_owned(), child, output }
    }

    /// Sends a request; the answer can then be read.
    fn send(&self, request: &str, body: &str) -> TcpStream {
        let Self { port, token, .. } = self;
        let mut stream = TcpStream::connect(format!("127.0.0.1:{port}")).unwrap();
        let head = format!(
            "{request} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
             Content-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all((head + body).as_bytes()).unwrap();
        stream
    }

    /// The status and the body of an answer.
    fn ask(&self, request: &str, body: &str) -> (u16, String) {
        let mut answer = Vec::new();
        self.send(request, body).read_to_end(&mut answer).unwrap();
        let answer = text(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").expect("an answer");
        (head[9..12].parse().unwrap(), body.to_owned())
    }

    fn order(&self, order: &Value) -> (u16, String) {
        self.ask("POST /api/v1/training", &order.to_string())
    }

    /// The state of the run `a`, once it is as wanted.
    fn state_when(&self, is_reached: impl Fn(&Value) -> bool) -> Value {
        let start = Instant::now();
        loop {
            let (status, body) = self.ask("GET /api/v1/runs/a/training", "");
            let state: Value = if status == 200 { serde_json::from_str(&body).unwrap() } else { Value::Null };
            if is_reached(&state) {
                return state;
            }
            assert!(start.elapsed() < LONGEST, "{status} {body}");
            sleep(Duration::from_millis(20));
        }
    }

    fn change(&self, what: &str) {
        let (status, body) = self.ask(&format!("POST /api/v1/runs/a/training/{what}"), "");
        assert_eq!((status, body.as_str()), (202, ""));
    }

    /// Ends with a signal; returns what it printed since its link.
    fn end(mut self, signal: Signal) -> String {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
        let mut printed = String::new();
        self.output.read_to_string(&mut printed).unwrap();
        assert_eq!(self.child.wait().unwrap().success(), signal == Signal::TERM);
        printed
    }
}

fn order() -> Value {
    json!({ "data": "phantoms", "films": 60, "epochs": "50", "seed": 3, "width": 8, "name": "a" })
}

fn is(state: &'static str) -> impl Fn(&Value) -> bool {
    move |found| found["state"] == state
}

/// Whether a run has trained more than `n` epochs.
fn is_beyond(n: u64) -> impl Fn(&Value) -> bool {
    move |found| found["epoch"].as_u64().is_some_and(|epoch| epoch > n)
}

/// Waits until no process works in a run folder, which must have a checkpoint then.
fn wait_until_free(run: &Path) {
    wait_until_unlocked(run);
    assert!(run.join("checkpoint.bin").exists() && !run.join("metrics.json").exists());
}

fn wait_until_unlocked(run: &Path) {
    let start = Instant::now();
    while File::open(run.join(".lock")).unwrap().try_lock_shared().is_err() {
        assert!(start.elapsed() < LONGEST, "a training without a server");
        sleep(Duration::from_millis(20));
    }
}

/// Resumes the run `a`, which then has the bytes of a training without interruption, and ends the server.
fn resume_to_the_same_bytes(server: Server, folder: &Path) {
    server.change("resume");
    server.state_when(is("done"));
    train(&[&FLAGS[..], &["--out", "b"]].concat(), folder);
    assert_same(&folder.join("runs/a"), &folder.join("b"));
    server.end(Signal::TERM);
}

fn assert_same(one: &Path, other: &Path) {
    for file in ["model.safetensors", "model-last.safetensors", "log.jsonl", "predictions.jsonl"] {
        assert!(fs::read(one.join(file)).unwrap() == fs::read(other.join(file)).unwrap(), "{file}");
    }
}

#[test]
fn a_training_of_the_page_goes_to_its_end_and_is_that_of_the_command_line() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    let small = json!({ "data": "phantoms", "films": 48, "epochs": 3, "width": 8, "name": "a" });
    let (status, started) = server.order(&small);
    assert_eq!((status, started.as_str()), (201, r#"{"run":"a","page":"/runs/a/training"}"#));
    let (status, refusal) = server.order(&order());
    assert!(status == 409 && refusal.contains("a is in training"), "{refusal}");

    let mut seen: Vec<Value> = Vec::new();
    for line in BufReader::new(server.send("GET /api/v1/runs/a/training/events", "")).lines() {
        if let Some(data) = line.unwrap().strip_prefix("data: ") {
            seen.push(serde_json::from_str(data).unwrap());
        }
        if seen.last().is_some_and(|state| state["state"] == "done") {
            break;
        }
    }
    assert_eq!(seen[0]["state"], "reading");
    assert!(
        seen.windows(2)
            .all(|pair| pair[0] != pair[1] && pair[0]["epoch"].as_u64() <= pair[1]["epoch"].as_u64())
    );
    let (_, body) = server.ask("GET /api/v1/runs/a/training", "");
    let state: Value = serde_json::from_str(&body).unwrap();
    assert!(
        state["log"].as_array().is_some_and(|log| log.len() == 3) && state["can_resume"] == false,
        "{body}"
    );
    let (_, page) = server.ask("GET /runs/a/training", "");
    assert!(
        page.contains("Done, after 3 epochs.") && page.contains("<iframe") && page.contains("<polyline"),
        "{page}"
    );
    assert_eq!(server.ask("GET /runs/a/report", "").0, 200);
    let (status, picture) = server.ask("GET /runs/a/training/samples.png", "");
    assert!(status == 200 && picture.contains("PNG"), "{picture}");

    train(&["--films", "48", "--epochs", "3", "--out", "b"], folder.path());
    assert_same(&folder.path().join("runs/a"), &folder.path().join("b"));
    assert!(!server.end(Signal::TERM).contains("checkpoint"), "no training is at work");
}

#[test]
fn a_page_sees_how_far_the_images_and_an_epoch_are() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    // An epoch has to take some seconds, for the progress comes twice a second.
    let long = json!({ "data": "phantoms", "films": 1500, "epochs": 3, "width": 64, "name": "a" });
    assert_eq!(server.order(&long).0, 201);
    let mut shares: [Vec<f64>; 2] = Default::default();
    let mut last = Value::Null;
    for line in BufReader::new(server.send("GET /api/v1/runs/a/training/events", "")).lines() {
        let line = line.unwrap();
        let Some(data) = line.strip_prefix("data: ") else { continue };
        last = serde_json::from_str(data).unwrap();
        let of = ["reading", "training"].iter().position(|state| last["state"] == *state);
        if let Some((of, share)) = of.zip(last["fraction"].as_f64()) {
            shares[of].push(share);
        }
        if last["epoch"] == 1 && last["seconds_left"].is_number() || last["state"] == "failed" {
            break;
        }
    }
    let [reading, training] = shares;
    assert!(reading.iter().any(|share| (0.001..1.0).contains(share)), "{reading:?} {last}");
    let in_first: Vec<f64> =
        training.iter().copied().filter(|share| (0.001..0.333).contains(share)).collect();
    assert!(in_first.len() >= 3 && training.is_sorted(), "{training:?} {last}");
    server.change("stop");
    server.state_when(is("stopped"));
    let (_, body) = server.ask("GET /api/v1/runs/a/training", "");
    assert!(!body.contains("progress"), "what it printed is for people: {body}");
    let times = fs::read_to_string(folder.path().join("runs/a/times.jsonl")).unwrap();
    let time: Value = serde_json::from_str(times.lines().next().unwrap()).unwrap();
    let [steps, validation] = ["seconds", "val_seconds"].map(|name| time[name].as_f64().unwrap());
    assert!(validation > 0.0 && validation < steps, "{time}");
    server.end(Signal::TERM);
}

#[test]
fn a_training_outlives_every_end_of_its_server_with_the_same_bytes() {
    let folder = TempDir::new().unwrap();
    let run: PathBuf = folder.path().join("runs/a");
    let server = Server::start(folder.path());
    assert_eq!(server.order(&order()).0, 201);
    server.state_when(is_beyond(0));
    server.change("stop");
    let stopped = server.state_when(is("stopped"));
    assert!(stopped["can_resume"] == true && stopped["can_stop"] == false, "{stopped}");
    assert!(server.ask("GET /", "").1.contains("Stopped after epoch"));
    wait_until_free(&run);

    server.change("resume");
    let state = server.state_when(|found| found["state"] == "training" && is_beyond(1)(found));
    let printed = server.end(Signal::TERM);
    assert!(
        printed.contains("stops with a checkpoint") && printed.contains("roentgen train --resume"),
        "{printed}"
    );
    wait_until_free(&run);

    let server = Server::start(folder.path());
    let epoch = server.state_when(is("stopped"))["epoch"].as_u64().unwrap();
    assert!(epoch >= state["epoch"].as_u64().unwrap(), "{epoch} {state}");
    server.change("resume");
    server.state_when(|found| found["state"] == "training" && is_beyond(epoch)(found));
    server.end(Signal::KILL);
    wait_until_free(&run);

    let server = Server::start(folder.path());
    resume_to_the_same_bytes(server, folder.path());
}

#[test]
fn a_server_that_ends_while_images_are_read_announces_no_checkpoint() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    assert_eq!(server.order(&json!({ "data": "phantoms", "films": 100_000, "name": "a" })).0, 201);
    server.state_when(is("reading"));
    let printed = server.end(Signal::TERM);
    assert!(!printed.contains("checkpoint") && !printed.contains("--resume"), "{printed}");
}

/// The processes that a process has started.
#[cfg(target_os = "linux")]
fn children(of: u32) -> Vec<Pid> {
    let parent = format!("PPid:\t{of}");
    let is_child = |pid: &i32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        status.lines().any(|line| line == parent)
    };
    let pids =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok());
    pids.filter(is_child).map(|pid| Pid::from_raw(pid).unwrap()).collect()
}

/// As when the machine loses its power.
#[cfg(target_os = "linux")]
#[test]
fn a_training_that_was_killed_with_its_server_is_resumed() {
    let folder = TempDir::new().unwrap();
    let run: PathBuf = folder.path().join("runs/a");
    let server = Server::start(folder.path());
    assert_eq!(server.order(&order()).0, 201);
    server.state_when(is_beyond(1));
    let [training] = children(server.child.id())[..] else { panic!("one training") };
    // The server first: it must not see the other one end.
    kill_process(Pid::from_child(&server.child), Signal::STOP).unwrap();
    kill_process(training, Signal::KILL).unwrap();
    server.end(Signal::KILL);
    // Epochs are short, and it may have no checkpoint yet.
    wait_until_unlocked(&run);

    let server = Server::start(folder.path());
    let stopped = server.state_when(is("stopped"));
    let sentence = stopped["sentence"].as_str().unwrap();
    assert!(sentence.starts_with("Stopped after epoch ") && sentence.ends_with(" of 50."), "{stopped}");
    assert_eq!(stopped["can_resume"], true);
    let (_, list) = server.ask("GET /", "");
    assert!(list.contains(sentence) && list.contains("Resume"), "{list}");
    let (_, page) = server.ask("GET /runs/a/training", "");
    assert!(page.contains(sentence) && page.contains("Resume goes on from its checkpoint"), "{page}");
    resume_to_the_same_bytes(server, folder.path());
}

/// As when the system has no memory left.
#[cfg(target_os = "linux")]
#[test]
fn a_training_that_the_system_killed_is_resumed() {
    let folder = TempDir::new().unwrap();
    let server = Server::start(folder.path());
    assert_eq!(server.order(&order()).0, 201);
    server.state_when(is_beyond(0));
    let [training] = children(server.child.id())[..] else { panic!("one training") };
    kill_process(training, Signal::KILL).unwrap();
    let failed = server.state_when(is("failed"));
    assert!(
        failed["reason"].as_str().unwrap().contains("memory") && failed["can_resume"] == true,
        "{failed}"
    );
    assert!(server.ask("GET /", "").1.contains("Resume"));
    server.change("resume");
    server.state_when(is("training"));
    server.change("stop");
    server.state_when(is("stopped"));
    server.end(Signal::TERM);
}

#[test]
fn a_training_that_fails_shows_its_reason() {
    // The folder of runs is made by the server.
    let folder = TempDir::new().unwrap();
    write_images(folder.path(), "films", &[("normal", 6), ("ill", 6)]);
    fs::write(folder.path().join("films/ill/film00.png"), "no image").unwrap();
    let server = Server::start(folder.path());
    assert_eq!(server.order(&json!({ "data": "folder:films", "name": "a" })).0, 201);
    let failed = server.state_when(is("failed"));
    let expected = roentgen(&["train", "films", "--quiet", "--out", "b"], folder.path());
    let expected = text(&expected.stderr);
    let reason = failed["reason"].as_str().unwrap();
    assert!(
        reason.contains("film00.png") && reason.lines().count() == expected.trim().lines().count(),
        "{reason}\n{expected}"
    );
    assert_eq!(failed["can_resume"], false);
    // Another one can be started, and stopped before it begins.
    assert_eq!(server.order(&json!({ "data": "phantoms", "films": 100_000, "name": "a" })).0, 201);
    server.change("stop");
    assert_eq!(server.state_when(is("stopped"))["sentence"], "Stopped before it began; start it again.");
    assert!(!folder.path().join("runs/a").exists());
    // Nor are the images of the server itself in the way of the next one.
    write_images(&folder.path().join("runs/.sets/good"), "train", &[("normal", 12), ("ill", 12)]);
    let set = json!({ "data": "set:good", "name": "a", "epochs": 1, "width": 8 });
    assert_eq!(server.order(&set).0, 201);
    server.state_when(is("done"));
    server.end(Signal::TERM);
}

#[test]
fn a_training_whose_images_have_changed_has_no_resume() {
    let folder = TempDir::new().unwrap();
    let images = folder.path().join("runs/.sets/films/train");
    write_images(&folder.path().join("runs/.sets/films"), "train", &[("normal", 12), ("ill", 12)]);
    let server = Server::start(folder.path());
    let long = json!({ "data": "set:films", "name": "a", "epochs": 5000, "width": 8 });
    assert_eq!(server.order(&long).0, 201);
    server.state_when(is_beyond(0));
    server.change("stop");
    assert_eq!(server.state_when(is("stopped"))["can_resume"], true);
    fs::remove_file(images.join("ill/film00.png")).unwrap();
    server.change("resume");
    let failed = server.state_when(is("failed"));
    let reason = failed["reason"].as_str().unwrap();
    assert!(
        reason.starts_with("it cannot be resumed: the images are no longer those of the run"),
        "{reason}"
    );
    assert_eq!(failed["can_resume"], false);
    server.end(Signal::TERM);
}

#[test]
fn the_end_of_the_input_stops_a_training_as_a_signal_does_and_not_twice() {
    let folder = TempDir::new().unwrap();
    let output = roentgen(&["train", "--stop-with-input", "--films", "100000", "--out", "a"], folder.path());
    assert_eq!((output.status.code(), folder.path().join("a").exists()), (Some(143), false));

    let mut command = Command::new(env!("CARGO_BIN_EXE_roentgen"));
    command.args(["train", "--stop-with-input", "--width", "8", "--quiet", "--out", "a"]).args(FLAGS);
    command.stdin(Stdio::piped()).stderr(Stdio::piped()).current_dir(folder.path());
    let mut child = command.spawn().unwrap();
    let start = Instant::now();
    while !folder.path().join("a/times.jsonl").exists() {
        assert!(start.elapsed() < LONGEST, "no epoch");
        sleep(Duration::from_millis(5));
    }
    // As a system that ends all processes of a service.
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    drop(child.stdin.take());
    let output = child.wait_with_output().unwrap();
    let said = text(&output.stderr);
    assert!(output.status.code() == Some(143) && said.contains("interrupted; continue with"), "{said}");
    wait_until_free(&folder.path().join("a"));
}
