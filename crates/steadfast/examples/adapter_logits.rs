//! Prints the logits of the default base with an adapter, for `tests/peers/adapter.py` to compare.
//!
//! `cargo run --release -p steadfast --example adapter_logits -- ADAPTER < prompts.json`, where the
//! input is a JSON list of token lists. The output is a JSON list of rows: the logits after the last token.

use std::io::Read;
use std::path::Path;
use steadfast::events::Silent;
use steadfast::models::{Adapter, LanguageModel, resolve};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args().nth(1).ok_or("name an adapter folder")?;
    let located = resolve::locate(None, &Silent)?;
    let model = LanguageModel::load(&located, &candle_core::Device::Cpu)?;
    let adapter = Adapter::read(Path::new(&folder))?;
    let mut input = String::new();
    std::io::stdin().read_to_string(&mut input)?;
    let prompts: Vec<Vec<u32>> = serde_json::from_str(&input)?;
    let mut rows = Vec::new();
    for prompt in &prompts {
        let hidden = model
            .decoder
            .hidden(prompt, &[prompt.len()], Some(&adapter), None)?;
        let last = hidden.narrow(0, prompt.len() - 1, 1)?;
        rows.push(
            model
                .decoder
                .logits(&last)?
                .flatten_all()?
                .to_vec1::<f32>()?,
        );
    }
    println!("{}", serde_json::to_string(&rows)?);
    Ok(())
}
