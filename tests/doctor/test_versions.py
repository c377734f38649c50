"""The table of tested versions."""

import re
from pathlib import Path

import pytest

from cleartrace.doctor.versions import TESTED, Fit, fit, installed_versions, release

REQUIREMENTS = Path(__file__).resolve().parents[2] / "requirements.txt"


@pytest.mark.parametrize(
    ("installed", "expected"),
    [
        ("2.12.9", Fit.OLDER),
        ("2.13.0", Fit.TESTED),
        ("2.13.0+cpu", Fit.TESTED),
        ("2.13.7", Fit.TESTED),
        ("2.14.0", Fit.NEWER),
        ("10.0", Fit.NEWER),
        (None, Fit.MISSING),
        ("dev", Fit.UNREADABLE),
    ],
)
def test_fit(installed, expected):
    assert fit(installed, "2.13.0", "2.13") is expected


def test_release():
    assert release("9.1.2.post1") == (9, 1, 2)


def test_an_unknown_package_is_missing(monkeypatch):
    monkeypatch.setitem(TESTED, "no-such-distribution-anywhere", ("1", "1"))
    assert installed_versions()["no-such-distribution-anywhere"] is None


def pins() -> list[tuple[str, str]]:
    lines = REQUIREMENTS.read_text().splitlines()
    found = [re.match(r"([\w.-]+)==([\w.+]+)", line) for line in lines]
    by_name = {name.lower().replace("_", "-"): name for name in TESTED}
    return [(by_name[m[1].lower()], m[2]) for m in found if m and m[1].lower() in by_name]


def test_every_row_but_our_own_is_pinned():
    assert {name for name, _ in pins()} == set(TESTED) - {"code-judge"}


@pytest.mark.parametrize(("name", "version"), pins())
def test_the_pinned_version_is_a_tested_one(name, version):
    assert fit(version, *TESTED[name]) is Fit.TESTED
