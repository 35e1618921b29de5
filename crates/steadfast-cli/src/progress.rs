//! The library's events on stderr: a bar with rate and time left on a terminal, occasional lines
//! without one, warnings alone when quiet.

use crate::arguments::{Global, LogFormat};
use anstyle::{AnsiColor, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use steadfast::events::{Event, Listener};
use steadfast::providers::job;

const DIM: Style = Style::new().dimmed();
const CYAN: Style = AnsiColor::Cyan.on_default();
const GREEN: Style = AnsiColor::Green.on_default();
const YELLOW: Style = AnsiColor::Yellow.on_default().bold();

/// Without a terminal, a stage under way is heard of this often.
const BETWEEN_LINES: Duration = Duration::from_secs(30);

/// Renders events.
#[derive(Debug)]
pub struct Progress {
    quiet: bool,
    log: LogFormat,
    terminal: bool,
    agreed: bool,
    stage: Mutex<Stage>,
}

/// The stage under way. Stages do not nest.
#[derive(Debug)]
struct Stage {
    name: String,
    total: u64,
    unit: &'static str,
    bar: Option<ProgressBar>,
    started: Instant,
    last_line: Instant,
}

impl Progress {
    /// Renders as the flags and the terminal allow.
    pub fn new(global: Global) -> Self {
        let now = Instant::now();
        Self {
            quiet: global.quiet,
            log: global.log_format,
            terminal: std::io::stderr().is_terminal(),
            agreed: false,
            stage: Mutex::new(Stage {
                name: String::new(),
                total: 0,
                unit: "",
                bar: None,
                started: now,
                last_line: now,
            }),
        }
    }

    /// With `agreed` whatever costs money is agreed to without asking.
    pub fn agreeing(self, agreed: bool) -> Self {
        Self { agreed, ..self }
    }

    fn start(&self, stage: &mut Stage, name: String, total: u64, unit: &'static str) {
        let now = Instant::now();
        if let Some(bar) = stage.bar.take() {
            bar.finish_and_clear();
        }
        if self.terminal && !self.quiet {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            bar.set_style(style(total));
            bar.set_prefix(name.clone());
            bar.enable_steady_tick(Duration::from_millis(200));
            stage.bar = Some(bar);
        } else {
            self.line(None, &name);
        }
        *stage = Stage {
            name,
            total,
            unit,
            bar: stage.bar.take(),
            started: now,
            last_line: now,
        };
    }

    fn advance(&self, stage: &mut Stage, done: u64, note: Option<String>) {
        if let Some(bar) = &stage.bar {
            bar.set_position(done);
            if let Some(note) = note {
                bar.set_message(note);
            }
        } else if stage.last_line.elapsed() >= BETWEEN_LINES {
            stage.last_line = Instant::now();
            let note = note.map(|note| format!(", {note}")).unwrap_or_default();
            let of = if stage.total > 0 {
                format!("/{}", stage.total)
            } else {
                String::new()
            };
            let text = format!("  {}: {done}{of} {}{note}", stage.name, stage.unit);
            self.line(None, text.trim_end());
        }
    }

    fn finish(&self, stage: &mut Stage, name: &str, reused: bool) {
        if let Some(bar) = stage.bar.take() {
            bar.finish_and_clear();
        }
        let how = if reused {
            "already done".to_owned()
        } else {
            format!("{:.1} s", stage.started.elapsed().as_secs_f64())
        };
        self.line(
            None,
            &format!("{GREEN}✓{GREEN:#} {name} {DIM}({how}){DIM:#}"),
        );
    }

    /// One JSON document a line. How far a stage is comes now and then, as it does in text.
    fn log(&self, stage: &mut Stage, event: &Event) {
        if let Event::StageAdvanced { .. } = event {
            if stage.last_line.elapsed() < BETWEEN_LINES {
                return;
            }
            stage.last_line = Instant::now();
        }
        if !self.quiet || matches!(event, Event::Warning { .. }) {
            anstream::eprintln!("{}", event.log_line());
        }
    }

    /// One line that stays, above the bar if there is one.
    fn line(&self, bar: Option<&ProgressBar>, text: &str) {
        if self.quiet {
            return;
        }
        match bar {
            Some(bar) => bar.suspend(|| anstream::eprintln!("{text}")),
            None => anstream::eprintln!("{text}"),
        }
    }
}

/// The number of steps, once it is known.
fn reveal(stage: &mut Stage, total: u64) {
    if stage.total == 0
        && total > 0
        && let Some(bar) = &stage.bar
    {
        stage.total = total;
        bar.set_length(total);
        bar.set_style(style(total));
    }
}

fn style(total: u64) -> ProgressStyle {
    let template = if total > 0 {
        "{prefix:.bold} {bar:24.cyan/dim} {human_pos}/{human_len} {per_sec:.dim} {eta:.dim} left {msg:.dim}"
    } else {
        "{prefix:.bold} {spinner} {human_pos} {per_sec:.dim} {msg:.dim}"
    };
    ProgressStyle::with_template(template)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("━━─")
}

/// The beginning of a text, on one line.
fn excerpt(text: &str) -> String {
    const MOST: usize = 160;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

impl Listener for Progress {
    fn on(&self, event: Event) {
        // A listener that panicked left nothing half done that could mislead the next line.
        let mut stage = match self.stage.lock() {
            Ok(stage) => stage,
            Err(poisoned) => poisoned.into_inner(),
        };
        let stage = &mut *stage;
        if self.log == LogFormat::Json {
            return self.log(stage, &event);
        }
        match event {
            Event::StageStarted {
                stage: name,
                total,
                unit,
            } => self.start(stage, name, total, unit),
            Event::StageAdvanced { done } => self.advance(stage, done, None),
            Event::StageFinished {
                stage: name,
                reused,
            } => self.finish(stage, &name, reused),
            Event::TrainingStep {
                step,
                steps,
                loss,
                penalty,
                tokens_per_second,
                ..
            } => {
                reveal(stage, steps as u64);
                let penalty = if penalty == 0.0 {
                    String::new()
                } else {
                    format!(" + {penalty:.4}")
                };
                let note = format!("loss {loss:.3}{penalty}, {tokens_per_second:.0} tokens/s");
                self.advance(stage, step as u64, Some(note));
            }
            Event::HostedStep { step, steps, loss } => {
                reveal(stage, steps);
                self.advance(stage, step, loss.map(|loss| format!("loss {loss:.3}")));
            }
            Event::PriceEstimated {
                arm,
                provider,
                tokens,
                dollars,
            } => {
                let price = dollars.map_or_else(
                    || "at a price that nobody says".to_owned(),
                    |amount| format!("for about {}", job::dollars(amount)),
                );
                self.line(
                    stage.bar.as_ref(),
                    &format!("price: {arm} at {provider}, about {tokens} tokens {price}; asking it before and after costs besides"),
                );
            }
            Event::JobState { arm, job, state } => self.line(
                stage.bar.as_ref(),
                &format!("  {arm}: {job} is {CYAN}{state}{CYAN:#}"),
            ),
            Event::ValidationLoss { step, loss } => self.line(
                stage.bar.as_ref(),
                &format!("  step {step}: validation loss {loss:.3}"),
            ),
            Event::CheckpointSaved { step, path } => self.line(
                stage.bar.as_ref(),
                &format!("  {DIM}step {step}: saved {}{DIM:#}", path.display()),
            ),
            Event::Preview {
                axis,
                prompt,
                reply,
            } => self.line(
                stage.bar.as_ref(),
                &format!(
                    "  {CYAN}{:<11}{CYAN:#} {DIM}›{DIM:#} {}\n              {DIM}‹{DIM:#} {}",
                    axis.name(),
                    excerpt(&prompt),
                    excerpt(&reply)
                ),
            ),
            Event::ItemScored { .. } => {}
            Event::AxisMeasured { arm, axis, value } => self.line(
                stage.bar.as_ref(),
                &format!("  {arm}: {} {value:.1}", axis.name()),
            ),
            Event::Note { message } => self.line(stage.bar.as_ref(), &message),
            Event::Warning { message } => {
                let text = format!("{YELLOW}warning{YELLOW:#}: {message}");
                match &stage.bar {
                    Some(bar) => bar.suspend(|| anstream::eprintln!("{text}")),
                    None => anstream::eprintln!("{text}"),
                }
            }
        }
    }

    fn confirm(&self, question: &str) -> bool {
        if self.agreed || !self.terminal || !std::io::stdin().is_terminal() {
            return self.agreed;
        }
        anstream::eprint!("{question} [y/N] ");
        let mut answer = String::new();
        // An answer that cannot be read is no agreement.
        let read = std::io::stdin().read_line(&mut answer).is_ok();
        read && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
    }
}
