"""WebShop's adapter against pages in the shop's formats (A31 for the shop), and the scripts that run beside it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from cleartrace.data.errors import DataError
from cleartrace.environments.protocol import Action, EnvironmentFault
from cleartrace.environments.registry import load
from cleartrace.environments.webshop import WebShop, serve
from cleartrace.environments.webshop.data import read_items, read_tasks
from cleartrace.environments.webshop.pages import NoPage, read_page
from cleartrace.environments.webshop.sample import sample, write_sample
from cleartrace.llm.protocol import ToolCall
from tests.environments.webshop.shop import CANARY, GOALS, Shop, opened


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with opened() as url:
        yield url


@pytest.fixture
def shop(address: str, tmp_path: Path) -> WebShop:
    Shop.visits, Shop.broken = [], ""
    rows = [{"index": n, "instruction": text, "asin": asin} for n, (text, asin) in enumerate(GOALS)]
    (tmp_path / "goals.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return load("webshop", url=address, goals=str(tmp_path / "goals.jsonl"))


def do(session, *calls: tuple[str, str]):
    names = {"search": "keywords", "click": "target"}
    made = (
        ToolCall(id=str(n), name=name, arguments={names.get(name, "x"): value}) for n, (name, value) in enumerate(calls)
    )
    return session.act(Action(calls=tuple(made)))


def test_a_wish_is_searched_chosen_and_bought(shop: WebShop):
    session = shop.session("goal_0", 0)
    first = session.start()
    assert GOALS[0][0] in first.text and "You can search." in first.text
    seen = do(session, ("search", "Blue MUG"), ("click", "b00"), ("click", "XL"), ("click", "light blue | grey"))
    listed, opened_page, sized, coloured = (result.text for result in seen.results)
    assert "Tea <pot> & lid" in listed and "- Next >" in listed and "OLD" not in listed and "cannot search" in listed
    assert "- xl [size]" in opened_page and "- xl (chosen) [size]" in sized and "(chosen) [color]" in coloured
    assert not any(result.is_error for result in seen.results)
    assert do(session, ("click", "Description"), ("click", "nothing")).results[0].text.count("Made of clay.") == 1
    session.act(Action(text="Let me think."))
    do(session, ("search", "again"))
    bought = do(session, ("click", "back to results"))
    assert bought.results[0].is_error, "the page with the description does not lead there"
    session.close()


def test_the_score_is_the_shops_and_the_last_page_is_for_evaluators_alone(shop: WebShop):
    session = shop.session("goal_0", 0)
    texts = [session.start().text]
    seen = do(session, ("search", "mug"), ("click", "B00"), ("click", "xl"), ("click", "Buy Now"), ("search", "more"))
    texts += [result.text for result in seen.results]
    assert seen.done and texts[-2] == "Bought. The task has ended." and seen.results[-1].is_error
    outcome = session.outcome()
    assert outcome.passed and outcome.details["r_price"] is True and "reward 1" in outcome.feedback
    assert CANARY not in "".join(texts) and CANARY not in outcome.model_dump_json(), "A4"
    session.close()
    other = shop.session("goal_1", 0)
    other.start()
    do(other, ("search", "mug"), ("click", "B00"), ("click", "Buy Now"))
    assert other.outcome().score == 0.0 and other.outcome().details["bought"]


def test_who_buys_nothing_scores_0(shop: WebShop):
    session = shop.session("goal_0", 0)
    session.start()
    assert not session.act(Action(text="Hm.")).done and session.act(Action(text="No.")).done
    assert session.outcome().score == 0.0 and session.outcome().feedback == "The agent bought nothing."


def test_what_an_agent_writes_reaches_the_shop_only_as_words(shop: WebShop):
    session = shop.session("goal_0", 0)
    session.start()
    for keywords in ("<r>", "a/b\\c?d#e%2F", "['x']", "\ud83d half"):
        do(session, ("search", keywords))
        do(session, ("click", "Back to Search"))
    searched = [path for method, path in Shop.visits if path.startswith("/search_results") and method == "GET"]
    assert len(searched) == 4 and all(path.count("/") == 4 for path in searched)
    assert "%3C" not in searched[0]
    for name, value in (("click", "http://elsewhere"), ("click", "../x"), ("fly", "x"), ("search", " ")):
        assert do(session, (name, value)).results[0].is_error
    assert do(session, ("search", "<<>>")).results[0].text == "Search for words."


def test_two_runs_of_one_goal_are_two_visitors(shop: WebShop):
    one, two = shop.session("goal_0", 0), shop.session("goal_0", 0)
    one.start(), two.start()
    names = {path for _, path in Shop.visits}
    assert len(names) == 2 and all(name.startswith("/fixed_") and name.endswith("_0") for name in names)


def test_faults_are_the_environments(shop: WebShop, tmp_path: Path):
    session = shop.session("goal_0", 0)
    session.start()
    do(session, ("search", "mug"))
    Shop.broken = "item_page"
    with pytest.raises(EnvironmentFault, match="status 500"):
        do(session, ("click", "B00"))
    gone = WebShop(url="http://127.0.0.1:1", goals=str(tmp_path / "goals.jsonl"))
    with pytest.raises(EnvironmentFault, match="ConnectError"):
        gone.session("goal_0", 0).start()
    (tmp_path / "old.jsonl").write_text(json.dumps({"index": 0, "instruction": "another price", "asin": "B00"}))
    with pytest.raises(EnvironmentFault, match="those of another start"):
        WebShop(url=shop.url, goals=str(tmp_path / "old.jsonl")).session("goal_0", 0).start()
    with pytest.raises(NoPage, match="no number"):
        read_page('<h3 id="reward"><pre>many</pre></h3>')
    with pytest.raises(ValueError, match="no task 'goal_9'"):
        shop.session("goal_9", 0)


def test_a_page_that_leads_away_is_not_followed(shop: WebShop):
    session = shop.session("goal_0", 0)
    session.start()
    session._page = read_page('<form action="http://127.0.0.1:9/x"><button>Go</button></form>')
    with pytest.raises(EnvironmentFault, match="away from the shop"):
        do(session, ("click", "go"))


def test_tasks_are_those_whose_target_is_sampled_and_no_product_is_in_two_splits(tmp_path: Path):
    goals = [(0, "A"), (499, "B"), (500, "A"), (501, "C"), (1500, "C"), (1501, "D"), (1502, "E"), (1503, "d")]
    path = tmp_path / "goals.jsonl"
    path.write_text("".join(json.dumps({"index": n, "instruction": f"want {n}", "asin": a}) + "\n" for n, a in goals))
    assert {task.id: task.split for task in read_tasks(path, None)} == {
        "goal_0": "test", "goal_499": "test", "goal_501": "dev", "goal_1501": "train", "goal_1502": "train",
        "goal_1503": "train",
    }  # fmt: skip
    items = tmp_path / "items.txt"
    items.write_text("a\nD\n")
    kept = read_tasks(path, items)
    assert [task.id for task in kept] == ["goal_0", "goal_1501", "goal_1503"]
    assert kept[1].group == kept[2].group and "D" not in kept[1].group, "the group's name does not tell the product"
    items.write_text('[{"asin": "E"}, {"asin": "X"}]')
    assert read_items(items) == {"E", "X"}
    for text in ("", "[3]", "[{}]", "[not json"):
        items.write_text(text)
        with pytest.raises(DataError):
            read_items(items)
    items.write_text("Z")
    with pytest.raises(DataError, match="no goal whose target"):
        read_tasks(path, items)
    path.write_text('{"index": "0", "instruction": "x", "asin": "A"}\n')
    with pytest.raises(DataError, match="line 1"):
        read_tasks(path, None)


def test_a_sample_is_drawn_by_its_seed_and_keeps_the_format(tmp_path: Path):
    products = [{"asin": f"B{n % 90:02}", "name": str(n)} for n in range(100)]
    drawn = sample(products, 40, 0)
    assert len({one["asin"] for one in drawn}) == 40 and drawn == sample(products, 40, 0) != sample(products, 40, 1)
    source, out = tmp_path / "items.json", tmp_path / "drawn.json"
    source.write_text(json.dumps(products))
    write_sample(source, out, 40, 0)
    assert json.loads(out.read_text()) == drawn and len(read_items(out)) == 40
    with pytest.raises(DataError, match="90 products"):
        write_sample(source, out, 91)


APP = """
import random
DEBUG_PROD_SIZE, DEFAULT_FILE_PATH, goals = 1000, "small.json", None

class App:
    def test_client(self):
        return self
    def get(self, path):
        global goals
        name = DEFAULT_FILE_PATH.rpartition("/")[2]
        goals = [{"instruction_text": f"{name} {DEBUG_PROD_SIZE} {random.random()}", "asin": "B0"}]
        self.status_code = 200
        return self
    def run(self, host, port, threaded):
        print("listening", host, port, threaded)

app = App()
"""


def test_the_shop_starts_with_its_seed_first_on_loopback_and_writes_its_goals(tmp_path: Path):
    """A stand-in for the package, with the names of its module that the script uses."""
    package = tmp_path / "web_agent_site"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "app.py").write_text(APP)
    goals = tmp_path / "goals.jsonl"
    command = [sys.executable, serve.__file__, "--goals", str(goals), "--products", "forty.json", "--port", "1"]
    written = set()
    for _ in range(2):
        done = subprocess.run(command, env={"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, check=True)
        assert "listening 127.0.0.1 1 True" in done.stdout
        written.add(goals.read_text())
    (text,) = written
    assert json.loads(text)["instruction"].startswith("forty.json None") and json.loads(text)["index"] == 0
