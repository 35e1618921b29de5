//! A tokenizer rebuilt from GGUF metadata: byte-level BPE, or SentencePiece's BPE with scores.

use super::Tokenizer;
use crate::models::gguf::GgufFile;
use crate::{Error, Result};
use std::collections::HashMap;
use tokenizers::decoders::byte_fallback::ByteFallback;
use tokenizers::decoders::fuse::Fuse;
use tokenizers::decoders::strip::Strip;
use tokenizers::models::bpe::{BPE, Merges, Vocab};
use tokenizers::normalizers::{NFC, Prepend, Replace};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::template::TemplateProcessing;
use tokenizers::{
    AddedToken, DecoderWrapper, NormalizerWrapper, SplitDelimiterBehavior, decoders, normalizers,
};

/// llama.cpp's type number of control (special) tokens.
const CONTROL: i64 = 3;
/// llama.cpp's type number of tokens a user added.
const USER_DEFINED: i64 = 4;

/// Longest token of a SentencePiece vocabulary, bytes: each is looked up in all its pairs of parts, and
/// real ones have some dozens.
const LONGEST_PIECE: usize = 512;

/// SentencePiece's space.
const SPACE: &str = "\u{2581}";

/// Reads the file's tokenizer.
pub(super) fn read(file: &GgufFile) -> Result<Tokenizer> {
    let kind = file.text("tokenizer.ggml.model")?;
    let tokens = file.texts("tokenizer.ggml.tokens")?;
    let vocabulary: Vocab = (tokens.iter().enumerate())
        .map(|(id, token)| ((*token).to_owned(), id as u32))
        .collect();
    let mut inner = match kind {
        "gpt2" => byte_level(file, vocabulary)?,
        "llama" => sentence_pieces(file, vocabulary, &tokens)?,
        other => {
            return Err(Error::user(format!(
                "the GGUF tokenizer kind `{other}` is not supported"
            ))
            .at(file.path())
            .field("tokenizer.ggml.model")
            .hint("supported: gpt2 (byte-level BPE) and llama (SentencePiece); or use a model folder with tokenizer.json"));
        }
    };
    let types = file.integers("tokenizer.ggml.token_type")?;
    if types.len() != tokens.len() {
        return Err(Error::user(format!(
            "{} tokens have {} types",
            tokens.len(),
            types.len()
        ))
        .at(file.path())
        .field("tokenizer.ggml.token_type")
        .hint("convert the model again with a current llama.cpp converter"));
    }
    let added = |kind: i64| {
        tokens
            .iter()
            .zip(&types)
            .filter(move |(_, found)| **found == kind)
            .map(move |(token, _)| AddedToken::from(*token, kind == CONTROL))
            .collect::<Vec<_>>()
    };
    let cannot_add = |cause: tokenizers::Error| {
        Error::user("the special tokens cannot be added")
            .at(file.path())
            .because(cause)
            .hint("convert the model again with a current llama.cpp converter")
    };
    inner
        .add_special_tokens(added(CONTROL))
        .map_err(cannot_add)?;
    inner.add_tokens(added(USER_DEFINED)).map_err(cannot_add)?;
    let named = |key: &str| -> Option<(String, u32)> {
        let id = file.integer(key).ok()?;
        let token = tokens.get(id)?;
        Some(((*token).to_owned(), u32::try_from(id).ok()?))
    };
    let bos = named("tokenizer.ggml.bos_token_id");
    // llama.cpp's own defaults, where the file says nothing.
    let begins = file.flag("tokenizer.ggml.add_bos_token").unwrap_or(
        kind == "llama"
            || file
                .text("tokenizer.ggml.pre")
                .is_ok_and(|pre| pre == "llama-bpe"),
    );
    if begins && let Some((token, id)) = bos.clone() {
        begin_with(&mut inner, token, id).map_err(cannot_add)?;
    }
    let eos = named("tokenizer.ggml.eos_token_id");
    let ending = ["tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"];
    Ok(Tokenizer::finish(
        inner,
        bos.map(|(token, _)| token),
        eos.map(|(token, _)| token),
        ending
            .into_iter()
            .filter_map(|key| Some(named(key)?.1))
            .collect(),
    ))
}

