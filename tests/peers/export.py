"""Exports an adapter and asks the real transformers and llama.cpp the same questions as steadfast.

Run by tests/peers/run. transformers loads the merged folder: the same tokens, and no logit further off
than 2e-3. llama.cpp loads the F32 and the F16 file, and those of a base that is a folder: the same greedy
text (its chat template renders the prompt). Replies of a Q4_K_M file begin as steadfast's on that file do.
"""

import itertools
import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from adapter import PROMPTS
from program import ours, run

def same_logits(adapter: str, folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(folder)
    prompts = [
        tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=False
        )
        for prompt in PROMPTS
    ]
    expected = torch.tensor(
        json.loads(run("target/release/examples/adapter_logits", adapter, text=json.dumps(prompts)).stdout)
    )
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        rows = [model(torch.tensor([prompt])).logits[0, -1] for prompt in prompts]
    apart = (torch.stack(rows) - expected).abs().max().item()
    print(f"merged folder in transformers: logits apart by {apart:.2e}")
    assert apart < 2e-3, apart


def folder_base(adapter: str, work: Path) -> Path:
    """The base as a folder: merged with a change of nothing."""
    nothing = work / "nothing"
    shutil.copytree(adapter, nothing)
    file = nothing / "adapter_model.safetensors"
    save_file({key: tensor * ("lora_A" in key) for key, tensor in load_file(file).items()}, file)
    ours("export", str(nothing), "--merge", str(work / "base"))
    return work / "base"


def words_alike(one: str, other: str) -> int:
    """How many words two replies begin with alike."""
    pairs = zip(one.split(), other.split())
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs))


def same_text(asked: list[str], file: Path, least: int, words: int = 0) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.n_ctx = 1024
    params.warmup = False
    server = xllamacpp.Server(params)
    same, alike = 0, []
    for prompt in PROMPTS:
        question = {
            "messages": [{"role": "user", "content": prompt}],
            "max_tokens": 24,
            "temperature": 0,
        }
        answer = server.handle_chat_completions(question)
        answer = answer if isinstance(answer, dict) else json.loads(answer)
        theirs = answer["choices"][0]["message"]["content"].strip()
        mine = json.loads(
            ours("chat", *asked, "--max-tokens", "24", "--json", prompt)
        )["reply"].strip()
        same += theirs == mine
        alike.append(words_alike(theirs, mine))
        if theirs != mine:
            print(f"  {prompt}\n    llama.cpp: {theirs}\n    steadfast: {mine}")
    print(f"{file.name} in llama.cpp: {same} of {len(PROMPTS)} greedy replies are the same, {alike} words at their beginnings")
    assert same >= least and statistics.median(alike) >= words, (same, alike)


def main() -> None:
    adapter = sys.argv[1]
    with tempfile.TemporaryDirectory() as work:
        work = Path(work)
        ours("export", adapter, "--merge", str(work / "merged"))
        same_logits(adapter, work / "merged")
        # Rounded weights may turn a close call: one reply of the five may differ in F16.
        for kind, least in (("F32", len(PROMPTS)), ("F16", len(PROMPTS) - 1)):
            file = work / f"{kind}.gguf"
            ours("export", adapter, "--gguf", str(file), "--quantize", kind)
            same_text(["--adapter", adapter], file, least)
        base = str(folder_base(adapter, work))
        file = work / "of-folder-F32.gguf"
        ours("export", adapter, "--model", base, "--gguf", str(file), "--quantize", "F32")
        same_text(["--adapter", adapter], file, len(PROMPTS))
        # llama.cpp rounds to 8 bits what it multiplies quantized weights with, and steadfast does not: a
        # close call may turn in any reply, after which the texts part. What they begin with says that
        # the file was read as it was meant.
        file = work / "of-folder-Q4_K_M.gguf"
        ours("export", adapter, "--model", base, "--gguf", str(file), "--quantize", "Q4_K_M")
        same_text(["--model", str(file)], file, 0, words=4)


if __name__ == "__main__":
    main()
