"""The page in a real headless Chromium, opened from file://."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest
from make_run import make_record, make_run

from cleartrace.report.build import build_report
from cleartrace.report.load import load_run

CHROMIUM = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)
Dump = Callable[..., str]
HOSTILE = (
    "</script><script>document.title='pwned'</script><img src=x onerror=\"document.title='pwned'\">\u202egpj{{7*7}}"
)
LOADS = re.compile(r"""(?:\b(?:src|href)\s*=|@import|url\()\s*["']?\s*(?:https?:)?//""", re.IGNORECASE)


@pytest.fixture(scope="module")
def big_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_report(make_run(tmp_path_factory.mktemp("runs") / "big", trajectories=5000, steps=40))


@pytest.fixture
def hostile_page(tmp_path: Path) -> Path:
    """A run whose every text that a model, a task or a config can set is an attack."""
    run = make_run(tmp_path / "hostile", trajectories=4, steps=2)
    rng = random.Random(0)
    record = next(r for i in range(99) if (r := make_record(rng, number=i)).repairs)
    call, repair, segment = record.tool_calls[0], record.repairs[0], record.segments[1]
    attempt = repair.attempts[0].model_copy(
        update=dict.fromkeys(("text", "code", "error_text", "error_class"), HOSTILE)
    )
    record = record.model_copy(
        update={
            **dict.fromkeys(("question", "ground_truth", "prediction", "sample_id", "data_source", "arm"), HOSTILE),
            "segments": [segment.model_copy(update={"pieces": [HOSTILE], "token_ids": [1], "logprobs": [-0.5]})],
            "tool_calls": [call.model_copy(update=dict.fromkeys(("code", "text", "status", "error_class"), HOSTILE))],
            "repairs": [repair.model_copy(update={"attempts": [attempt], "replacement": HOSTILE})],
        }
    )
    (run / "trajectories.jsonl").write_text(record.model_dump_json() + "\n")
    (run / "config.yaml").write_text(f"method: {HOSTILE!r}\n", encoding="utf-8")
    return build_report(run)


@pytest.fixture
def dump_dom(tmp_path: Path) -> Dump:
    if CHROMIUM is None:
        pytest.skip("no chromium binary on PATH (Debian: apt-get install chromium)")

    def dump(page: Path, fragment: str = "") -> str:
        command = [CHROMIUM, "--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
        command += [
            "--disable-background-networking",
            "--disable-component-update",
            f"--user-data-dir={tmp_path}/profile",
        ]
        command += ["--no-sandbox"] if os.geteuid() == 0 else []
        command += ["--virtual-time-budget=8000", "--dump-dom", page.as_uri() + fragment]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
        assert "Refused to" not in done.stderr
        return done.stdout

    return dump


def test_the_page_loads_nothing_and_is_small(big_run: Path) -> None:
    packed = re.compile(r'<script type="text/plain" id="[\w-]+">[A-Za-z0-9+/=]*</script>')
    page = unescape(packed.sub("", big_run.read_text(encoding="utf-8")))
    assert len(page) < 200_000
    assert not LOADS.search(page)
    assert "http" not in page.replace("http-equiv", "").replace('xmlns="http://www.w3.org/2000/svg"', "")
    assert "default-src 'none'" in page and "unsafe" not in page
    assert big_run.stat().st_size < 30e6


def test_hostile_text_stays_out_of_the_markup(hostile_page: Path) -> None:
    page = hostile_page.read_text(encoding="utf-8")
    assert "document.title='pwned'" not in page and "<img" not in page


def test_five_thousand_trajectories_open_in_three_seconds(big_run: Path, dump_dom: Dump) -> None:
    dom = dump_dom(big_run)
    ready = re.search(r'data-ready="(\d+)"', dom)
    assert ready and int(ready[1]) < 3000
    assert "5,000 of 5,000 · page 1 of 100" in dom
    assert dom.count('class="row"') == 50


def test_a_repair_is_shown_beside_what_replaced_it(tmp_path: Path, dump_dom: Dump) -> None:
    run = make_run(tmp_path / "one", trajectories=1, steps=1)
    record = next(r for i in range(99) if (r := make_record(random.Random(i), step=1)).repairs)
    (run / "trajectories.jsonl").write_text(record.model_dump_json() + "\n")
    dom = dump_dom(build_report(run), "#t=0")
    assert "Attempt 1, removed" in dom and 'class="ln old"' in dom and 'class="ln new"' in dom
    assert record.repairs[0].attempts[0].error_text.split("\n")[0] in unescape(dom)
    assert dom.count('class="t"') == sum(len(s.token_ids) for s in record.segments)
    for segment in record.segments:
        if segment.origin != "original":
            assert f'class="tokens trained {segment.origin}"' in dom


def test_hostile_text_is_shown_and_does_nothing(hostile_page: Path, dump_dom: Dump) -> None:
    dom = dump_dom(hostile_page, "#t=0")
    assert "<title>hostile: cleartrace run report</title>" in dom
    assert dom.count("<script") == 3 and "<img" not in dom
    text = unescape(dom)
    assert text.count("document.title='pwned'") > 15
    assert "\u202e" not in dom.split("<main>")[1].split('id="detail"')[1] and "⟨U+202E⟩gpj{{7*7}}" in text


DRIVER = """<script>
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
const count = () => document.getElementById("count").textContent.split(" ")[0];
async function filter(values) {
  const form = document.getElementById("filters");
  form.reset();
  for (const [name, value] of Object.entries(values))
    form.elements[name][value === true ? "checked" : "value"] = value;
  form.dispatchEvent(new Event("input"));
  await wait(600);
  return count();
}
async function drive() {
  await wait(500);
  const seen = [];
  for (const values of [{split: "val"}, {step: "3"}, {outcome: "solved"}, {repairs: "recovered"}, {failed: "some"},
    {text: "nameerror"}, {text: "'totl' is not"}, {text: "'totl' is not", deep: true},
    {text: "no such text", deep: true}])
    seen.push(await filter(values));
  await filter({});
  document.querySelector(".row").click();
  await wait(300);
  document.querySelector("#detail .t").dispatchEvent(new PointerEvent("pointerover", {bubbles: true}));
  seen.push(document.getElementById("tip").textContent);
  document.querySelector("svg.chart").dispatchEvent(new KeyboardEvent("keydown", {key: "ArrowRight"}));
  seen.push(document.getElementById("tip").textContent);
  document.body.dataset.seen = JSON.stringify(seen);
}
drive();
</script></body>"""


def test_filters_search_and_hover(tmp_path: Path, dump_dom: Dump) -> None:
    """The page's own policy forbids foreign scripts, so the driver runs in a copy without the policy."""
    folder = make_run(tmp_path / "driven", trajectories=200, steps=10)
    page = build_report(folder).read_text(encoding="utf-8")
    copy = tmp_path / "copy.html"
    copy.write_text(re.sub(r"<meta http-equiv[^>]*>", "", page).replace("</body>", DRIVER), encoding="utf-8")
    found = re.search(r'data-seen="([^"]*)"', dump_dom(copy))
    assert found
    *counts, token, point = json.loads(unescape(found[1]))
    rows = load_run(folder).records
    failed = [r for r in rows if any(c.error_class for c in r.tool_calls)]
    named = [r for r in failed if any(c.error_class == "NameError" for c in r.tool_calls)]
    expected = [
        sum(r.split == "val" for r in rows),
        sum(r.step == 3 for r in rows),
        sum(r.acc is True for r in rows),
        sum(bool(r.repairs) for r in rows),
        len(failed),
        len(named),
        0,
        len(named),
        0,
    ]
    assert [int(c) for c in counts] == expected
    assert re.match(r'"<"  id \d+\nno log-prob\ntoken 0 of the trajectory', token)
    assert "training step: 10" in point and re.search(r"held-out: 71\.00%", point)
