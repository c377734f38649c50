"""Reading calls in every format, and running them (D4, D9). Nothing is repaired, and nothing makes a reader hang."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast
from verl.experimental.agent_loop.tool_parser import ToolParser
from verl.tools.function_tool import FunctionTool
from verl.tools.schemas import OpenAIFunctionToolSchema, ToolResponse

from cleartrace.tools.result import ToolStatus
from cleartrace_verl.formats import FORMATS, WrittenCall, call_format
from cleartrace_verl.token_text import TokenBytes
from cleartrace_verl.tool_calls import execute_call, source_of
from cleartrace_verl.tool_parsers import call_parser
from tests.verl.rollouts import interpreter, run_program, tokenizer
from tests.verl.templates.families import FAMILIES, Family, standin

families = pytest.mark.parametrize("family", FAMILIES.values(), ids=lambda family: family.name)


def codes(calls: tuple[WrittenCall, ...]) -> list[Any]:
    return [(call.arguments or {}).get("code") for call in calls]


@families
@pytest.mark.parametrize(
    "code", ["print(1)", "print('naïve 数 🙂', \"q\", '\\\\n')", "if x:\n    pass\n\n\nprint( 1 )"]
)
def test_a_program_is_read_exactly_as_written(family: Family, code: str):
    (call,) = FORMATS[family.format].calls(family.says.turn("Hm.", [code]) + family.ends[-1])
    assert (call.error, call.name, codes((call,))) == (None, "code_interpreter", [code])
    assert source_of(call) == code


@families
def test_calls_of_one_turn_are_read_in_order(family: Family):
    written = ["print(1)", "print(2)", "print(3)"] if family.says.parallel else ["print(1)"]
    calls = FORMATS[family.format].calls(family.says.turn("Hm.", written) + family.ends[-1])
    assert codes(calls) == written
    assert [call.start for call in calls] == sorted(call.start for call in calls)


HERMES = {
    "no JSON": ('{"name": "t", "arguments": print}', "not JSON: Expecting value"),
    "single quotes": ("{'name': 't', 'arguments': {}}", "not JSON: Expecting property name enclosed in double quotes"),
    "two objects": ('{"name": "t", "arguments": {}} {"name": "t", "arguments": {}}', "two JSON objects"),
    "cut": ('{"name": "t", "arguments": {"code": "pri', "not JSON: Invalid control character at character 41"),
    "no arguments": ('{"name": "t"}', "'arguments' is missing"),
    "arguments as text": ('{"name": "t", "arguments": "{}"}', "must be a JSON object, not str"),
    "no name": ('{"arguments": {}}', "one JSON object with 'name'"),
    "a list": ("[1]", "one JSON object with 'name'"),
    "line break in a string": ('{"name": "t", "arguments": {"code": "a\nb"}}', "not JSON: Invalid control character"),
    "deep": ("[" * 100_000, "nested too deeply"),
}


@pytest.mark.parametrize(("body", "reason"), HERMES.values(), ids=HERMES.keys())
def test_a_malformed_call_says_what_is_wrong(body, reason):
    """(D9)"""
    (call,) = FORMATS["hermes"].calls(f"Hm. <tool_call>\n{body}\n</tool_call><|im_end|>")
    assert call.error and reason in call.error
    assert source_of(call).startswith("<tool_call>")


def test_a_call_without_its_end_is_malformed():
    (call,) = FORMATS["hermes"].calls('<tool_call>\n{"name": "t", "arguments": {}}<|im_end|>')
    assert call.error == "</tool_call> is missing behind the arguments"


def test_an_unreadable_call_does_not_swallow_the_next():
    good = '<tool_call>\n{"name": "t", "arguments": {"code": "1"}}\n</tool_call>'
    for bad in ("<tool_call>{bad}</tool_call>\n", "<tool_call>{bad\n"):
        calls = FORMATS["hermes"].calls(bad + good)
        assert [call.error is None for call in calls] == [False, True]
        assert calls[1].text == good


OTHERS = [
    ("qwen3_coder", "<tool_call>\ncode_interpreter\n</tool_call>", "<function=name> is missing"),
    ("qwen3_coder", "<tool_call>\n<function=t\n<parameter=code>\n1\n</parameter>", "<function=name> is not closed"),
    (
        "qwen3_coder",
        "<tool_call>\n<function=t>\n<parameter=code>\n1\n</parameter>\n</tool_call>",
        "</function> is miss",
    ),
    ("glm", "<tool_call>t\n<arg_key>code</arg_key>\n", "</tool_call> is missing"),
    ("glm", '<tool_call>{"name": "t"}</tool_call>', "expected the tool's name"),
    ("llama3_json", '{"name": "t", "parameters": {}} {"name": "t"}', "side by side"),
    ("llama3_json", "{'name': 't'}", "double quotes"),
    ("llama3_json", "<|python_tag|>print(1)", "not JSON"),
    ("mistral", '[TOOL_CALLS][{"name": "t", "arguments": {}}', "not JSON"),
    ("mistral", "[TOOL_CALLS]t{}", "[ARGS] is missing"),
    ("mistral", "[TOOL_CALLS][]", "a JSON list of calls"),
    ("deepseek_v3", "<｜tool▁call▁begin｜>function<｜tool▁sep｜>t\n{}", "```json is missing"),
    ("deepseek_v3", "<｜tool▁call▁begin｜>t", "<｜tool▁sep｜> is missing"),
    ("phi4_mini", "<|tool_call|>[]<|/tool_call|>", "a JSON list of calls"),
    ("gpt-oss", "<|channel|>commentary to=functions.t<|message|>{}<|end|>", "<|call|> is missing"),
    ("gpt-oss", "<|channel|>commentary to=functions.t <|constrain|>json<|message|>{} {}<|call|>", "something stands"),
    ("gpt-oss", "<|channel|>commentary to=functions.t <|constrain|>json", "<|message|> and the arguments"),
    ("gpt-oss", "<|channel|>commentary to=functions.t<|message|>[]<|call|>", "must be a JSON object, not list"),
]


@pytest.mark.parametrize(("name", "text", "reason"), OTHERS)
def test_every_format_says_what_is_wrong(name, text, reason):
    """(D9)"""
    (call,) = FORMATS[name].calls(text)
    assert call.error and reason in call.error


VARIANTS = [
    ("qwen3_coder", "<function=t>\n<parameter=code>\n1\n</parameter>\n</function>"),
    ("llama3_json", '<|python_tag|>{"name": "t", "parameters": {"code": "1"}}<|eom_id|>'),
    ("mistral", '[TOOL_CALLS]t[CALL_ID]abcdefghi[ARGS]{"code": "1"}</s>'),
    ("deepseek_v3", '<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>t<｜tool▁sep｜>{"code": "1"}<｜tool▁call▁end｜>'),
    ("gpt-oss", ' to=functions.t<|channel|>commentary json<|message|>{"code": "1"}<|call|>'),
    ("phi4_mini", '<|tool_call|>[{"name": "t", "arguments": {"code": "1"}}]<|/tool_call|>'),
]


@pytest.mark.parametrize(("name", "text"), VARIANTS)
def test_the_other_spelling_of_a_format_is_read_too(name, text):
    (call,) = FORMATS[name].calls(text)
    assert (call.error, call.name, call.arguments) == (None, "t", {"code": "1"})


def test_an_answer_with_braces_is_no_call_for_llama():
    for text in ("The set is {1, 2}.", "{1, 2}", "f = {x}", 'So {"name": 1}'):
        assert FORMATS["llama3_json"].calls(text) == ()


def test_a_message_to_the_user_or_a_thought_is_no_call_for_gpt_oss():
    text = "<|channel|>analysis<|message|>call to=functions.t?<|end|><|start|>assistant<|channel|>final<|message|>3"
    assert FORMATS["gpt-oss"].calls(text) == ()


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_no_text_stops_or_breaks_a_reader(name, data):
    pieces = [
        "<tool_call>",
        "</tool_call>",
        "<think>",
        "</think>",
        "<function=",
        ">",
        "{",
        "}",
        '"',
        "'",
        "[",
        "]",
        " ",
    ]
    pieces += [family.says.calls(["x"]) for family in FAMILIES.values() if family.format == name]
    pieces += [text for family in FAMILIES.values() if family.format == name for text in family.special + family.added]
    text = "".join(data.draw(st.lists(st.sampled_from(pieces) | st.text(max_size=3), max_size=12)))
    for call in FORMATS[name].calls(text, in_thought=data.draw(st.booleans())):
        assert (call.error is None) == (call.arguments is not None)
        assert text[call.start : call.start + len(call.text)] == call.text


@pytest.mark.parametrize("name", FORMATS)
def test_d4_an_8k_token_turn_takes_under_5_ms(name):
    family = next(family for family in FAMILIES.values() if family.format == name)
    ids = standin(family.name).encode("word by word, " * 3000)[:8000]
    ids += standin(family.name).encode(family.says.turn("Hm.", ["print(1)"]) if name != "llama3_json" else "!")
    parser = call_parser(standin(family.name), name)
    parser.read(ids)
    times = []
    for _ in range(7):
        begin = time.process_time()
        parser.read(ids)
        times.append(time.process_time() - begin)
    assert min(times) < 0.005


def test_the_boundary_does_not_depend_on_how_the_marker_was_tokenised():
    """(D4) A model may spell a marker in tokens that encoding the text would not give."""
    small = standin("SmolLM2")
    parser = call_parser(small, "hermes")
    body = '\n{"name": "t", "arguments": {"code": "1"}}\n</tool_call>'
    spelled = [i for c in "So <tool_call>" for i in small.encode(c)] + small.encode(body)
    usual = small.encode("So <tool_call>" + body)
    assert spelled != usual
    for ids in (spelled, usual):
        read = parser.read(ids)
        assert read.boundary is not None and codes(read.calls) == ["1"]
        assert "<tool_call>" not in small.decode(ids[: read.boundary])
        assert small.decode(ids[read.boundary :]).lstrip().startswith("<tool_call>")


def sentencepiece() -> Any:
    """A SentencePiece-style vocabulary: a block for each blank, bytes for what it lacks."""
    texts = ["<unk>", "</s>", "\u2581", "\u2581a", "b", "<tool_call>", "</tool_call>"]
    vocabulary = {text: i for i, text in enumerate([*texts, *(f"<0x{b:02X}>" for b in range(256))])}
    model = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True))
    model.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()])
    return PreTrainedTokenizerFast(tokenizer_object=model, eos_token="</s>", unk_token="<unk>")


def test_bytes_of_a_sentencepiece_vocabulary():
    small = sentencepiece()
    ids = small.convert_tokens_to_ids(["\u2581a", "b", "<0xC3>", "<0xA9>", "\u2581", "<tool_call>"])
    assert TokenBytes(small).turn(ids).text == " abé <tool_call>"
    with pytest.raises(ValueError, match="not in the tokenizer's vocabulary"):
        TokenBytes(small).turn([10_000])


@families
def test_bytes_are_the_text_the_tokenizer_decodes(family: Family):
    small = standin(family.name)
    text = family.says.turn("naïve 数 🙂 , . !", ["print( 1 )"]) + family.ends[-1]
    assert TokenBytes(small).turn(small.encode(text)).text == text


def test_a_thought_that_the_prompt_opened():
    """(D4) `<think>` is in the prompt, so it is not among the sampled tokens."""
    small = standin("DeepSeek-R1")
    parser = call_parser(small, "deepseek_v3", {"thinking": True})
    prompt = small.apply_chat_template([{"role": "user", "content": "?"}], add_generation_prompt=True, thinking=True)
    prompt = prompt["input_ids"] if not isinstance(prompt, list) else prompt
    call = FAMILIES["DeepSeek-R1"].says.calls(["1"])
    open_thought = small.encode(f"Perhaps {call}")
    assert parser.read(open_thought, prompt_ids=prompt).boundary is None
    closed = small.encode(f"Perhaps {call}</think>{call}")
    assert codes(parser.read(closed, prompt_ids=prompt).calls) == ["1"]
    shown = small.encode("<think>\n<｜tool▁outputs▁end｜>")
    assert len(parser.read(open_thought, prompt_ids=shown).calls) == 1


def test_formats_without_a_parser_in_verl_are_registered_and_its_own_are_left_alone():
    for name in ("llama3_json", "mistral", "deepseek_v3", "phi4_mini"):
        parser = ToolParser.get_tool_parser(name, standin("Qwen3"))
        assert type(parser).__module__ == "cleartrace_verl.tool_parsers"
    for name in ("hermes", "gpt-oss", "qwen3_coder", "glm"):
        assert ToolParser._registry[name].__module__ == "verl.experimental.agent_loop.tool_parser"


def test_the_registered_parser_speaks_verls_interface():
    small = standin("Llama 3.1")
    parser = ToolParser.get_tool_parser("llama3_json", small)
    text = '{"name": "t", "parameters": {"code": "1"}}; {"name": "u", "parameters": {}}<|eot_id|>'
    content, calls = asyncio.run(parser.extract_tool_calls(small.encode(text)))
    assert (content, [(call.name, json.loads(call.arguments)) for call in calls]) == (
        "",
        [("t", {"code": "1"}), ("u", {})],
    )
    assert parser.stop_token_ids == sorted(small.convert_tokens_to_ids(["<|eom_id|>", "<|eot_id|>"]))


def test_an_unknown_format_names_the_known_ones():
    with pytest.raises(ValueError, match=r"'yaml' is not a call format.*deepseek_v3.*qwen3_coder"):
        call_format("yaml")
    with pytest.raises(ValueError, match="not a call format"):
        call_parser(tokenizer(), "yaml")


def execute(call: WrittenCall, tools: list[FunctionTool] | None = None):
    tools = tools or [interpreter(run_program, [])]
    return asyncio.run(execute_call({tool.name: tool for tool in tools}, call))


def test_a_lone_surrogate_is_the_models_error_and_not_the_tools():
    """(D7, D9)"""
    text = '<tool_call>{"name": "code_interpreter", "arguments": {"code": "print(\'\\ud800\')"}}</tool_call>'
    (call,) = FORMATS["hermes"].calls(text)
    result = execute(call)
    assert result.status is ToolStatus.FORMAT_ERROR and "not Unicode" in result.stderr


def test_an_unreadable_call_tells_the_model_the_reason():
    result = execute(WrittenCall(0, "<tool_call>", error="it is not JSON"))
    assert (result.status, result.stderr) == (
        ToolStatus.FORMAT_ERROR,
        "The tool call could not be read: it is not JSON.",
    )


def adder(seen: list[Any]) -> FunctionTool:
    async def add(count: int, flag: bool) -> ToolResponse:
        seen.append((count, flag))
        return ToolResponse(text=str(count))

    kinds = {"count": {"type": "integer", "description": ""}, "flag": {"type": "boolean", "description": ""}}
    parameters = {"type": "object", "properties": kinds, "required": ["count", "flag"]}
    function = {"name": "add", "description": "", "parameters": parameters}
    schema = OpenAIFunctionToolSchema.model_validate({"type": "function", "function": function})
    return FunctionTool("add", add, schema, is_async=True)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("glm", "<tool_call>add\n<arg_key>count</arg_key><arg_value>3</arg_value><arg_key>flag</arg_key>"
                "<arg_value>true</arg_value></tool_call>"),
        ("qwen3_coder", "<tool_call><function=add><parameter=count>\n3\n</parameter><parameter=flag>\ntrue\n"
                        "</parameter></function></tool_call>"),
    ],
)  # fmt: skip
def test_formats_that_write_text_are_read_by_the_tools_schema(name, text):
    seen: list[Any] = []
    (call,) = FORMATS[name].calls(text)
    assert execute(call, [adder(seen)]).status is ToolStatus.OK
    assert seen == [(3, True)]
