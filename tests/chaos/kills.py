"""Kills at random instants: what was told to be kept is kept, and the same command ends with the same bits."""

import json
import pathlib
import shutil
import threading

from bench import Bench, Broken, digest, fingerprint, need, same
from network import Judge, emulators
from server import Server


def study_killed(bench: Bench) -> str:
    _, whole = bench.straight_study()
    runs, kills = bench.folder(), bench.chance.randint(1, 4)
    for _ in range(kills):
        bench.kill(bench.start(bench.study(runs)), bench.chance.uniform(0.01, whole))
    bench.finish_study(runs)
    return "the same bits"


def tune_killed(bench: Bench) -> str:
    _, whole = bench.straight_tune()
    output = bench.folder() / "adapter"
    for attempt in range(bench.chance.randint(1, 3)):
        again = ["--resume"] if attempt else []
        command = [*bench.tune, "--output", str(output), *again]
        bench.kill(bench.start(command), bench.chance.uniform(0.01, whole))
    bench.finish_tune(output)
    return "the same bits"


def exported(folder: pathlib.Path, kind: str) -> dict[str, str]:
    target = folder / kind
    files = [target] if target.is_file() else sorted(path for path in target.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): digest(path) for path in files}


def export_killed(bench: Bench) -> str:
    kind = bench.chance.choice(["merge", "gguf", "ollama"])
    adapter = str(bench.adapter())

    def command(folder: pathlib.Path) -> list[str]:
        return ["export", adapter, "--model", str(bench.model), f"--{kind}", str(folder / kind)]

    def make() -> dict[str, str]:
        folder = bench.folder()
        bench.run(command(folder)).promises(0)
        return exported(folder, kind)

    expected, whole = bench.once(f"export {kind}", make)
    folder = bench.folder()
    bench.kill(bench.start(command(folder)), bench.chance.uniform(0.005, whole))
    if (folder / kind).exists():
        need(exported(folder, kind) == expected, f"what --{kind} wrote half stands under its name")
        return "whole or absent, and the same again"
    bench.run(command(folder)).promises(0)
    need(exported(folder, kind) == expected, f"after a kill --{kind} writes other files")
    return "whole or absent, and the same again"


def measure_killed(bench: Bench) -> str:
    """A judge is paid for each answer: what has come is not asked for again, whenever the process dies."""
    folder = bench.folder()
    with Judge() as judge:
        command = ["measure", "--model", str(bench.model), "--suite", "statements", "--limit", "12", "--max-tokens", "4",
                   "--judge", "openai:told", "--judge-url", judge.url, "--judge-price", "1,1", "--judge-concurrency", "4", "--json"]
        more = {"STEADFAST_CACHE": str(folder / "cache")}
        _, whole = bench.once("measure", lambda: bench.run(command, {"STEADFAST_CACHE": str(bench.folder())}).promises(0))
        judge.delay, judge.asked = 0.03, 0
        half = folder / "half.json"
        with half.open("wb") as out:
            bench.kill(bench.start(command, more, stdout=out), bench.chance.uniform(0.05, whole + 0.3))
        first = judge.asked
        full = folder / "full.json"
        with full.open("wb") as out:
            bench.run(command, more, stdout=out).promises(0)
        # Four were under way at most, and one more may have been answered and not yet written down.
        total = len({key for key in judge.questions})
        need(judge.asked <= total + 5, f"{judge.asked} questions asked for {total} answers, {first} before the kill")
    outcome = bench.run(["compare", str(half), str(full), "--json"]).promises(0, 1)
    need(outcome.code == 1 or half.read_bytes() == full.read_bytes(), "half a measurement was compared")
    return "no verdict paid twice"


def serve_killed(bench: Bench) -> str:
    """A file and a job that were acknowledged are there after any kill, and the job ends with the same bits."""

    def job(server: Server) -> str:
        file = server.upload(bench.chats.read_bytes())["id"]
        asked = {"model": "tiny", "training_file": file, "seed": 3,
                 "steadfast": {"method": "lora", "steps": 10, "rank": 4, "learning_rate": 0.01, "items": 3, "budget": "none"}}
        return server.ask("POST", "/v1/fine_tuning/jobs", asked)[1]["id"]

    def result(state: pathlib.Path, name: str) -> str:
        record = json.loads((state / "jobs" / name / "job.json").read_text())
        return digest(state / record["result"]["adapter"] / "adapter_model.safetensors")

    def make() -> str:
        state = bench.folder()
        with Server(bench, "--state", str(state)) as server:
            name = job(server)
            server.until(name)
        return result(state, name)

    expected, whole = bench.once("job", make)
    state = bench.folder()
    with Server(bench, "--state", str(state)) as server:
        name = job(server)
        bench.kill(server.process, bench.chance.uniform(0, whole))
    for _ in range(bench.chance.randint(0, 2)):
        with Server(bench, "--state", str(state)) as server:
            need(server.ask("GET", f"/v1/fine_tuning/jobs/{name}")[0] == 200, "an acknowledged job is gone")
            bench.kill(server.process, bench.chance.uniform(0, whole / 2))
    with Server(bench, "--state", str(state)) as server:
        need(len(server.ask("GET", "/v1/files")[1]["data"]) == 1, "an acknowledged file is gone")
        server.until(name)
        model = server.ask("GET", f"/v1/fine_tuning/jobs/{name}")[1]["fine_tuned_model"]
        status, answer = server.chat(model, "Hello")
        need(status == 200, f"the job's model does not answer: {answer}")
    need(result(state, name) == expected, "the job's adapter has other bits")
    return "kept, and the same bits"