/// Lets plain text begin with this token.
fn begin_with(
    inner: &mut tokenizers::Tokenizer,
    token: String,
    id: u32,
) -> std::result::Result<(), tokenizers::Error> {
    let template = TemplateProcessing::builder()
        .try_single(format!("{token} $A"))?
        .special_tokens(vec![(token, id)])
        .build()
        .map_err(|cause| cause.to_string())?;
    inner.with_post_processor(Some(template));
    Ok(())
}

fn byte_level(file: &GgufFile, vocabulary: Vocab) -> Result<tokenizers::Tokenizer> {
    let merges = file
        .texts("tokenizer.ggml.merges")?
        .into_iter()
        .map(|merge| match merge.split_once(' ') {
            Some((left, right)) => Ok((left.to_owned(), right.to_owned())),
            None => Err(Error::user(format!("the merge `{merge}` is not a pair"))
                .at(file.path())
                .field("tokenizer.ggml.merges")
                .hint("convert the model again with a current llama.cpp converter")),
        })
        .collect::<Result<Merges>>()?;
    let cut = file.text("tokenizer.ggml.pre").unwrap_or("default");
    let bpe = BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        // Llama 3 takes a word that is a token whole, whatever its merges.
        .ignore_merges(cut == "llama-bpe")
        .build()
        .map_err(|cause| mismatched(file, cause))?;
    let mut inner = tokenizers::Tokenizer::new(bpe);
    if cut == "qwen2" {
        with_normalizer(&mut inner, NFC)?;
    }
    inner.with_pre_tokenizer(Some(pre_tokenizer(file, cut)?));
    inner.with_decoder(Some(ByteLevel::default()));
    Ok(inner)
}

fn with_normalizer(
    inner: &mut tokenizers::Tokenizer,
    normalizer: impl Into<NormalizerWrapper>,
) -> Result<()> {
    inner
        .with_normalizer(Some(normalizer))
        .map(drop)
        .map_err(|cause| Error::bug("a normalizer is refused").because(cause))
}

fn mismatched(file: &GgufFile, cause: tokenizers::Error) -> Error {
    Error::user("the GGUF vocabulary and merges do not belong together")
        .at(file.path())
        .because(cause)
        .hint("convert the model again with a current llama.cpp converter")
}

/// BPE over characters, spaces written as `▁`, unknown characters as their bytes. The file has no
/// merges but scores: of all pairs that make a token, the one whose token has the highest score goes
/// first, as SentencePiece merges.
fn sentence_pieces(
    file: &GgufFile,
    vocabulary: Vocab,
    tokens: &[&str],
) -> Result<tokenizers::Tokenizer> {
    let scores = file.numbers("tokenizer.ggml.scores")?;
    if scores.len() != tokens.len() {
        return Err(Error::user(format!(
            "{} tokens have {} scores",
            tokens.len(),
            scores.len()
        ))
        .at(file.path())
        .field("tokenizer.ggml.scores")
        .hint("convert the model again with a current llama.cpp converter"));
    }
    if let Some(place) = tokens.iter().position(|token| token.len() > LONGEST_PIECE) {
        return Err(Error::user(format!(
            "token {place} of the vocabulary has {} bytes",
            tokens[place].len()
        ))
        .at(file.path())
        .field("tokenizer.ggml.tokens")
        .hint("the file may be damaged: download it again"));
    }
    let known: HashMap<&str, usize> = tokens.iter().copied().zip(0..).collect();
    let mut merges: Vec<(f64, usize, usize)> = Vec::new();
    for (token, score) in tokens.iter().zip(&scores) {
        for (middle, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(middle);
            if let (Some(left), Some(right)) = (known.get(left), known.get(right)) {
                merges.push((*score, *left, *right));
            }
        }
    }
    // The highest score first; of one token's pairs, that of the earliest left part.
    merges.sort_by(|one, other| {
        let score = other.0.total_cmp(&one.0);
        score.then_with(|| (one.1, one.2).cmp(&(other.1, other.2)))
    });
    let merges: Merges = merges
        .into_iter()
        .map(|(_, left, right)| (tokens[left].to_owned(), tokens[right].to_owned()))
        .collect();
    let unknown = file.integer("tokenizer.ggml.unknown_token_id").unwrap_or(0);
    let mut bpe = BPE::builder()
        .vocab_and_merges(vocabulary, merges)
        .byte_fallback(true)
        .fuse_unk(true);
    if let Some(unknown) = tokens.get(unknown) {
        bpe = bpe.unk_token((*unknown).to_owned());
    }
    let bpe = bpe.build().map_err(|cause| mismatched(file, cause))?;
    let mut inner = tokenizers::Tokenizer::new(bpe);
    let replace = |from: &str, to: &str| {
        Replace::new(from, to)
            .map_err(|cause| Error::bug("a fixed pattern does not compile").because(cause))
    };
    // Llama 2 begins every text with a space; Gemma's files say that they do not.
    let prefixed = file.flag("tokenizer.ggml.add_space_prefix").unwrap_or(true);
    let mut normalizers: Vec<NormalizerWrapper> = vec![replace(" ", SPACE)?.into()];
    let mut decoders: Vec<DecoderWrapper> = vec![
        replace(SPACE, " ")?.into(),
        ByteFallback::new().into(),
        Fuse::new().into(),
    ];
    if prefixed {
        normalizers.insert(0, Prepend::new(SPACE.to_owned()).into());
        decoders.push(Strip::new(' ', 1, 0).into());
    }
    with_normalizer(&mut inner, normalizers::Sequence::new(normalizers))?;
    inner.with_decoder(Some(decoders::sequence::Sequence::new(decoders)));
    Ok(inner)
}

