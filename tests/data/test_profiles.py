"""Prompts of every profile against golden files, and rows that do not fit (D48, D51)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from cleartrace.data.identity import canonical_truth, sample_id_of_row
from cleartrace.data.names import Profile
from cleartrace.data.profiles import map_row
from cleartrace.data.wording import Wording
from tests.data.sources import AIME_2024, AIME_2025, GPQA, LCB, LCB_CALL, MATH, SCIENCE, SKYWORK, TACO, TESTS, chat

GOLDEN = Path(__file__).with_name("golden")
CASES: dict[str, tuple[Profile, dict[str, Any]]] = {
    "aime": (Profile.AIME, AIME_2024),
    "gpqa": (Profile.GPQA, GPQA),
    "lcb": (Profile.LCB, LCB),
    "lcb_call": (Profile.LCB, LCB_CALL),
    "prewrapped_math": (Profile.PREWRAPPED, MATH),
    "prewrapped_code": (Profile.PREWRAPPED, TACO),
    "skywork_math": (Profile.SKYWORK, SKYWORK),
    "skywork_code": (Profile.SKYWORK, TACO),
}
CASES |= {f"{name}_notool": (Profile(f"{profile.value}_notool"), raw) for name, (profile, raw) in CASES.items()}


def prompt_of(name: str) -> str:
    profile, raw = CASES[name]
    (message,) = map_row(profile, raw).messages
    assert message["role"] == "user"
    return message["content"]


@pytest.mark.parametrize("name", CASES)
def test_prompts_are_the_golden_ones(name: str) -> None:
    assert prompt_of(name) + "\n" == (GOLDEN / f"{name}.txt").read_text(encoding="utf-8")


def test_every_golden_file_and_every_profile_has_a_case() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(CASES)
    assert {profile for profile, _ in CASES.values()} == set(Profile)


@pytest.mark.parametrize("name", CASES)
def test_prompts_are_well_formed(name: str) -> None:
    prompt = prompt_of(name)
    # D51: the published LiveCodeBench prompt ends within a code fence, and quotes the content of the box.
    fences = re.findall(r"^`{3,}.*$", prompt, re.M)
    assert len(fences) % 2 == 0
    assert not re.search(r"""["'`]\s*\\boxed|\\boxed\{["'`]""", prompt)
    assert "\n\n\n" not in prompt and prompt == prompt.strip()
    assert ("code_interpreter" in prompt or "tool" in prompt) is (
        CASES[name][0].uses_tool and CASES[name][0].base is not Profile.PREWRAPPED
    )


def test_a_sample_that_has_fences_cannot_end_the_block() -> None:
    truth = {"inputs": ["```\n"], "outputs": ["````\n"]}
    prompt = map_row(Profile.LCB, {**LCB, "reward_model": {"ground_truth": truth}}).messages[0]["content"]
    assert "````\n```\n````" in prompt and "`````\n````\n`````" in prompt


def test_the_answer_keys() -> None:
    assert map_row(Profile.AIME, AIME_2024).ground_truth == "10"
    assert map_row(Profile.AIME, {**AIME_2025, "answer": 8.0}).ground_truth == "8"
    assert map_row(Profile.GPQA, GPQA).ground_truth == "A"
    assert map_row(Profile.SKYWORK, SKYWORK).ground_truth == "42"
    assert json.loads(map_row(Profile.PREWRAPPED, TACO).ground_truth) == TESTS
    lcb = map_row(Profile.LCB, LCB)
    assert json.loads(lcb.ground_truth)["outputs"] == ["3\n", "0\n", "11\n"]
    assert lcb.question_id == "abc301_a"
    named = {**MATH, "extra_info": {"question_id": 12}}
    assert (map_row(Profile.PREWRAPPED, named).question_id, map_row(Profile.PREWRAPPED, MATH).question_id) == (
        "12",
        None,
    )


def test_ids_are_of_the_question_alone() -> None:
    for name, (profile, raw) in CASES.items():
        if profile.uses_tool:
            twin = CASES[f"{name}_notool"][0]
            assert map_row(profile, raw).sample_id == map_row(twin, raw).sample_id
    own_words = Wording(reason="Go.", finish="Box it: \\boxed{}.")
    assert map_row(Profile.AIME, AIME_2024).sample_id == map_row(Profile.AIME, AIME_2024, own_words).sample_id
    ids = {map_row(profile, raw).sample_id for profile, raw in CASES.values()}
    # TACO is mapped by two profiles.
    assert len(ids) == len(CASES) // 2 - 1


def test_a_prepared_row_has_the_id_of_the_raw_one() -> None:
    raw = chat("train-code-taco-easy", "Double n.", {**TESTS, "fn_name": None})
    as_text = {**raw, "reward_model": json.dumps({"ground_truth": json.dumps(TESTS)}), "extra_info": "{}"}
    row = map_row(Profile.PREWRAPPED, raw)
    assert row.sample_id == sample_id_of_row(raw) == sample_id_of_row(as_text)
    prepared = row.for_verl("saar_agent", profile="prewrapped", index=3)
    assert sample_id_of_row(prepared) == row.sample_id
    assert sample_id_of_row({**raw, "extra_info": {"sample_id": "given"}}) == "given"


@pytest.mark.parametrize(
    ("truth", "text"),
    [
        ("  7 ", "7"),
        (7, "7"),
        (7.0, "7"),
        (7.5, "7.5"),
        (None, ""),
        ("{broken", "{broken"),
        ('{"b": [1], "a": null}', '{"b": [1]}'),
        ({"b": [{"c": None}], "a": "é"}, '{"a": "é", "b": [{}]}'),
        (["1"], '["1"]'),
    ],
)
def test_canonical_truth(truth: Any, text: str) -> None:
    assert canonical_truth(truth) == text


def test_canonical_truth_of_arrays() -> None:
    import numpy as np

    assert canonical_truth({"inputs": np.array(["1", "2"], dtype=object)}) == '{"inputs": ["1", "2"]}'
    assert canonical_truth(np.int64(4)) == "4"


@pytest.mark.parametrize(
    ("profile", "raw", "column"),
    [
        (Profile.AIME, {**AIME_2025, "answer": None}, "answer"),
        (Profile.AIME, {**AIME_2025, "problem": "  "}, "problem"),
        (Profile.AIME, {"data_source": "AIME2025", "answer": "1"}, "problem"),
        (Profile.GPQA, {**GPQA, "solution": "H2"}, "solution"),
        (Profile.GPQA, {**GPQA, "domain": None}, "domain"),
        (Profile.LCB, {**LCB, "reward_model": "{"}, "reward_model"),
        (Profile.LCB, {**LCB, "reward_model": json.dumps({"style": "rule"})}, "reward_model.ground_truth"),
        (Profile.PREWRAPPED, {**MATH, "prompt": []}, "prompt"),
        (Profile.PREWRAPPED, {**MATH, "prompt": [{"role": "user", "content": ""}]}, "prompt.0.content"),
        (Profile.PREWRAPPED, {**MATH, "data_source": None}, "data_source"),
    ],
)
def test_rows_that_do_not_fit_name_the_column(profile: Profile, raw: dict[str, Any], column: str) -> None:
    with pytest.raises(ValidationError) as caught:
        map_row(profile, raw)
    assert ".".join(str(part) for part in caught.value.errors()[0]["loc"]) == column


@pytest.mark.parametrize(
    ("profile", "raw", "message"),
    [
        (Profile.LCB, {**LCB, "reward_model": {"ground_truth": {"inputs": ["1"], "outputs": []}}}, "1 inputs but 0"),
        (Profile.SKYWORK, chat("m", "q", '["1", "2"]'), "lists 2 answers"),
        (Profile.SKYWORK, {**MATH, "prompt": [{"role": "system", "content": "x"}]}, "no message with the role user"),
    ],
)
def test_rows_that_cannot_be_mapped_say_why(profile: Profile, raw: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        map_row(profile, raw)


def test_a_system_message_is_kept_and_the_last_question_extended() -> None:
    system, first = {"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}
    answer, last = {"role": "assistant", "content": "Hi"}, {"role": "user", "content": "1 + 1?"}
    row = map_row(Profile.PREWRAPPED, {**SCIENCE, "prompt": [system, first, answer, last]})
    assert row.messages[:3] == [system, first, answer]
    assert row.messages[3]["content"] == "1 + 1?\n\nLeave units out of the box."
    assert row.question == "Hello\n\n1 + 1?"
