"""Files that were cut short or have turned bits, and a clock that jumps."""

import pathlib
import re
import shutil
import subprocess

from bench import ROOT, Bench, LeftOut, digest, need, remove


def hurt(bench: Bench, path: pathlib.Path) -> str:
    """Cuts a file short, turns some of its bits, or empties it."""
    raw = bytearray(path.read_bytes())
    how = bench.chance.choice(["cut", "bits", "zeros", "empty"]) if raw else "empty"
    if how == "cut":
        raw = raw[: bench.chance.randrange(len(raw))]
    elif how == "bits":
        for _ in range(bench.chance.randint(1, 8)):
            raw[bench.chance.randrange(len(raw))] ^= 1 << bench.chance.randrange(8)
    elif how == "zeros":
        start = bench.chance.randrange(len(raw))
        raw[start : start + 512] = bytes(len(raw[start : start + 512]))
    else:
        raw = bytearray(b"")
    path.write_bytes(raw)
    return how


def study_damaged(bench: Bench) -> str:
    """One file of a study that was killed: it is computed again, or the error names it."""
    _, whole = bench.straight_study()
    runs = bench.folder()
    bench.kill(bench.start(bench.study(runs)), bench.chance.uniform(0.3, 0.95) * whole)
    files = [path for path in runs.rglob("*") if path.is_file() and path.name != ".lock"]
    if not files:
        bench.finish_study(runs)
        return "computed again"
    hit = bench.chance.choice(files)
    how = hurt(bench, hit)
    outcome = bench.run(bench.study(runs)).promises(0, 1, 3)
    if outcome.code != 0:
        need(hit.name in outcome.err, f"{hit} ({how}) is not named: {outcome.err}")
        hit.unlink()
        bench.run(bench.study(runs)).promises(0)
    bench.finish_study(runs)
    return "computed again, or named"


def checkpoint_damaged(bench: Bench) -> str:
    _, whole = bench.straight_tune()
    output = bench.folder() / "adapter"
    bench.kill(bench.start([*bench.tune, "--output", str(output)]), bench.chance.uniform(0.3, 0.95) * whole)
    files = [path for path in output.rglob("*") if path.is_file()] if output.exists() else []
    if files:
        hurt(bench, bench.chance.choice(files))
    bench.finish_tune(output)
    return "the one before it, the same bits"


def adapter_damaged(bench: Bench) -> str:
    """A damaged adapter is refused, or is an adapter with other numbers."""
    adapter = bench.folder() / "adapter"
    shutil.copytree(bench.adapter(), adapter)
    hit = bench.chance.choice([adapter / "adapter_config.json", adapter / "adapter_model.safetensors"])
    hurt(bench, hit)
    model = ["--model", str(bench.model)]
    for command in (["chat", *model, "--adapter", str(adapter), "--max-tokens", "4", "Hello"],
                    ["export", str(adapter), *model, "--gguf", str(adapter / "a.gguf")]):
        outcome = bench.run(command).promises(0, 1, 3)
        need(outcome.code == 0 or adapter.name in outcome.err, outcome.err)
    return "refused by name, or other numbers"


def model_damaged(bench: Bench) -> str:
    folder = bench.folder()
    model = folder / "tiny.gguf"
    shutil.copy(bench.model, model)
    hurt(bench, model)
    outcome = bench.run(["chat", "--model", str(model), "--max-tokens", "4", "Hello"]).promises(0, 1)
    need(outcome.code == 0 or str(model) in outcome.err, f"the file is not named: {outcome.err}")
    return "refused by name, or other numbers"


def cache_damaged(bench: Bench) -> str:
    """The file of verdicts: refused by name; moved away, all are asked for again."""
    from network import Judge, judged

    folder = bench.folder()
    with Judge() as judge:
        command, more = judged(bench, folder, judge.url, "cache")
        first = bench.run(command, more).promises(0)
        database = folder / "cache" / "judge.sqlite"
        for leftover in folder.glob("cache/judge.sqlite-*"):
            leftover.unlink()
        hurt(bench, database)
        outcome = bench.run(command, more).promises(0, 1, 3)
        if outcome.code != 0:
            need("judge.sqlite" in outcome.err, f"the file is not named: {outcome.err}")
            remove(folder / "cache")
            bench.run(command, more).promises(0)
    need(first.out, "no numbers")
    return "refused by name, or asked again"


def state_damaged(bench: Bench) -> str:
    """A record of the server's: the server says which, and starts once it is moved away."""
    from server import Server

    state = bench.folder()
    with Server(bench, "--state", str(state)) as server:
        file = server.upload(bench.chats.read_bytes())["id"]
        asked = {"model": "tiny", "training_file": file, "steadfast": {"method": "lora", "steps": 1, "rank": 2, "items": 2, "budget": "none"}}
        job = server.ask("POST", "/v1/fine_tuning/jobs", asked)[1]["id"]
        server.until(job)
    records = [state / "files" / f"{file}.json", *(state / "jobs" / job).glob("*.json*")]
    hit = bench.chance.choice(records)
    hurt(bench, hit)
    process = bench.start(["serve", "--model", str(bench.model), "--port", "0", "--state", str(state), "--json"])
    line = process.stdout.readline()
    if line:
        process.terminate()
        outcome = bench.end(process)
        need("panicked" not in outcome.err, outcome.err)
        return "named, or read"
    outcome = bench.end(process).promises(1, 3)
    need(hit.name in outcome.err, f"{hit} is not named: {outcome.err}")
    if hit.parent.name == job:
        shutil.rmtree(hit.parent)
    else:
        hit.unlink()
    with Server(bench, "--state", str(state)) as server:
        need(server.chat("tiny", "Hello")[0] == 200, "no answer")
    return "named, or read"


def clock_jumps(bench: Bench) -> str:
    """The clock goes back and forth by days while a study runs: nothing but times depends on it."""
    if not (compiler := shutil.which("cc")):
        raise LeftOut("no C compiler for the jumping clock")
    library = bench.work / "clock.so"
    if not library.exists():
        source = ROOT / "tests" / "chaos" / "clock.c"
        subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    runs = bench.folder()
    more = {"LD_PRELOAD": str(library), "CLOCK_SEED": str(bench.chance.randint(1, 1 << 30))}
    _, whole = bench.straight_study()
    bench.kill(bench.start(bench.study(runs), more), bench.chance.uniform(0.1, whole))
    bench.run(bench.study(runs), more).promises(0)
    created = re.search(r'"created": "([^"]+)"', next(runs.glob("*/results.json")).read_text())
    need(created is not None, "the results have no time")
    bench.finish_study(runs)
    return "the same bits"


EVENTS = {
    "a study's file damaged": study_damaged,
    "a checkpoint's file damaged": checkpoint_damaged,
    "adapter damaged": adapter_damaged,
    "GGUF file damaged": model_damaged,
    "verdicts (SQLite) damaged": cache_damaged,
    "a record of serve damaged": state_damaged,
    "clock jumps by days": clock_jumps,
}
