//! Work that is ended, together with the process, where it takes what no honest work of its kind does.
//!
//! minijinja asks for fuel before most of what a template does and makes, but not before all of it: a
//! list that is added to itself over and over, or a value that holds itself and is written into a string,
//! grows unasked. A thread cannot be stopped from outside, so the process says why, and ends.

use crate::{Error, Result, usage};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

/// How long nobody looks; an honest rendering takes a thousandth of it.
const TRUST: Duration = Duration::from_millis(100);
/// From one look to the next.
const LOOK: Duration = Duration::from_millis(10);

/// Most bytes by which the process may grow meanwhile…
const MEMORY: u64 = 1 << 30;
/// …once the work has taken so much processor time that the growth must be its own.
const BUSY: Duration = Duration::from_millis(300);
/// Most processor time.
const TIME: Duration = Duration::from_secs(30);
/// Most time on the clock, where the system does not tell what a thread takes.
const CLOCK: Duration = Duration::from_secs(120);

type Say = Box<dyn Fn(&Error) + Send + Sync>;

static SAY: OnceLock<Say> = OnceLock::new();

/// How the reason is said before the process ends with exit code 1, instead of one line on the standard
/// error. The first call decides.
pub fn say_with(say: impl Fn(&Error) + Send + Sync + 'static) {
    let _decided_before = SAY.set(Box::new(say));
}

/// Runs `work` in a thread with a stack of so many bytes; where it takes too much, this never returns.
///
/// # Errors
/// There is no room for the thread.
pub(super) fn watched<T: Send>(stack: usize, work: impl FnOnce() -> T + Send) -> Result<T> {
    std::thread::scope(|scope| {
        let (named, thread) = mpsc::channel();
        let (done, outcome) = mpsc::channel();
        let worker = std::thread::Builder::new()
            .stack_size(stack)
            .spawn_scoped(scope, move || {
                // Nobody listens any more only where the process is ending.
                let _ = named.send(usage::this_thread());
                let _ = done.send(work());
            })
            .map_err(|cause| {
                Error::outside("there is no room to render the chat template")
                    .because(cause)
                    .hint("raise the limit of virtual memory (ulimit -v), or end other programs")
            })?;
        let mut ended = outcome.recv_timeout(TRUST);
        if let Err(RecvTimeoutError::Timeout) = ended {
            let watch = Watch::new(thread.recv().ok().flatten());
            while let Err(RecvTimeoutError::Timeout) = ended {
                watch.look();
                ended = outcome.recv_timeout(LOOK);
            }
        }
        match (ended, worker.join()) {
            (Ok(outcome), _) => Ok(outcome),
            (Err(_), Err(panic)) => std::panic::resume_unwind(panic),
            (Err(_), Ok(())) => Err(Error::bug("a rendering ended without an outcome")),
        }
    })
}

/// How things were at the first look.
struct Watch {
    thread: Option<PathBuf>,
    began: Instant,
    memory: u64,
}

impl Watch {
    fn new(thread: Option<PathBuf>) -> Self {
        Self {
            thread,
            began: Instant::now(),
            memory: usage::memory().unwrap_or(0),
        }
    }

    /// Ends the process if the work has taken too much.
    fn look(&self) {
        let busy = self.thread.as_deref().and_then(usage::processor_time);
        let grown = usage::memory().unwrap_or(0).saturating_sub(self.memory);
        match busy {
            Some(busy) if busy > BUSY && grown > MEMORY => end("memory"),
            Some(busy) if busy > TIME => end("time"),
            None if self.began.elapsed() > CLOCK => end("time"),
            _ => {}
        }
    }
}

fn end(what: &str) -> ! {
    let message = format!("the chat template takes more {what} than any conversation needs");
    let error = Error::user(message).hint(
        "it may be made to do harm: use a model that you trust, or another chat_template.jinja",
    );
    match SAY.get() {
        Some(say) => say(&error),
        None => eprintln!("error: {error}"),
    }
    std::process::exit(1)
}
