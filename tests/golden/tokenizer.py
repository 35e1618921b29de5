"""Writes tokenizer.json: texts and their ids by transformers, for the default base.

    python tests/golden/tokenizer.py [FOLDER WITH THE GGUF] > tests/golden/tokenizer.json

transformers rebuilds the tokenizer from the GGUF metadata. It splits no digits there, while the
model was trained with each digit a token of its own (its published tokenizer.json has a `Digits`
pre-tokenizer): the same pre-tokenizer is put in front here.
"""

import json
import os
import sys

from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence
from transformers import AutoTokenizer

TEXTS = [
    "", " ", "  ", "\n", "\n\n", "\t", "Hello", " Hello", "hello world", "Hello, world!",
    "It's 2026-11-24, isn't it?", "1234567890", "£89.50 a night", "3 nights for 2", "room 101B",
    "naïve café façade", "Zürich, Köln, Łódź", "日本語のテキスト", "Привет, мир", "مرحبا بالعالم", "नमस्ते",
    "👍🏽 emoji 👨‍👩‍👧‍👦 family", "a\u200bb zero width", "tab\tand\nnewline\r\n", "trailing   ", "   leading",
    "<|im_start|>user\nHi<|im_end|>\n", "<|im_end|><|im_end|>", "<|endoftext|>", "<|im_start|>", "<not special>",
    "don't can't won't I'll we've they're he'd I'm", "DON'T CAN'T", "under_score camelCase kebab-case",
    "https://example.org/a?b=c&d=e#f", "x = [1, 2, 3]; y = {'a': 1}", "e\u0301 combining", "\u00a0nbsp", "½ ⅓ ²",
    "The quick brown fox jumps over the lazy dog." * 3,
]


def main() -> None:
    default = os.path.expanduser("~/.cache/steadfast/models")
    folder = sys.argv[1] if len(sys.argv) > 1 else default
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf")
    backend = tokenizer.backend_tokenizer
    backend.pre_tokenizer = Sequence([Digits(individual_digits=True), ByteLevel(add_prefix_space=False)])
    cases = [{"text": text, "ids": backend.encode(text, add_special_tokens=False).ids} for text in TEXTS]
    json.dump(cases, sys.stdout, ensure_ascii=False, indent=0)
    print()


if __name__ == "__main__":
    main()
