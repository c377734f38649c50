"""The grid, the exact-match score, the picture and the two commands."""

from __future__ import annotations

import csv
import json
import re
from collections import Counter
from random import Random
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

from cleartrace.cli import app
from cleartrace.data.errors import DataError
from cleartrace.needle.grid import Grid, NeedleCase, make_cases
from cleartrace.needle.haystack import Filler
from cleartrace.needle.picture import heat_map
from cleartrace.needle.score import Cell, cells, read_cases, read_responses, score_case, score_cases
from cleartrace.needle.tasks import NeedleKind, draw

SMALL = Grid(kinds=tuple(NeedleKind), shortest=150, longest=350, lengths=3, depths=4, filler=Filler.GRAMMAR)


def read_answers(case: NeedleCase) -> set[str]:
    """The answers, read from the prompt itself."""
    prompt = case.messages[0]["content"]
    text, _, question = prompt.rpartition("Question: ")
    if case.kind is NeedleKind.VARIABLES:
        (value,) = re.findall(r"the value (\d+)", question)
        held = set(re.findall(rf"The variable (\w+) is {value}\.", text))
        links = re.findall(r"The variable (\w+) equals (\w+)\.", text)
        for _ in links:
            held |= {name for name, other in links if other in held}
        return held
    (key,) = re.findall(r"of the (\w+ \w+)\?", question)
    return set(re.findall(rf"The special number of the {key} is (\d+)\.", text))


@pytest.mark.parametrize("kind", NeedleKind)
def test_the_answers_can_be_read_from_the_prompt(kind):
    made = [case for case in make_cases(SMALL) if case.kind is kind]
    assert [read_answers(case) for case in made] == [set(case.answers) for case in made]
    assert len({case.answers for case in made}) == len(made)


@pytest.mark.parametrize("kind", NeedleKind)
def test_twins_share_the_question_and_no_answer_set(kind):
    for seed in range(20):
        one, other = draw(kind, Random(seed))
        assert one.question == other.question
        assert set(one.answers) != set(other.answers)
        same = Counter(" ".join(one.sentences).split()) == Counter(" ".join(other.sentences).split())
        assert same is (kind is not NeedleKind.SINGLE)


def test_the_default_grid_is_the_published_one():
    found = list(Grid().cells())
    lengths, depths = [c[1] for c in found], [c[2] for c in found]
    assert (len(found), len(set(lengths)), len(set(depths))) == (150, 15, 10)
    assert (min(lengths), max(lengths), min(depths), max(depths)) == (1000, 32000, 0.0, 1.0)


def test_a_case_depends_on_its_own_cell_alone():
    small = {case.id: case for case in make_cases(Grid(shortest=200, longest=400, lengths=2, depths=2))}
    large = {case.id: case for case in make_cases(Grid(shortest=200, longest=400, lengths=3, depths=3))}
    assert len(small.keys() & large.keys()) == 4
    assert all(large[name] == case for name, case in small.items())
    assert next(make_cases(Grid(lengths=1, depths=1, seed=1))) != next(make_cases(Grid(lengths=1, depths=1)))


@pytest.mark.parametrize(
    ("response", "exact", "found"),
    [
        ("1111111, 2222222 and 3,333,333.", True, 1.0),
        ("<think>4444444?</think> 3333333 2222222 1111111", True, 1.0),
        ("1111111 and 2222222", False, 2 / 3),
        ("1111111 2222222 3333333 4444444", False, 1.0),
        ("11111112222222, 3333333", False, 1 / 3),
        ("I do not know.", False, 0.0),
    ],
)
def test_exact_match_wants_all_answers_and_nothing_else(response, exact, found):
    answers = ("1111111", "2222222", "3333333")
    case = NeedleCase(
        id="c", kind=NeedleKind.MULTI_VALUE, length=9, depth=0, size=9, messages=({"role": "user"},), answers=answers
    )
    score = score_case(case, response)
    assert (score.exact, score.found) == (exact, pytest.approx(found))


