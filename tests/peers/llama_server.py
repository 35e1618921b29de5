"""llama.cpp's server with the real SmolLM2, as the model under test and as the judge.

Run by tests/peers/run. llama.cpp tells no log-probabilities of what it reads, so what needs them has to
be unscored, and said so. As a judge, 135 million parameters seldom give a verdict that can be read:
what is checked is that each question is asked once, and never again.
"""

import json
import os

import xllamacpp

from program import STEADFAST, run

# Of this run alone, so that no verdict of an earlier one is found.
NAME = f"llama-{os.getpid()}"


def ours(*arguments: str, **more: str) -> tuple[dict, str]:
    """The document that a command prints, and what it says beside it."""
    done = run(STEADFAST, *arguments, "--json", **{"OPENAI_API_KEY": "none needed", **more})
    return json.loads(done.stdout), done.stderr


def serve() -> xllamacpp.Server:
    models, _ = ours("models")
    (base,) = [model for model in models if model["default"]]
    params = xllamacpp.CommonParams()
    params.model.path = base["place"]
    params.model_alias = {NAME}
    params.n_ctx = 8192
    params.n_parallel = 4
    params.port = 0
    params.warmup = False
    return xllamacpp.Server(params)


def under_test(address: str) -> None:
    suites = ["--suite", "general_short", "--suite", "general_cloze", "--limit", "5"]
    document, said = ours("measure", "--model", f"openai:{NAME}", *suites, OPENAI_BASE_URL=address)
    short = document["metrics"]["general_short/accuracy"]
    assert short["n"] == 5 and short["unscored"] == 0, short
    cloze = document["metrics"].get("general_cloze/accuracy")
    assert cloze is None or cloze["unscored"] == 5, cloze
    assert "log-prob" in said or "likelihood" in said, said
    here, _ = ours("measure", *suites[:2], "--limit", "5")
    pairs = zip(document["samples"], here["samples"])
    same = sum(there["reply"] == one["reply"] for there, one in pairs if one["suite"] == "general_short")
    print(f"llama.cpp under test: {short['n']} replies scored, {same} of 5 the same as here, likelihoods unscored")


def judge(address: str) -> None:
    asked = ["measure", "--suite", "general_short", "--limit", "4", "--judge", f"openai:{NAME}"]
    first, _ = ours(*asked, OPENAI_BASE_URL=address)
    again, said = ours(*asked, OPENAI_BASE_URL=address)
    assert "is asked" not in said or "is asked 0 questions" in said, said
    judged = first["metrics"]["general_short/judged"]
    assert judged["n"] + judged["unscored"] == 4, judged
    assert again["metrics"]["general_short/judged"] == judged
    print(f"llama.cpp as judge: {judged['n']} verdicts, {judged['unscored']} unscored, and nothing is asked twice")


def main() -> None:
    server = serve()
    address = f"{server.listening_address}/v1"
    under_test(address)
    judge(address)


if __name__ == "__main__":
    main()
