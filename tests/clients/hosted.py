"""Asks our emulators of OpenAI and Together, with the official clients, all that our own client asks.

Both clients check every answer against their own types, so what passes here is the services' protocol
as their makers write it down, and our client was tested against nothing else.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import openai

os.environ.setdefault("TOGETHER_DISABLE_TELEMETRY", "1")
import together  # noqa: E402

LINE = {"messages": [{"role": "user", "content": "A room?"}, {"role": "assistant", "content": "When?"}]}
KEY = "sk-test"


def until(look, done, seconds: float = 30):
    """Looks again and again until it is done."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        now = look()
        if now.status in done:
            return now
        time.sleep(0.01)
    raise AssertionError("the job does not end")


def refused(kind, call, **fields):
    """The error that a call ends with."""
    try:
        call(**fields)
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} from {fields}")


def ask_openai(url: str, data: Path) -> None:
    client = openai.OpenAI(base_url=url, api_key=KEY, max_retries=0, _strict_response_validation=True)
    base = client.models.list().data[0].id
    file = client.files.create(file=data, purpose="fine-tune")
    assert client.files.retrieve(file.id).bytes == data.stat().st_size
    assert client.files.content(file.id).read() == data.read_bytes()
    jobs = client.fine_tuning.jobs
    supervised = {"hyperparameters": {"n_epochs": 2, "batch_size": 4, "learning_rate_multiplier": 0.5}}
    fields = {
        "model": base,
        "training_file": file.id,
        "suffix": "hotel",
        "seed": 3,
        "metadata": {"steadfast": "0123456789ab"},
        "method": {"type": "supervised", "supervised": supervised},
    }
    job = jobs.create(**fields)
    assert job.status == "validating_files" and job.metadata == fields["metadata"]
    assert job.method.supervised.hyperparameters.n_epochs == 2
    assert [one.id for one in jobs.list(metadata={"steadfast": "0123456789ab"})] == [job.id]
    assert not list(jobs.list(metadata={"steadfast": "another"}))
    done = until(lambda: jobs.retrieve(job.id), ("succeeded", "failed"))
    assert done.status == "succeeded" and done.trained_tokens and done.finished_at > done.created_at
    events = list(jobs.list_events(job.id, limit=2))
    assert events[-1].message.startswith("Created") and events[0].data["train_loss"] < 2
    assert len({event.id for event in events}) == len(events) > 3
    checkpoints = list(jobs.checkpoints.list(job.id))
    assert checkpoints[0].fine_tuned_model_checkpoint == done.fine_tuned_model
    ask = client.chat.completions.create
    question = {"messages": LINE["messages"][:1], "max_tokens": 8, "temperature": 0}
    before, after = (ask(model=name, **question) for name in (base, done.fine_tuned_model))
    assert before.choices[0].message.content != after.choices[0].message.content
    assert after.usage.total_tokens > 0
    error = refused(openai.BadRequestError, ask, model=base, **question, extra_body={"prompt_logprobs": 1})
    assert "prompt_logprobs" in str(error)
    echo = {"model": base, "prompt": "a", "echo": True, "logprobs": 1, "max_tokens": 1}
    refused(openai.NotFoundError, client.completions.create, **echo)
    wrong = refused(openai.BadRequestError, jobs.create, **{**fields, "model": "gpt-3.5-turbo"})
    assert wrong.code == "model_not_available", wrong
    second = jobs.create(**fields)
    assert jobs.cancel(second.id).status == "cancelled"
    refused(openai.BadRequestError, jobs.cancel, fine_tuning_job_id=second.id)
    refused(openai.NotFoundError, jobs.retrieve, fine_tuning_job_id="ftjob-99")


def ask_together(url: str, data: Path) -> None:
    # Its client adds /v1 by itself.
    address = url.removesuffix("/v1")
    client = together.Together(
        base_url=address, api_key=KEY, max_retries=0, _strict_response_validation=True
    )
    file = client.files.upload(data, purpose="fine-tune")
    assert client.files.upload(data, purpose="fine-tune").id == file.id, "the same bytes are one file"
    deadline = time.monotonic() + 10
    while client.files.retrieve(file.id).processing_status != "COMPLETED":
        assert time.monotonic() < deadline
    base = "meta-llama/Meta-Llama-3.1-8B-Instruct-Reference"
    kind = {"type": "Lora", "lora_r": 16, "lora_alpha": 32}
    how = {"method": "sft", "train_on_inputs": False}
    price = client.fine_tuning.estimate_price(
        training_file=file.id, model=base, n_epochs=2, n_evals=0, training_type=kind, training_method=how
    )
    assert price.estimation_available and price.allowed_to_proceed and price.estimated_total_price > 0
    jobs = client.fine_tuning
    job = jobs.create(
        training_file=file.id,
        model=base,
        n_epochs=2,
        n_checkpoints=1,
        learning_rate=1e-4,
        lora=True,
        lora_r=16,
        lora_alpha=32,
        suffix="hotel-0123456789ab",
        random_seed=3,
        train_on_inputs=False,
    )
    listed = jobs.list().data
    assert [one.suffix for one in listed] == ["hotel-0123456789ab"] and listed[0].id == job.id
    done = until(lambda: jobs.retrieve(job.id), ("completed", "error"))
    name = done.x_model_output_name
    assert done.status == "completed" and "hotel-0123456789ab" in name
    events = jobs.list_events(job.id).data
    assert events[0].type == "job_pending" and events[-1].step == events[-1].total_steps
    assert jobs.list_checkpoints(job.id).data[0].object_name.endswith(name)
    ask = client.chat.completions.create
    question = {"messages": LINE["messages"][:1], "max_tokens": 8, "temperature": 0}
    before, after = (ask(model=model, **question) for model in (base, name))
    assert before.choices[0].message.content != after.choices[0].message.content
    second = jobs.create(
        training_file=file.id, model=base, lora=True, suffix="other", train_on_inputs=False
    )
    assert jobs.cancel(second.id).status == "cancelled"
    refused(together.BadRequestError, jobs.cancel, id=second.id)
    refused(together.NotFoundError, jobs.retrieve, id="ft-99")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder) / "chats.jsonl"
        data.write_text((json.dumps(LINE) + "\n") * 12)
        emulators = subprocess.Popen(
            [sys.argv[1]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            urls = json.loads(emulators.stdout.readline())
            for name, ask in (("openai", ask_openai), ("together", ask_together)):
                ask(urls[name], data)
                print(f"ok  the official {name} client against its emulator")
        finally:
            emulators.stdin.close()
            assert emulators.wait(10) == 0


if __name__ == "__main__":
    main()
