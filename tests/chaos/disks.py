"""Disks that fill or cannot be written to."""

import contextlib
import json
import os
import pathlib
import subprocess

from bench import Bench, LeftOut, digest, need
from kills import exported
from network import Judge
from server import Server

ROOM = 64 << 20


@contextlib.contextmanager
def disk(bench: Bench, size: int):
    """A small file system in memory; its size and rights can be changed while it is in use."""
    if os.geteuid() != 0:
        raise LeftOut("mounting a small disk needs root")
    folder = bench.folder()

    def mount(*options: str) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", ",".join(options), "tmpfs", folder], check=True)

    mount(f"size={size}")
    try:
        yield folder, lambda option: mount(f"remount,{option}")
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def sizes(path: pathlib.Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def study_full(bench: Bench) -> str:
    """The disk is full at any point of a study: exit 3; with room again the same command ends well."""

    def make() -> int:
        runs = bench.folder()
        bench.run(bench.study(runs)).promises(0)
        return sizes(runs)

    whole, _ = bench.once("study's size", make)
    with disk(bench, bench.chance.randint(4096, whole)) as (runs, remount):
        outcome = bench.run(bench.study(runs)).promises(0, 3)
        if outcome.code == 3:
            need("No space left" in outcome.err, outcome.err)
        remount(f"size={ROOM}")
        bench.finish_study(runs)
    return "exit 3, then the same bits"


def tune_full(bench: Bench) -> str:
    whole = sizes(bench.adapter())
    with disk(bench, bench.chance.randint(4096, whole)) as (folder, remount):
        output = folder / "adapter"
        outcome = bench.run([*bench.tune, "--output", str(output)]).promises(0, 3)
        remount(f"size={ROOM}")
        if outcome.code == 3:
            need("No space left" in outcome.err, outcome.err)
            bench.finish_tune(output)
    return "exit 3, then the same bits"


def export_full(bench: Bench) -> str:
    kind = bench.chance.choice(["merge", "gguf", "ollama"])
    with disk(bench, ROOM) as (folder, remount):
        command = ["export", str(bench.adapter()), "--model", str(bench.model), f"--{kind}", str(folder / kind)]
        bench.run(command).promises(0)
        expected, whole = exported(folder, kind), sizes(folder)
    with disk(bench, max(4096, bench.chance.randint(whole // 20, whole * 9 // 10))) as (folder, remount):
        command[-1] = str(folder / kind)
        bench.run(command).promises(0, 3)
        remount(f"size={ROOM}")
        bench.run(command).promises(0)
        need(exported(folder, kind) == expected, f"--{kind} writes other files after a full disk")
    return "exit 3, then the same files"


def verdicts_full(bench: Bench) -> str:
    """The disk of SQLite's file fills while verdicts come: those that are there stay."""
    with Judge() as judge, disk(bench, bench.chance.randint(16, 100) << 10) as (folder, remount):
        command = ["measure", "--model", str(bench.model), "--suite", "statements", "--limit", "40", "--max-tokens", "4", "--judge", "openai:told",
                   "--judge-url", judge.url, "--judge-price", "1,1", "--judge-concurrency", "4", "--json"]
        more = {"STEADFAST_CACHE": str(folder)}
        outcome = bench.run(command, more).promises(0, 3)
        remount(f"size={ROOM}")
        found = json.loads(bench.run(command, more).promises(0).out)
        asked, total = judge.asked, len(judge.questions)
        need(asked <= total + 5, f"{asked} questions asked for {total} answers")
    need(found["metrics"], "no numbers")
    return f"exit {outcome.code} or 0, none paid twice"


def serve_full(bench: Bench) -> str:
    """Uploads that do not fit are refused in OpenAI's form, and what was there before stays."""
    with disk(bench, 400 << 10) as (folder, remount), Server(bench, "--state", str(folder)) as server:
        content = bench.chats.read_bytes()
        kept = []
        for _ in range(200):
            part = b'--X\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
            body = part % (b"purpose", b"", b"fine-tune") + part % (b"file", b'; filename="a"', content) + b"--X--\r\n"
            status, answer = server.ask("POST", "/v1/files", body, {"Content-Type": "multipart/form-data; boundary=X"})
            if status != 200:
                break
            kept.append(answer["id"])
        need(status in (500, 507) and "message" in answer["error"], f"a full disk: {status} {answer}")
        need(server.chat("tiny", "Hello")[0] == 200, "no answer while the disk is full")
        listed = {file["id"] for file in server.ask("GET", "/v1/files?limit=1000")[1]["data"]}
        need(listed == set(kept), "the list of files is not that of the acknowledged")
        remount(f"size={ROOM}")
        kept.append(server.upload(content)["id"])
        for name in (kept[0], kept[-1]):
            need(server.ask("GET", f"/v1/files/{name}/content")[0] == 200, "an acknowledged file is gone")
    return "refused, and the rest kept"


def read_only(bench: Bench) -> str:
    """A file system that becomes read-only: exit 3, and afterwards the same command goes on."""
    _, whole = bench.straight_study()
    with disk(bench, ROOM) as (runs, remount):
        bench.kill(bench.start(bench.study(runs)), bench.chance.uniform(0.01, whole))
        remount("ro")
        bench.run(bench.study(runs)).promises(0, 3)
        output = ["--output", str(runs / "adapter")]
        bench.run([*bench.tune, *output]).promises(3)
        bench.run(["export", str(bench.adapter()), "--model", str(bench.model), "--gguf", str(runs / "a.gguf")]).promises(3)
        bench.run(["serve", "--model", str(bench.model), "--port", "0", "--state", str(runs / "state")]).promises(3)
        bench.run(["serve", "--new-key", "a", "--keys", str(runs / "keys")]).promises(3)
        remount("rw")
        bench.finish_study(runs)
    return "exit 3, then the same bits"


EVENTS = {
    "study on a disk that fills": study_full,
    "tune on a disk that fills": tune_full,
    "export on a disk that fills": export_full,
    "verdicts (SQLite) on a disk that fills": verdicts_full,
    "serve on a disk that fills": serve_full,
    "file system turns read-only": read_only,
}
