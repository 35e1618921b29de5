"""For chats.py: the supported families, each with a small tokenizer of its kind and what stands beside it.

The tokenizers are built as the families build theirs (model, normalizer, pattern, special tokens and their
flags, what is put in front), on a few lines of text and with a few hundred tokens.
"""

import json
import re
from collections.abc import Callable
from typing import NamedTuple

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

import chat_templates as templates

TEXT = [
    "A hotel keeps a list of its rooms, the nights they are taken, and what each of them costs.",
    "Which night would you like? There is a room for two with a view of the river, and one without.",
    "Hello! Thank you for the call. The booking is for three nights, from 24 to 27 November 2026.",
    "I'm sorry, we don't have that; they've told us it isn't open, and he'd rather wait than they'll say.",
    "def price(nights): return 89.50 * nights  # in pounds\n\n    if nights > 7:\n        return 0\n\n",
    "- one\n- two\n- three\n\nEcho echo, the same word again and again; user, assistant, system, tool.",
    "Breakfast is from 7 to 10, the pool opens at 9, and the key card works until noon. See you soon!",
]
MERGES = 160

# How text is cut before bytes are joined: GPT-4's way with at most three digits together (Llama 3, OLMo 2,
# SmolLM3), and with single digits (Qwen).
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def special(text: str, **flags) -> AddedToken:
    return AddedToken(text, normalized=False, special=True, **flags)


def beginning(token: str, identity: int) -> processors.TemplateProcessing:
    """Puts the token in front, where special tokens are asked for: a chat template prints its own."""
    return processors.TemplateProcessing(single=f"{token} $A", pair=f"{token} $A $B", special_tokens=[(token, identity)])


def bytewise(added, cut, normalizer=None, first=None, trim=False, ignore_merges=False) -> Tokenizer:
    """Byte-level BPE. `cut` says how text is cut, `added` which tokens follow the vocabulary."""
    tokenizer = Tokenizer(BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(cut) if len(cut) > 1 else cut[0]
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=256 + MERGES, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()), show_progress=False)
    tokenizer.train_from_iterator(TEXT, trainer)
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.add_tokens(added)
    last = processors.ByteLevel(add_prefix_space=False, trim_offsets=trim, use_regex=False)
    if first:
        last = processors.Sequence([last, beginning(first, tokenizer.token_to_id(first))])
    tokenizer.post_processor = last
    return tokenizer


def pattern(digits: str) -> list:
    words = pre_tokenizers.Split(Regex(WORDS % digits), behavior="isolated")
    return [words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]


