"""What a user would otherwise run, one piece of work a process: PyTorch with transformers and PEFT,
and llama.cpp. Started by `side_by_side.py` in its own environment; prints one JSON document.

    python benches/peer.py folder GGUF FOLDER      the base as a transformers folder, in f32
    python benches/peer.py gguf GGUF FILE TYPE     the base as GGUF in F32 or F16
    python benches/peer.py train WORK.json MINE.json MODEL
    python benches/peer.py generate WORK.json MODEL
    python benches/peer.py score ITEMS.jsonl MODEL THREADS
    python benches/peer.py llama WORK.json GGUF
"""

import json
import pathlib
import sys
import time


def read(path):
    return json.loads(pathlib.Path(path).read_text())


def folder(gguf, to):
    import torch
    from safetensors.torch import save_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    gguf = pathlib.Path(gguf)
    model = AutoModelForCausalLM.from_pretrained(
        gguf.parent, gguf_file=gguf.name, dtype=torch.float32
    )
    # save_pretrained refuses a model that was read from GGUF, though its weights are f32 by now.
    to = pathlib.Path(to)
    to.mkdir(parents=True, exist_ok=True)
    config = model.config.to_dict() | {"tie_word_embeddings": True, "dtype": "float32"}
    config.pop("quantization_config", None)
    (to / "config.json").write_text(json.dumps(config))
    weights = {
        name: tensor.contiguous()
        for name, tensor in model.state_dict().items()
        if name != "lm_head.weight"
    }
    save_file(weights, to / "model.safetensors", metadata={"format": "pt"})
    AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name).save_pretrained(to)
    return {}