/// llama.cpp's names of ways to cut text before BPE.
const CUTS: [&str; 4] = ["smollm", "gpt-2", "llama-bpe", "qwen2"];

/// How text is cut before BPE, by llama.cpp's name for it; `None` for a name that is not known.
fn cutter(name: &str) -> Result<Option<PreTokenizerWrapper>> {
    let bytes = |use_regex| ByteLevel::new(false, true, use_regex).into();
    let by_pattern = |digits: &str| -> Result<PreTokenizerWrapper> {
        let pattern = format!(
            r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
        );
        let split = Split::new(
            SplitPattern::Regex(pattern),
            SplitDelimiterBehavior::Isolated,
            false,
        );
        let split = split
            .map_err(|cause| Error::bug("the split pattern does not compile").because(cause))?;
        Ok(split.into())
    };
    let parts: Vec<PreTokenizerWrapper> = match name {
        "smollm" => vec![Digits::new(true).into(), bytes(true)],
        "gpt-2" | "default" => vec![bytes(true)],
        "llama-bpe" => vec![by_pattern(r"\p{N}{1,3}")?, bytes(false)],
        "qwen2" => vec![by_pattern(r"\p{N}")?, bytes(false)],
        _ => return Ok(None),
    };
    Ok(Some(Sequence::new(parts).into()))
}

fn pre_tokenizer(file: &GgufFile, name: &str) -> Result<PreTokenizerWrapper> {
    cutter(name)?.ok_or_else(|| {
        Error::user(format!("the GGUF pre-tokenizer `{name}` is not supported"))
            .at(file.path())
            .field("tokenizer.ggml.pre")
            .hint(format!(
                "supported: {}; or use a model folder with tokenizer.json",
                CUTS.join(", ")
            ))
    })
}

/// llama.cpp's name of the way in which a tokenizer (its JSON form) cuts text.
///
/// # Errors
/// A user error where no name is known for it.
pub fn cut_of(tokenizer: &serde_json::Value) -> Result<&'static str> {
    let own = steps(&tokenizer["pre_tokenizer"]);
    for name in CUTS {
        let known = serde_json::to_value(cutter(name)?)
            .map_err(|cause| Error::bug("a pre-tokenizer has no JSON form").because(cause))?;
        if steps(&known) == own {
            return Ok(name);
        }
    }
    Err(
        Error::user("llama.cpp's name of this tokenizer's pre-tokenizer is not known").hint(
            "write a folder with --merge, and convert it with llama.cpp's convert_hf_to_gguf.py",
        ),
    )
}

/// The steps one after the other; offsets are nothing that llama.cpp has.
fn steps(pre_tokenizer: &serde_json::Value) -> Vec<serde_json::Value> {
    let mut steps = match pre_tokenizer["pretokenizers"].as_array() {
        Some(steps) => steps.clone(),
        None => vec![pre_tokenizer.clone()],
    };
    for step in &mut steps {
        if let Some(step) = step.as_object_mut() {
            step.remove("trim_offsets");
        }
    }
    steps
}