HOSTED = """
name = "elsewhere"
base = "{model}"
[data]
conversations = 12
[generation]
max_tokens = 4
[[arms]]
name = "there"
provider = "openai"
base = "gpt-4.1-nano-2025-04-14"
base_url = "{url}"
price = 0.0
timeout_seconds = 2
[[suites]]
name = "statements"
limit = 3
[[suites]]
name = "general_short"
limit = 3
"""


def hosted_killed(bench: Bench) -> str:
    """Whenever the study dies, one job is paid for."""
    folder = bench.folder()
    with emulators() as service:
        recipe = folder / "study.toml"
        recipe.write_text(HOSTED.format(model=bench.model, url=service.openai))
        command = ["study", str(recipe), "--runs", str(folder / "runs"), "--yes", "--quiet", "--json"]
        for _ in range(bench.chance.randint(1, 4)):
            bench.kill(bench.start(command), bench.chance.uniform(0.01, 1.5))
        bench.run(command).promises(0)
        need(service.jobs() == 1, f"{service.jobs()} jobs were made for one arm")
    return "one job"


def push_killed(bench: Bench) -> str:
    """A repository has all of the folder's files or none, and the same command sends the rest."""
    folder = bench.adapter()
    with emulators() as service:
        hub = bench.chance.choice(service.hubs)
        more = {"HF_ENDPOINT": hub, "HF_TOKEN": service.token, "HF_HUB_OFFLINE": "0"}
        names = ("adapter_model.safetensors", "adapter_config.json")

        def command(name: str) -> list[str]:
            return ["push", f"{service.owner}/{name}", str(folder), "--quiet"]

        def there(name: str) -> list[bool]:
            found = (service.at_hub(hub, f"{service.owner}/{name}/resolve/main/{file}") for file in names)
            return [one == (folder / file).read_bytes() for one, file in zip(found, names)]

        _, whole = bench.once("push", lambda: bench.run(command("straight"), more).promises(0))
        bench.kill(bench.start(command("killed"), more), bench.chance.uniform(0.005, whole))
        need(len(set(there("killed"))) == 1, "the Hub has a part of the folder")
        bench.run(command("killed"), more).promises(0)
        need(all(there("killed")), "the Hub has other files than the folder")
    return "all or nothing, then all"


def clean_killed(bench: Bench) -> str:
    """Cleaning takes what it was told to, now or the next time, and nothing else."""
    runs = bench.folder()
    bench.run(bench.study(runs)).promises(0)
    kept = next(runs.glob("*/results.json")).parent
    before = fingerprint(runs)
    other = runs / "another-run"
    command = ["runs", "clean", str(other), "--yes", "--quiet", "--runs", str(runs)]
    _, whole = bench.once("clean", lambda: bench.run(["runs", "--runs", str(runs)]).promises(0))
    shutil.copytree(kept, other)
    bench.kill(bench.start(command), bench.chance.uniform(0, whole))
    # What a kill left aside goes with the next removal.
    if not other.exists():
        shutil.copytree(kept, other)
    bench.run(command).promises(0)
    need(not other.exists(), "a run that was to go is still there")
    need(not any(path.name.startswith(".removed") for path in runs.iterdir()), "a half of a run lies aside")
    same(before, fingerprint(runs))
    return "that run, and no other"


def two_at_once(bench: Bench) -> str:
    """Of two studies in one folder one works; the other says so and changes nothing."""
    runs = bench.folder()
    outcomes = []
    threads = [threading.Thread(target=lambda: outcomes.append(bench.run(bench.study(runs)))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for outcome in outcomes:
        outcome.promises(0, 1)
    codes = sorted(outcome.code for outcome in outcomes)
    if codes == [1, 1]:
        raise Broken("neither of two studies worked")
    if codes == [0, 1]:
        refused = next(outcome for outcome in outcomes if outcome.code == 1)
        need("another process" in refused.err, refused.err)
    bench.finish_study(runs)
    return "one works, the other is told"


def two_tunes(bench: Bench) -> str:
    output = bench.folder() / "adapter"
    processes = [bench.start([*bench.tune, "--output", str(output)]) for _ in range(2)]
    outcomes = [bench.end(process).promises(0, 1) for process in processes]
    need(any(outcome.code == 0 for outcome in outcomes), "neither of two trainings worked")
    bench.finish_tune(output)
    return "one works, the other is told"


EVENTS = {
    "study killed": study_killed,
    "tune killed": tune_killed,
    "export killed": export_killed,
    "measure with a judge killed": measure_killed,
    "serve killed with a job running": serve_killed,
    "study with a hosted arm killed": hosted_killed,
    "push killed": push_killed,
    "runs clean killed": clean_killed,
    "two studies in one run folder": two_at_once,
    "two trainings into one folder": two_tunes,
}
