//! What training needs of memory, and how it keeps within what the user allows (`--memory-limit`).
//!
//! Two things give way, neither of which changes a bit of the result: linear layers stay as their file
//! stores them and are made f32 for the length of a product, and activations of the first layers are
//! computed anew in the backward pass instead of kept.

use super::blocks::head::most_rows;
use super::config::{ModelConfig, QueryKeyNorm};
use super::families::Family;
use super::weights::Form;
use crate::{Error, Result};

/// Program, tokenizer, template, data and what allocators hold back.
const PROCESS: u64 = 100_000_000;

/// What is to be trained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// Tokens of a batch.
    pub batch_tokens: usize,
    /// Rank of the adapter.
    pub rank: usize,
    /// Sets of second moments held at once: 0, 1 or 2.
    pub moments: usize,
    /// Tokens of retained replies whose final hidden states are held.
    pub anchored: usize,
}

impl Load {
    /// Bytes that training is expected to need where nothing is given up. `stored` is the size of the
    /// weight files in bytes.
    pub fn bytes(self, config: &ModelConfig, stored: u64) -> u64 {
        let need = Need::new(config, stored, self);
        let others = (config.layers.len() as u64).saturating_sub(1);
        need.fixed(Form::Floats) + others * need.layer
    }
}

/// How a model is held to stay within a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Form of the linear layers.
    pub form: Form,
    /// Layers whose activations are kept.
    pub kept_layers: usize,
}

impl Holding {
    /// No limit: everything is kept, in its fastest form.
    pub const WHOLE: Self = Self {
        form: Form::Floats,
        kept_layers: usize::MAX,
    };

    /// The fastest way that is expected to stay below `limit` bytes. `stored` is the size of the
    /// weight files in bytes.
    ///
    /// # Errors
    /// Even the smallest way needs more; the error says how much.
    pub fn within(limit: u64, config: &ModelConfig, stored: u64, load: Load) -> Result<Self> {
        let need = Need::new(config, stored, load);
        for form in [Form::Floats, Form::Stored] {
            let fixed = need.fixed(form);
            if let Some(room) = limit.checked_sub(fixed) {
                // Computing layers anew costs less than converting weights time and again.
                let kept_layers = (room / need.layer.max(1)) as usize;
                return Ok(Self {
                    form,
                    kept_layers: kept_layers.min(config.layers.len()),
                });
            }
        }
        let least = need.fixed(Form::Stored);
        Err(Error::user(format!(
            "training this needs about {}, and the limit is {}",
            megabytes(least),
            megabytes(limit)
        ))
        .field("--memory-limit")
        .hint("allow more, make --batch-tokens or --rank smaller, or take a more quantized file of the model"))
    }

    /// What gives way to the limit, if anything, in words.
    pub fn note(&self, config: &ModelConfig) -> Option<String> {
        let mut parts = Vec::new();
        if self.form == Form::Stored {
            parts.push("weights stay as their file stores them".to_owned());
        }
        let anew = config.layers.len().saturating_sub(self.kept_layers);
        if anew > 0 {
            parts.push(format!(
                "activations of {anew} of {} layers are computed anew in the backward pass",
                config.layers.len()
            ));
        }
        (!parts.is_empty())
            .then(|| format!("to stay within --memory-limit, {}", parts.join(" and ")))
    }
}

/// How many numbers the parts of a model have.
#[derive(Clone, Copy, Debug)]
pub struct Sizes {
    hidden: u64,
    inner: u64,
    /// Columns of the queries, and of queries, keys and values together.
    queries: u64,
    shared: u64,
    /// Columns of what comes into the feed-forward block's unit.
    wide: u64,
    layers: u64,
    /// All linear layers but the head.
    pub linear: u64,
    /// The output head.
    pub head: u64,
    /// The embedding, and the head where it is another.
    pub tables: u64,
    /// Inputs and outputs of all adapted layers: what one rank costs.
    pub sides: u64,
}

impl Sizes {
    /// Those of the model with this config.
    pub fn of(config: &ModelConfig) -> Self {
        let count = |value: usize| value as u64;
        let (hidden, inner) = (count(config.hidden_size), count(config.intermediate_size));
        let queries = count(config.heads * config.head_size);
        let shared = queries + 2 * count(config.key_value_heads * config.head_size);
        let wide = count(config.unit.inputs(config.intermediate_size));
        let layers = count(config.layers.len());
        let head = count(config.vocabulary) * hidden;
        Self {
            hidden,
            inner,
            queries,
            shared,
            wide,
            layers,
            linear: layers * hidden * (shared + queries + wide + inner),
            head,
            tables: if config.tied_embeddings {
                head
            } else {
                2 * head
            },
            // Seven projections, or four where some are one.
            sides: layers * (7 * hidden + shared + queries + wide + inner),
        }
    }
}

