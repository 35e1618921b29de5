"""Opens the page of a running `steadfast serve` in a real Chromium, asks two models, and watches a job.

serve.py STEADFAST SCREENSHOT_FOLDER
Exits 1 on the first thing that is wrong.
"""

import json
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

from webdriver import Browser


def check(true, what):
    if not true:
        raise AssertionError(what)
    print(f"ok: {what}")


def wait_for(condition, what, seconds):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.2)
    print(f"ok: {what}")


def call(address, path, body, kind="application/json"):
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(address + path, data, {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def upload(address, text):
    parts = [
        '--x\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nfine-tune\r\n',
        '--x\r\nContent-Disposition: form-data; name="file"; filename="chats.jsonl"\r\n\r\n',
        text,
        "\r\n--x--\r\n",
    ]
    return call(address, "/v1/files", "".join(parts).encode(), "multipart/form-data; boundary=x")["id"]


def ready(server):
    """The one JSON document that the server prints when it can be asked; it has several lines."""
    text = ""
    for line in server.stdout:
        text += line
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            continue
    raise AssertionError("the server ended before it could be asked")


def text_of(browser, name):
    return browser.script("return document.getElementById(arguments[0]).textContent;", name)


def look(browser, address, chats, screenshots):
    browser.open(address + "/")
    count = "return document.getElementById('left-model').options.length;"
    wait_for(lambda: browser.script(count) == 1, "the base is offered", 20)
    check("client.fine_tuning" in text_of(browser, "no-jobs"), "without jobs the page says how to make one")

    browser.click("#send")
    for side in ("left", "right"):
        wait_for(lambda: len(text_of(browser, f"{side}-answer")) > 20, f"the {side} model answers", 60)
    wait_for(lambda: browser.script("return !document.getElementById('send').disabled;"), "both answers end", 120)
    check(text_of(browser, "left-answer") == text_of(browser, "right-answer"), "one model answers the same twice")

    call(
        address,
        "/v1/fine_tuning/jobs",
        {
            "model": browser.script("return document.getElementById('left-model').value;"),
            "training_file": upload(address, chats),
            "suffix": "page",
            "steadfast": {"method": "lora", "steps": 4, "items": 3},
        },
    )
    shown = "return [...document.querySelectorAll('#jobs li')].map(item => item.textContent);"
    wait_for(lambda: len(browser.script(shown)) == 1, "the job appears", 20)
    done = lambda: any("succeeded" in text for text in browser.script(shown))
    wait_for(done, "the job succeeds before the reader's eyes", 300)
    points = browser.script("return document.querySelector('#jobs polyline').getAttribute('points').split(' ').length;")
    check(points == 4, "the loss of each of 4 steps is drawn")
    table = "return document.querySelector('#jobs table').textContent;"
    wait_for(lambda: all(axis in browser.script(table) for axis in ("proficiency", "safety", "knowledge")), "it says what was learnt and lost", 20)
    report = browser.script("return document.querySelector('#jobs a').href;")
    name = "return document.getElementById('right-model').value;"
    wait_for(lambda: browser.script(name).startswith("ft:"), "the tuned model is put beside the base", 20)

    browser.click("#send")
    wait_for(lambda: browser.script("return !document.getElementById('send').disabled;"), "base and tuned model answer", 120)
    check(all(text_of(browser, f"{side}-answer") for side in ("left", "right")), "two answers stand side by side")
    check(text_of(browser, "trouble") == "", "nothing went wrong")
    browser.screenshot(screenshots / "serve.png")
    loud = [line["message"] for line in browser.logs("browser") if line["level"] in ("SEVERE", "WARNING")]
    check(not loud, f"the console is quiet {loud}")
    browser.open(report)
    figures = "return document.querySelectorAll('svg').length;"
    wait_for(lambda: browser.script(figures) >= 3, "the job's report opens with its figures", 20)
    items = "return document.querySelectorAll('#list li').length;"
    check(browser.script(items) > 0, "and its items, by its own script")
    loud = [line["message"] for line in browser.logs("browser") if line["level"] in ("SEVERE", "WARNING")]
    check(not loud, f"nothing in the report is blocked {loud}")


def main():
    steadfast, screenshots = sys.argv[1], pathlib.Path(sys.argv[2])
    screenshots.mkdir(parents=True, exist_ok=True)
    simulate = [steadfast, "data", "simulate", "--count", "12"]
    chats = subprocess.run(simulate, capture_output=True, text=True, check=True).stdout
    with tempfile.TemporaryDirectory() as state:
        command = [steadfast, "serve", "--port", "0", "--state", state, "--json", "--quiet"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        browser = None
        try:
            address = ready(server)["address"]
            browser = Browser()
            look(browser, address, chats, screenshots)
        finally:
            if browser:
                browser.close()
            server.terminate()
            server.wait(30)


if __name__ == "__main__":
    main()
