//! Jobs as both services keep them.

use serde_json::Value;

/// One job.
#[derive(Clone, Debug)]
pub struct Job {
    /// Its id.
    pub id: String,
    /// What was asked for.
    pub asked: Value,
    /// How often it was looked at.
    pub looks: usize,
    /// Whether its owner has ended it.
    pub cancelled: bool,
}

impl Job {
    /// How it stands, where `words` has a word for each look at it; the last one stays.
    pub fn word(&self, words: &[&'static str]) -> &'static str {
        if self.cancelled {
            return "cancelled";
        }
        words[self.looks.min(words.len() - 1)]
    }
}

/// All jobs, the oldest first.
#[derive(Debug, Default)]
pub struct Jobs(pub Vec<Job>);

impl Jobs {
    /// One more: `PREFIX-0`, `PREFIX-1`, …
    pub fn add(&mut self, prefix: &str, asked: &Value) -> &Job {
        let place = self.0.len();
        self.0.push(Job {
            id: format!("{prefix}-{place}"),
            asked: asked.clone(),
            looks: 0,
            cancelled: false,
        });
        &self.0[place]
    }

    /// The one with that id.
    pub fn find(&mut self, id: &str) -> Option<&mut Job> {
        self.0.iter_mut().find(|job| job.id == id)
    }

    /// What was asked for each.
    pub fn asked(&self) -> Vec<Value> {
        self.0.iter().map(|job| job.asked.clone()).collect()
    }
}
