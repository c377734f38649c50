"""Token truth over the chat templates of many model families (D4, D9, D11, D12; invariants 1-6 of the data model).

Stand-ins for tokenizers and templates; test_templates_real.py runs the same on the published files.
"""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast
from verl.utils.tokenizer.continuous_token import ContinuousTokenBuilder

from cleartrace_verl.token_builder import TemplateTokenBuilder, UnsupportedTemplate, require_round_trip, token_builder
from tests.verl.rollouts import Rolled
from tests.verl.templates.audit import BAD, FIXED, check, kept_turns, rerender, run, script
from tests.verl.templates.families import FAMILIES, REFUSED, Family, standin

families = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)
parallel = pytest.mark.parametrize(
    "family", [f for f in FAMILIES.values() if f.says.parallel], ids=lambda family: family.name
)
thinking = pytest.mark.parametrize(
    "family", [f for f in FAMILIES.values() if f.says.thinks], ids=lambda family: family.name
)


def statuses(rolled: Rolled) -> list[str]:
    return [c.status for c in rolled.record.tool_calls]


@families
def test_a_rollout_in_the_words_of_the_family_is_true_to_its_tokens(family: Family):
    rolled = run(family, script(family))
    check(family, rolled, standin(family.name))
    assert {"graft", "replace"} <= {repair.splice for repair in rolled.record.repairs}
    assert "format_error" in statuses(rolled)
    assert ("not_executed" in statuses(rolled)) is family.says.parallel
    answer = [turn.content for turn in kept_turns(family, rolled, standin(family.name))][-1]
    assert answer.endswith("Answer: \\boxed{3}"), "the token that ends a turn is not content"


@families
def test_failures_that_stay_are_answered_and_read_back(family: Family):
    says = family.says
    turns = [says.turn("Try.", [BAD]), says.thought("Hm.") + says.broken(), says.answer("No.")]
    rolled = run(family, turns, rollback=False)
    check(family, rolled, standin(family.name))
    assert statuses(rolled) == ["program_error", "format_error"]
    assert all(c.kept for c in rolled.record.tool_calls)
    assert "could not be read" in rolled.record.tool_calls[1].text


@families
def test_an_exhausted_failure_stays_with_its_hint(family: Family):
    turn = family.says.turn("Try.", [BAD])
    rolled = run(family, [turn] * 4 + [family.says.answer("No.")])
    check(family, rolled, standin(family.name))
    assert rolled.counters["exhausted"] == 1
    assert "4 attempts at this step" in standin(family.name).decode(rolled.output.response_ids)


@parallel
def test_both_errors_of_parallel_calls_are_shown(family: Family):
    """(D11)"""
    both = family.says.turn("Try.", [BAD, "bad_TypeError(1)"])
    fixed = family.says.turn("Again.", [FIXED, "print(4)"])
    rolled = run(family, [both, fixed, family.says.answer("3")])
    check(family, rolled, standin(family.name))
    shown = standin(family.name).decode(rolled.server.prompts[1])
    assert 0 < shown.index("NameError at line") < shown.index("TypeError at line")


@thinking
def test_a_call_in_a_thought_that_never_ends_is_no_call(family: Family):
    """(D4)"""
    opened = family.says.thought("Hm.").removesuffix(family.says.thinks[1]) + family.says.calls(["print(1)"])
    rolled = run(family, [opened])
    assert rolled.executed == [] and rolled.record.tool_calls == []
    check(family, rolled, standin(family.name))


@families
def test_a_call_cut_by_the_length_limit_ends_the_rollout_cleanly(family: Family):
    """(D9, D12)"""
    whole = family.says.turn("Long.", ["print(1)\n" * 40])
    size = len(family.speaker().encode(whole, standin(family.name).encode("?")))
    rolled = run(family, [whole], response_length=size - 30)
    assert statuses(rolled) == ["format_error"] and rolled.executed == []
    assert len(rolled.output.response_ids) == size - 30
    assert rolled.counters["skipped_budget"] == 1


