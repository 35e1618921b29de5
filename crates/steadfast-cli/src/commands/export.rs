//! `steadfast export`

use crate::arguments::Global;
use crate::output;
use crate::progress::Progress;
use clap::{ArgGroup, Args};
use std::path::PathBuf;
use steadfast::models::export::gguf::Quantization;
use steadfast::models::export::{Exported, folder, gguf, ollama, peft};
use steadfast::models::{Adapter, ModelConfig, Multiple, resolve};
use steadfast::{Error, Result};

/// The flags of `export`.
#[derive(Args, Debug)]
#[command(
    group(ArgGroup::new("form").required(true).args(["merge", "gguf", "ollama", "peft"])),
    after_help = "Examples:\n  steadfast export adapters/hotel --merge models/hotel\n  \
        steadfast export adapters/hotel --gguf hotel.gguf --quantize Q4_K_M\n  \
        steadfast export adapters/hotel --ollama hotel && ollama create hotel -f hotel/Modelfile\n  \
        steadfast export adapters/hotel --scale 0.2..1 --peft adapters/hotel-part"
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
    /// Write the adapter's own folder again, for PEFT and vLLM
    #[arg(long, value_name = "DIR")]
    peft: Option<PathBuf>,
    /// Write this part of the change: 0.5 of it, or 0.2..1, first to last layer [default: all]
    #[arg(long, value_name = "PART")]
    scale: Option<Multiple>,
    /// How a GGUF file stores matrices: F32, F16, Q8_0, Q4_K_M, Q4_0 or Q4_1 [default: F16]
    #[arg(long, value_name = "TYPE", conflicts_with_all = ["merge", "peft"], value_parser = quantization)]
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
    let mut adapter = Adapter::read(&arguments.adapter)?;
    let located = resolve::locate(arguments.model.as_deref(), &Progress::new(global))?;
    if let Some(part) = arguments.scale {
        let layers = ModelConfig::read(&located.path)?.layers.len();
        adapter = adapter.at(part, layers)?;
    }
    let quantization = arguments.quantize.unwrap_or_default();
    let exported: Exported = if let Some(place) = &arguments.merge {
        folder::write(&located, &adapter, place)
    } else if let Some(file) = &arguments.gguf {
        gguf::write(&located, &adapter, quantization, file)
    } else if let Some(place) = &arguments.ollama {
        ollama::write(&located, &adapter, quantization, place)
    } else if let Some(place) = &arguments.peft {
        peft::write(&located, &adapter, place)
    } else {
        Err(Error::bug("an export without a form"))
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
