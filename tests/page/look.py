"""Opens a report in a real Chromium and checks what a reader would see.

look.py REPORT_FOLDER SCREENSHOT_FOLDER
The folder holds report.html and results.json. Exits 1 on the first thing that is wrong.
"""

import json
import pathlib
import sys
import time

from webdriver import Browser


def check(true, what):
    if not true:
        raise AssertionError(what)
    print(f"ok: {what}")


def wait_for(condition, what):
    deadline = time.monotonic() + 10
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within 10 s: {what}")
        time.sleep(0.05)


def figures(browser, results):
    arms = len(results["arms"])
    names = ["proficiency", "safety", "knowledge", "frontier-safety", "frontier-knowledge", "disturbance"]
    for name in names:
        box = browser.script(
            "const r = document.getElementById(arguments[0]).getBoundingClientRect(); return [r.width, r.height];", name
        )
        check(box[0] > 200 and box[1] > 150, f"{name} is drawn, {box[0]:.0f} × {box[1]:.0f}")
        role, title, description = browser.script(
            """const svg = document.getElementById(arguments[0]);
               return [svg.getAttribute('role'), svg.querySelector('title').textContent, svg.querySelector('desc').textContent];""",
            name,
        )
        check(role == "img" and title and description, f"{name} has a name and a description")
    for name in names[:3]:
        bars = browser.script(
            """return [...document.querySelectorAll('#' + arguments[0] + ' .bar')].map(bar => {
                 const r = bar.getBoundingClientRect();
                 return [r.width, r.height, getComputedStyle(bar).fill, bar.classList.contains('after')];
               });""",
            name,
        )
        check(len(bars) == 2 * arms, f"{name} has {2 * arms} bars")
        for arm, (before, after) in zip(results["arms"], zip(bars[::2], bars[1::2])):
            change = arm["axes"][name]
            for bar, value in ((before, change["before"]), (after, change["after"])):
                check(value == 0 or (bar[0] > 5 and bar[1] > 0), f"{name}, {arm['name']}: a bar of {bar[1]:.0f} px")
            if change["before"] > 5:
                ratio = after[1] / before[1] * change["before"] / change["after"] if change["after"] else 1
                check(abs(ratio - 1) < 0.05, f"{name}, {arm['name']}: heights are the scores")
            check(before[2] != after[2] and "none" not in (before[2], after[2]), f"{name}: two colours, {before[2]}")
        sign = f"{abs(change['net_change']):.1f}"
        labels = browser.script(
            "return [...document.querySelectorAll('#' + arguments[0] + ' .net-change')].map(e => e.textContent);", name
        )
        check(len(labels) == arms and labels[-1].endswith(sign), f"{name}: net changes are written, {labels}")
    overlaps = browser.script(
        """const found = [];
           for (const svg of document.querySelectorAll('svg.figure')) {
             const boxes = [...svg.querySelectorAll('text')].map(e => [e.textContent, e.getBoundingClientRect()]);
             const frame = svg.getBoundingClientRect();
             boxes.forEach(([text, a], i) => {
               if (a.left < frame.left - 1 || a.right > frame.right + 1) found.push(svg.id + ': cut off: ' + text);
               boxes.slice(i + 1).forEach(([other, b]) => {
                 const w = Math.min(a.right, b.right) - Math.max(a.left, b.left);
                 const h = Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top);
                 if (w > 1 && h > 5) found.push(svg.id + ': ' + text + ' / ' + other);
               });
             });
           }
           return found;"""
    )
    check(not overlaps, f"no label touches another {overlaps}")


def shown(browser):
    return browser.script("return document.querySelectorAll('#list > .item').length;")


def matching(browser):
    text = browser.script("return document.getElementById('count').textContent;")
    return 0 if text.startswith("No item") else int(text.split()[0])


