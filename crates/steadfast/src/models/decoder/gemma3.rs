//! The real Gemma 3 270M against transformers: `tests/golden/gemma3.json`, made by `gemma3.py` there.
//!
//! Its GGUF file is no part of the project, and a quarter of a gigabyte:
//! `STEADFAST_GEMMA3=FILE cargo test --release --lib gemma3 -- --ignored`

use crate::Result;
use crate::models::tokenizer::Tokenizer;
use crate::models::weights::{self, Form};
use crate::models::{Decoder, ModelConfig};
use candle_core::Device;
use serde::Deserialize;
use std::path::PathBuf;

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    text: String,
    tokens: Vec<u32>,
    top_ids: Vec<usize>,
    top_values: Vec<f64>,
}

#[test]
#[ignore = "needs the file that STEADFAST_GEMMA3 names"]
fn the_real_file_has_the_tokens_and_logits_of_transformers() -> Result<()> {
    let golden = include_str!("../../../../../tests/golden/gemma3.json");
    let golden: Golden = serde_json::from_str(golden).expect("the golden file is well formed");
    let path = std::env::var_os("STEADFAST_GEMMA3").expect("STEADFAST_GEMMA3 names a file");
    let path = PathBuf::from(path);
    let tokenizer = Tokenizer::read(&path)?;
    let config = ModelConfig::read(&path)?;
    let mut found = Vec::new();
    for form in [Form::Floats, Form::Stored] {
        let weights = weights::read(&path, form, &Device::Cpu)?;
        let decoder = Decoder::new(&config, weights, &Device::Cpu)?;
        let mut worst = 0.0f64;
        for case in &golden.cases {
            assert_eq!(
                tokenizer.encode(&case.text)?,
                case.tokens,
                "{:?}",
                case.text
            );
            assert_eq!(tokenizer.decode(&case.tokens)?, case.text);
            let read = tokenizer.encode_plain(&case.text)?;
            assert_eq!(read[1..], case.tokens, "only <bos> comes before");
            let hidden = decoder.hidden(&read, &[read.len()], None, None)?;
            let last = decoder.logits(&hidden.narrow(0, read.len() - 1, 1)?)?;
            let last: Vec<f32> = last.flatten_all()?.to_vec1()?;
            for (&id, expected) in case.top_ids.iter().zip(&case.top_values) {
                worst = worst.max((f64::from(last[id]) - expected).abs());
            }
        }
        println!("{form:?}: largest difference from transformers: {worst:.1e}");
        assert!(worst < 2e-3, "{form:?}: logits differ by {worst}");
        found.push(worst);
    }
    assert_eq!(found[0].to_bits(), found[1].to_bits());
    Ok(())
}
