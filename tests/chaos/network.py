"""Services that stall, reset, refuse, answer garbage or half an answer; and judges that change their form."""

import contextlib
import http.client
import http.server
import json
import pathlib
import random
import socket
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.request

from bench import ROOT, Bench, need

KINDS = ["stall", "reset", "500", "429", "garbage", "half"]
STALL = 3.0


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_) -> None:
        pass

    def do_GET(self) -> None:
        self.take()

    def do_POST(self) -> None:
        self.take()

    def do_PUT(self) -> None:
        self.take()

    def take(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self.server.owner.answer(self, body)

    def send(self, status: int, body: bytes, headers: tuple = (("Content-Type", "application/json"),)) -> None:
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def trouble(self, kind: str, status: int, body: bytes) -> None:
        if kind == "stall":
            time.sleep(STALL)
            self.close_connection = True
        elif kind == "reset":
            # No farewell: the other side sees a reset.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.connection.shutdown(socket.SHUT_RD)
            self.close_connection = True
        elif kind in ("500", "429"):
            self.send(int(kind), b'{"error":{"message":"busy","type":"server_error"}}', (("Retry-After", "0"),))
        elif kind == "garbage":
            self.send(200, b"<html>\xff\x00 not what was asked for", (("Content-Type", "text/html"),))
        elif kind == "half":
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) + 10))
            self.end_headers()
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True


class Listener(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_) -> None:
        """Clients are killed here: that their connections break is no news."""


