"""The program that the peers are compared with."""

import json
import os
import subprocess

STEADFAST = os.environ.get("STEADFAST", "target/release/steadfast")


def run(*command: str, text: str | None = None, **environment: str) -> subprocess.CompletedProcess:
    """What a command printed; it has to succeed."""
    done = subprocess.run(
        command, input=text, capture_output=True, text=True, env={**os.environ, **environment}
    )
    assert done.returncode == 0, done.stderr
    return done


def ours(*arguments: str) -> str:
    """What steadfast printed."""
    return run(STEADFAST, *arguments).stdout


def serve() -> tuple[subprocess.Popen, str]:
    """`steadfast serve` on any free port, and its address."""
    command = [STEADFAST, "serve", "--port", "0", "--json", "--quiet"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    document = ""
    for line in server.stdout:
        document += line
        if line.startswith("}"):
            return server, json.loads(document)["address"]
    raise SystemExit("error: the server ended before it could be asked")
