"""What all events share: a tiny model, the command under test, and the promises that it must keep."""

import hashlib
import importlib.util
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
FREE = {"seconds", "tokens_per_second", "peak_memory_bytes"}
# Beside other work on a slow machine; what hangs, hangs longer.
PATIENCE = 600


class Broken(Exception):
    """A promise that was not kept."""


class LeftOut(Exception):
    """An event that this machine cannot have."""


def need(true: bool, message: str) -> None:
    if not true:
        raise Broken(message)


def tiny_model(path: pathlib.Path) -> None:
    """A model of one layer over single letters, with room for whole conversations."""
    spec = importlib.util.spec_from_file_location("seeds", ROOT / "fuzz" / "seeds.py")
    seeds = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(seeds)
    seeds.HIDDEN, seeds.CONTEXT = 16, 8192
    path.write_bytes(seeds.gguf(seeds.metadata()))


def digest(path: pathlib.Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Outcome:
    """How a command ended."""

    def __init__(self, code: int, out: str, err: str):
        self.code, self.out, self.err = code, out, err

    def promises(self, *codes: int) -> "Outcome":
        """The exit code is one of these, nothing panicked, and a failure says what to do."""
        said = self.err[-2000:]
        need("panicked" not in self.err and "broke a promise" not in self.err, f"a panic: {said}")
        need(self.code in codes, f"exit code {self.code}, not one of {codes}: {said}")
        if self.code not in (0, 4):
            need("error: " in self.err, f"exit code {self.code} without `error:`: {said}")
            need("hint: " in self.err, f"exit code {self.code} without `hint:`: {said}")
        return self


class Bench:
    def __init__(self, binary: str, work: pathlib.Path, seed: int):
        self.binary, self.work = str(pathlib.Path(binary).resolve()), work
        self.chance = random.Random(seed)
        self.count = 0
        # How many processes a kill met while they worked.
        self.kills = 0
        self.soak_seconds, self.requests = 10.0, 20_000
        self.model = work / "tiny.gguf"
        tiny_model(self.model)
        recipe = (ROOT / "tests" / "chaos" / "tiny.toml").read_text()
        self.recipe = work / "tiny.toml"
        self.recipe.write_text(recipe.replace("preset =", f'base = "{self.model}"\npreset =', 1))
        self.known: dict[str, object] = {}
        # Whether the shipped base is used, from where it lies on this machine or is fetched to.
        self.shipped = False
        self.chats = work / "chats.jsonl"
        self.chats.write_text(self.run(["data", "simulate", "--count", "8"]).promises(0).out)
        self.tune = ["tune", "--data", str(self.chats), "--base", str(self.model), "--method", "lora", "--rank", "4",
                     "--steps", "12", "--learning-rate", "0.01", "--batch-tokens", "4096"]

    def folder(self) -> pathlib.Path:
        """A new folder, for one event."""
        self.count += 1
        folder = self.work / f"event-{self.count}"
        folder.mkdir()
        return folder

    def environment(self, more: dict | None = None) -> dict:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI", "TOGETHER"))}
        kept |= {"NO_COLOR": "1", "OPENAI_API_KEY": "sk-chaos", "TOGETHER_API_KEY": "sk-chaos"}
        if not self.shipped:
            kept["HF_HUB_OFFLINE"] = "1"
            kept.setdefault("STEADFAST_CACHE", str(self.work / "cache"))
        return kept | (more or {})

    def start(self, arguments: list[str], more: dict | None = None, **options) -> subprocess.Popen:
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | options
        command = [self.binary, *arguments, "--threads", "1"] if arguments[0] != "serve" else [self.binary, *arguments]
        return subprocess.Popen(command, env=self.environment(more), cwd=self.work, **options)

    def end(self, process: subprocess.Popen) -> Outcome:
        try:
            out, err = process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise Broken(f"still running after {PATIENCE} s: {process.args}") from None
        text = lambda raw: (raw or b"").decode(errors="replace")
        return Outcome(process.returncode, text(out), text(err))

    def run(self, arguments: list[str], more: dict | None = None, **options) -> Outcome:
        return self.end(self.start(arguments, more, **options))

    def kill(self, process: subprocess.Popen, seconds: float) -> bool:
        """Kills it after so long; false where it was done before."""
        time.sleep(seconds)
        alive = process.poll() is None
        self.kills += alive
        process.send_signal(signal.SIGKILL)
        process.communicate()
        return alive

    def once(self, name: str, make):
        """What an undisturbed run of a command comes to, and how long it takes."""
        if name not in self.known:
            began = time.time()
            value = make()
            self.known[name] = (value, time.time() - began)
        return self.known[name]

    # The two works that most events disturb.

    def study(self, runs: pathlib.Path) -> list[str]:
        return ["study", str(self.recipe), "--runs", str(runs), "--quiet", "--json"]

    def straight_study(self) -> tuple[dict, float]:
        def make():
            runs = self.folder()
            self.run(self.study(runs)).promises(0)
            return fingerprint(runs)

        return self.once("study", make)

    def finish_study(self, runs: pathlib.Path, command: list[str] | None = None) -> None:
        """The same command again ends with what an undisturbed study ends with."""
        expected, _ = self.straight_study()
        self.run(command or self.study(runs)).promises(0)
        same(expected, fingerprint(runs))

    def straight_tune(self) -> tuple[str, float]:
        def make():
            output = self.folder() / "adapter"
            self.run([*self.tune, "--output", str(output)]).promises(0)
            return digest(output / "adapter_model.safetensors")

        return self.once("tune", make)

    def finish_tune(self, output: pathlib.Path) -> None:
        expected, _ = self.straight_tune()
        self.run([*self.tune, "--output", str(output), "--resume"]).promises(0)
        found = digest(output / "adapter_model.safetensors")
        need(found == expected, "the adapter has other bits than one that was never disturbed")

    def adapter(self) -> pathlib.Path:
        def make():
            output = self.folder() / "adapter"
            self.run([*self.tune, "--output", str(output)]).promises(0)
            return output

        return self.once("adapter", make)[0]


def results_of(runs: pathlib.Path) -> tuple[pathlib.Path, dict]:
    found = sorted(runs.glob("*/results.json"))
    need(len(found) == 1, f"one finished run expected in {runs}, found {len(found)}")
    results = json.loads(found[0].read_text())
    del results["created"], results["run"]
    for arm in results["arms"]:
        arm["training"] = {name: value for name, value in arm["training"].items() if name not in FREE}
    return found[0].parent, results


def fingerprint(runs: pathlib.Path) -> dict[str, str]:
    """Digests of all that must not depend on how often a study was disturbed."""
    folder, results = results_of(runs)
    prints = {"results.json": hashlib.sha256(json.dumps(results).encode()).hexdigest()}
    kept = [*folder.rglob("adapter_model.safetensors"), *folder.rglob("adapter_config.json"), *folder.rglob("samples.jsonl")]
    need(len(kept) >= 5, f"two adapters and the samples expected, found {kept}")
    for path in sorted(kept):
        prints[str(path.relative_to(folder))] = digest(path)
    return prints


def same(expected: dict, found: dict) -> None:
    different = [name for name in expected | found if expected.get(name) != found.get(name)]
    need(not different, f"other bytes than an undisturbed study: {', '.join(different)}")


def remove(folder: pathlib.Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
