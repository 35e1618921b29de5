"""Starts `steadfast serve` and asks it all that the official `openai` client can ask of it."""

import concurrent.futures
import functools
import json
import math
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import openai

MODEL = "SmolLM2-135M-Instruct"
QUESTION = [{"role": "user", "content": "Name three things that one finds in a hotel room."}]


def start(program: str, *arguments: str) -> tuple[subprocess.Popen, str]:
    """The server and its base URL."""
    command = [program, "serve", "--port", "0", "--json", "--quiet", *arguments]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    document = ""
    for line in server.stdout:
        document += line
        if line.startswith("}"):
            return server, json.loads(document)["address"] + "/v1"
    raise SystemExit(f"error: the server ended with {server.wait()}")


def refused(kind: type[openai.APIStatusError], call, **fields) -> openai.APIStatusError:
    """The error that a call ends with."""
    try:
        call(**fields)
    except kind as error:
        return error
    raise AssertionError(f"no {kind.__name__} from {fields}")


def models(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert names == [MODEL], names
    assert client.models.retrieve(MODEL).object == "model"
    error = refused(openai.NotFoundError, client.models.retrieve, model="gpt-4")
    assert error.code == "model_not_found", error


def chat(client: openai.OpenAI) -> None:
    ask = client.chat.completions.create
    fields = {"model": MODEL, "messages": QUESTION, "max_tokens": 24}
    whole = ask(**fields, temperature=0)
    text = whole.choices[0].message.content
    assert text and whole.choices[0].finish_reason == "length", whole
    assert whole.usage.completion_tokens == 24
    assert whole.usage.total_tokens == whole.usage.prompt_tokens + 24

    chunks = list(ask(**fields, temperature=0, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == text, pieces
    assert len([piece for piece in pieces if piece]) > 5, "the reply did not come in pieces"
    assert chunks[-1].usage == whole.usage and not chunks[-1].choices
    assert chunks[-2].choices[0].finish_reason == "length"

    word = text.split()[3]
    stopped = ask(**fields, temperature=0, stop=[word]).choices[0]
    assert stopped.finish_reason == "stop" and stopped.message.content == text[: text.index(word)]

    draw = lambda seed, **more: ask(**fields, temperature=1.2, top_p=0.9, seed=seed, **more)
    several = [choice.message.content for choice in draw(5, n=3).choices]
    assert several == [choice.message.content for choice in draw(5, n=3).choices]
    assert len(set(several)) == 3, several
    assert draw(5).choices[0].message.content == several[0]
    assert draw(6).choices[0].message.content != several[0]

    scored = ask(**fields, temperature=0, logprobs=True, top_logprobs=3).choices[0].logprobs.content
    assert len(scored) == 24
    for token in scored:
        assert token.logprob == token.top_logprobs[0].logprob, "greedy takes the likeliest"
        assert [top.logprob for top in token.top_logprobs] == sorted(
            (top.logprob for top in token.top_logprobs), reverse=True
        )
    assert b"".join(bytes(token.bytes) for token in scored).decode() == text

    # As vLLM has it: the log-probabilities of a reply that is given.
    given = [*QUESTION, {"role": "assistant", "content": text}]
    own = {"prompt_logprobs": 0, "continue_final_message": True, "add_generation_prompt": False}
    told = ask(model=MODEL, messages=given, max_tokens=1, extra_body=own).to_dict()["prompt_logprobs"]
    reply = [next(iter(token.values())) for token in told[whole.usage.prompt_tokens :]]
    assert told[0] is None and "".join(token["decoded_token"] for token in reply) == text
    together = sum(token["logprob"] for token in reply)
    assert math.isclose(together, sum(token.logprob for token in scored), abs_tol=0.01)

    ask_for = [{"role": "user", "content": "Write a JSON object with a city and a price."}]
    for temperature in (0, 1):
        reply = ask(
            model=MODEL,
            messages=ask_for,
            max_tokens=120,
            temperature=temperature,
            seed=3,
            response_format={"type": "json_object"},
        ).choices[0]
        if reply.finish_reason == "stop":
            assert isinstance(json.loads(reply.message.content), dict), reply
        else:
            assert reply.message.content.lstrip().startswith("{"), reply


def completions(client: openai.OpenAI) -> None:
    ask = client.completions.create
    prompt = "The capital of France is"
    plain = ask(model=MODEL, prompt=prompt, max_tokens=4, temperature=0).choices[0].text
    assert plain.startswith(" Paris"), plain
    streamed = ask(model=MODEL, prompt=prompt, max_tokens=4, temperature=0, stream=True)
    assert "".join(chunk.choices[0].text for chunk in streamed) == plain

    # What lm-evaluation-harness asks: the prompt back with the log-probability of each token.
    echoed = ask(model=MODEL, prompt=prompt, max_tokens=1, temperature=0, logprobs=1, echo=True)
    scores = echoed.choices[0].logprobs
    assert echoed.choices[0].text.startswith(prompt)
    assert "".join(scores.tokens[:-1]) == prompt
    assert scores.token_logprobs[0] is None and scores.top_logprobs[0] is None
    assert all(value < 0 for value in scores.token_logprobs[1:])
    assert scores.token_logprobs[-1] == max(scores.top_logprobs[-1].values())
    assert len(scores.tokens) == echoed.usage.prompt_tokens + 1
    assert [prompt[at:].startswith(token) for at, token in zip(scores.text_offset, scores.tokens)][:-1]

    only_read = ask(model=MODEL, prompt=[prompt, "Two"], max_tokens=0, logprobs=0, echo=True)
    assert [choice.text for choice in only_read.choices] == [prompt, "Two"]
    assert only_read.choices[0].logprobs.token_logprobs[1:] == scores.token_logprobs[1:-1]
    assert only_read.usage.completion_tokens == 0

    # Tokens as a prompt: the written reply, scored as a continuation, has the same score.
    written = ask(model=MODEL, prompt=prompt, max_tokens=3, temperature=0, logprobs=0).choices[0]
    whole = ask(model=MODEL, prompt=prompt + written.text, max_tokens=0, logprobs=0, echo=True)
    tail = whole.choices[0].logprobs.token_logprobs[-3:]
    assert all(math.isclose(a, b, abs_tol=1e-3) for a, b in zip(tail, written.logprobs.token_logprobs))
    ids = ask(model=MODEL, prompt=[504, 3575, 282], max_tokens=2, temperature=0, echo=True)
    assert ids.usage.prompt_tokens == 3 and ids.usage.completion_tokens == 2


def mistakes(client: openai.OpenAI) -> None:
    ask = client.chat.completions.create
    good = {"model": MODEL, "messages": QUESTION, "max_tokens": 1}
    for wrong, param in [
        ({"temperature": 3}, "temperature"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_tokens": 10**9}, "max_tokens"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "customer", "content": "Hi"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
        ({"messages": [{"role": "user", "content": "word " * 20000}]}, "messages"),
        ({"n": 0}, "n"),
        ({"stop": [""]}, "stop"),
        ({"top_logprobs": 2}, "top_logprobs"),
        ({"logit_bias": {"x": 1}}, "logit_bias"),
        ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
        ({"response_format": {"type": "json_schema"}}, "response_format.type"),
        ({"extra_body": {"prompt_logprobs": 21}}, "prompt_logprobs"),
        ({"extra_body": {"continue_final_message": True}}, "continue_final_message"),
        ({"extra_body": {"add_generation_prompt": False}}, "add_generation_prompt"),
    ]:
        error = refused(openai.BadRequestError, ask, **{**good, **wrong})
        assert error.param == param, (wrong, error)
        assert error.type == "invalid_request_error" and error.body["message"], error
    error = refused(openai.NotFoundError, ask, **{**good, "model": "gpt-4"})
    assert error.code == "model_not_found" and error.param == "model"
    # What the server does not know is tolerated.
    ask(**good, extra_body={"a_field_of_tomorrow": {"x": 1}}, metadata={"a": "b"}, user="me")


def many(client: openai.OpenAI, seconds: float) -> None:
    """64 clients at once, for a while: each gets what it would get alone, and all together more."""
    questions = [f"What is {index} plus {index + 3}? Explain." for index in range(16)]

    def answer(question: str) -> str:
        messages = [{"role": "user", "content": question}]
        reply = client.chat.completions.create(
            model=MODEL, messages=messages, max_tokens=16, temperature=0
        )
        return reply.choices[0].message.content

    began = time.monotonic()
    alone = {question: answer(question) for question in questions}
    one = len(questions) / (time.monotonic() - began)
    assert len(set(alone.values())) > 8, "these questions would not tell mixed up replies apart"

    began = time.monotonic()

    def ask(number: int) -> int:
        """One client; how many replies it got."""
        count = 0
        while time.monotonic() - began < seconds:
            question = questions[(number + count) % len(questions)]
            assert answer(question) == alone[question], "replies were mixed up"
            count += 1
        return count

    clients = 64
    with concurrent.futures.ThreadPoolExecutor(clients) as pool:
        replies = sum(pool.map(ask, range(clients)))
    together = replies / (time.monotonic() - began)
    print(f"{clients} clients for {seconds:.0f} s: {replies} replies, {together / one:.1f} times the rate of one")
    assert together >= 3 * one, (together, one)


def keys(program: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = str(Path(folder) / "keys")
        made = [program, "serve", "--new-key", "laptop", "--keys", file]
        key = subprocess.run(made, check=True, capture_output=True, text=True).stdout.strip()
        server, url = start(program, "--keys", file, "--rate", "6")
        try:
            openai.OpenAI(base_url=url, api_key=key).models.list()
            stranger = openai.OpenAI(base_url=url, api_key="sk-wrong", max_retries=0)
            error = refused(openai.AuthenticationError, stranger.models.list)
            assert error.code == "invalid_api_key" and "sk-wrong" not in str(error)
            hasty = openai.OpenAI(base_url=url, api_key=key, max_retries=0)
            for _ in range(5):
                hasty.models.list()
            error = refused(openai.RateLimitError, hasty.models.list)
            assert 1 <= int(error.response.headers["retry-after"]) <= 10, error.response.headers
        finally:
            server.terminate()
            assert server.wait(20) == 0


def fetched(address: str) -> str:
    with urllib.request.urlopen(address, timeout=60) as response:
        return response.read().decode()


def until(client: openai.OpenAI, job: str, status: str, seconds: float = 240):
    """Waits until a job has a status."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        now = client.fine_tuning.jobs.retrieve(job)
        if now.status == status:
            return now
        assert now.status not in ("failed", "cancelled", "succeeded"), now
        time.sleep(0.1)
    raise AssertionError(f"{job} did not become {status}")


def until_step(client: openai.OpenAI, job: str, step: int) -> None:
    """Waits until a job has done a step."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        events = client.fine_tuning.jobs.list_events(job, limit=1)
        for event in events:
            if event.data and event.data.get("step", 0) >= step:
                return
            break
        time.sleep(0.05)
    raise AssertionError(f"{job} did not reach step {step}")


def fine_tuning(program: str) -> None:
    """A job from upload to answer; paused, killed and taken up again, it learns the same bits."""
    with tempfile.TemporaryDirectory() as folder:
        simulate = [program, "data", "simulate", "--count", "12"]
        chats = Path(folder) / "chats.jsonl"
        chats.write_bytes(subprocess.run(simulate, check=True, capture_output=True).stdout)
        state = str(Path(folder) / "state")
        server, url = start(program, "--state", state)
        client = openai.OpenAI(base_url=url, api_key="none needed", max_retries=0, timeout=120)
        try:
            bad = refused(
                openai.BadRequestError,
                client.files.create,
                file=("bad.jsonl", b'{"messages":[{"role":"customer","content":"Hi"}]}\n'),
                purpose="fine-tune",
            )
            assert bad.code == "invalid_training_file" and "line 1" in str(bad), bad
            file = client.files.create(file=chats, purpose="fine-tune")
            assert client.files.retrieve(file.id).bytes == chats.stat().st_size
            assert client.files.content(file.id).read() == chats.read_bytes()
            assert [one.id for one in client.files.list()] == [file.id]
            for wrong, param in [
                ({"training_file": "file-0"}, "training_file"),
                ({"extra_body": {"steadfast": {"method": "lorra"}}}, "steadfast.method"),
                ({"hyperparameters": {"batch_size": 4}}, "hyperparameters.batch_size"),
                ({"extra_body": {"steadfast": {"budget": {"safety": -1}}}}, "steadfast.budget.safety"),
                ({"extra_body": {"steadfast": {"method": "lora", "subspace": "random"}}}, "steadfast.subspace"),
                ({"extra_body": {"steadfast": {"penalty": -1}}}, "steadfast.penalty"),
                ({"extra_body": {"steadfast": {"preset": "quik"}}}, "steadfast.preset"),
            ]:
                fields = {"model": MODEL, "training_file": file.id, **wrong}
                error = refused(openai.BadRequestError, client.fine_tuning.jobs.create, **fields)
                assert error.param == param, error

            own = {"method": "lora", "steps": 8, "batch_tokens": 256, "learning_rate": 0.01, "items": 3}
            job = client.fine_tuning.jobs.create(
                model=MODEL,
                training_file=file.id,
                suffix="hotel",
                extra_body={"steadfast": own},
                metadata={"why": "a test"},
            )
            waiting = client.fine_tuning.jobs.create(model=MODEL, training_file=file.id)
            own_choice = waiting.to_dict()["steadfast"]
            assert waiting.status == "queued" and own_choice["method"] == "null-space"
            assert own_choice["budget"] == {"safety": 20.0, "knowledge": 20.0, "domain_leakage": 20.0}, own_choice
            assert "budget" not in job.to_dict()["steadfast"], "who names a method gets no bound unasked"
            assert client.fine_tuning.jobs.cancel(waiting.id).status == "cancelled"
            refused(openai.BadRequestError, client.fine_tuning.jobs.cancel, fine_tuning_job_id=waiting.id)
            until_step(client, job.id, 1)
            assert client.fine_tuning.jobs.pause(job.id).status == "paused"
            client.files.delete(file.id)
            until(client, job.id, "paused")
            client.fine_tuning.jobs.resume(job.id)
            until_step(client, job.id, 4)
        finally:
            server.kill()
            server.wait()

        server, url = start(program, "--state", state)
        client = openai.OpenAI(base_url=url, api_key="none needed", max_retries=0, timeout=120)
        try:
            done = until(client, job.id, "succeeded")
            name = done.fine_tuned_model
            assert name == f"ft:{MODEL}:steadfast:hotel:{job.id.removeprefix('ftjob-')}", name
            assert done.trained_tokens > 0 and done.finished_at >= done.created_at
            events = list(client.fine_tuning.jobs.list_events(job.id, limit=3))
            assert events[0].message == "The job has successfully completed", events[0]
            steps = [event.data["step"] for event in events if event.data and "train_loss" in event.data]
            assert set(steps) == set(range(1, 9)), steps
            assert {one.id for one in client.fine_tuning.jobs.list(limit=1)} == {waiting.id, job.id}
            own = done.to_dict()["steadfast"]
            measured = json.loads(fetched(url.removesuffix("/v1") + own["results"]))
            assert set(measured["arms"][0]["axes"]) == {"proficiency", "safety", "knowledge"}, measured
            page = fetched(url.removesuffix("/v1") + own["report"])
            assert page.startswith("<!doctype html>") and job.id in page, page[:200]
            checkpoints = list(client.fine_tuning.jobs.checkpoints.list(job.id))
            assert [one.fine_tuned_model_checkpoint for one in checkpoints] == [name]

            ask = client.chat.completions.create
            fields = {"model": name, "messages": QUESTION, "max_tokens": 16, "temperature": 0}
            whole = ask(**fields).choices[0].message.content
            stream = ask(**fields, stream=True)
            assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == whole
            assert whole != ask(**{**fields, "model": MODEL}).choices[0].message.content

            tensors = "adapter_model.safetensors"
            (found,) = Path(state).glob(f"runs/{job.id}-*/arms/*/adapter/{tensors}")
            learnt = found.read_bytes()
            refused(openai.PermissionDeniedError, client.models.delete, model=MODEL)
            gone = client.models.delete(name)
            assert gone.deleted and gone.id == name, gone
            refused(openai.NotFoundError, ask, **fields)
            refused(openai.NotFoundError, client.models.delete, model=name)
            assert not found.exists() and fetched(url.removesuffix("/v1") + own["report"]) == page
        finally:
            server.terminate()
            assert server.wait(20) == 0

        server, url = start(program, "--state", state)
        client = openai.OpenAI(base_url=url, api_key="none needed", max_retries=0, timeout=120)
        try:
            assert [one.id for one in client.models.list()] == [MODEL], "a deleted model stays away"
            assert client.fine_tuning.jobs.retrieve(job.id).status == "succeeded"
        finally:
            server.terminate()
            assert server.wait(20) == 0

        alone = str(Path(folder) / "alone")
        flags = ["--method", "lora", "--steps", "8", "--batch-tokens", "256", "--learning-rate", "0.01"]
        tune = [program, "tune", "--data", str(chats), *flags, "--output", alone, "--quiet"]
        subprocess.run(tune, check=True, capture_output=True)
        assert learnt == (Path(alone) / tensors).read_bytes(), "the bits differ"


def main() -> None:
    program = sys.argv[1]
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 10
    server, url = start(program)
    client = openai.OpenAI(base_url=url, api_key="none needed", max_retries=0, timeout=120)
    try:
        load = functools.partial(many, seconds=seconds)
        load.__name__ = many.__name__
        for part in (models, chat, completions, mistakes, load):
            began = time.monotonic()
            part(client)
            print(f"ok  {part.__name__}  {time.monotonic() - began:.1f} s")
    finally:
        server.terminate()
        assert server.wait(20) == 0, "the server did not end well"
    for part in (keys, fine_tuning):
        began = time.monotonic()
        part(program)
        print(f"ok  {part.__name__}  {time.monotonic() - began:.1f} s")


if __name__ == "__main__":
    main()
