//! The tokenizer, from `tokenizer.json` or rebuilt from GGUF metadata.

use super::gguf::GgufFile;
use crate::{Error, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use tokenizers::decoders::DecoderWrapper;
use tokenizers::processors::PostProcessorWrapper;
use tokenizers::processors::sequence::Sequence;

pub(super) mod gguf;

/// Tokens that end a turn in the chat formats of the supported families. Which of them a model's own
/// turns end with, its template says ([`Tokenizer::end_turns_as`]).
const END_OF_TURN: [&str; 5] = [
    "<|im_end|>",
    "<|eot_id|>",
    "<end_of_turn>",
    "<|end|>",
    "<|endoftext|>",
];

/// The bytes of a text that one token stands for: where they begin and end.
pub type Span = (usize, usize);

/// Text to tokens and back, with the ids that end a turn.
#[derive(Debug)]
pub struct Tokenizer {
    /// The Hugging Face tokenizer beneath.
    pub inner: tokenizers::Tokenizer,
    /// Beginning-of-sequence token, if the model has one.
    pub bos: Option<String>,
    /// End-of-sequence token.
    pub eos: Option<String>,
    /// Ids that end generation; the first is the one a chat turn ends with.
    pub stop: Vec<u32>,
}

impl Tokenizer {
    /// From a folder (`tokenizer.json`, `tokenizer_config.json`, `generation_config.json`) or a GGUF file.
    pub fn read(path: &Path) -> Result<Self> {
        if path.is_dir() {
            Self::from_folder(path)
        } else {
            gguf::read(&GgufFile::open(path)?)
        }
    }

    /// Tokens of `text`, special tokens in it recognised, none added.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        Ok(self.encode_with_offsets(text)?.0)
    }

    /// Tokens of a text that is no chat, begun as the tokenizer itself begins one (Gemma, say, is lost
    /// without its `<bos>`). A chat template prints such tokens itself.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.inner.encode(text, true).map_err(untokenized)?;
        Ok(encoding.get_ids().to_vec())
    }

    /// Tokens of `text` and the byte range of the text that each stands for.
    pub fn encode_with_offsets(&self, text: &str) -> Result<(Vec<u32>, Vec<Span>)> {
        let encoding = self.inner.encode(text, false).map_err(untokenized)?;
        Ok((encoding.get_ids().to_vec(), encoding.get_offsets().to_vec()))
    }

    /// Text of `tokens`, special tokens left out.
    pub fn decode(&self, tokens: &[u32]) -> Result<String> {
        self.inner.decode(tokens, true).map_err(|cause| {
            Error::user("the model's tokenizer cannot decode its own tokens")
                .because(cause)
                .hint("tokenizer.json may be damaged: download it again")
        })
    }

    /// Puts the token first among those that stop a reply which `after` has first: what a template
    /// prints after the words of a turn.
    pub fn end_turns_as(&mut self, after: &str) -> Result<()> {
        let tokens = self.encode(after)?;
        let place = tokens
            .iter()
            .find_map(|token| self.stop.iter().position(|stop| stop == token));
        if let Some(place) = place {
            self.stop[..=place].rotate_right(1);
        }
        Ok(())
    }

    fn from_folder(folder: &Path) -> Result<Self> {
        let path = folder.join("tokenizer.json");
        if !path.exists() {
            return Err(Error::user("the model folder has no tokenizer.json")
                .at(folder)
                .hint(
                    "save it with transformers' `AutoTokenizer.save_pretrained` and copy it here",
                ));
        }
        let unreadable = |cause: tokenizers::Error| {
            Error::user("the tokenizer cannot be read")
                .at(&path)
                .because(cause)
                .hint("the file may be truncated: download it again")
        };
        let bytes = std::fs::read(&path).map_err(|cause| Error::file("read", &path, cause))?;
        serde_json::from_slice::<Readable>(&bytes).map_err(|cause| unreadable(cause.into()))?;
        let mut inner = tokenizers::Tokenizer::from_bytes(&bytes).map_err(unreadable)?;
        // What was saved with a tokenizer for training in batches is not meant for every text:
        // transformers does without both where it is not asked for them.
        inner.with_padding(None);
        inner
            .with_truncation(None)
            .map_err(|cause| Error::bug("truncation cannot be switched off").because(cause))?;
        let settings = optional_json(&folder.join("tokenizer_config.json"))?;
        // As in transformers: where no file says how to generate, the model's own config does.
        let mut generation = optional_json(&folder.join("generation_config.json"))?;
        if generation["eos_token_id"].is_null() {
            generation = optional_json(&folder.join("config.json"))?;
        }
        let special = |key: &str| {
            let value = &settings[key];
            value
                .as_str()
                .or(value["content"].as_str())
                .map(str::to_owned)
        };
        let ending: Vec<u32> = match &generation["eos_token_id"] {
            serde_json::Value::Array(ids) => ids.iter().filter_map(as_id).collect(),
            id => as_id(id).into_iter().collect(),
        };
        Ok(Self::finish(
            inner,
            special("bos_token"),
            special("eos_token"),
            ending,
        ))
    }

    fn finish(
        mut inner: tokenizers::Tokenizer,
        bos: Option<String>,
        eos: Option<String>,
        ending: Vec<u32>,
    ) -> Self {
        let last = inner.get_post_processor().cloned().map(untrimmed);
        inner.with_post_processor(last);
        let known = |token: &str| inner.token_to_id(token);
        let mut seen = BTreeSet::new();
        let stop = END_OF_TURN
            .iter()
            .filter_map(|token| known(token))
            .chain(ending)
            .chain(eos.as_deref().and_then(known))
            .filter(|id| seen.insert(*id))
            .collect();
        Self {
            inner,
            bos,
            eos,
            stop,
        }
    }
}