def test_names_of_variables_are_matched_whole():
    case = NeedleCase(
        id="c", kind=NeedleKind.VARIABLES, length=9, depth=0, size=9, messages=({"role": "user"},), answers=("ABCDE",)
    )
    assert score_case(case, "The variable is ABCDE.").exact
    assert not score_case(case, "The variable is ABCDEF.").exact


def test_missing_and_strange_responses_are_refused():
    made = list(make_cases(Grid(shortest=200, longest=200, lengths=1, depths=2)))
    with pytest.raises(DataError, match="2 cases have no response, the first is single-200-0-0"):
        score_cases(made, {})
    with pytest.raises(DataError, match="1 belong to no case, the first is x: another grid"):
        score_cases(made, {case.id: "" for case in made} | {"x": ""})


@pytest.mark.parametrize(
    ("line", "message"),
    [('{"id": "a"}', 'need the texts "id" and "response"'), ('{"id": "b", "response": "1"}\n' * 2, "stands twice")],
)
def test_bad_response_files_name_the_line(tmp_path, line, message):
    (tmp_path / "r.jsonl").write_text(line)
    with pytest.raises(DataError, match=rf"r\.jsonl, line \d: .*{message}"):
        read_responses(tmp_path / "r.jsonl")


def test_a_bad_case_file_names_line_and_column(tmp_path):
    (tmp_path / "c.jsonl").write_text('{"id": "a", "kind": "single"}\n')
    with pytest.raises(DataError, match=r"c\.jsonl, line 1, column length: Field required"):
        read_cases(tmp_path / "c.jsonl")


def test_the_heat_map_shows_every_cell():
    made = [Cell(NeedleKind.SINGLE, length, depth, 2, 0.5, 0.75) for length in (1000, 2500) for depth in (0.0, 1.0)]
    picture = heat_map(made, "<model>")
    root = ElementTree.fromstring(picture)
    texts = [element.text for element in root.iter() if element.text]
    assert texts.count("50") == 4
    assert {"1k", "2.5k", "0%", "100%", "single: 50.0% of 8", "<model>"} <= set(texts)
    with pytest.raises(ValueError, match="no cell"):
        heat_map([])


def test_make_answer_and_score_from_the_command_line(tmp_path):
    cases, responses, out = tmp_path / "cases.jsonl", tmp_path / "responses.jsonl", tmp_path / "score"
    size = ["--shortest", "150", "--longest", "250", "--lengths", "2", "--depths", "3", "--filler", "grammar"]
    kinds = ["--kind", "single", "--kind", "variables"]
    made = CliRunner().invoke(app, ["needle", "make", str(cases), *size, *kinds])
    assert (made.exit_code, made.output) == (0, f"12 cases of 150 to 250 words: {cases}\n")
    found = read_cases(cases)
    lines = [{"id": c.id, "response": " ".join(c.answers) if c.kind is NeedleKind.SINGLE else ""} for c in found]
    responses.write_text("".join(json.dumps(line) + "\n" for line in lines))
    scored = CliRunner().invoke(app, ["needle", "score", str(cases), str(responses), "--out", str(out)])
    assert scored.exit_code == 0, scored.output
    assert scored.output.splitlines()[:2] == [
        "single: exact 100.0%, found 100.0%, n = 6",
        "variables: exact 0.0%, found 0.0%, n = 6",
    ]
    with (out / "scores.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["exact"] for row in rows] == ["1.0"] * 6 + ["0.0"] * 6
    ElementTree.parse(out / "heat_map.svg")
    again = cells(score_cases(found, read_responses(responses)))
    assert [float(row["depth"]) for row in rows] == [cell.depth for cell in again]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--longest", "10"], "the longest length, 10, is below the shortest"),
        (["--shortest", "5", "--longest", "5"], "a length of 5 has no room"),
        (["--tokenizer", "nowhere"], "nowhere/tokenizer.json is not there"),
    ],
)
def test_what_the_user_can_mend_is_said_in_words(tmp_path, options, message):
    done = CliRunner().invoke(app, ["needle", "make", str(tmp_path / "c.jsonl"), *options])
    assert done.exit_code == 2
    assert message in done.output
    assert list(tmp_path.iterdir()) == []
