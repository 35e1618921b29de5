"""Loads one of our adapters with the real `peft` over the real base and compares logits.

Run by tests/peers/run. Fails when any logit differs by more than 1e-3, or when the adapter changes
nothing (a test that could not fail would prove nothing).
"""

import json
import os
import subprocess
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

PROMPTS = [
    "Hello, I would like to book a room.",
    "Why is the sky blue?",
    "People from the north are all lazy.",
    "The capital of France is",
    "Two nights for three guests, please, from Friday.",
]


def main() -> None:
    adapter = sys.argv[1]
    cache = os.environ.get("STEADFAST_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "steadfast"
    )
    folder, name = os.path.join(cache, "models"), "SmolLM2-135M-Instruct.Q4_1.gguf"
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name)
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=False
        )
        for prompt in PROMPTS
    ]
    ours = torch.tensor(
        json.loads(
            subprocess.run(
                ["target/release/examples/adapter_logits", adapter],
                input=json.dumps(prompts),
                capture_output=True,
                text=True,
                check=True,
            ).stdout
        )
    )
    base = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32)
    base.eval()
    with torch.no_grad():
        plain = torch.stack([base(torch.tensor([p])).logits[0, -1] for p in prompts])
        tuned = PeftModel.from_pretrained(base, adapter).eval()
        theirs = torch.stack([tuned(torch.tensor([p])).logits[0, -1] for p in prompts])
    difference = (ours - theirs).abs().max().item()
    change = (theirs - plain).abs().max().item()
    print(f"{adapter}: peft and steadfast differ by at most {difference:.2e}; the adapter moves logits by up to {change:.2e}")
    assert change > 1e-2, "the adapter changes nothing"
    assert difference < 1e-3, "peft and steadfast disagree"


if __name__ == "__main__":
    main()
