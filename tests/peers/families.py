"""Tunes, exports and reads back a tiny model of every family, with the real transformers and peft between.

Run by tests/peers/run. Each model is a folder that transformers saves, random weights with SmolLM2's
tokenizer. steadfast tunes it and merges the adapter; peft loads the adapter over the base, transformers the
merged folder. Fails when their logits differ by more than 1e-3, or when the adapter changes nothing.
"""

import json
import os
import pathlib
import sys
import tempfile

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "golden"))
from families import CASES, SHAPE
from program import ours

def logits(model) -> torch.Tensor:
    tokens = torch.arange(1000, 1060).unsqueeze(0)
    with torch.no_grad():
        return model.eval()(tokens).logits[0]


def check(name: str, architecture: str, settings: dict, tokenizer, work: pathlib.Path) -> None:
    base, adapter, merged = (work / f"{name}-{part}" for part in ("base", "adapter", "merged"))
    sizes = SHAPE | {"vocab_size": len(tokenizer), "max_position_embeddings": 1024, "eos_token_id": 2}
    torch.manual_seed(1)
    config = CONFIG_MAPPING[architecture](**(sizes | {"initializer_range": 0.2} | settings))
    model = AutoModelForCausalLM.from_config(config).float()
    model.save_pretrained(base)
    tokenizer.save_pretrained(base)
    ours("tune", "--base", str(base), "--data", str(work / "chat.jsonl"), "--method", "lora", "--steps", "3",
        "--learning-rate", "0.01", "--batch-tokens", "1024", "--output", str(adapter), "--json")
    ours("export", str(adapter), "--model", str(base), "--merge", str(merged), "--json")
    reply = json.loads(ours("chat", "--model", str(merged), "--max-tokens", "8", "--json", "Hello"))
    plain = logits(model)
    tuned = logits(PeftModel.from_pretrained(model, adapter))
    apart = (logits(AutoModelForCausalLM.from_pretrained(merged, dtype=torch.float32)) - tuned).abs().max().item()
    change = (tuned - plain).abs().max().item()
    print(f"{name}: peft and the merged folder differ by {apart:.1e}; the adapter moves logits by {change:.2f}")
    assert "reply" in reply and change > 1e-2 and apart < 1e-3


def main() -> None:
    cache = os.environ.get("STEADFAST_CACHE") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"), "steadfast"
    )
    tokenizer = AutoTokenizer.from_pretrained(
        os.path.join(cache, "models"), gguf_file="SmolLM2-135M-Instruct.Q4_1.gguf"
    )
    with tempfile.TemporaryDirectory() as work:
        work = pathlib.Path(work)
        (work / "chat.jsonl").write_text(ours("data", "simulate", "--count", "12"))
        for name, architecture, settings, _ in CASES:
            check(name, architecture, settings, tokenizer, work)


if __name__ == "__main__":
    main()
