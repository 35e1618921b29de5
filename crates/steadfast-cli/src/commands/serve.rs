//! `steadfast serve`

use crate::arguments::Global;
use crate::errors;
use crate::output;
use crate::progress::Progress;
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;
use std::sync::Arc;
use steadfast::server::{self, Ready, Stop, keys};
use steadfast::settings::{ServeFlags, ServeSettings};
use steadfast::{Error, Result};

/// The flags of `serve`.
#[derive(Args, Debug)]
#[command(
    after_help = "Examples:\n  steadfast serve --adapter hotel=adapters/hotel\n  \
        steadfast serve --state served\n  \
        steadfast serve --new-key laptop --keys keys.txt\n  \
        steadfast serve --host 0.0.0.0 --keys keys.txt\n\n\
        Any OpenAI client can ask it: its base URL is http://127.0.0.1:8080/v1. Without --keys it\n\
        answers programs on this machine only. Ctrl-C lets replies under way finish."
)]
pub struct Arguments {
    /// A folder, a GGUF file or a Hub id [default: SmolLM2-135M-Instruct]
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// A PEFT LoRA folder over the model and the name to ask for it by; any number of them
    #[arg(long, value_name = "NAME=DIR")]
    adapter: Vec<String>,
    /// 0 takes any that is free
    #[arg(long, value_name = "N", default_value_t = 8080)]
    port: u16,
    /// The address to listen on [default: 127.0.0.1]
    #[arg(long, value_name = "H")]
    host: Option<String>,
    /// Let in only who has a key of this file, which holds their SHA-256
    #[arg(long, value_name = "FILE")]
    keys: Option<PathBuf>,
    /// Take up files and train on them: the folder of files, jobs and their adapters
    #[arg(long, value_name = "DIR")]
    state: Option<PathBuf>,
    /// Make a key of that name, add it to the file, print it this once, and end
    #[arg(long, value_name = "NAME", requires = "keys")]
    new_key: Option<String>,
    /// Replies written together
    #[arg(long, value_name = "N", default_value_t = 32)]
    batch: usize,
    /// Requests that may wait beside those; more are answered with 429
    #[arg(long, value_name = "N", default_value_t = 256)]
    queue: usize,
    /// Requests a minute of each key; more are answered with 429 [default: any number]
    #[arg(long, value_name = "N")]
    rate: Option<u32>,
    /// Most tokens of one reply [default: what the model can read]
    #[arg(long, value_name = "N")]
    max_tokens: Option<usize>,
    /// Seconds that a request may take
    #[arg(long, value_name = "N", default_value_t = 600)]
    timeout: u64,
}

#[derive(Serialize)]
struct NewKey<'a> {
    name: &'a str,
    key: &'a str,
}

/// Serves until interrupted, or makes a key.
pub fn run(arguments: Arguments, global: Global) -> Result<()> {
    if let (Some(name), Some(file)) = (&arguments.new_key, &arguments.keys) {
        let key = keys::make(file, name)?;
        return if global.json {
            output::json(&NewKey { name, key: &key })
        } else {
            output::write(&format!("{key}\n"))
        };
    }
    let settings = ServeSettings::new(ServeFlags {
        model: arguments.model,
        adapters: arguments.adapter,
        host: arguments.host,
        port: arguments.port,
        keys: arguments.keys,
        state: arguments.state,
        batch: arguments.batch,
        queue: arguments.queue,
        rate: arguments.rate,
        max_tokens: arguments.max_tokens,
        timeout: arguments.timeout,
    })?;
    let stop = Stop::default();
    stop_on_interrupt(&stop)?;
    let progress = Arc::new(Progress::new(global));
    server::serve(&settings, progress, &stop, &mut |ready| tell(ready, global))
}

/// The first Ctrl-C lets replies under way finish, the second does not.
fn stop_on_interrupt(stop: &Stop) -> Result<()> {
    let (stop, again) = (stop.clone(), std::sync::atomic::AtomicBool::new(false));
    let handler = move || {
        if again.swap(true, std::sync::atomic::Ordering::Relaxed) {
            errors::end(130);
        }
        stop.now();
    };
    ctrlc::set_handler(handler)
        .map_err(|cause| Error::outside("cannot listen for Ctrl-C").because(cause))
}

fn tell(ready: &Ready, global: Global) -> Result<()> {
    if global.json {
        output::json(ready)?;
    }
    if !global.quiet {
        let models = ready.models.join(", ");
        let said = format!("serving {models} at {}/v1 (Ctrl-C ends it)", ready.address);
        errors::remark(&said, global.log_format);
    }
    Ok(())
}
