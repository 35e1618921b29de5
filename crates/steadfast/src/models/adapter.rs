//! A low-rank change ΔW = s·B·A of named linear layers, and its PEFT form on disk.
//!
//! What PEFT knows beside it is read, not written: DoRA's magnitudes ([`dora`]), and modules that the
//! adapter brings as wholes ([`replaced`]).

mod config;
pub mod dora;
#[cfg(test)]
mod golden;
mod read;
pub mod replaced;
mod write;

use crate::models::Multiple;
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

/// PEFT's name of the settings file.
pub const CONFIG_FILE: &str = "adapter_config.json";
/// PEFT's name of the tensor file.
pub const TENSOR_FILE: &str = "adapter_model.safetensors";
/// Our kind of change of whole weights, which are written as `<path>.change.weight` [out, in].
const WHOLE: &str = "WHOLE_WEIGHTS";
/// What PEFT puts before a module's path.
const PREFIX: &str = "base_model.model.";

/// The change of one linear layer y = Wx: ΔW = scale·B·A.
#[derive(Clone, Debug)]
pub struct LowRank {
    /// [rank, in]
    pub a: Tensor,
    /// [out, rank]
    pub b: Tensor,
    /// A is the identity and the scale 1, so that B is the change of the weight itself: nothing is
    /// multiplied by A.
    pub whole: bool,
    /// α/r, or α/√r with rsLoRA.
    pub scale: f64,
    /// Whether backward computes the gradient of A.
    pub train_a: bool,
    /// Whether backward computes the gradient of B.
    pub train_b: bool,
}

/// All changed layers, by module path (`model.layers.0.self_attn.q_proj`).
#[derive(Clone, Debug, Default)]
pub struct Adapter {
    /// The changed layers.
    pub modules: BTreeMap<String, LowRank>,
    /// α as PEFT writes it.
    pub alpha: f64,
    /// Rank as PEFT writes it.
    pub rank: usize,
    /// Scale by α/√r.
    pub rank_stabilized: bool,
    /// DoRA's length of each row of W + s·B·A, \[out\], by module path; see [`dora`].
    pub magnitudes: BTreeMap<String, Tensor>,
    /// Whole tensors in the place of the base's, by name; see [`replaced`].
    pub replaced: BTreeMap<String, Tensor>,
}

/// What α is divided by: the rank, or its root with rsLoRA.
pub fn divisor(rank: f64, rank_stabilized: bool) -> f64 {
    if rank_stabilized { rank.sqrt() } else { rank }
}

/// Gradients by tensor name: `<module path>.lora_A` [rank, in], `<module path>.lora_B` [out, rank].
pub type AdapterGradients = BTreeMap<String, Tensor>;

/// Identities by their width: layers of one width share one.
#[derive(Debug, Default)]
pub struct Identities(BTreeMap<usize, Tensor>);

impl Identities {
    /// The identity [width, width].
    pub fn of(&mut self, width: usize) -> Result<Tensor> {
        Ok(match self.0.entry(width) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(place) => {
                let identity = Tensor::eye(width, DType::F32, &Device::Cpu)?;
                place.insert(identity).clone()
            }
        })
    }
}

impl LowRank {
    /// What it adds to the weight [out, in]: s·B·A, or the whole.
    pub fn change(&self) -> Result<Tensor> {
        if self.whole {
            Ok(self.b.clone())
        } else {
            Ok((self.b.matmul(&self.a)? * self.scale)?)
        }
    }

    /// The change [out, in] of a whole weight, and the identity [in, in], which layers share.
    pub fn whole(change: Tensor, identity: Tensor) -> Self {
        Self {
            a: identity,
            b: change,
            whole: true,
            scale: 1.0,
            train_a: false,
            train_b: false,
        }
    }
}

impl Adapter {
    /// The same directions, each change `factor` times as large: 0 is the base, 1 the adapter itself.
    pub fn scaled(&self, factor: f64) -> Result<Self> {
        self.check_plain()?;
        let mut scaled = self.clone();
        scaled.alpha *= factor;
        for module in scaled.modules.values_mut() {
            if module.whole {
                module.b = (&module.b * factor)?;
            } else {
                module.scale *= factor;
            }
        }
        Ok(scaled)
    }

    /// A multiple of each change, in a base of so many layers.
    ///
    /// # Errors
    /// By depth: a layer is none of the base's.
    pub fn at(&self, multiple: Multiple, layers: usize) -> Result<Self> {
        match multiple.everywhere() {
            Some(factor) => self.scaled(factor),
            None => self.scaled_by_depth(multiple, layers),
        }
    }

