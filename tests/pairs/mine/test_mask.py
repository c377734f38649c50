"""Stage 5: nothing of a patch survives in a context, in whatever form it was printed."""

import html
import json
import shlex
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cleartrace.pairs.mine.trajectories import mask as m
from cleartrace.pairs.mine.trajectories.commands import is_edit, replace_edits
from cleartrace.pairs.record import Message

NAMES = st.from_regex(r"[a-z_][a-z0-9_]{2,8}", fullmatch=True)
ATOMS = st.one_of(NAMES, st.integers(0, 99).map(str), st.sampled_from(["'a b'", '"c"', r'"\n"', "x[1:]", "été", "{}"]))
OPERATORS = st.sampled_from([" + ", " - ", " < ", " >= ", " and ", " % ", "&", "."])


@st.composite
def code_lines(draw: st.DrawFn) -> str:
    parts = draw(st.lists(ATOMS, min_size=2, max_size=5))
    body = parts[0]
    for part in parts[1:]:
        body += draw(OPERATORS) + part
    form = draw(st.sampled_from(["return {}", "if {}:", "value = {}", "call({})  # note", "x['k'] = ({})"]))
    return form.format(body) if form == "{}" else form.replace("{}", body, 1)


# How the line might be printed again. Each gives text in which the line, seen through quoting, still stands.
FORMS = {
    "as it is": lambda line: line,
    "re-indented": lambda line: textwrap.indent(line, " " * 12),
    "tabs": lambda line: "\t\t" + line,
    "diff sign": lambda line: "+" + line,
    "numbered": lambda line: f"    41\t{line}",
    "grep": lambda line: f"pkg/mod.py:41:{line}",
    "json": lambda line: json.dumps({"new_str": f"def f():\n    {line}\n"}),
    "json twice": lambda line: json.dumps(json.dumps("a = 1\n" + line)),
    "json, no ascii": lambda line: json.dumps(line, ensure_ascii=False),
    "repr": lambda line: repr("\t" + line),
    "ascii": lambda line: ascii(line),
    "html": lambda line: f"<pre>{html.escape(line)}</pre>",
    "html of json": lambda line: html.escape(json.dumps(line)),
    "shell": lambda line: "python -c " + shlex.quote(line),
    "sed": lambda line: "s/old/" + line.replace("/", r"\/").replace("&", r"\&").replace("[", r"\[") + "/",
    "double quotes": lambda line: '"' + line.replace("\\", "\\\\").replace('"', '\\"').replace("$", "\\$") + '"',
    "prose": lambda line: f"I will write `{line}` there.",
    "wrapped": lambda line: line[: len(line) // 2] + "\n        " + line[len(line) // 2 :],
    "spaced out": lambda line: line.replace(" ", "   "),
}


def squeezed(text: str) -> str:
    """The test's own view: letters and digits of the plain text, nothing decoded."""
    return "".join(c for c in text if c.isalnum())


@settings(max_examples=200, deadline=None)
@given(
    lines=st.lists(code_lines(), min_size=1, max_size=4),
    forms=st.lists(st.sampled_from(sorted(FORMS)), min_size=1, max_size=6),
    role=st.sampled_from(["assistant", "user", "tool"]),
)
def test_no_added_line_survives_in_any_form(lines, forms, role):
    needles = m.Needles.of(lines)
    printed = [FORMS[form](line) for form in forms for line in lines]
    text = "\n".join(["before = 0", *printed, "after = 1"])
    cleaned = m.mask([Message(role=role, content=text)], needles)
    left = cleaned.messages[0].content
    assert not m.leaks(cleaned.messages, needles)
    for line in (line for line in lines if len(line.strip()) >= m.MIN_LINE):
        assert line.strip() not in left
        assert all(one not in left for form in forms for one in [FORMS[form](line)])
        assert squeezed(line) not in squeezed(left)
    assert left.split("\n")[0] == "before = 0"
    assert left.split("\n")[-1] == "after = 1"


@settings(max_examples=60, deadline=None)
@given(line=code_lines(), form=st.sampled_from(sorted(FORMS)))
def test_a_leak_is_seen_before_masking(line, form):
    """The check that rejects pairs is not blind: it finds what the masker would hide."""
    message = Message(role="user", content=f"one\n{FORMS[form](line)}\ntwo")
    if len(line) >= m.MIN_LINE:
        assert m.leaks([message], m.Needles.of([line]))


def test_short_lines_hide_whole_lines_only():
    needles = m.Needles.of(["i += step", "else:", "pass"])
    text = "  12\ti += step\nwhile i += step2\nelse:\n    pass\n+    i += step"
    assert m.hide_lines(text, needles) == (f"{m.LINES}\nwhile i += step2\nelse:\n    pass\n{m.LINES}", 2)


def test_lines_of_punctuation_are_found_too():
    needles = m.Needles.of(["}), [(), ()], {}"])
    assert m.hide_lines("a\n    }),[(), ()],\\{}\nb", needles)[0] == f"a\n{m.LINES}\nb"


def test_a_line_that_is_the_placeholder_is_refused_and_not_looped_on():
    needles = m.Needles.of(["lines hidden"])
    with pytest.raises(m.LeakError):
        m.hide_lines("lines hidden", needles)


def test_printed_diffs_go_whole_and_text_around_them_stays():
    text = "$ git diff\ndiff --git a/f b/f\n--- a/f\n+++ b/f\n@@ -1 +1 @@\n-x\n+y\n</output>"
    assert m.hide_diffs(text) == (f"$ git diff\n{m.DIFF}\n</output>", 1)


@pytest.mark.parametrize(
    "command",
    [
        "sed -i 's/a/b/' f.py",
        "sed -E -i.bak 's/a/b/' f.py",
        "sed --in-place 's/a/b/' f.py",
        "perl -pi -e 's/a/b/' f.py",
        "cat <<'EOF' > f.py\nx = 1\nEOF",
        "cat > f.py <<EOF\nx = 1\nEOF",
        "python - <<'PY'\nfrom pathlib import Path\nPath('f').write_text('x')\nPY",
        "python -c \"open('f.py', 'w').write('x')\"",
        "apply_patch <<'EOF'\n*** Begin Patch\nEOF",
        "git apply fix.patch",
        "patch -p1 < fix.patch",
        "python edit_via_str_replace f.py 'a' 'b'",
        "echo 'x = 1' >> f.py",
        "printf 'x' > f.py",
        "grep a f | tee g",
    ],
)
def test_commands_that_write_files(command):
    assert is_edit(command)
    assert replace_edits(f"I mend it.\n```bash\n{command}\n```", m.EDIT) == (f"I mend it.\n```bash\n{m.EDIT}\n```", 1)


@pytest.mark.parametrize(
    "command",
    [
        "sed -n '1,20p' f.py",
        "grep -rn 'x > 3' pkg",
        "python -m pytest -q 2>&1 | tail -5",
        "cat f.py",
        "python -c 'print(1 if 2 >= 1 else 0)'",
        "ls > /dev/null",
        "find . -name '*.py' 2>/dev/null",
        "git diff --cached",
    ],
)
def test_commands_that_only_look(command):
    assert not is_edit(command)


def test_calls_of_other_agents():
    values = "<parameter=command>str_replace</parameter>\n<parameter=new_str>x</parameter>"
    xml = f"<function=str_replace_editor>\n{values}\n</function>"
    assert replace_edits(f"So:\n{xml}", m.EDIT) == (f"So:\n{m.EDIT}", 1)
    view = xml.replace("str_replace<", "view<")
    assert replace_edits(view, m.EDIT) == (view, 0)
    assert replace_edits("edit 3:4\n    x = 1\nend_of_edit\nok", m.EDIT) == (f"{m.EDIT}\nok", 1)
