//! Counters in Prometheus' text format.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the classes of durations, seconds.
const BOUNDS: [f64; 9] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0];

/// A number that several threads change.
#[derive(Debug, Default)]
pub struct Number(AtomicU64);

impl Number {
    /// Adds.
    pub fn add(&self, count: usize) {
        self.0.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// Sets.
    pub fn set(&self, count: usize) {
        self.0.store(count as u64, Ordering::Relaxed);
    }

    /// Reads.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// All that is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Replies under way.
    pub active: Number,
    /// Requests that the engine has not begun with.
    pub waiting: Number,
    /// Prompt tokens read.
    pub prompt_tokens: Number,
    /// Tokens written.
    pub completion_tokens: Number,
    /// Passes through the network.
    pub passes: Number,
    /// Replies given up because the client had gone.
    pub abandoned: Number,
    /// Requests turned away because too many were waiting.
    pub turned_away: Number,
    answers: Mutex<Answers>,
}

#[derive(Debug, Default)]
struct Answers {
    by_route: BTreeMap<(String, u16), u64>,
    durations: [u64; BOUNDS.len()],
    seconds: f64,
    count: u64,
}

impl Metrics {
    /// Counts an answer: its route, its status, and how long it took until its head was sent.
    pub fn answered(&self, route: &str, status: u16, took: Duration) {
        // Counters are whole even where a thread that held them panicked.
        let mut answers = match self.answers.lock() {
            Ok(answers) => answers,
            Err(poisoned) => poisoned.into_inner(),
        };
        let seconds = took.as_secs_f64();
        *answers
            .by_route
            .entry((route.to_owned(), status))
            .or_default() += 1;
        for (bound, count) in BOUNDS.iter().zip(&mut answers.durations) {
            *count += u64::from(seconds <= *bound);
        }
        answers.seconds += seconds;
        answers.count += 1;
    }

    /// Everything in the text format.
    pub fn render(&self) -> String {
        let mut text = String::new();
        let mut number = |name: &str, kind: &str, help: &str, value: u64| {
            let _ = write!(
                text,
                "# HELP steadfast_{name} {help}\n# TYPE steadfast_{name} {kind}\nsteadfast_{name} {value}\n"
            );
        };
        let (gauge, counter) = ("gauge", "counter");
        number(
            "active_replies",
            gauge,
            "Replies under way.",
            self.active.get(),
        );
        number(
            "waiting_requests",
            gauge,
            "Requests that have not begun.",
            self.waiting.get(),
        );
        number(
            "prompt_tokens_total",
            counter,
            "Prompt tokens read.",
            self.prompt_tokens.get(),
        );
        number(
            "completion_tokens_total",
            counter,
            "Tokens written.",
            self.completion_tokens.get(),
        );
        number(
            "passes_total",
            counter,
            "Passes through the network.",
            self.passes.get(),
        );
        number(
            "abandoned_replies_total",
            counter,
            "Replies whose client went away.",
            self.abandoned.get(),
        );
        number(
            "turned_away_total",
            counter,
            "Requests refused because too many were waiting.",
            self.turned_away.get(),
        );
        let answers = match self.answers.lock() {
            Ok(answers) => answers,
            Err(poisoned) => poisoned.into_inner(),
        };
        text += "# HELP steadfast_requests_total Answers by route and status.\n# TYPE steadfast_requests_total counter\n";
        for ((route, status), count) in &answers.by_route {
            let _ = writeln!(
                text,
                "steadfast_requests_total{{route=\"{route}\",status=\"{status}\"}} {count}"
            );
        }
        text += "# HELP steadfast_request_seconds Time until an answer's head was sent.\n# TYPE steadfast_request_seconds histogram\n";
        for (bound, count) in BOUNDS.iter().zip(answers.durations) {
            let _ = writeln!(
                text,
                "steadfast_request_seconds_bucket{{le=\"{bound}\"}} {count}"
            );
        }
        let (count, seconds) = (answers.count, answers.seconds);
        let _ = write!(
            text,
            "steadfast_request_seconds_bucket{{le=\"+Inf\"}} {count}\nsteadfast_request_seconds_sum {seconds}\nsteadfast_request_seconds_count {count}\n"
        );
        text
    }
}