def pieces(front, added, normalizer=None, cut=None, strip=True) -> Tokenizer:
    """BPE as SentencePiece has it: `▁` for a space, bytes for characters that are not in the vocabulary."""
    trained = Tokenizer(BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(split=True)
    trainer = BpeTrainer(vocab_size=60 + MERGES, show_progress=False)
    trained.train_from_iterator([re.sub(r"\s+", " ", text) for text in TEXT], trainer)
    model = json.loads(trained.to_str())["model"]
    learnt = sorted(model["vocab"], key=model["vocab"].get)
    vocabulary = [*front, *(f"<0x{byte:02X}>" for byte in range(256)), *learnt]
    tokenizer = Tokenizer(BPE(
        vocab={token: index for index, token in enumerate(vocabulary)}, merges=[tuple(pair) for pair in model["merges"]],
        unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    if normalizer:
        tokenizer.normalizer = normalizer
    if cut:
        tokenizer.pre_tokenizer = cut
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(parts + [decoders.Strip(" ", 1, 0)] if strip else parts)
    tokenizer.add_tokens([special(token) for token in front] + added)
    first = next(token for token in front if token in ("<s>", "<bos>"))
    tokenizer.post_processor = beginning(first, front.index(first))
    return tokenizer


# Before transformers had `Metaspace`: a space before every text between special tokens, not only the first.
SPACED = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
FRONT = ["<unk>", "<s>", "</s>"]
GEMMA_FRONT = ["<pad>", "<eos>", "<bos>", "<unk>"]
PHI_ADDED = ["<|endoftext|>", "<|assistant|>", "<|system|>", "<|end|>", "<|user|>"]


def llama2_tokenizer():
    return pieces(FRONT, [], SPACED)


def llama3_tokenizer():
    added = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eom_id|>", "<|eot_id|>", "<|python_tag|>"]
    return bytewise([special(token) for token in added], pattern("{1,3}"), first="<|begin_of_text|>", ignore_merges=True)


def mistral_tokenizer():
    added = ["[INST]", "[/INST]", "[TOOL_CALLS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]"]
    cut = pre_tokenizers.Metaspace(prepend_scheme="first", split=False)
    return pieces(FRONT, [special(token) for token in added], cut=cut)


def qwen_tokenizer(*more):
    added = [special(token) for token in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")]
    # Those of tools and thoughts are no special tokens: they are decoded as text.
    added += [AddedToken(token, normalized=False, special=False) for token in ("<tool_call>", "</tool_call>", *more)]
    return bytewise(added, pattern(""), normalizers.NFC())


def qwen3_tokenizer():
    return qwen_tokenizer("<tool_response>", "</tool_response>", "<think>", "</think>")


def smollm2_tokenizer():
    cut = [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    return bytewise([special(token) for token in ("<|endoftext|>", "<|im_start|>", "<|im_end|>")], cut)


def smollm3_tokenizer():
    added = [special(token) for token in ("<|begin_of_text|>", "<|end_of_text|>", "<|im_start|>", "<|im_end|>")]
    added += [AddedToken(token, normalized=False, special=False) for token in ("<think>", "</think>", "<tool_call>", "</tool_call>")]
    return bytewise(added, pattern("{1,3}"), ignore_merges=True)


def phi3_tokenizer():
    added = [special(token, rstrip=token != "<|endoftext|>") for token in PHI_ADDED]
    return pieces(FRONT, [AddedToken("</s>", rstrip=True, normalized=False, special=False), *added], SPACED)


def olmo2_tokenizer():
    added = [special(token) for token in ("<|endoftext|>", "<|pad|>")]
    # These are ordinary text, found as whole words after normalization.
    added.append(AddedToken("|||PHONE_NUMBER|||", normalized=False, special=False))
    return bytewise(added, pattern("{1,3}"))


def gemma_tokenizer():
    # Runs of line ends and of spaces are tokens of their own, and no special ones.
    runs = ["\n" * count for count in range(1, 5)] + ["▁" * count for count in range(2, 5)]
    added = [AddedToken(run, normalized=False, special=False) for run in runs]
    added += [special("<start_of_turn>"), special("<end_of_turn>")]
    cut = pre_tokenizers.Split(" ", behavior="merged_with_previous")
    return pieces(GEMMA_FRONT, added, normalizers.Replace(" ", "▁"), cut, strip=False)


def gpt_neox_tokenizer():
    runs = [AddedToken(" " * count, normalized=True, special=False) for count in range(6, 1, -1)]
    cut = [pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=True)]
    return bytewise([special("<|endoftext|>"), special("<|padding|>"), *runs], cut, normalizers.NFC(), trim=True)


LLAMA = {"tokenizer_class": "LlamaTokenizer", "legacy": False, "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
QWEN = {"tokenizer_class": "Qwen2Tokenizer", "bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
GEMMA = {"tokenizer_class": "GemmaTokenizer", "bos_token": "<bos>", "eos_token": "<eos>", "unk_token": "<unk>", "pad_token": "<pad>"}
# A special token may be written out with its flags.
FLAGGED = {"__type": "AddedToken", "content": "<bos>", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
PLAIN = {"tokenizer_class": "PreTrainedTokenizerFast"}
GPT2 = {"tokenizer_class": "GPT2Tokenizer"}


class Format(NamedTuple):
    """A family's tokenizer and chat format, as its models' folders hold them."""

    # What `model_type` says.
    architectures: tuple[str, ...]
    build: Callable[[], Tokenizer]
    template: str
    # What opens the assistant's turn in the template.
    opening: str
    # What tokenizer_config.json says.
    settings: dict
    # The ends that generation_config.json lists.
    ends: tuple[str, ...] = ()


FAMILIES = {
    "llama2": Format(("llama",), llama2_tokenizer, templates.LLAMA2, "[/INST]", LLAMA | {"add_bos_token": True}),
    "llama3": Format(
        ("llama",), llama3_tokenizer, templates.LLAMA3, "<|start_header_id|>assistant<|end_header_id|>\n\n",
        PLAIN | {"bos_token": "<|begin_of_text|>", "eos_token": "<|eot_id|>"}, ("<|end_of_text|>", "<|eom_id|>", "<|eot_id|>")),
    "mistral": Format(("mistral",), mistral_tokenizer, templates.MISTRAL, "[/INST]", LLAMA | {"add_bos_token": True}, ("</s>",)),
    "qwen2": Format(("qwen2",), qwen_tokenizer, templates.QWEN2, "<|im_start|>assistant\n", QWEN, ("<|im_end|>", "<|endoftext|>")),
    "qwen3": Format(("qwen3",), qwen3_tokenizer, templates.QWEN3, "<|im_start|>assistant\n", QWEN, ("<|im_end|>", "<|endoftext|>")),
    "smollm2": Format(
        ("llama",), smollm2_tokenizer, templates.SMOLLM2, "<|im_start|>assistant\n",
        GPT2 | {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>", "unk_token": "<|endoftext|>", "pad_token": "<|im_end|>"}, ("<|im_end|>",)),
    "smollm3": Format(
        ("smollm3",), smollm3_tokenizer, templates.SMOLLM3, "<|im_start|>assistant\n",
        PLAIN | {"bos_token": None, "eos_token": "<|im_end|>", "pad_token": "<|im_end|>"}, ("<|im_end|>",)),
    "phi3": Format(
        ("phi3",), phi3_tokenizer, templates.PHI3, "<|assistant|>\n",
        LLAMA | {"eos_token": "<|endoftext|>", "pad_token": "<|endoftext|>"}, ("<|endoftext|>", "<|assistant|>", "<|end|>")),
    "olmo2": Format(
        ("olmo2",), olmo2_tokenizer, templates.OLMO2, "<|assistant|>\n",
        GPT2 | {"bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>", "pad_token": "<|pad|>"}, ("<|endoftext|>",)),
    "gemma": Format(("gemma", "gemma2"), gemma_tokenizer, templates.GEMMA, "<start_of_turn>model\n", GEMMA, ("<eos>", "<end_of_turn>")),
    "gemma3": Format(
        ("gemma3_text",), gemma_tokenizer, templates.GEMMA3, "<start_of_turn>model\n",
        GEMMA | {"bos_token": FLAGGED}, ("<eos>", "<end_of_turn>")),
    "gpt-neox": Format(
        ("gpt_neox",), gpt_neox_tokenizer, templates.GPT_NEOX, "<bot>:",
        {"tokenizer_class": "GPTNeoXTokenizer", "bos_token": "<|endoftext|>", "eos_token": "<|endoftext|>"}),
}
