"""Attacks on `steadfast serve`, and a soak of it."""

import contextlib
import http.client
import json
import pathlib
import resource
import socket
import threading
import time

from bench import Bench, Broken, need

SLOW = 1100
GROWTH = 48 << 20


class Server:
    """A running server, and how it is asked."""

    def __init__(self, bench: Bench, *arguments: str):
        self.bench, self.arguments, self.key = bench, arguments, None

    def __enter__(self):
        command = ["serve", "--model", str(self.bench.model), "--port", "0", "--json", "--quiet", *self.arguments]
        self.process = self.bench.start(command)
        document = ""
        while not document.endswith("}\n"):
            line = self.process.stdout.readline().decode()
            if not line:
                outcome = self.bench.end(self.process)
                raise Broken(f"the server does not start: {outcome.err[-500:]}")
            document += line
        self.address = json.loads(document)["address"].removeprefix("http://")
        self.host, port = self.address.split(":")
        self.port = int(port)
        return self

    def __exit__(self, *_) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        outcome = self.bench.end(self.process)
        need("panicked" not in outcome.err and "broke a promise" not in outcome.err, outcome.err[-1000:])

    def ask(self, method: str, path: str, body=None, headers: dict | None = None) -> tuple[int, dict]:
        headers = dict(headers or {})
        if self.key:
            headers.setdefault("Authorization", f"Bearer {self.key}")
        if isinstance(body, dict):
            body = json.dumps(body)
        connection = http.client.HTTPConnection(self.host, self.port, timeout=120)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        raw = answer.read()
        connection.close()
        try:
            return answer.status, json.loads(raw)
        except ValueError:
            return answer.status, {"text": raw.decode(errors="replace")}

    def chat(self, model: str, words: str, **more) -> tuple[int, dict]:
        asked = {"model": model, "messages": [{"role": "user", "content": words}], "max_tokens": 4} | more
        return self.ask("POST", "/v1/chat/completions", asked)

    def upload(self, content: bytes) -> dict:
        part = b'--X\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
        body = part % (b"purpose", b"", b"fine-tune") + part % (b"file", b'; filename="a.jsonl"', content) + b"--X--\r\n"
        status, answer = self.ask("POST", "/v1/files", body, {"Content-Type": "multipart/form-data; boundary=X"})
        need(status == 200, f"a file is refused: {status} {answer}")
        return answer

    def until(self, job: str) -> None:
        deadline = time.time() + 150
        while time.time() < deadline:
            _, shown = self.ask("GET", f"/v1/fine_tuning/jobs/{job}")
            if shown["status"] in ("succeeded", "failed", "cancelled"):
                need(shown["status"] == "succeeded", f"the job is {shown['status']}: {shown['error']}")
                return
            time.sleep(0.05)
        raise Broken("the job does not end")

    def memory(self) -> int:
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) << 10
        raise Broken("the server has no memory")


def many_files() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 8192), hard))


