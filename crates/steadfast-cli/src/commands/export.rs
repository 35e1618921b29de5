//! `steadfast export`

use crate::arguments::Global;
use crate::output;
use crate::progress::Progress;
use clap::{ArgGroup, Args};
use std::path::PathBuf;
use steadfast::models::export::gguf::Quantization;
use steadfast::models::export::{Exported, folder, gguf, ollama};
use steadfast::models::{Adapter, resolve};
use steadfast::{Error, Result};

/// The flags of `export`.
#[derive(Args, Debug)]
#[command(
    group(ArgGroup::new("form").required(true).args(["merge", "gguf", "ollama"])),
    after_help = "Examples:\n  steadfast export adapters/hotel --merge models/hotel\n  \
        steadfast export adapters/hotel --gguf hotel.gguf --quantize Q4_K_M\n  \
        steadfast export adapters/hotel --ollama hotel && ollama create hotel -f hotel/Modelfile"
)]
pub struct Arguments {
    /// The adapter's folder
    adapter: PathBuf,
    /// The base that it was trained on: a folder, a GGUF file or a Hub id [default:
    /// SmolLM2-135M-Instruct]
    #[arg(long, value_name = "M")]
    model: Option<String>,
    /// Write one model folder that transformers and vLLM load
    #[arg(long, value_name = "DIR")]
    merge: Option<PathBuf>,
    /// Write one GGUF file that llama.cpp loads
    #[arg(long, value_name = "FILE")]
    gguf: Option<PathBuf>,
    /// Write a folder for `ollama create`
    #[arg(long, value_name = "DIR")]
    ollama: Option<PathBuf>,
    /// How a GGUF file stores matrices: F32, F16, Q8_0, Q4_K_M, Q4_0 or Q4_1 [default: F16]
    #[arg(long, value_name = "TYPE", conflicts_with = "merge", value_parser = quantization)]
    quantize: Option<Quantization>,
}

fn quantization(word: &str) -> std::result::Result<Quantization, String> {
    Quantization::ALL
        .into_iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(word))
        .map(|(_, quantization)| quantization)
        .ok_or_else(|| {
            let names: Vec<&str> = Quantization::ALL.iter().map(|(name, _)| *name).collect();
            format!("one of {}", names.join(", "))
        })
}

/// Writes base and adapter as one model.
pub fn run(arguments: &Arguments, global: Global) -> Result<()> {
    let adapter = Adapter::read(&arguments.adapter)?;
    let located = resolve::locate(arguments.model.as_deref(), &Progress::new(global))?;
    let quantization = arguments.quantize.unwrap_or_default();
    let exported: Exported = match (&arguments.merge, &arguments.gguf, &arguments.ollama) {
        (Some(place), _, _) => folder::write(&located, &adapter, place),
        (_, Some(file), _) => gguf::write(&located, &adapter, quantization, file),
        (_, _, Some(place)) => ollama::write(&located, &adapter, quantization, place),
        (None, None, None) => Err(Error::bug("an export without a form")),
    }?;
    if global.json {
        return output::json(&exported);
    }
    output::write(&format!(
        "{}  {} MB\n",
        exported.path.display(),
        exported.bytes.div_ceil(1_000_000)
    ))
}
