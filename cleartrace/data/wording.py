"""The sentences that prompts are made of. Our own words; `--wording FILE` replaces any of them."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from cleartrace.data.errors import DataError, column_errors


class Wording(BaseModel):
    """One field per sentence. A field set to "" leaves its sentence out.

    `{domain}` in `reason_in_domain` and `{name}` in `call` are filled in; no other field is a format string.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    reason: str = "Solve the following problem step by step."
    reason_in_domain: str = "Solve the following problem from the field of {domain} step by step."
    tool: str = (
        "The code_interpreter tool runs Python programs: use it for exact computation and to check your results."
    )
    plan: str = "Think of a plan first, and call the tool after that."
    finish: str = "When you are sure, stop calling the tool and put the final answer inside \\boxed{}."
    finish_notool: str = "Put the final answer inside \\boxed{}."
    choice: str = "The box holds one upper-case letter: that of the option you choose."
    units: str = "Leave units out of the box."
    program: str = "Write a Python program that solves the following problem."
    stdin: str = "The program reads from standard input and writes to standard output."
    call: str = "The tests call {name} with the arguments and look at what it returns."
    check: str = "You may run the program with the code_interpreter tool before you hand it in."
    fence: str = "Hand in the complete program last, in one block like this:\n\n```python\n# the program\n```"


def load_wording(path: Path | None) -> Wording:
    """Our wording, with the sentences of a YAML file in place of those it names.

    Errors: `DataError` for a file that is no mapping of known names to text.
    """
    if path is None:
        return Wording()
    import yaml

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise DataError(path, f"cannot be read as YAML ({error})") from None
    try:
        return Wording.model_validate(values)
    except ValidationError as error:
        name, message = column_errors(error)[0]
        known = ", ".join(Wording.model_fields)
        raise DataError(path, f"{message}; the known names are {known}", column=name) from None
