//! The requests that were answered, counted for `/metrics`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The requests that were answered, by route and status.
#[derive(Debug, Default)]
pub(super) struct Counters(Mutex<BTreeMap<(String, u16), Answered>>);

#[derive(Clone, Copy, Debug, Default)]
struct Answered {
    n: u64,
    /// From the head of each request to that of its answer.
    time: Duration,
}

impl Counters {
    pub(super) fn add(&self, route: &str, status: u16, time: Duration) {
        let mut counters = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answered = counters.entry((route.to_owned(), status)).or_default();
        answered.n += 1;
        answered.time += time;
    }

    /// Two metrics with a line for each route and status.
    pub(super) fn text(&self) -> String {
        let counters = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut text = String::new();
        let mut add = |name: &str, help: &str, value: &dyn Fn(&Answered) -> String| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} counter");
            for ((route, status), answered) in &counters {
                let _ = writeln!(text, "{name}{{route=\"{route}\",status=\"{status}\"}} {}", value(answered));
            }
        };
        add("roentgen_requests_total", "Requests that were answered.", &|answered| answered.n.to_string());
        add("roentgen_request_seconds_total", "Seconds that they took.", &|answered| {
            answered.time.as_secs_f64().to_string()
        });
        text
    }
}