    /// The factors go into B: PEFT's `alpha_pattern` could say them too, but not every reader of its
    /// files knows it. A linear layer that is in no layer is the output head, and goes with the last.
    fn scaled_by_depth(&self, multiple: Multiple, layers: usize) -> Result<Self> {
        self.check_plain()?;
        let mut scaled = self.clone();
        for (path, module) in &mut scaled.modules {
            let index = layer(path).unwrap_or(layers.saturating_sub(1));
            if index >= layers {
                return Err(Error::user(format!(
                    "the adapter changes `{path}`, and the base has {layers} layers"
                ))
                .hint("use the model that the adapter was trained on"));
            }
            module.b = (&module.b * multiple.of_layer(index, layers))?;
        }
        Ok(scaled)
    }

    /// What is trained here has neither magnitudes nor replaced modules.
    fn check_plain(&self) -> Result<()> {
        if self.magnitudes.is_empty() && self.replaced.is_empty() {
            return Ok(());
        }
        Err(Error::user(
            "DoRA and saved modules can be asked, merged and exported whole, not scaled or trained further",
        )
        .hint("merge the adapter with `steadfast export --merge`, and train on the result"))
    }
}

/// The layer, counted from 0, that a module's path is in.
fn layer(path: &str) -> Option<usize> {
    let mut parts = path.split('.').skip_while(|part| *part != "layers");
    parts.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn what_is_written_is_read_back() {
        let folder = tempfile::tempdir().unwrap();
        let tensor =
            |rows, columns| Tensor::randn(0f32, 1., (rows, columns), &Device::Cpu).unwrap();
        let module = LowRank {
            a: tensor(4, 6),
            b: tensor(8, 4),
            whole: false,
            scale: 2.0,
            train_a: true,
            train_b: true,
        };
        let adapter = Adapter {
            modules: BTreeMap::from([("model.layers.0.self_attn.q_proj".to_owned(), module)]),
            alpha: 8.0,
            rank: 4,
            ..Adapter::default()
        };
        adapter.write(folder.path(), "base", None).unwrap();
        let read = Adapter::read(folder.path()).unwrap();
        let (before, after) = (
            &adapter.modules["model.layers.0.self_attn.q_proj"],
            &read.modules["model.layers.0.self_attn.q_proj"],
        );
        assert_eq!(
            before.a.to_vec2::<f32>().unwrap(),
            after.a.to_vec2::<f32>().unwrap()
        );
        assert_eq!(
            before.b.to_vec2::<f32>().unwrap(),
            after.b.to_vec2::<f32>().unwrap()
        );
        assert_eq!((before.scale, read.rank, read.alpha), (after.scale, 4, 8.0));
    }

    /// A low-rank change and one of a whole weight in each of `layers` layers, and one of the head.
    fn tower(layers: usize) -> Adapter {
        let tensor =
            |rows, columns| Tensor::randn(0f32, 1., (rows, columns), &Device::Cpu).unwrap();
        let low_rank = || LowRank {
            a: tensor(2, 6),
            b: tensor(8, 2),
            whole: false,
            scale: 0.7,
            train_a: false,
            train_b: false,
        };
        let identity = Tensor::eye(6, DType::F32, &Device::Cpu).unwrap();
        let mut modules = BTreeMap::from([("lm_head".to_owned(), low_rank())]);
        for index in 0..layers {
            let whole = LowRank::whole(tensor(8, 6), identity.clone());
            modules.insert(format!("model.layers.{index}.mlp.up_proj"), low_rank());
            modules.insert(format!("model.layers.{index}.mlp.gate_proj"), whole);
        }
        Adapter {
            modules,
            alpha: 1.4,
            rank: 2,
            ..Adapter::default()
        }
    }

    /// The furthest that a change of `one` is from `factor` times that of `other`.
    fn furthest(one: &Adapter, other: &Adapter, factor: impl Fn(&str) -> f64) -> f32 {
        let pairs = one.modules.iter().zip(&other.modules);
        let differences = pairs.map(|((path, one), (_, other))| {
            let expected = (other.change().unwrap() * factor(path)).unwrap();
            let difference = (one.change().unwrap() - expected).unwrap().abs().unwrap();
            difference.max_all().unwrap().to_scalar::<f32>().unwrap()
        });
        differences.fold(0.0, f32::max)
    }

    proptest::proptest! {
        #![proptest_config(proptest::prelude::ProptestConfig::with_cases(24))]

        #[test]
        fn each_layer_is_scaled_by_its_own_factor_and_equal_ends_are_the_global_scale(
            first in 0.0f64..2.0, last in 0.0f64..2.0, layers in 1usize..13,
        ) {
            let (adapter, multiple) = (tower(layers), Multiple { first, last });
            let scaled = adapter.at(multiple, layers).unwrap();
            let of = |path: &str| {
                let index = path.split('.').nth(2).and_then(|part| part.parse().ok());
                multiple.of_layer(index.unwrap_or(layers - 1), layers)
            };
            proptest::prop_assert!(furthest(&scaled, &adapter, of) < 1e-5);
            // The same through B as through the scale.
            let even = adapter.scaled_by_depth(Multiple::even(first), layers).unwrap();
            proptest::prop_assert!(furthest(&even, &adapter.scaled(first).unwrap(), |_| 1.0) < 1e-5);
            // What PEFT is told does not change: the factors are in B.
            proptest::prop_assert_eq!((scaled.alpha, scaled.rank), (1.4, 2));
        }
    }

    #[test]
    fn a_part_by_depth_is_read_back_as_it_was_measured() {
        let folder = tempfile::tempdir().unwrap();
        let mut adapter = tower(3);
        // Both kinds never stand in one folder.
        adapter.modules.retain(|_, module| !module.whole);
        let multiple = Multiple {
            first: 0.0,
            last: 1.0,
        };
        let part = adapter.at(multiple, 3).unwrap();
        part.write(folder.path(), "base", None).unwrap();
        let read = Adapter::read(folder.path()).unwrap();
        assert_eq!(furthest(&read, &part, |_| 1.0), 0.0);
        let first = &read.modules["model.layers.0.mlp.up_proj"];
        assert_eq!(
            first
                .b
                .abs()
                .unwrap()
                .max_all()
                .unwrap()
                .to_scalar::<f32>()
                .unwrap(),
            0.0
        );
        // Of a deeper model, whose last layer this is not.
        let error = adapter.at(multiple, 2).unwrap_err();
        assert!(error.message.contains("layers.2"), "{error}");
    }

    #[test]
    fn other_kinds_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let write = |text: &str| std::fs::write(folder.path().join(CONFIG_FILE), text).unwrap();
        write(r#"{"peft_type":"IA3","r":1,"lora_alpha":1}"#);
        assert!(
            Adapter::read(folder.path())
                .unwrap_err()
                .message
                .contains("IA3")
        );
        write(r#"{"peft_type":"LORA","r":1,"lora_alpha":1,"fan_in_fan_out":true}"#);
        assert!(
            Adapter::read(folder.path())
                .unwrap_err()
                .message
                .contains("transposed")
        );
    }

    #[test]
    fn trained_biases_are_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let config = r#"{"peft_type":"LORA","r":1,"lora_alpha":1,"bias":"lora_only"}"#;
        std::fs::write(folder.path().join(CONFIG_FILE), config).unwrap();
        let error = Adapter::read(folder.path()).unwrap_err();
        assert!(error.message.contains("lora_only"), "{error}");
        assert_eq!(error.place.field.as_deref(), Some("bias"));
    }

    #[test]
    fn factors_of_the_wrong_shape_are_the_users_to_mend() {
        let module = "base_model.model.model.layers.0.self_attn.q_proj";
        let (good, bad) = (
            format!("{module}.lora_A.weight"),
            format!("{module}.lora_B.weight"),
        );
        let config = r#"{"peft_type":"LORA","r":2,"lora_alpha":2}"#;
        for (shape, field) in [(vec![8], &bad), (vec![8, 2, 1], &bad), (vec![8, 3], &good)] {
            let folder = tempfile::tempdir().unwrap();
            std::fs::write(folder.path().join(CONFIG_FILE), config).unwrap();
            let zeros = |shape: &[usize]| Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap();
            let tensors =
                HashMap::from([(good.clone(), zeros(&[2, 4])), (bad.clone(), zeros(&shape))]);
            candle_core::safetensors::save(&tensors, folder.path().join(TENSOR_FILE)).unwrap();
            let error = Adapter::read(folder.path()).unwrap_err();
            assert_eq!(error.class, crate::error::Class::User, "{error}");
            assert_eq!(error.place.field.as_ref(), Some(field));
            assert!(error.place.path.unwrap().ends_with(TENSOR_FILE));
            assert!(error.hint.is_some());
        }
    }
}
