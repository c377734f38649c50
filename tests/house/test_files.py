"""What may be in a tracked file."""

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

# Assembled from parts, so that this file does not match its own patterns.
MACHINE_PATH = re.compile("|".join(("/" + "work/", "/" + "root/", "/" + r"home/(?!user\b)\w+/")))
SECRET = re.compile(
    "|".join(
        (
            "-----BEGIN" + r" (?:[A-Z]+ )*PRIVATE KEY",
            r"\bgh[pousr]_" + r"\w{30,}",
            r"\bhf_" + r"[A-Za-z0-9]{30,}",
            r"\bsk-" + r"[A-Za-z0-9_-]{32,}",
            r"\bAKIA" + r"[0-9A-Z]{16}\b",
        )
    )
)


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listing.split("\0") if name and (ROOT / name).is_file()]


def shell_scripts() -> list[Path]:
    shebang = b"#!/usr/bin/env bash"
    return [path for path in tracked_files() if path.suffix == ".sh" or path.read_bytes().startswith(shebang)]


def matches(pattern: re.Pattern[str]) -> list[str]:
    found = []
    for path in tracked_files():
        for number, line in enumerate(path.read_bytes().decode("utf-8", "replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{path.relative_to(ROOT)}:{number}")
    return found


def test_no_machine_paths():
    assert matches(MACHINE_PATH) == []


def test_no_secrets():
    assert matches(SECRET) == []


@pytest.mark.parametrize(
    "line", ["open('/" + "work/main/x')", "cd /" + "root/.cache", "ghp_" + "a1" * 18, "-----BEGIN" + " RSA PRIVATE KEY"]
)
def test_the_patterns_find_what_they_are_for(line):
    assert MACHINE_PATH.search(line) or SECRET.search(line)


@pytest.mark.parametrize("script", shell_scripts(), ids=lambda path: str(path.relative_to(ROOT)))
def test_shell_scripts_parse(script):
    done = subprocess.run(["bash", "-n", str(script)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_d53_both_distributions_can_be_built_from_what_is_tracked():
    """The published repository ignored its judge's pyproject.toml, so a clone could not be installed."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split(
        "\n"
    )
    assert {"pyproject.toml", "code-judge/pyproject.toml", "requirements.txt"} <= set(tracked)
