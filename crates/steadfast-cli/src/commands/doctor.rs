//! `steadfast doctor`

use crate::arguments::Global;
use crate::machine;
use crate::output;
use crate::progress::Progress;
use anstyle::{AnsiColor, Style};
use clap::Args;
use serde::Serialize;
use std::fmt::Write;
use std::path::Path;
use std::process::Command;
use steadfast::models::resolve;
use steadfast::study::plan;
use steadfast::{Error, Result};

/// The flags of `doctor`.
#[derive(Args, Debug)]
#[command(after_help = "Example:\n  steadfast doctor --json")]
pub struct Arguments {}

/// What one check found.
#[derive(Serialize)]
struct Check {
    name: &'static str,
    state: State,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Good,
    Poor,
    Missing,
}

#[derive(Serialize)]
struct Answer {
    version: &'static str,
    checks: Vec<Check>,
}

impl Check {
    fn new(name: &'static str, good: bool, found: String, hint: &str) -> Self {
        Self {
            name,
            state: if good { State::Good } else { State::Poor },
            found,
            hint: (!good).then(|| hint.to_owned()),
        }
    }
}

/// Checks the machine.
pub fn run(_: &Arguments, global: Global) -> Result<()> {
    let checks = vec![
        cores(),
        memory(),
        vectors(),
        disk(),
        python(),
        products()?,
        base(global),
    ];
    let missing = checks
        .iter()
        .filter(|check| check.state == State::Missing)
        .count();
    if global.json {
        output::json(&Answer {
            version: env!("CARGO_PKG_VERSION"),
            checks,
        })?;
    } else {
        output::write(&text(&checks))?;
    }
    if missing > 0 {
        return Err(Error::outside("this machine lacks what a study needs")
            .hint("follow the hints above, then run steadfast doctor again"));
    }
    Ok(())
}

fn text(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let (colour, mark) = match check.state {
            State::Good => (AnsiColor::Green, "✓"),
            State::Poor => (AnsiColor::Yellow, "!"),
            State::Missing => (AnsiColor::Red, "✗"),
        };
        let style = Style::new().fg_color(Some(colour.into()));
        let _ = writeln!(
            text,
            "{style}{mark}{style:#} {:<9} {}",
            check.name, check.found
        );
        if let Some(hint) = &check.hint {
            let _ = writeln!(text, "  hint: {hint}");
        }
    }
    text
}

fn cores() -> Check {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Check::new(
        "cores",
        cores >= 2,
        format!("{cores}"),
        "a quick study wants 2 cores; with one it takes about twice as long",
    )
}

fn memory() -> Check {
    let (total, free) = machine::memory();
    Check::new(
        "memory",
        free >= 4_000_000_000,
        format!("{} of {} free", output::bytes(free), output::bytes(total)),
        "training wants 4 GB; lower batch_tokens if it is killed",
    )
}

fn vectors() -> Check {
    #[cfg(target_arch = "x86_64")]
    let (good, found) = {
        let kinds = [
            ("AVX2", std::arch::is_x86_feature_detected!("avx2")),
            ("FMA", std::arch::is_x86_feature_detected!("fma")),
            ("AVX-512", std::arch::is_x86_feature_detected!("avx512f")),
        ];
        let names: Vec<_> = kinds
            .iter()
            .filter_map(|(name, present)| present.then_some(*name))
            .collect();
        (kinds[0].1 && kinds[1].1, names.join(", "))
    };
    #[cfg(not(target_arch = "x86_64"))]
    let (good, found) = (true, std::env::consts::ARCH.to_owned());
    let found = if found.is_empty() {
        "none of AVX2, FMA, AVX-512".to_owned()
    } else {
        found
    };
    Check::new(
        "vectors",
        good,
        found,
        "without AVX2 and FMA a study works, but several times slower",
    )
}

fn disk() -> Check {
    match machine::free_disk(Path::new(".")) {
        Some(free) => Check::new(
            "disk",
            free >= 2_000_000_000,
            format!("{} free here", output::bytes(free)),
            "a study and the base model take about 1 GB",
        ),
        None => Check::new(
            "disk",
            false,
            "unknown".to_owned(),
            "make sure that 1 GB is free",
        ),
    }
}

fn python() -> Check {
    let pip = Command::new("python3")
        .args(["-m", "pip", "--version"])
        .output();
    match pip {
        Ok(output) if output.status.success() => {
            let version = String::from_utf8_lossy(&output.stdout);
            let words: Vec<_> = version.split_whitespace().take(2).collect();
            Check::new("python3", true, words.join(" "), "")
        }
        _ => Check::new(
            "python3",
            false,
            "no python3 with pip".to_owned(),
            "only needed to fetch the base model where the Hub cannot be reached",
        ),
    }
}

/// The rate of one product of the shape that training spends most of its time in.
fn products() -> Result<Check> {
    let rate = 2.0 * plan::product_rate() / 1e9;
    Ok(Check::new(
        "products",
        rate >= 40.0,
        format!("{rate:.0} GFLOP/s"),
        "a quick study wants about 40; close what else is running, or build with --release",
    ))
}

fn base(global: Global) -> Check {
    match resolve::locate(None, &Progress::new(global)) {
        Ok(located) => Check::new(
            "base",
            true,
            format!("{}, digest right, {}", located.id, located.path.display()),
            "",
        ),
        Err(error) => Check {
            name: "base",
            state: State::Missing,
            found: error.message,
            hint: error.hint,
        },
    }
}
