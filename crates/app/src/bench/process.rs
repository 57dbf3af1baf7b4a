//! Processes that measure, and what they print: this program with one case, or the script for PyTorch. In a process of its
//! own, peak memory and time to the first step are those of one case alone.

use std::io::{self, BufRead, BufReader, Lines, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{SystemTime, UNIX_EPOCH};

use super::case_result::Slice;
use crate::error::bench::BenchError;

/// A running process. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Process {
    program: String,
    start: f64,
    child: Child,
    requests: Option<ChildStdin>,
    output: Lines<BufReader<ChildStdout>>,
    /// Returns the last line that the process wrote to its standard error.
    last_error: Option<JoinHandle<String>>,
}

impl Process {
    /// Starts a process.
    ///
    /// # Errors
    /// [`BenchError::Process`].
    pub(super) fn start(mut command: Command) -> Result<Self, BenchError> {
        let program = command.get_program().to_string_lossy().into_owned();
        let start = unix_seconds();
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| failed(&program, &error.to_string()))?;
        let output = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let stderr = child.stderr.take().expect("a pipe");
        // Read at once: a process waits when a pipe is full.
        let last_error = Some(thread::spawn(move || last_line(BufReader::new(stderr))));
        Ok(Self { program, start, requests: child.stdin.take(), child, output, last_error })
    }

    /// Requests a measurement of about `seconds`, which it writes to the process as a line, and waits for its result.
    ///
    /// # Errors
    /// [`BenchError::Process`].
    pub(super) fn measure(&mut self, seconds: f64) -> Result<Slice, BenchError> {
        if let Some(requests) = &mut self.requests {
            // If the process has ended, reading its result fails, too.
            let _ = writeln!(requests, "{seconds}");
        }
        // Libraries may print lines of their own.
        let results = self.output.by_ref().map_while(io::Result::ok);
        let Some(mut result) = results.filter_map(|line| serde_json::from_str::<Slice>(&line).ok()).next()
        else {
            return Err(self.failure());
        };
        result.first_step_s = result.first_step_at - self.start;
        Ok(result)
    }

    /// Why there is no result.
    fn failure(&mut self) -> BenchError {
        self.requests = None;
        let status = self.child.wait();
        let last_error = self.last_error.take().and_then(|thread| thread.join().ok()).unwrap_or_default();
        let reason = match status {
            Ok(status) if status.code().is_none() => format!("{status}; perhaps the memory was not enough"),
            _ if last_error.is_empty() => "it printed no result".to_owned(),
            _ => last_error,
        };
        failed(&self.program, &reason)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Without requests, the process ends.
        self.requests = None;
        let _ = self.child.wait();
    }
}

/// The last line that is not blank.
fn last_line(text: impl BufRead) -> String {
    let lines = text.split(b'\n').map_while(io::Result::ok);
    let lines = lines.map(|line| String::from_utf8_lossy(&line).trim().to_owned());
    lines.filter(|line| !line.is_empty()).last().unwrap_or_default()
}

/// That a program did not measure.
pub(super) fn failed(program: &str, reason: &str) -> BenchError {
    BenchError::Process { program: program.to_owned(), reason: reason.to_owned() }
}

/// The time in seconds since 1970.
pub(super) fn unix_seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |time| time.as_secs_f64())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A result of one batch, as a process prints it, within `"` of a shell script.
    pub(in crate::bench) fn result_line(time_ms: &str) -> String {
        let line = format!(r#"{{"times_ms": [{time_ms}], "first_step_at": 0, "peak_rss_mib": null}}"#);
        line.replace('"', "\\\"")
    }

    /// A process that runs this shell script.
    pub(in crate::bench) fn shell(script: &str) -> Process {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        Process::start(command).expect("a shell")
    }

    #[test]
    fn a_failed_process_is_reported_with_the_last_line_of_its_error_output() {
        let error = |script: &str| shell(script).measure(1.0).expect_err("no result").to_string();
        let of_python = error("echo first >&2; echo 'no module named torch' >&2; exit 1");
        assert!(of_python.ends_with("no module named torch"), "{of_python}");
        assert!(error("echo a warning >&2; kill -9 $$").contains("memory"), "killed");
        assert!(error("echo no result").contains("it printed no result"));
        assert!(Process::start(Command::new("/nowhere/python")).is_err());
    }

    #[test]
    fn a_process_measures_as_long_as_each_request_says() {
        let line = result_line("$n, $seconds");
        // More than a pipe holds, so it must be read while the process runs.
        let noise = "head -c 200000 /dev/zero | tr '\\0' x >&2";
        let mut process = shell(&format!(
            "{noise}; n=0; while read seconds; do n=$((n + 1)); echo torch; echo \"{line}\"; done"
        ));
        for (count, seconds) in [(1.0, 5.0), (2.0, 0.5), (3.0, 1.0)] {
            let result = process.measure(seconds).expect("a result");
            assert_eq!(result.times_ms, [count, seconds]);
        }
    }
}
