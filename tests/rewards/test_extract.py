"""D46: the program is the last Python fence after the last thought, however the fence is written."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cleartrace.rewards.code.extract import last_program


@pytest.mark.parametrize(
    "fence",
    [
        "```python",
        "```py",
        "```Python",
        "```PYTHON3",
        "``` python",
        "```python  ",
        "~~~python",
        "````python",
        "  ```py",
    ],
)
def test_d46_every_usual_fence_is_found(fence):
    marks = fence.strip()[0] * (fence.count("`") or 3)
    assert last_program(f"Here it is.\n{fence}\nprint(1)\n{marks}\nDone.") == "print(1)\n"


@pytest.mark.parametrize(
    ("text", "program"),
    [
        ("```python\n1\n```\n```python\n2\n```", "2\n"),
        ("```python\n1\n```\nOutput:\n```\n2\n```", "1\n"),
        ("```\n1\n```\n```\n2\n```", "2\n"),
        ("```cpp\nint x;\n```", None),
        ("```python title=x.py\n1\n```", "1\n"),
        ("Answer: ```python\n1\n```", "1\n"),
        ("```python\r\n1\r\n```\r\n", "1\r\n"),
        ("```python\nprint(1)```", "print(1)\n"),
        ("````python\ns = '''\n```\n'''\n````", "s = '''\n```\n'''\n"),
        ("Use `x` and ```python x``` inline.", None),
        ("```python\n\n```", None),
        ("1. So:\n   ```python\n   if x:\n       y\n   ```\n", "if x:\n    y\n"),
        ("```python\n    ``\n1\n```", "    ``\n1\n"),
        ("no program", None),
        ("", None),
        ("```", None),
    ],
)
def test_which_block_is_the_answer(text, program):
    assert last_program(text) == program


def test_a_block_that_is_open_at_the_end_is_taken_and_no_earlier_one():
    assert last_program("```python\n1\n```\nno:\n```python\n2") == "2"


def test_a_block_that_was_never_closed_does_not_swallow_the_next():
    assert last_program("```python\n1\nWait, better:\n```python\n2\n```\n") == "2\n"


def test_d46_with_several_thoughts_only_what_follows_the_last_counts():
    text = "<think>```python\n1\n```</think>```python\n2\n```<think>hm</think>\n```python\n3\n```"
    assert last_program(text) == "3\n"
    assert last_program("```python\n1\n```<think>no</think>nothing") is None


@given(st.text(alphabet="`~ \npy\ud800\0ab", max_size=300))
def test_any_text_has_a_program_or_none(text):
    found = last_program(text)
    assert found is None or found.strip()


@pytest.mark.parametrize(
    "text",
    ["`" * 1_000_000, "`" * 1_000_000 + "!", "```" + " " * 1_000_000 + "!", "```py\n" * 50_000, "~~~`" * 250_000],
)
def test_megabytes_take_a_moment(text):
    start = time.process_time()
    last_program(text)
    assert time.process_time() - start < 2
