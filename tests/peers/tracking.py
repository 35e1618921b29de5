"""Logs a study to a real MLflow server, and asks it what it has.

A tiny study of two arms is run, once more as another process would go on with it, and once without a
server: the numbers of `results.json` and of the training must be there, in one run an arm.
"""

import json
import math
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from mlflow.tracking import MlflowClient

PROGRAM = "target/release/steadfast"
EXPERIMENT = "hotel booking"


def serve(folder: Path) -> tuple[subprocess.Popen, str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port)]
    store = ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--workers", "1"]
    log = (folder / "server.log").open("w")
    # Without the workers of its own that a tracking server starts, and in a session that ends as one.
    environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server = subprocess.Popen(
        [*command, *store], stdout=log, stderr=log, cwd=folder, env=environment, start_new_session=True
    )
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 180
    while time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{url}/health", timeout=2)
            return server, url
        except OSError:
            time.sleep(1)
    os.killpg(server.pid, signal.SIGTERM)
    raise SystemExit((folder / "server.log").read_text())


def study(folder: Path, url: str) -> tuple[Path, str]:
    environment = {**os.environ, "MLFLOW_TRACKING_URI": url, "MLFLOW_EXPERIMENT_NAME": EXPERIMENT}
    command = [PROGRAM, "study", "tests/chaos/tiny.toml", "--runs", str(folder), "--json", "--quiet"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    (results,) = folder.glob("*/results.json")
    return results, done.stderr


def same(one: float, other: float) -> bool:
    return math.isclose(one, other, rel_tol=1e-9, abs_tol=1e-9)


def check(client: MlflowClient, results: Path, said: str) -> None:
    # A server that is too slow to answer is not waited for: then it lacks something, and the study says so.
    assert not said, said
    experiment = client.get_experiment_by_name(EXPERIMENT)
    runs = {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}
    arms = json.loads(results.read_text())["arms"]
    assert set(runs) == {arm["name"] for arm in arms}, runs.keys()
    for arm in arms:
        run = runs[arm["name"]]
        assert run.info.status == "FINISHED", run.info.status
        assert run.data.params["rank"] == str(arm["hyperparameters"]["rank"])
        assert run.data.tags["steadfast.method"] == arm["method"]
        losses = client.get_metric_history(run.info.run_id, "train/loss")
        assert [point.step for point in losses] == list(range(1, arm["training"]["steps"] + 1)), losses
        for name, change in (arm["axes"] | arm["metrics"]).items():
            for part in ("before", "after", "net_change"):
                key = f"{name}/{part}"
                assert same(run.data.metrics[key], change[part]), key
        assert same(run.data.metrics["drift/kl_per_token"], arm["drift"]["kl_per_token"])


def main() -> None:
    with tempfile.TemporaryDirectory() as work:
        server, url = serve(Path(work))
        try:
            runs = Path(work) / "runs"
            client = MlflowClient(url)
            results, said = study(runs, url)
            check(client, results, said)
            # As after a kill before the end: all is kept but the report.
            results.unlink()
            results, said = study(runs, url)
            check(client, results, said)
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait()
        _, said = study(Path(work) / "alone", url)
        assert "MLflow has not all of it" in said, said
        print("ok  a study, interrupted too, is one run an arm in MLflow, and needs no server")


if __name__ == "__main__":
    main()
