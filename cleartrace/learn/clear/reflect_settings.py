"""Settings of `cleartrace clear reflect`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, Field, ValidationError

from cleartrace.agents.settings import CallStyle
from cleartrace.learn.clear.project import ProjectError
from cleartrace.learn.clear.subsets import Keep
from cleartrace.learn.shell.settings import ShellSettings
from cleartrace.llm.protocol import Thinking


class ReflectSettings(ShellSettings):
    """Which runs are contrasted, by whom, within which limits."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = Field("", description="The reflection agent: provider/model or provider/model@base_url.")
    k: int = Field(3, ge=1, description="Runs that are looked at together; 1 is the ablation without contrast.")
    n: int = Field(6, ge=1, description="Of the first so many runs of a task.")
    limit: int | None = Field(None, ge=1, description="Sets of one task at most, drawn under the seed.")
    keep: Keep = Field(Keep.ALL, description="All sets, or contrastive ones: at least one pass and one failure.")
    seed: int = Field(42, description="Draws and the runs of the agent derive from it.")
    max_words: int = Field(150, ge=1, description="Of one guidance.")
    outcomes: bool = Field(True, description="Show the agent score and feedback of each run, as published.")
    general_from: int | None = Field(
        None, ge=1, description="A value met in so many scenarios is no leak; a twentieth of them and four, if not set."
    )
    call_style: CallStyle = Field(
        CallStyle.NATIVE, description="How the agent calls tools: native, or text for models that know none."
    )
    temperature: float | None = Field(None, ge=0, description="Of the agent; the endpoint's own unless given.")
    thinking_level: Thinking = Field(Thinking.DEFAULT, description="How long the agent may think.")
    max_output_tokens: int = Field(4096, ge=1, description="Of one reply of the agent.")
    max_steps: int = Field(80, ge=1, description="Replies of the agent in one reflection.")
    task_timeout: float = Field(900.0, gt=0, description="Wall seconds of one reflection.")
    max_workers: int = Field(8, ge=1, description="Reflections at a time.")
    prices: str = Field("", description="Price table, YAML: `provider/model: {input: $, output: $}` per million.")
    max_calls: int = Field(0, ge=0, description="Model calls of this start; 0 for no limit.")
    max_tokens: int = Field(0, ge=0, description="Tokens of this start, read and written; 0 for no limit.")
    max_cost: float = Field(0.0, ge=0, description="Dollars of this start; 0 for no limit.")

    @classmethod
    def checked(cls, given: Mapping[str, Any]) -> ReflectSettings:
        """Raises `ProjectError` that names every setting that is wrong."""
        try:
            found = cls.model_validate(given)
        except ValidationError as error:
            said = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()]
            raise ProjectError("; ".join(said)) from None
        if not found.model:
            raise ProjectError("a model is needed that reflects: give --model provider/model")
        if found.k > found.n:
            raise ProjectError(f"a set of k = {found.k} runs cannot be drawn from n = {found.n}")
        if found.k == 1 and found.keep is Keep.CONTRASTIVE:
            raise ProjectError("one run alone shows no contrast: --keep contrastive would drop all sets of -k 1")
        if found.max_cost and not found.prices:
            raise ProjectError("max_cost has no effect without prices")
        return found
