"""The command line of a settings model: one option for each field, documented where the field is."""

from __future__ import annotations

import inspect
import types
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Annotated, Any, Union, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

_PANEL = "Settings"


def with_flags(
    model: type[BaseModel], leave_out: tuple[str, ...] = (), switches: Mapping[str, str] | None = None
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each field of `model`; those that were given arrive together as `given`.

    Args:
        leave_out: fields that the command takes otherwise.
        switches: field -> the flag that turns it off; --no-FIELD by default.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        own = [one for one in signature.parameters.values() if one.name != "given"]
        fields = {name: field for name, field in model.model_fields.items() if name not in leave_out}
        options = [_option(name, field, switches or {}) for name, field in fields.items()]

        def run(**values: Any) -> None:
            given = {name: values.pop(name) for name in fields}
            command(**values, given={name: value for name, value in given.items() if _was_given(value)})

        run.__doc__, run.__name__ = command.__doc__, command.__name__
        run.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
        run.__annotations__ = {one.name: one.annotation for one in (*own, *options)}
        return run

    return decorate


def _was_given(value: Any) -> bool:
    return value is not None and value != []


def _option(name: str, field: FieldInfo, switches: Mapping[str, str]) -> inspect.Parameter:
    kind = _kind(field.annotation)
    flags = [f"--{one.replace('_', '-')}" for one in (name, *_others(field))]
    if kind is bool:
        flags[0] += "/" + switches.get(name, f"--no-{name.replace('_', '-')}")
    info = typer.Option(*flags, help=_help(field), show_default=False, rich_help_panel=_PANEL)
    annotation = Annotated[Union[kind, None], info]  # noqa: UP007
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _kind(annotation: Any) -> Any:
    """Type of the option: enums by their values' names, mappings as a list of name=value."""
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(one for one in get_args(annotation) if one is not type(None))
    if get_origin(annotation) is dict:
        return list[str]
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return str
    return annotation


def _others(field: FieldInfo) -> list[str]:
    extra = field.json_schema_extra
    return [str(one) for one in extra.get("flags", ())] if isinstance(extra, dict) else []  # type: ignore[union-attr]


def _help(field: FieldInfo) -> str:
    """The description, with the default where it says something."""
    default = field.get_default(call_default_factory=True)
    shown = default.value if isinstance(default, Enum) else default
    silent = isinstance(shown, bool) or shown in ("", {}, None)
    return str(field.description) if silent else f"{field.description} ({shown})"