class Service:
    """An HTTP server of ours on this machine."""

    def __init__(self):
        self.listener = Listener(("127.0.0.1", 0), Handler)
        self.listener.owner = self
        self.url = f"http://127.0.0.1:{self.listener.server_address[1]}/v1"
        self.lock = threading.Lock()
        self.chance, self.share, self.kinds = random.Random(0), 0.0, KINDS
        self.had: dict[str, int] = {}

    def __enter__(self):
        threading.Thread(target=self.listener.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.listener.shutdown()
        self.listener.server_close()

    def drawn(self) -> str | None:
        """The trouble that this request has, if it has one."""
        with self.lock:
            if self.chance.random() >= self.share:
                return None
            kind = self.chance.choice(self.kinds)
            self.had[kind] = self.had.get(kind, 0) + 1
            return kind


class Judge(Service):
    """Answers in one of several forms, or with something that is no verdict at all."""

    FORMS = [
        '{{"verdict": "{word}", "reason": "so"}}',
        "```json\n{{'verdict': '{word}'}}\n```",
        "Let me think. It may be anything.\n\nVerdict: {word}",
        "I would rather not say.",
        '{{"score": 7}}',
    ]

    def __init__(self):
        super().__init__()
        self.delay, self.asked, self.changes_after = 0.0, 0, None
        self.questions: set[str] = set()

    def answer(self, request: Handler, body: bytes) -> None:
        kind = self.drawn()
        prompt = json.loads(body)["messages"][-1]["content"]
        with self.lock:
            self.asked += 1
            self.questions.add(prompt)
            form = 0
            if self.changes_after is not None and self.asked > self.changes_after:
                form = 1 + self.asked % (len(self.FORMS) - 1)
        time.sleep(self.delay)
        # Every rubric knows one of these words; the others are no verdict.
        word = next((word for word in ("contradicts", "coherent", "correct", "appropriate", "yes") if word in prompt), "yes")
        text = self.FORMS[form].format(word=word)
        answer = {"choices": [{"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}],
                  "usage": {"prompt_tokens": 100, "completion_tokens": 10}}
        raw = json.dumps(answer).encode()
        if kind is None:
            request.send(200, raw)
        else:
            request.trouble(kind, 200, raw)


class Proxy(Service):
    """Stands before another server, and fails before or after that one has done its work."""

    def __init__(self, url: str):
        super().__init__()
        self.target = url.removeprefix("http://").removesuffix("/v1")

    def answer(self, request: Handler, body: bytes) -> None:
        kind = self.drawn()
        before = kind in ("500", "429") or (kind is not None and self.chance.random() < 0.5)
        status, raw, headers = 200, b"{}", ()
        if not before:
            connection = http.client.HTTPConnection(self.target, timeout=30)
            kept = {name: value for name, value in request.headers.items() if name.lower() not in ("host", "connection")}
            connection.request(request.command, request.path, body, kept)
            answer = connection.getresponse()
            status, raw = answer.status, answer.read()
            headers = tuple((name, value) for name, value in answer.getheaders() if name.lower() in ("content-type", "location"))
            connection.close()
        if kind is None:
            request.send(status, raw, headers)
        else:
            request.trouble(kind, status, raw)


class Emulators:
    """The emulated services of the library's own tests."""

    def __enter__(self):
        program = ROOT / "target" / "release" / "examples" / "emulate_providers"
        if not program.exists():
            subprocess.run(["cargo", "build", "--release", "--quiet", "--example", "emulate_providers"], cwd=ROOT, check=True)
        self.process = subprocess.Popen([program], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        addresses = json.loads(self.process.stdout.readline())
        self.openai, self.together = addresses["openai"], addresses["together"]
        self.hubs, self.token, self.owner = addresses["hubs"], addresses["token"], addresses["owner"]
        return self

    def __exit__(self, *_) -> None:
        self.process.stdin.close()
        self.process.wait()

    def jobs(self) -> int:
        request = urllib.request.Request(f"{self.openai}/fine_tuning/jobs?limit=100", headers={"Authorization": "Bearer sk-chaos"})
        with urllib.request.urlopen(request) as answer:
            return len(json.load(answer)["data"])

    def at_hub(self, hub: str, path: str) -> bytes | None:
        """What the Hub has there, if it has it."""
        request = urllib.request.Request(f"{hub}/{path}", headers={"Authorization": f"Bearer {self.token}"})
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            need(error.code == 404, f"the Hub answers {error.code} for {path}")
            return None


def emulators() -> Emulators:
    return Emulators()


def judged(bench: Bench, folder: pathlib.Path, url: str, cache: str) -> tuple[list[str], dict]:
    command = ["measure", "--model", str(bench.model), "--suite", "statements", "--limit", "6", "--max-tokens", "4",
               "--judge", "openai:told", "--judge-url", url, "--judge-price", "1,1", "--json"]
    return command, {"STEADFAST_CACHE": str(folder / cache)}


def judge_in_trouble(bench: Bench) -> str:
    """A judge that fails now and then is asked again; the numbers are those of one that never fails."""
    folder = bench.folder()
    with Judge() as judge:
        command, more = judged(bench, folder, judge.url, "calm")
        calm = json.loads(bench.run(command, more).promises(0).out)
        judge.share, judge.chance = 0.25, random.Random(bench.chance.random())
        judge.kinds = bench.chance.sample([kind for kind in KINDS if kind != "stall"], 2)
        command, more = judged(bench, folder, judge.url, "stormy")
        outcome = bench.run(command, more).promises(0, 3)
        judge.share = 0.0
        if outcome.code == 3:
            outcome = bench.run(command, more).promises(0)
        stormy = json.loads(outcome.out)
    need(calm["metrics"] == stormy["metrics"], "other numbers than with a judge that never fails")
    return "the same numbers"


def judge_changes_form(bench: Bench) -> str:
    """Verdicts in any form are read; what is none is unscored, not wrong."""
    folder = bench.folder()
    with Judge() as judge:
        judge.changes_after = bench.chance.randint(1, 8)
        command, more = judged(bench, folder, judge.url, "cache")
        found = json.loads(bench.run(command, more).promises(0).out)
        asked = judge.asked
        again = json.loads(bench.run(command, more).promises(0).out)
        need(judge.asked == asked, "what was paid for was asked again")
    need(found["metrics"] == again["metrics"], "kept verdicts give other numbers")
    unscored = sum(metric["unscored"] for name, metric in found["metrics"].items() if "judged" in name)
    need(unscored > 0, "an answer without a verdict was scored")
    return "read, or unscored"


def judge_gone(bench: Bench) -> str:
    """Nobody there: exit code 3 with what to do, within the patience of the client."""
    folder = bench.folder()
    with Judge() as judge:
        url = judge.url
    command, more = judged(bench, folder, url, "cache")
    outcome = bench.run(command, more).promises(3)
    need("127.0.0.1" in outcome.err, outcome.err)
    return "exit 3"


def hosted_in_trouble(bench: Bench) -> str:
    """A service that fails before or after doing what it was asked makes one job, or says what to do."""
    from kills import HOSTED

    folder = bench.folder()
    with emulators() as service, Proxy(service.openai) as proxy:
        proxy.share, proxy.chance = 0.15, random.Random(bench.chance.random())
        recipe = folder / "study.toml"
        recipe.write_text(HOSTED.format(model=bench.model, url=proxy.url))
        command = ["study", str(recipe), "--runs", str(folder / "runs"), "--yes", "--quiet", "--json"]
        for _ in range(6):
            if bench.run(command).promises(0, 1, 3).code == 0:
                break
            proxy.share /= 2
        else:
            proxy.share = 0.0
            bench.run(command).promises(0)
        need(service.jobs() == 1, f"{service.jobs()} jobs were made for one arm ({proxy.had})")
    return "one job"


EVENTS = {
    "judge stalls, resets, refuses, garbles": judge_in_trouble,
    "judge changes its form half-way": judge_changes_form,
    "judge cannot be reached": judge_gone,
    "hosted service stalls, resets, refuses, garbles": hosted_in_trouble,
}