/// As the post-processor is, but that it leaves tokens of white space where they stand: a tokenizer that
/// trims its offsets would say that they stand for nothing, and no mask would hold them.
fn untrimmed(processor: PostProcessorWrapper) -> PostProcessorWrapper {
    match processor {
        PostProcessorWrapper::ByteLevel(part) => part.trim_offsets(false).into(),
        PostProcessorWrapper::Roberta(part) => part.trim_offsets(false).into(),
        PostProcessorWrapper::Sequence(parts) => {
            Sequence::new(parts.into_iter().map(untrimmed).collect()).into()
        }
        other => other,
    }
}

/// The bytes that each token stands for. A character may begin in one token and end in the next.
#[derive(Debug)]
pub struct TokenBytes {
    bytes: Vec<Vec<u8>>,
    special: BTreeSet<u32>,
}

impl TokenBytes {
    /// Of all tokens of a tokenizer.
    pub fn new(tokenizer: &Tokenizer) -> Self {
        let inner = &tokenizer.inner;
        let added = inner.get_added_tokens_decoder();
        let byte_level = inner.get_decoder().is_some_and(is_byte_level);
        let letters = byte_level_letters();
        let bytes = (0..inner.get_vocab_size(true) as u32)
            .map(|id| match (added.get(&id), inner.id_to_token(id)) {
                (Some(token), _) => token.content.clone().into_bytes(),
                (None, None) => Vec::new(),
                (None, Some(token)) if byte_level => token
                    .chars()
                    .filter_map(|letter| letters.get(&letter).copied())
                    .collect(),
                (None, Some(token)) => fallback_bytes(&token),
            })
            .collect();
        let special = added.iter().filter(|(_, token)| token.special);
        Self {
            bytes,
            special: special.map(|(id, _)| *id).collect(),
        }
    }

    /// The bytes that a token adds to a text: none for one outside the vocabulary or a special one.
    pub fn of(&self, token: u32) -> &[u8] {
        if self.special.contains(&token) {
            return &[];
        }
        self.written(token)
    }

    /// As [`Self::of`], special tokens by their name.
    pub fn written(&self, token: u32) -> &[u8] {
        self.bytes
            .get(token as usize)
            .map_or(&[], |bytes| bytes.as_slice())
    }

    /// Tokens in the vocabulary.
    pub fn count(&self) -> usize {
        self.bytes.len()
    }
}

fn is_byte_level(decoder: &DecoderWrapper) -> bool {
    match decoder {
        DecoderWrapper::ByteLevel(_) => true,
        DecoderWrapper::Sequence(parts) => parts.get_decoders().iter().any(is_byte_level),
        _ => false,
    }
}

