"""Prompts are composed per call: every feature in every mode, each part once (R10, R11, R15, A13)."""

import json
import re
from dataclasses import replace
from itertools import product

import pytest

from cleartrace.context.playbook.types import Entry, Playbook
from cleartrace.learn.facts import Facts
from cleartrace.learn.prompts import version
from cleartrace.learn.reflect.prompt import Features, reflection_prompt
from cleartrace.learn.reflect.reply import reply_model
from cleartrace.learn.reflect.runs import Budget
from cleartrace.learn.reflect.tasks import runs_of
from cleartrace.learn.shell import Limits
from cleartrace.learn.shell.runs import RunShell
from tests.learn.samples import FACTS, PLAYBOOK, signal

HEADINGS = {
    "auxiliary": "# Attribution of the failure",
    "dual": "# Probe runs",
    "grouped": "# Several runs of one task",
    "batched": "# Several tasks at once",
    "instructions": "# What the agent shows in tags",
    "shell": "# Reading the runs",
}


def prompt(features: Features, signals, playbook: Playbook = PLAYBOOK, facts: Facts = FACTS):
    return reflection_prompt(facts, features, Budget(), signals, playbook)


RUN = re.compile(r"<run .*?</run>|^Run [\w ]+: its files are in run-\d+/$", re.DOTALL | re.MULTILINE)


def shell_prompt(features: Features, signals):
    with RunShell(runs_of(signals), Limits(calls=7)) as shell:
        return reflection_prompt(FACTS, features, Budget(), signals, PLAYBOOK, shell)


@pytest.mark.parametrize(
    "auxiliary, dual, grouped, batched, shell, probes",
    list(product(*[[False, True]] * 5, ["", "rich"])),
)
def test_r10_a13_each_feature_is_in_each_mode_exactly_once(auxiliary, dual, grouped, batched, shell, probes):
    signals = [signal(f"t{n}", *([0.0, 1.0] if grouped else [0.5]), probe=dual) for n in range(3 if batched else 1)]
    features = Features(auxiliary=auxiliary, batched=batched, dual=dual, probes=probes)
    text = shell_prompt(features, signals) if shell else prompt(features, signals)
    on = {"auxiliary": auxiliary, "dual": dual, "grouped": grouped, "batched": batched, "instructions": dual or probes}
    on["shell"] = shell
    for name, heading in HEADINGS.items():
        assert text.system.count(heading) == bool(on[name]), name
    assert text.system.count('"failure_type"') == auxiliary
    assert text.system.count('"patterns"') == batched
    runs = len(signals) * (1 + grouped + dual)
    assert text.user.count("Run probe: " if shell else 'name="probe"') == len(signals) * dual
    assert (text.user.count("<run "), text.user.count(": its files are in run-")) == ((0, runs) if shell else (runs, 0))
    assert text.user.count("<judgement>") == runs


def test_a13_a_shell_changes_where_the_runs_are_and_nothing_else():
    """Above all it shows no more of how they were judged."""
    signals = [signal("t1", 0.0, 1.0, probe=True), signal("t2")]
    whole = prompt(Features(dual=True, batched=True), signals)
    named = shell_prompt(Features(dual=True, batched=True), signals)
    bare = [RUN.sub("", text) for text in (whole.user, named.user)]
    assert bare[0] == bare[1] and "score: 100 %" in bare[0]
    assert [line[-6:] for line in named.user.splitlines() if "its files are" in line] == [
        "run-1/", "run-2/", "run-3/", "run-4/",
    ]  # fmt: skip
    assert "You may make 7 calls" in named.system


def test_r11_building_twice_gives_the_same_prompt():
    features, signals = (
        Features(auxiliary=True, batched=True, dual=True),
        [signal("t1", 0.0, 1.0, probe=True), signal("t2")],
    )
    first = prompt(features, signals)
    assert prompt(features, signals) == first
    assert first.system.count("<playbook_cite>") == 1


def test_r15_braces_in_every_free_text_survive():
    odd = "{x} {{ y }} {% if z %} {0} %s"
    facts = Facts(f"shop {odd}", f"Sells {odd}.", {"pay": f"charge {odd}"})
    book = Playbook(entries=(Entry(id="e1", section="pay", text=f"Use {odd}."),))
    one = signal()
    episode = one.episodes[0]
    outcome = episode.outcome.model_copy(update={"feedback": f"wanted {odd}"})
    steps = tuple(step.model_copy(update={"text": f"saw {odd}"}) for step in episode.trajectory.steps)
    changed = episode.model_copy(
        update={"outcome": outcome, "trajectory": episode.trajectory.model_copy(update={"steps": steps})}
    )
    asked = one.task.model_copy(update={"input": f"sell {odd}"})
    text = prompt(Features(), [one.model_copy(update={"episodes": (changed,), "task": asked})], book, facts)
    assert text.system.count(odd) == 3
    for start in ("Use", "wanted", "saw", "sell"):
        assert f"{start} {odd}" in text.user


def test_runs_of_a_group_stand_in_ascending_order():
    text = prompt(Features(), [signal("t1", 1.0, 0.0, 0.67)]).user
    assert [line for line in text.splitlines() if line.startswith("score:")] == [
        "score: 0 %",
        "score: 67 %",
        "score: 100 %",
    ]


def test_the_instructions_of_the_set_in_force_are_explained_and_no_others():
    text = prompt(Features(probes="minimal"), [signal()]).system
    assert "<playbook_cite>" in text and "<uncertainty>" not in text and "<missing_guidance>" not in text


def test_the_system_message_does_not_depend_on_the_tasks():
    """It comes first and is what an endpoint can cache."""
    features = Features(auxiliary=True)
    assert prompt(features, [signal("t1")]).system == prompt(features, [signal("t2")]).system


def test_a_probe_without_dual_is_refused():
    with pytest.raises(ValueError, match="t1 come with probe runs"):
        prompt(Features(), [signal("t1", probe=True)])


def test_an_unknown_set_of_instructions_is_refused():
    with pytest.raises(ValueError, match="there are minimal"):
        Features(probes="rch")


def test_rule_20_the_hash_names_family_version_and_text():
    plain = prompt(Features(), [signal("t1")])
    other = prompt(replace(Features(), auxiliary=True), [signal("t1")])
    family, files, text = plain.hash.split(":")
    assert (family, files) == ("reflect", version("reflect"))
    assert other.hash.split(":")[1] == files and other.hash.split(":")[2] != text


def test_an_empty_playbook_is_named_empty():
    assert "(empty: no entries yet)" in prompt(Features(), [signal()], Playbook()).user


def test_the_whole_prompt_keeps_its_total_of_bytes():
    """The traces of many long runs share one budget."""
    long = signal("t1", 0.0)
    episode = long.episodes[0]
    steps = tuple(step.model_copy(update={"text": "y" * 50_000}) for step in episode.trajectory.steps * 50)
    changed = episode.model_copy(update={"trajectory": episode.trajectory.model_copy(update={"steps": steps})})
    signals = [long.model_copy(update={"episodes": (changed,) * 8})]
    text = reflection_prompt(FACTS, Features(), Budget(total_bytes=40_000), signals, PLAYBOOK).user
    assert len(text.encode()) < 44_000


@pytest.mark.parametrize("auxiliary, batched", list(product([False, True], repeat=2)))
def test_the_schema_invites_no_other_fields(auxiliary, batched):
    schema = json.dumps(reply_model(auxiliary, batched).model_json_schema())
    assert schema.count('"type": "object"') == schema.count('"additionalProperties": false') >= 2
