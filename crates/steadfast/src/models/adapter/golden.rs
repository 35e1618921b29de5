//! Every kind of peft's adapters that is read, against peft: asked, merged, and in a GGUF file's place.
//!
//! The expected logits are in `tests/golden/adapters.json`, made by `adapters.py` there; both sides make
//! the same weights from a formula.

use super::*;
use crate::models::decoder::families::noise;
use crate::models::export::folder;
use crate::models::resolve::Located;
use crate::models::weights::{self, Form};
use crate::models::{Decoder, ModelConfig};
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
#[derive(Deserialize)]
struct Case {
    name: String,
    config: Value,
    weights: BTreeMap<String, Vec<usize>>,
    adapter: Value,
    tensors: BTreeMap<String, Vec<usize>>,
    sequence: Vec<u32>,
    logits: BTreeMap<usize, Vec<f64>>,
}

fn cases() -> Vec<Case> {
    let text = include_str!("../../../../../tests/golden/adapters.json");
    serde_json::from_str(text).expect("the golden file is well formed")
}

/// As `weight` in `families.py`.
fn weight(name: &str, shape: &[usize]) -> Tensor {
    match shape {
        [_] if name.ends_with("weight") => (noise(name, shape, 0.3) + 1.0).unwrap(),
        [_] => noise(name, shape, 0.3),
        _ => noise(name, shape, (3.0 / shape[1] as f64).sqrt()),
    }
}

/// As `changed` in `adapters.py`.
fn changed(name: &str, shape: &[usize]) -> Tensor {
    if name.contains("lora_A") || name.contains("lora_B") {
        noise(name, shape, 0.1)
    } else if name.contains("lora_magnitude") {
        (noise(name, shape, 0.3) + 1.0).unwrap()
    } else {
        weight(name, shape)
    }
}

fn save(
    folder: &Path,
    file: &str,
    shapes: &BTreeMap<String, Vec<usize>>,
    make: fn(&str, &[usize]) -> Tensor,
) {
    std::fs::create_dir_all(folder).unwrap();
    let tensors: HashMap<String, Tensor> = shapes
        .iter()
        .map(|(name, shape)| (name.clone(), make(name, shape)))
        .collect();
    candle_core::safetensors::save(&tensors, folder.join(file)).unwrap();
}

impl Case {
    /// Base and adapter as folders.
    fn write(&self, folder: &Path) -> (PathBuf, PathBuf) {
        let (base, adapter) = (folder.join("base"), folder.join("adapter"));
        save(&base, "model.safetensors", &self.weights, weight);
        std::fs::write(base.join("config.json"), self.config.to_string()).unwrap();
        save(&adapter, TENSOR_FILE, &self.tensors, changed);
        std::fs::write(adapter.join(CONFIG_FILE), self.adapter.to_string()).unwrap();
        (base, adapter)
    }

    fn difference(&self, decoder: &Decoder, adapter: Option<&Adapter>) -> f64 {
        let tokens = &self.sequence;
        let hidden = decoder
            .hidden(tokens, &[tokens.len()], adapter, None)
            .unwrap();
        let found: Vec<Vec<f32>> = decoder.logits(&hidden).unwrap().to_vec2().unwrap();
        let rows = self.logits.iter();
        rows.flat_map(|(row, expected)| found[*row].iter().zip(expected))
            .map(|(found, expected)| (f64::from(*found) - expected).abs())
            .fold(0.0, f64::max)
    }
}

fn decoder(folder: &Path, adapter: Option<&mut Adapter>) -> Decoder {
    let mut config = ModelConfig::read(folder).unwrap();
    let mut weights = weights::read(folder, Form::Floats, &Device::Cpu).unwrap();
    if let Some(adapter) = adapter {
        adapter.lay_over(&mut config, &mut weights).unwrap();
    }
    Decoder::new(&config, weights, &Device::Cpu).unwrap()
}

#[test]
fn asked_and_merged_they_give_the_logits_of_peft() {
    for case in cases() {
        let folder = tempfile::tempdir().unwrap();
        let (base, place) = case.write(folder.path());
        let mut adapter = Adapter::read(&place).unwrap();
        let whole = adapter.clone();
        let network = decoder(&base, Some(&mut adapter));
        let adapter = adapter.bound_to(&network).unwrap();
        let asked = case.difference(&network, Some(&adapter));

        let located = Located {
            id: "base".into(),
            revision: None,
            sha256: String::new(),
            identity: String::new(),
            path: base,
        };
        let merged = folder.path().join("merged");
        folder::write(&located, &whole, &merged).unwrap();
        let merged = case.difference(&decoder(&merged, None), None);
        println!("{}: {asked:.1e} asked, {merged:.1e} merged", case.name);
        assert!(
            asked < 2e-5 && merged < 2e-5,
            "{}: {asked}, {merged}",
            case.name
        );
    }
}

#[test]
fn a_base_that_is_shared_takes_no_modules_of_one_adapter() {
    for case in cases() {
        let folder = tempfile::tempdir().unwrap();
        let (base, place) = case.write(folder.path());
        let adapter = Adapter::read(&place).unwrap();
        let network = decoder(&base, None);
        let brings = !adapter.replaced.is_empty();
        let bound = adapter.clone().bound_to(&network);
        assert_eq!(bound.is_err(), brings, "{}", case.name);
        if let Err(error) = bound {
            assert!(error.hint.unwrap().contains("--merge"), "{}", case.name);
        }
        // Training, which would write it again, refuses what it cannot write.
        let plain = adapter.magnitudes.is_empty() && !brings;
        let again = adapter.write(&folder.path().join("again"), "base", None);
        assert_eq!(again.is_ok(), plain, "{}", case.name);
        // Patterns of ranks and alphas come back as the modules' own.
        if plain {
            let read = Adapter::read(&folder.path().join("again")).unwrap();
            for (path, module) in &adapter.modules {
                let same = &read.modules[path];
                assert!(
                    (same.scale - module.scale).abs() < 1e-9,
                    "{}: {path}",
                    case.name
                );
                assert_eq!(same.a.dims(), module.a.dims(), "{}: {path}", case.name);
            }
        }
    }
}

#[test]
fn parts_that_do_not_belong_together_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let case = cases()
        .into_iter()
        .find(|case| case.name == "dora")
        .unwrap();
    let (_, place) = case.write(folder.path());
    let mut config = case.adapter.clone();
    config["use_dora"] = false.into();
    std::fs::write(place.join(CONFIG_FILE), config.to_string()).unwrap();
    assert!(Adapter::read(&place).unwrap_err().message.contains("DoRA"));
    std::fs::write(place.join(CONFIG_FILE), case.adapter.to_string()).unwrap();
    let mut shapes = case.tensors.clone();
    shapes.retain(|name, _| !name.ends_with("layers.1.mlp.up_proj.lora_magnitude_vector"));
    save(&place, TENSOR_FILE, &shapes, changed);
    let error = Adapter::read(&place).unwrap_err();
    assert!(error.place.field.unwrap().ends_with("up_proj"));
}