def gguf(source, to, kind):
    """The same metadata, every matrix in `kind`."""
    import gguf as format
    import numpy

    reader = format.GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    writer = format.GGUFWriter(to, architecture)
    skip = {"general.architecture", "general.file_type", "general.quantization_version"}
    for name, field in reader.fields.items():
        if name.startswith("GGUF.") or name in skip:
            continue
        value_type = field.types[0]
        inner = field.types[-1] if value_type == format.GGUFValueType.ARRAY else None
        writer.add_key_value(name, field.contents(), value_type, inner)
    for tensor in reader.tensors:
        data = format.quants.dequantize(tensor.data, tensor.tensor_type).astype(numpy.float32)
        data = data.reshape([int(size) for size in reversed(tensor.shape)])
        if kind == "F16" and data.ndim == 2:
            data = data.astype(numpy.float16)
        writer.add_tensor(tensor.name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return {}


def train(work, mine, model):
    """The loop of our run: its adapter at the start, its batches, its learning rates."""
    work, mine = read(work), read(mine)
    started = time.perf_counter()
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(int(work["threads"]))
    base = AutoModelForCausalLM.from_pretrained(
        model, dtype=torch.float32, attn_implementation="sdpa"
    )
    network = PeftModel.from_pretrained(
        base, pathlib.Path(work["folder"]) / "initial", is_trainable=True
    )
    device = torch.device(work.get("device") or "cpu")
    network.to(device).train()
    moving = [tensor for tensor in network.parameters() if tensor.requires_grad]
    optimizer = torch.optim.AdamW(moving, lr=1e-3, weight_decay=mine["weight_decay"])
    load = time.perf_counter() - started
    steps = []
    for batch, ours in zip(mine["batches"], mine["steps"]):
        longest = max(len(work["tokens"][index]) for index in batch)
        tokens, seen, labels = [], [], []
        for index in batch:
            one, learn = work["tokens"][index], work["learn"][index]
            padding = longest - len(one)
            tokens.append(one + [0] * padding)
            seen.append([1] * len(one) + [0] * padding)
            labels.append(
                [token if counts else -100 for token, counts in zip(one, learn)] + [-100] * padding
            )
        begin = time.perf_counter()
        for group in optimizer.param_groups:
            group["lr"] = ours["learning_rate"]
        outcome = network(
            input_ids=torch.tensor(tokens, device=device),
            attention_mask=torch.tensor(seen, device=device),
            labels=torch.tensor(labels, device=device),
            use_cache=False,
        )
        outcome.loss.backward()
        torch.nn.utils.clip_grad_norm_(moving, mine["clip"])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        steps.append(
            {
                "loss": outcome.loss.item(),
                "tokens": sum(map(sum, seen)),
                "seconds": time.perf_counter() - begin,
            }
        )
    return {"steps": steps, "load_seconds": load}


def generate(work, model):
    work = read(work)
    started = time.perf_counter()
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(int(work["threads"]))
    network = AutoModelForCausalLM.from_pretrained(
        model, dtype=torch.float32, attn_implementation="sdpa"
    )
    load = time.perf_counter() - started
    prompts, count = work["prompts"], work["tokens"]
    longest = max(map(len, prompts))
    tokens = torch.tensor([[0] * (longest - len(prompt)) + prompt for prompt in prompts])
    seen = torch.tensor([[0] * (longest - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    begin = time.perf_counter()
    with torch.inference_mode():
        found = network.generate(
            input_ids=tokens,
            attention_mask=seen,
            do_sample=False,
            max_new_tokens=count,
            min_new_tokens=count,
            eos_token_id=None,
            pad_token_id=0,
        )
    seconds = time.perf_counter() - begin
    return {"seconds": seconds, "tokens": found[:, longest:].tolist(), "load_seconds": load}


def score(items, model, threads):
    """lm-evaluation-harness's hf backend on choice questions, asked as its ARC task asks them."""
    started = time.perf_counter()
    import lm_eval
    import torch
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    torch.set_num_threads(int(threads))
    task = {
        "task": "local_choices",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(items)}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "Question: {{question}}\nAnswer:",
        "doc_to_choice": "{{choices}}",
        "doc_to_target": "{{answer}}",
        "metric_list": [{"metric": "acc_norm", "aggregation": "mean", "higher_is_better": True}],
    }
    network = HFLM(pretrained=str(model), device="cpu", dtype="float32", batch_size=16)
    load = time.perf_counter() - started
    begin = time.perf_counter()
    found = lm_eval.simple_evaluate(
        model=network, tasks=[task], task_manager=TaskManager(), bootstrap_iters=0
    )
    seconds = time.perf_counter() - begin
    accuracy = found["results"]["local_choices"]["acc_norm,none"]
    return {"seconds": seconds, "acc_norm": accuracy, "load_seconds": load}


def llama(work, model):
    """llama.cpp's server in this process: one slot a prompt, continuous batching."""
    import concurrent.futures

    import xllamacpp

    work = read(work)
    prompts, count = work["prompts"], work["tokens"]
    started = time.perf_counter()
    params = xllamacpp.CommonParams()
    params.model.path = str(model)
    params.n_parallel = len(prompts)
    params.n_ctx = len(prompts) * (max(map(len, prompts)) + count + 8)
    params.n_batch = params.n_ubatch = 2048
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(work["threads"])
    params.n_predict = count
    params.cache_prompt = False
    params.warmup = True
    server = xllamacpp.Server(params)
    load = time.perf_counter() - started

    def one(prompt):
        answer = server.handle_completions(
            {
                "prompt": prompt,
                "max_tokens": count,
                "temperature": 0,
                "ignore_eos": True,
                "cache_prompt": False,
                "return_tokens": True,
            }
        )
        return answer if isinstance(answer, dict) else json.loads(answer)

    begin = time.perf_counter()
    with concurrent.futures.ThreadPoolExecutor(len(prompts)) as pool:
        answers = list(pool.map(one, prompts))
    seconds = time.perf_counter() - begin
    texts = [answer["choices"][0]["text"] for answer in answers]
    return {"seconds": seconds, "texts": texts, "load_seconds": load}


if __name__ == "__main__":
    work = {"folder": folder, "gguf": gguf, "train": train, "generate": generate}
    work |= {"score": score, "llama": llama}
    outcome = work[sys.argv[1]](*sys.argv[2:])
    print(json.dumps(outcome))
    sys.stdout.flush()
    # Some peers' threads outlive their work.
    import os

    os._exit(0)