def items(browser):
    """The counts are worked out again here, from the replies' scores rather than from the page's own flips."""
    data = json.loads(browser.script("return document.getElementById('data').textContent;"))
    rows, arms = data["items"], data["arms"]
    check(matching(browser) == len(rows), f"all {len(rows)} items match at first")
    check(shown(browser) == min(40, len(rows)), "a first chunk is shown")
    own = {"proficiency": "step_accuracy", "safety": "constructive_preference", "knowledge": "accuracy"}

    def flipped(row, arm):
        metric = own[row["axis"]]
        before, after = row["before"]["scores"].get(metric), row["after"][arm]["scores"].get(metric)
        return None not in (before, after) and (before >= 0.5) != (after >= 0.5)

    # The independent count holds where every item carries its axis's own metric.
    plain = all(own[row["axis"]] in row["before"]["scores"] for row in rows)
    browser.click("#flipped")
    any_arm = sum(bool(row["flips"]) for row in rows)
    check(matching(browser) == any_arm, f"only flipped: {any_arm} items")
    if plain:
        check(any_arm == sum(any(flipped(row, arm) for arm in arms) for row in rows), "the flips are the scores'")
    check(0 < any_arm < len(rows), "the filter leaves some out and some in")
    for arm in arms[:2]:
        browser.script(
            "const s = document.getElementById('arm'); s.value = arguments[0]; s.dispatchEvent(new Event('change'));", arm
        )
        expected = sum(arm in row["flips"] for row in rows)
        check(matching(browser) == expected, f"flipped under {arm}: {expected} items")
    while browser.script("return !document.getElementById('more').hidden;"):
        browser.script("document.getElementById('more').scrollIntoView({block: 'center'});")
        browser.click("#more")
    check(shown(browser) == expected, "‘Show more’ shows them all")
    browser.script("for (const id of ['arm']) { const s = document.getElementById(id); s.value = ''; s.dispatchEvent(new Event('change')); }")
    browser.click("#flipped")
    browser.type("#search", rows[-1]["item"])
    expected = sum(
        rows[-1]["item"].lower()
        in "\n".join(
            filter(None, [row["item"], row["prompt"], row["before"]["reply"], *(side["reply"] for side in row["after"].values())])
        ).lower()
        for row in rows
    )
    wait_for(lambda: matching(browser) == expected, f"search finds {expected}")
    print(f"ok: search finds {expected}")
    browser.script("const s = document.getElementById('search'); s.value = ''; s.dispatchEvent(new Event('input'));")
    wait_for(lambda: matching(browser) == len(rows), "the search is cleared")
    covered = browser.script("return document.querySelectorAll('.item[data-axis=safety] .prompt').length;")
    check(covered == 0, "safety items are covered")
    if any(row["axis"] == "safety" for row in rows[:40]):
        browser.script("document.querySelector('.cover button').scrollIntoView({block: 'center'});")
        browser.click(".cover button")
        check(browser.script("return document.querySelectorAll('.item[data-axis=safety] .prompt').length;") == 1, "one is shown on request")
    # From the search field the keyboard reaches the filters in order.
    order = browser.script("return [...document.querySelectorAll('#filters select, #filters input')].map(e => e.id);")
    check(order == ["axis", "suite", "arm", "search", "flipped", "reveal"], "the keyboard meets the filters in order")
    names = browser.script("return [...document.querySelectorAll('#filters select, #filters input')].every(e => e.labels.length === 1);")
    check(names, "each filter has a label")


def clean(browser, address):
    errors = [entry for entry in browser.logs("browser") if entry["level"] in ("SEVERE", "WARNING")]
    check(not errors, f"the console is clean {errors}")
    requests = []
    for entry in browser.logs("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            url = message["params"]["request"]["url"]
            if url != address and not url.startswith("data:"):
                requests.append(url)
    check(not requests, f"nothing is requested but the page {requests}")
    check(browser.script("return window.broken === undefined;"), "hostile text did not run")


def background(browser):
    text = browser.script("return getComputedStyle(document.body).backgroundColor;")
    return sum(int(part) for part in text[text.index("(") + 1 : -1].split(",")[:3]) / 3


def scheme(browser, value):
    browser.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])


def width(browser, pixels):
    browser.devtools(
        "Emulation.setDeviceMetricsOverride", width=pixels, height=800, deviceScaleFactor=1, mobile=pixels < 600
    )


def main():
    folder, pictures = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2])
    pictures.mkdir(parents=True, exist_ok=True)
    results = json.loads((folder / "results.json").read_text())
    address = (folder / "report.html").as_uri()
    browser = Browser()
    try:
        scheme(browser, "light")
        width(browser, 1280)
        browser.open(address)
        figures(browser, results)
        check(background(browser) > 200, "light by day")
        tops = browser.script("return ['proficiency','safety','knowledge'].map(id => document.getElementById(id).getBoundingClientRect().top);")
        if len(results["arms"]) <= 4:
            check(max(tops) - min(tops) < 1, "the three figures stand side by side")
        browser.screenshot(pictures / "desktop-light.png")
        items(browser)
        scheme(browser, "dark")
        check(background(browser) < 60, "dark by night")
        browser.screenshot(pictures / "desktop-dark.png")
        for pixels in (360, 320):
            width(browser, pixels)
            scroll = browser.script("return [document.documentElement.scrollWidth, window.innerWidth];")
            check(scroll[0] <= pixels and scroll[1] == pixels, f"no sideways scrolling at {pixels} px {scroll}")
        width(browser, 360)
        tops = browser.script("return ['proficiency','safety','knowledge'].map(id => document.getElementById(id).getBoundingClientRect().top);")
        check(tops[0] < tops[1] < tops[2], "on a phone the figures are stacked")
        scheme(browser, "light")
        browser.screenshot(pictures / "phone.png")
        clean(browser, address)
    finally:
        browser.close()
    print("the page is as it should be")


if __name__ == "__main__":
    try:
        main()
    except AssertionError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