@families
def test_a_call_in_the_last_turn_is_not_run(family: Family):
    turns = [family.says.turn("One.", ["print(1)"]), family.says.turn("Two.", ["print(2)"])]
    rolled = run(family, turns, max_assistant_turns=2)
    assert rolled.executed == ["print(1)"]
    assert len(rolled.server.prompts) == 2


SAME_WHEN_RENDERED = {
    "Qwen2.5", "Qwen3", "Qwen3.6", "Qwen3-Coder style", "Mistral, later", "GLM-4.5",
}  # fmt: skip


@families
def test_the_template_renders_the_conversation_with_other_tokens_in_some_families_only(family: Family):
    """Where it does, training on messages would train on tokens the model never sampled or saw."""
    rolled = run(family, script(family))
    difference = rerender(family, rolled, standin(family.name))
    assert (difference == "") is (family.name in SAME_WHEN_RENDERED), difference


@pytest.mark.parametrize("name", REFUSED)
def test_a_template_that_cannot_show_tool_answers_is_refused(name):
    with pytest.raises(UnsupportedTemplate, match="cannot show 2 tool answer.*custom_chat_template.*token_family"):
        run(REFUSED[name], [REFUSED[name].says.answer("3")])


def test_the_newline_of_a_template_stands_between_turns_without_naming_a_family():
    tokenizer = standin("SmolLM2")
    builder = token_builder(ContinuousTokenBuilder(tokenizer), None)
    assert isinstance(builder, TemplateTokenBuilder)
    assert tokenizer.decode([builder.turn_end, *builder.separator]) == "<|im_end|>\n"
    rolled = run(FAMILIES["SmolLM2"], [FAMILIES["SmolLM2"].says.turn("", ["print(1)"]), "3"])
    assert "</tool_call><|im_end|>\n<|im_start|>tool\nTool call success" in tokenizer.decode(rolled.output.response_ids)


def test_one_builder_serves_all_rollouts_of_a_process():
    tokenizer = standin("SmolLM2")
    assert token_builder(ContinuousTokenBuilder(tokenizer), None) is token_builder(
        ContinuousTokenBuilder(tokenizer), None
    )


def test_glm_keeps_the_sampled_token_that_is_also_the_start_of_the_answer():
    family = FAMILIES["GLM-4.5"]
    rolled = run(family, [family.says.turn("One.", ["print(1)"]), family.says.answer("3")])
    text = standin("GLM-4.5").decode(rolled.output.response_ids)
    assert text.count("<|observation|>") == 1
    call = next(s for s in rolled.record.segments if s.kind == "assistant_call")
    assert call.pieces[-1] == "<|observation|>" and call.loss


def test_a_call_id_of_the_model_is_the_id_of_the_answer():
    family = FAMILIES["Mistral Nemo"]
    rolled = run(family, [family.says.turn("", ["print(1)", "print(2)"]), "3"])
    text = standin("Mistral Nemo").decode(rolled.output.response_ids)
    assert text.index('"call_id": "Abc123xyz"') < text.index('"call_id": "Def456uvw"')


def test_gpt_oss_names_the_tool_in_the_answer_to_an_unreadable_call():
    family = FAMILIES["gpt-oss"]
    turns = [family.says.thought("Hm.") + family.says.broken(), family.says.answer("3")]
    rolled = run(family, turns, rollback=False)
    assert "<|start|>functions.code_interpreter to=assistant" in standin("gpt-oss").decode(rolled.output.response_ids)


def test_a_tokenizer_that_loses_blanks_is_refused():
    lossy = Tokenizer(models.WordLevel({"[UNK]": 0, "two": 1, "words": 2}, unk_token="[UNK]"))
    lossy.pre_tokenizer = pre_tokenizers.Whitespace()
    with pytest.raises(UnsupportedTemplate, match="turns 'two words.*PreTrainedTokenizerFast"):
        require_round_trip(PreTrainedTokenizerFast(tokenizer_object=lossy, unk_token="[UNK]"))