/// Bytes of each part.
struct Need {
    floats: u64,
    stored: u64,
    /// What one layer keeps for its backward.
    layer: u64,
    /// What is there in any case.
    rest: u64,
}

impl Need {
    fn new(config: &ModelConfig, stored: u64, load: Load) -> Self {
        let count = |value: usize| value as u64;
        let Sizes {
            hidden,
            inner,
            queries,
            shared,
            wide,
            layers,
            linear,
            tables,
            sides,
            ..
        } = Sizes::of(config);
        let (rows, rank) = (count(load.batch_tokens), count(load.rank));
        let one_layer = linear / layers.max(1);
        let adapter = rank * sides;
        let moments = layers * (2 * hidden * hidden + queries * queries + inner * inner) / 2;
        // In floats a row: what a layer keeps, and what it uses beside that.
        let given = Family::named(&config.architecture).map_or(0, |family| {
            let norms = [
                family.names.attention_norms,
                family.names.feed_forward_norms,
            ];
            norms.iter().filter(|norm| norm.after.is_some()).count()
        });
        let keeps = (2 + count(given)) * hidden
            + (shared + queries + count(config.heads))
            + wide
            + 7 * rank;
        let positioned = match config.query_key_norm {
            QueryKeyNorm::None => 0,
            QueryKeyNorm::Head | QueryKeyNorm::Whole => shared,
        };
        let uses = 6 * hidden + 2 * shared + positioned + queries + wide + 2 * inner;
        // A cap needs its logits beside their gradients.
        let logits = if config.logit_cap.is_some() { 2 } else { 1 };
        // The largest sum of a layer's weights that is made at once, where they are stored.
        let made = one_layer.min(wide * hidden);
        Self {
            floats: 4 * linear,
            stored: stored + 4 * made,
            layer: 4 * rows * (keeps - hidden),
            // Every layer keeps its input. Values before and after a step, gradients (twice), both moments of
            // the optimiser, the copy that a checkpoint holds, and one to spare.
            rest: PROCESS
                + 4 * (tables + 10 * adapter)
                + 4 * rows * (layers * hidden + uses)
                + 4 * logits
                    * count(most_rows(config.vocabulary)).min(rows)
                    * count(config.vocabulary)
                + 8 * count(load.moments) * moments
                + 4 * count(load.anchored) * hidden,
        }
    }

    /// Bytes with no layer's activations kept.
    fn fixed(&self, form: Form) -> u64 {
        self.rest
            + self.layer
            + match form {
                Form::Floats => self.floats,
                Form::Stored => self.stored,
            }
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes.div_ceil(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::config::LayerConfig;

    fn smollm2() -> ModelConfig {
        ModelConfig {
            hidden_size: 576,
            intermediate_size: 1536,
            layers: vec![LayerConfig::default(); 30],
            heads: 9,
            key_value_heads: 3,
            head_size: 64,
            vocabulary: 49152,
            context: 8192,
            tied_embeddings: true,
            ..ModelConfig::default()
        }
    }

    #[test]
    fn less_room_gives_up_activations_first_and_f32_weights_next() {
        let load = Load {
            batch_tokens: 1024,
            rank: 16,
            moments: 0,
            anchored: 0,
        };
        let within =
            |megabytes: u64| Holding::within(megabytes * 1_000_000, &smollm2(), 98_000_000, load);
        let wide = within(4000).unwrap();
        assert_eq!((wide.form, wide.kept_layers), (Form::Floats, 30));
        assert_eq!(wide.note(&smollm2()), None);
        let mut before = wide;
        let mut seen = [false; 2];
        for size in (700..4000).rev().step_by(10) {
            let Ok(holding) = within(size) else { break };
            if holding.form == before.form {
                assert!(holding.kept_layers <= before.kept_layers);
            }
            seen[0] |= holding.form == Form::Floats && holding.kept_layers < 30;
            seen[1] |= holding.form == Form::Stored;
            before = holding;
        }
        assert_eq!(seen, [true; 2]);
        let error = within(300).unwrap_err();
        assert!(
            error.message.contains("MB") && error.hint.is_some(),
            "{error}"
        );
    }
}
