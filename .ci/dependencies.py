#!/usr/bin/env python3
"""Checks every compiled-in crate against deny.toml: licence, source, bans. Needs no network.

cargo-deny does more (advisories), but takes minutes to build and its advisory list lives outside
the package registries; this is the part of it that must hold on every machine.
"""

import json
import re
import subprocess
import sys
import tomllib


def permitted(expression: str, allowed: set[str]) -> bool:
    """Evaluates an SPDX expression: OR needs one side, AND needs both. `A/B` is an old OR."""
    words = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))

    def alternatives() -> bool:
        value = conjunction()
        while words and words[0] == "OR":
            words.pop(0)
            value = conjunction() or value
        return value

    def conjunction() -> bool:
        value = single()
        while words and words[0] == "AND":
            words.pop(0)
            value = single() and value
        return value

    def single() -> bool:
        word = words.pop(0)
        if word == "(":
            value = alternatives()
            words.pop(0)
            return value
        if words and words[0] == "WITH":
            words.pop(0)
            return f"{word} WITH {words.pop(0)}" in allowed
        return word in allowed

    return alternatives()


def main() -> int:
    with open("deny.toml", "rb") as file:
        rules = tomllib.load(file)
    allowed = set(rules["licenses"]["allow"])
    banned = {entry["name"]: entry["reason"] for entry in rules["bans"]["deny"]}
    registries = tuple(f"registry+{url}" for url in rules["sources"]["allow-registry"])
    command = ["cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", host()]
    metadata = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    used = {node["id"] for node in metadata["resolve"]["nodes"]}
    mistakes = []
    packages = [package for package in metadata["packages"] if package["id"] in used]
    for package in packages:
        name = f"{package['name']} {package['version']}"
        licence = package["license"]
        if not licence and not package["license_file"]:
            mistakes.append(f"{name}: no licence")
        elif licence and not permitted(licence, allowed):
            mistakes.append(f"{name}: licence {licence} is not in deny.toml")
        if package["source"] and not package["source"].startswith(registries):
            mistakes.append(f"{name}: comes from {package['source']}")
        if package["name"] in banned:
            mistakes.append(f"{name}: banned, {banned[package['name']]}")
        if package["source"] is None:
            for dependency in package["dependencies"]:
                if dependency["req"] == "*" and not dependency.get("path"):
                    mistakes.append(f"{name}: {dependency['name']} has no version")
    for mistake in mistakes:
        print(f"error: {mistake}", file=sys.stderr)
    print(f"{len(packages)} crates: licences, sources and bans are as deny.toml says" if not mistakes
          else f"{len(mistakes)} mistakes in {len(packages)} crates", file=sys.stderr)
    return 1 if mistakes else 0


def host() -> str:
    version = subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout
    return re.search(r"^host: (.*)$", version, re.MULTILINE).group(1)


if __name__ == "__main__":
    sys.exit(main())
