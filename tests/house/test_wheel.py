"""A wheel, its files, and that it works with its own dependencies alone and without a network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ALONE = """
import json, sys
from importlib import metadata
wheel, allowed, *sys.argv[1:] = sys.argv[1:]
wanted, owners = set(json.loads(allowed)), metadata.packages_distributions()

class Alone:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top in owners and top != "cleartrace" and not wanted & set(owners[top]):
            raise ModuleNotFoundError(f"{name} is no dependency of the wheel", name=name)

def offline(event, arguments):
    if event == "socket.connect":
        raise OSError(f"a connection was tried: {arguments[1]}")

sys.meta_path.insert(0, Alone())
sys.addaudithook(offline)
sys.path.insert(0, wheel)
import cleartrace
assert cleartrace.__file__.startswith(wheel), cleartrace.__file__
from cleartrace.cli import app
app(prog_name="cleartrace")
"""


def tracked() -> list[str]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (ROOT / name).is_file()]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """Built from a copy of what git tracks, and unpacked."""
    folder = tmp_path_factory.mktemp("wheel")
    for name in tracked():
        if name.startswith(("cleartrace/", "verl/")) or "/" not in name:
            (folder / "source" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / "source" / name)
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q", "-w", str(folder)]
    subprocess.run([*build, str(folder / "source")], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    with zipfile.ZipFile(built) as archive:
        archive.extractall(folder / "unpacked")
    return folder / "unpacked"


def needed(name: str) -> set[str]:
    """Distributions that are installed here and that `name` requires, itself among them."""
    found, left = set[str](), [name]
    while left:
        one = left.pop()
        try:
            about = metadata.distribution(one)
        except metadata.PackageNotFoundError:
            continue
        if about.metadata["Name"] in found:
            continue
        found.add(about.metadata["Name"])
        plain = [text for text in about.requires or () if "extra ==" not in text]
        left += [re.split(r"[^\w.-]", text, maxsplit=1)[0] for text in plain]
    return found


def run(wheel: Path, folder: Path, *arguments: str) -> str:
    allowed = json.dumps(sorted(needed("cleartrace")))
    command = [sys.executable, "-I", "-c", ALONE, str(wheel), allowed, *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_every_file_of_its_packages(wheel):
    packages = [name.removeprefix("verl/") for name in tracked() if name.startswith(("cleartrace/", "verl/cleartrace"))]
    assert len(packages) > 300
    assert [name for name in packages if not (wheel / name).is_file()] == []


def test_a32_it_learns_and_evaluates_with_no_extra_and_no_network(wheel, tmp_path):
    run(wheel, tmp_path, "optimize", "ruleworld", "--iterations", "2", "--output", "learned")
    run(wheel, tmp_path, "context", "eval", "ruleworld", "--context", "playbook:learned/playbook.json", "--out", "seen",
        "--limit", "3")  # fmt: skip
    assert json.loads((tmp_path / "seen/comparison.json").read_text())


def test_what_needs_an_extra_says_so(wheel, tmp_path):
    with pytest.raises(AssertionError, match="pip install"):
        run(wheel, tmp_path, "optimize", "ruleworld", "--model", "openai/x", "--output", "none")
