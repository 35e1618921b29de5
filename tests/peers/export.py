"""Exports an adapter and asks the real transformers and llama.cpp the same questions as steadfast.

Run by tests/peers/run. transformers loads the merged folder: the same tokens, and no logit further off
than 2e-3. llama.cpp loads the F32 and the F16 file: the same greedy text (its chat template renders the prompt).
"""

import json
import sys
import tempfile
from pathlib import Path

import torch
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


def same_text(adapter: str, file: Path, least: int) -> None:
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = str(file)
    params.n_ctx = 1024
    params.warmup = False
    server = xllamacpp.Server(params)
    same = 0
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
            ours("chat", "--adapter", adapter, "--max-tokens", "24", "--json", prompt)
        )["reply"].strip()
        same += theirs == mine
        if theirs != mine:
            print(f"  {prompt}\n    llama.cpp: {theirs}\n    steadfast: {mine}")
    print(f"{file.name} in llama.cpp: {same} of {len(PROMPTS)} greedy replies are the same")
    assert same >= least, same


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
            same_text(adapter, file, least)


if __name__ == "__main__":
    main()
