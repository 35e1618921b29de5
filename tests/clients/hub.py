"""Holds our emulator of the Hub to the official client, and `steadfast push` to what that client reads.

`huggingface_hub` uploads through the emulator and downloads again, so what passes there is the protocol
as its makers write it down; then it downloads what `steadfast push` pushed, and finds nothing to push.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["HF_HUB_DISABLE_XET"] = "1"
os.environ["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
import huggingface_hub  # noqa: E402
from huggingface_hub.errors import HfHubHTTPError  # noqa: E402


def write(folder: Path) -> dict[str, bytes]:
    """An adapter's folder: small files, a large one of three parts and a bit, one in a folder, an empty one."""
    weights = bytes((index * 2654435761 >> 24) & 255 for index in range((3 << 20) + 17))
    files = {
        "adapter_config.json": b"{}\n",
        "adapter_model.safetensors": weights,
        "README.md": "---\ntags:\n- steadfast\n---\n# Bücher\n".encode(),
        "tensorboard/events.out.tfevents.1": b"events",
        "empty.safetensors": b"",
    }
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return files


def downloaded(api: huggingface_hub.HfApi, name: str, cache: Path) -> dict[str, bytes]:
    """What the client downloads of a repository."""
    folder = Path(api.snapshot_download(name, cache_dir=cache, max_workers=1))
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def push(program: str, name: str, folder: Path, endpoint: str, token: str, code: int = 0) -> dict:
    environment = {**os.environ, "HF_ENDPOINT": endpoint, "HF_TOKEN": token}
    command = [program, "push", name, str(folder), "--private", "--json", "--quiet"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == code, (done.returncode, done.stderr)
    assert "hf_" not in done.stdout + done.stderr, "the token is shown"
    return json.loads(done.stdout) if code == 0 else {}


def check(program: str, endpoint: str, token: str, owner: str, work: Path) -> None:
    api = huggingface_hub.HfApi(endpoint=endpoint, token=token)
    folder = work / "adapter"
    files = write(folder)

    theirs = f"{owner}/theirs"
    api.create_repo(theirs, exist_ok=True)
    api.create_repo(theirs, exist_ok=True)
    first = api.upload_folder(repo_id=theirs, folder_path=folder)
    assert downloaded(api, theirs, work / "cache") == files
    again = api.upload_folder(repo_id=theirs, folder_path=folder)
    assert again.oid == first.oid, "the client finds nothing to upload"
    # It is public, and `--private` is meant.
    push(program, theirs, folder, endpoint, token, code=1)

    ours = f"{owner}/ours"
    pushed = push(program, ours, folder, endpoint, token)
    assert {one["path"] for one in pushed["files"]} == set(files), pushed
    assert pushed["commit"] == api.model_info(ours).sha and api.model_info(ours).private
    assert downloaded(api, ours, work / "cache") == files
    assert api.upload_folder(repo_id=ours, folder_path=folder).oid == pushed["commit"], "it is all there"
    (folder / "README.md").write_text("# Another\n")
    changed = push(program, ours, folder, endpoint, token)
    assert [one["path"] for one in changed["files"] if one["state"] == "pushed"] == ["README.md"]
    assert downloaded(api, ours, work / "cache") == {**files, "README.md": b"# Another\n"}

    for wrong in (huggingface_hub.HfApi(endpoint=endpoint, token="hf_wrong"), api):
        try:
            wrong.create_repo("Others/model", exist_ok=True)
            raise AssertionError("others' name space is open")
        except HfHubHTTPError as error:
            assert error.response.status_code in (401, 403), error
    push(program, "Others/model", folder, endpoint, token, code=3)
    push(program, ours, folder, endpoint, "hf_wrong", code=3)


def main() -> None:
    emulators, program = sys.argv[1:3]
    process = subprocess.Popen([emulators], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        told = json.loads(process.stdout.readline())
        for endpoint, how in zip(told["hubs"], ("whole", "in parts")):
            with tempfile.TemporaryDirectory() as work:
                check(program, endpoint, told["token"], told["owner"], Path(work))
            print(f"ok  huggingface_hub {huggingface_hub.__version__} and `push`, large files {how}")
    finally:
        process.stdin.close()
        assert process.wait(10) == 0


if __name__ == "__main__":
    main()
