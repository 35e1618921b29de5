"""Logits and adapter gradients of the default base as PyTorch and transformers compute them.

    python tests/golden/engine.py PATH_TO_GGUF

writes `logits.json` and `gradients.json` beside itself. The weights come from the real GGUF,
dequantized by transformers to f32. The adapter is given by a formula (`wave`) that the Rust test
repeats, so that no weights need storing. Made with torch 2.15, transformers and numpy on the CPU.
"""

import json
import math
import pathlib
import sys

import numpy
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

HERE = pathlib.Path(__file__).parent
PROMPTS = [
    "<|im_start|>user\nI would like a room for two nights in Lisbon.<|im_end|>\n<|im_start|>assistant\n",
    "The capital of France is",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return",
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    + "Why is the sky blue? Explain step by step, and mention who found out. " * 8
    + "<|im_end|>\n<|im_start|>assistant\n",
    "Once",
]
CONVERSATIONS = [
    (
        "<|im_start|>user\nDo you have a double room on Friday?<|im_end|>\n<|im_start|>assistant\n",
        "Yes, for how many nights would you like to stay?<|im_end|>",
    ),
    (
        "<|im_start|>user\nName three rivers in Germany.<|im_end|>\n<|im_start|>assistant\n",
        "Rhine, Elbe and Danube.<|im_end|>",
    ),
]
PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
RANK, SCALE = 4, 2.0


def wave(shape, seed, size):
    """size·sin(0.37·i + 1.7·seed) for the i-th element in row-major order, in f64, then f32."""
    index = numpy.arange(shape[0] * shape[1], dtype=numpy.float64)
    values = size * numpy.sin(0.37 * index + 1.7 * seed)
    return torch.from_numpy(values.astype(numpy.float32).reshape(shape))


class Adapted(torch.nn.Module):
    """y = W·x + s·B·A·x, W frozen."""

    def __init__(self, linear, seed):
        super().__init__()
        self.linear = linear
        out_features, in_features = linear.weight.shape
        self.a = torch.nn.Parameter(wave((RANK, in_features), seed, 0.05))
        self.b = torch.nn.Parameter(wave((out_features, RANK), seed + 0.5, 0.02))

    def forward(self, x):
        return self.linear(x) + SCALE * (x @ self.a.T) @ self.b.T


def rounded(values, digits):
    return [float(f"%.{digits}g" % value) for value in values]


def logits(model, tokenizer):
    columns = [(i * 7919) % model.config.vocab_size for i in range(64)]
    cases = []
    for text in PROMPTS:
        tokens = tokenizer(text, add_special_tokens=False)["input_ids"]
        with torch.no_grad():
            values = model(torch.tensor([tokens])).logits[0].double()
        top = values[-1].topk(50)
        # Of the longer prompts every eighth row; the first and the last always.
        rows = sorted({0, len(tokens) - 1, *range(0, len(tokens), 8)})
        cases.append(
            {
                "tokens": tokens,
                "top_ids": top.indices.tolist(),
                "top_values": rounded(top.values.tolist(), 7),
                "rows": [[row, rounded(values[row][columns].tolist(), 7)] for row in rows],
            }
        )
    return {"columns": columns, "cases": cases}


def gradients(model, tokenizer):
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    adapted = []
    for number, layer in enumerate(model.model.layers):
        for place, name in enumerate(PROJECTIONS):
            block = "self_attn" if place < 4 else "mlp"
            parent = getattr(layer, block)
            module = Adapted(getattr(parent, name), number * 7 + place)
            setattr(parent, name, module)
            adapted.append((f"model.layers.{number}.{block}.{name}", module))
    loss = 0.0
    batch = []
    for prompt, reply in CONVERSATIONS:
        start = tokenizer(prompt, add_special_tokens=False)["input_ids"]
        end = tokenizer(reply, add_special_tokens=False)["input_ids"]
        tokens = start + end
        values = model(torch.tensor([tokens])).logits[0]
        loss = loss + torch.nn.functional.cross_entropy(
            values[len(start) - 1 : -1].float(), torch.tensor(end), reduction="sum"
        )
        batch.append({"tokens": tokens, "reply_start": len(start)})
    loss.backward()
    tensors = {}
    for path, module in adapted:
        for name, parameter in (("lora_A", module.a), ("lora_B", module.b)):
            gradient = parameter.grad.double().flatten()
            index = torch.arange(gradient.numel(), dtype=torch.float64)
            tensors[f"{path}.{name}"] = rounded(
                [
                    gradient.norm().item(),
                    # Two fixed projections: all elements, signs and places count.
                    (gradient * torch.cos(0.61 * index + 0.3)).sum().item(),
                    (gradient * torch.cos(2.3 * index + 1.1)).sum().item(),
                ],
                8,
            )
    return {"rank": RANK, "scale": SCALE, "batch": batch, "loss": loss.item(), "tensors": tensors}


def main():
    gguf = pathlib.Path(sys.argv[1])
    torch.set_num_threads(2)
    arguments = {"gguf_file": gguf.name}
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, **arguments)
    model = AutoModelForCausalLM.from_pretrained(gguf.parent, dtype=torch.float32, **arguments)
    model.eval()
    for name, make in (("logits", logits), ("gradients", gradients)):
        text = json.dumps(make(model, tokenizer), separators=(",", ":"))
        (HERE / f"{name}.json").write_text(text + "\n")


assert math.isclose(wave((1, 2), 1, 1.0)[0, 1].item(), math.sin(2.07), rel_tol=1e-6)
if __name__ == "__main__":
    main()