/// GPT-2's letters for bytes: printable ones stand for themselves, the rest for letters from U+0100 on.
fn byte_level_letters() -> BTreeMap<char, u8> {
    let mut next = 0x100;
    (0..=u8::MAX)
        .map(|byte| {
            let plain = matches!(byte, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
            let code = if plain {
                u32::from(byte)
            } else {
                next += 1;
                next - 1
            };
            (char::from_u32(code).unwrap_or_default(), byte)
        })
        .collect()
}

/// SentencePiece's way: `▁` is a space, `<0x0A>` a byte.
fn fallback_bytes(token: &str) -> Vec<u8> {
    let byte = token
        .strip_prefix("<0x")
        .and_then(|rest| rest.strip_suffix('>'))
        .and_then(|digits| u8::from_str_radix(digits, 16).ok());
    byte.map_or_else(
        || token.replace('\u{2581}', " ").into_bytes(),
        |byte| vec![byte],
    )
}

/// A `tokenizer.json` that the library can be given: it panics where the text of the decoder is no JSON.
#[derive(serde::Deserialize)]
struct Readable {
    #[serde(default, rename = "decoder")]
    _decoder: serde_json::Value,
}

fn untokenized(cause: tokenizers::Error) -> Error {
    Error::user("the model's tokenizer cannot read this text")
        .because(cause)
        .hint("tokenizer.json may be damaged: download it again")
}

fn as_id(value: &serde_json::Value) -> Option<u32> {
    value.as_u64().and_then(|id| u32::try_from(id).ok())
}

/// The file's JSON; `null` where there is no such file.
pub(super) fn optional_json(path: &Path) -> Result<serde_json::Value> {
    if !path.exists() {
        return Ok(serde_json::Value::Null);
    }
    let text = std::fs::read_to_string(path).map_err(|cause| Error::file("read", path, cause))?;
    serde_json::from_str(&text).map_err(|cause| {
        Error::user("the file is not JSON")
            .at(path)
            .line(cause.line())
            .because(cause)
            .hint("the file may be damaged: download it again")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::Silent;
    use crate::models::resolve;

    #[derive(serde::Deserialize)]
    struct Case {
        text: String,
        ids: Vec<u32>,
    }

    /// transformers rebuilds this tokenizer without its digit splitting; tokenizer.py adds it.
    #[test]
    fn ids_equal_those_of_transformers_with_digits_split() {
        let golden = include_str!("../../../../tests/golden/tokenizer.json");
        let cases: Vec<Case> = serde_json::from_str(golden).unwrap();
        let located = resolve::locate(None, &Silent).unwrap();
        let tokenizer = Tokenizer::read(&located.path).unwrap();
        assert!(cases.len() >= 30);
        for case in cases {
            assert_eq!(
                tokenizer.encode(&case.text).unwrap(),
                case.ids,
                "{:?}",
                case.text
            );
        }
    }

    #[test]
    fn bytes_of_tokens_are_those_of_their_text() {
        let located = resolve::locate(None, &Silent).unwrap();
        let tokenizer = Tokenizer::read(&located.path).unwrap();
        let bytes = TokenBytes::new(&tokenizer);
        let text = "naïve 🦀 — 旅館\n\t 2024 don't";
        let joined: Vec<u8> = tokenizer
            .encode(text)
            .unwrap()
            .iter()
            .flat_map(|token| bytes.of(*token))
            .copied()
            .collect();
        assert_eq!(joined, text.as_bytes());
        assert!(bytes.of(tokenizer.stop[0]).is_empty());
        assert_eq!(bytes.written(tokenizer.stop[0]), b"<|im_end|>");
        assert_eq!(fallback_bytes("▁the"), b" the");
        assert_eq!(fallback_bytes("<0x0A>"), b"\n");
    }

    #[test]
    fn a_saved_truncation_cuts_no_text() {
        let seed = include_str!("../../../../fuzz/seeds/tokenizer/good-truncation");
        let (_, json) = seed.split_once('\n').unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("tokenizer.json"), json).unwrap();
        let tokenizer = Tokenizer::read(folder.path()).unwrap();
        assert_eq!(tokenizer.encode("a,b,c").unwrap().len(), 5);
    }

    #[test]
    fn a_turn_ends_with_the_end_of_turn_token() {
        let located = resolve::locate(None, &Silent).unwrap();
        let tokenizer = Tokenizer::read(&located.path).unwrap();
        assert_eq!(
            tokenizer.stop.first(),
            tokenizer.inner.token_to_id("<|im_end|>").as_ref()
        );
    }

    #[test]
    fn a_reply_stops_at_every_end_that_the_files_list() {
        let located = resolve::locate(None, &Silent).unwrap();
        let mut inner = Tokenizer::read(&located.path).unwrap().inner;
        let ends = [
            "<end_of_turn>",
            "<|eot_id|>",
            "<|eom_id|>",
            "<|end_of_text|>",
        ];
        let added: Vec<_> = ends
            .map(|end| tokenizers::AddedToken::from(end, true))
            .into();
        inner.add_special_tokens(added).unwrap();
        let id = |end: &str| inner.token_to_id(end).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            std::fs::write(folder.path().join(name), text).unwrap();
        };
        write("tokenizer.json", inner.to_string(false).unwrap());
        write(
            "tokenizer_config.json",
            r#"{"eos_token": {"content": "<|end_of_text|>"}}"#.into(),
        );
        write(
            "config.json",
            format!(r#"{{"eos_token_id": [7, {}]}}"#, id("<|eom_id|>")),
        );
        let mut tokenizer = Tokenizer::read(folder.path()).unwrap();
        for end in ends {
            assert!(tokenizer.stop.contains(&id(end)), "{end}");
        }
        assert!(
            tokenizer.stop.contains(&7),
            "config.json says so where nothing else does"
        );
        for end in ends {
            tokenizer.end_turns_as(&format!("{end}\n")).unwrap();
            assert_eq!(tokenizer.stop[0], id(end));
        }
        let before = tokenizer.stop.clone();
        tokenizer.end_turns_as("\nnothing that ends").unwrap();
        assert_eq!(tokenizer.stop, before);

        write(
            "generation_config.json",
            r#"{"eos_token_id": [8, 9]}"#.into(),
        );
        let stop = Tokenizer::read(folder.path()).unwrap().stop;
        assert!(stop.contains(&8) && stop.contains(&9) && !stop.contains(&7));
    }
}