def slow_loris(bench: Bench) -> str:
    """More slow clients than there are places: who sends a whole request is answered all the same."""
    many_files()
    with Server(bench) as server, contextlib.ExitStack() as slow:
        sockets = []
        for _ in range(SLOW):
            one = slow.enter_context(socket.create_connection((server.host, server.port)))
            one.sendall(b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n")
            sockets.append(one)
        stop = threading.Event()

        def trickle() -> None:
            while not stop.wait(1.0):
                for one in sockets:
                    with contextlib.suppress(OSError):
                        one.sendall(b"X")

        thread = threading.Thread(target=trickle)
        thread.start()
        try:
            waits = []
            for _ in range(20):
                began = time.time()
                need(server.ask("GET", "/v1/models")[0] == 200, "no answer beside slow clients")
                waits.append(time.time() - began)
        finally:
            stop.set()
            thread.join()
        need(max(waits) < 5, f"an honest client waited {max(waits):.1f} s beside {SLOW} slow ones")
    return f"answered beside {SLOW} slow clients"


def slow_head_is_cut(bench: Bench) -> str:
    """A header byte a second, for ever: the connection ends by itself."""
    with Server(bench) as server, socket.create_connection((server.host, server.port)) as slow:
        slow.settimeout(1.0)
        slow.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        began = time.time()
        with contextlib.suppress(OSError):
            while time.time() - began < 60:
                slow.sendall(b"a")
                with contextlib.suppress(TimeoutError):
                    # An end, or a refusal before it.
                    slow.recv(4096)
                    break
        took = time.time() - began
        need(took < 50, "a client that never ends its headers is not cut off")
    return f"cut off after {took:.0f} s"


def refusals(bench: Bench) -> str:
    """Headers, bodies and nesting beyond all measure, each refused; the server goes on."""
    with Server(bench) as server:
        deep = '{"model":"tiny","messages":' + "[" * 1_000_000 + "]" * 1_000_000 + "}"
        for what, body, expected in [("nested", deep, 400), ("large", "x" * (5 << 20), 413), ("no JSON", b"\xff\xfe", 400)]:
            status, answer = server.ask("POST", "/v1/chat/completions", body)
            need(status == expected and "error" in answer, f"{what}: {status} {answer}")
        status = None
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, _ = server.ask("GET", "/v1/models", headers={"X-Large": "a" * (2 << 20)})
        need(status in (None, 400, 431), f"headers of 2 MB: {status}")
        with contextlib.suppress(OSError, http.client.HTTPException):
            status, _ = server.ask("GET", "/v1/models", headers={f"X-{number}": "a" for number in range(5000)})
        need(status in (None, 400, 431), f"5000 headers: {status}")
        for raw in [b"\x00" * 4096, b"GET / HTTP/9.9\r\n\r\n", b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999\r\n\r\n",
                    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
                    b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"]:
            with socket.create_connection((server.host, server.port), timeout=10) as one, contextlib.suppress(OSError):
                one.sendall(raw)
                one.recv(4096)
        need(server.chat("tiny", "Hello")[0] == 200, "no answer after refusals")
    return "refused, and on it goes"


def tiny_requests(bench: Bench) -> str:
    """Very many tiny requests leave no trace in memory."""
    with Server(bench) as server:
        request = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"

        def burst(count: int) -> None:
            with socket.create_connection((server.host, server.port), timeout=30) as one:
                answers = 0
                for _ in range(count // 100):
                    one.sendall(request * 100)
                    expected = answers + 100
                    while answers < expected:
                        answers += one.recv(1 << 16).count(b"HTTP/1.1 200")

        burst(5000)
        before = server.memory()
        for _ in range(bench.requests // 5000):
            burst(5000)
        grown = server.memory() - before
        need(grown < GROWTH, f"{bench.requests} tiny requests left {grown >> 20} MB behind")
    return f"{bench.requests} answered, {max(grown, 0) >> 20} MB more"


def other_keys(bench: Bench) -> str:
    """Wrong keys get nothing, and one key gets nothing of another's."""
    folder = bench.folder()
    keys = {}
    for name in ("a", "b"):
        made = bench.run(["serve", "--new-key", name, "--keys", str(folder / "keys")]).promises(0)
        keys[name] = next(word for word in made.out.split() if word.startswith("sk-"))
    with Server(bench, "--keys", str(folder / "keys"), "--state", str(folder / "state")) as server:
        wrong = [{}, {"Authorization": ""}, {"Authorization": "Bearer"}, {"Authorization": "Bearer "}, {"Authorization": f"Basic {keys['a']}"},
                 {"Authorization": f"Bearer {keys['a'][:-1]}"}, {"Authorization": f"Bearer {keys['a']}x"}, {"Authorization": "Bearer " + "x" * 4000}]
        for headers in wrong:
            for method, path in [("GET", "/v1/models"), ("GET", "/v1/files"), ("POST", "/v1/chat/completions"), ("GET", "/metrics")]:
                status, _ = server.ask(method, path, "{}" if method == "POST" else None, headers)
                need(status == 401, f"{method} {path} with {headers}: {status}")
        server.key = keys["a"]
        file = server.upload(bench.chats.read_bytes())["id"]
        asked = {"model": "tiny", "training_file": file, "steadfast": {"method": "lora", "steps": 2, "rank": 2, "items": 2}}
        job = server.ask("POST", "/v1/fine_tuning/jobs", asked)[1]["id"]
        server.until(job)
        model = server.ask("GET", f"/v1/fine_tuning/jobs/{job}")[1]["fine_tuned_model"]
        server.key = keys["b"]
        tried = [("GET", f"/v1/files/{file}"), ("GET", f"/v1/files/{file}/content"), ("DELETE", f"/v1/files/{file}"), ("GET", f"/v1/models/{model}")]
        tried += [("GET", f"/v1/fine_tuning/jobs/{job}{part}") for part in ("", "/events", "/checkpoints", "/report", "/results")]
        tried += [("POST", f"/v1/fine_tuning/jobs/{job}/{verb}") for verb in ("cancel", "pause", "resume")]
        for method, path in tried:
            status, _ = server.ask(method, path)
            need(status == 404, f"another key's {method} {path}: {status}")
        need(server.ask("POST", "/v1/fine_tuning/jobs", asked)[0] == 400, "a job over another key's file")
        need(server.chat(model, "Hello")[0] == 404, "another key's model answers")
        for path in ("/v1/files", "/v1/fine_tuning/jobs"):
            need(server.ask("GET", path)[1]["data"] == [], f"{path} lists another key's")
        server.key = keys["a"]
        need(server.ask("GET", f"/v1/files/{file}")[0] == 200 and server.chat(model, "Hello")[0] == 200, "the owner's own is gone")
    return f"{len(tried) + 3} tries of another's, {len(wrong) * 4} of no key"


def soak(bench: Bench) -> str:
    """All kinds of requests for a while: memory stays where it was."""
    seconds = bench.soak_seconds
    with Server(bench, "--batch", "8", "--queue", "64") as server:
        end, counts, failures = time.time() + seconds, [0] * 8, []

        def ask(number: int) -> None:
            while time.time() < end and not failures:
                try:
                    stream = counts[number] % 3 == 1
                    status, answer = server.chat("tiny", "Hello" * (1 + counts[number] % 40), stream=stream, max_tokens=8)
                    if status not in (200, 429):
                        failures.append(f"{status} {answer}")
                    if counts[number] % 7 == 0:
                        # Hangs up in the middle.
                        with socket.create_connection((server.host, server.port)) as one:
                            one.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 90\r\n\r\n{")
                    counts[number] += 1
                except (OSError, http.client.HTTPException) as failure:
                    failures.append(repr(failure))

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(counts))]
        for thread in threads:
            thread.start()
        # By then every buffer has been needed once; an hour is not a third longer to settle than a minute.
        time.sleep(min(seconds / 3, 300))
        before = server.memory()
        for thread in threads:
            thread.join()
        need(not failures, f"{failures[:1]}")
        grown = server.memory() - before
        need(grown < GROWTH, f"{sum(counts)} requests left {grown >> 20} MB behind")
    return f"{sum(counts)} requests in {seconds:.0f} s, {max(grown, 0) >> 20} MB more"


EVENTS = {
    "server: more slow clients than places": slow_loris,
    "server: headers without an end": slow_head_is_cut,
    "server: beyond all limits": refusals,
    "server: very many tiny requests": tiny_requests,
    "server: wrong keys and others' things": other_keys,
    "server: soak": soak,
}
