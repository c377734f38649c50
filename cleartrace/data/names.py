"""Names that commands take. Imports nothing, so that `--help` stays fast."""

from __future__ import annotations

from enum import Enum

NOTOOL_SUFFIX = "_notool"


class Profile(str, Enum):
    """Shape of a source's rows; the twins `*_notool` leave out what is said about the tool."""

    PREWRAPPED = "prewrapped"
    AIME = "aime"
    GPQA = "gpqa"
    LCB = "lcb"
    SKYWORK = "skywork"
    PREWRAPPED_NOTOOL = "prewrapped_notool"
    AIME_NOTOOL = "aime_notool"
    GPQA_NOTOOL = "gpqa_notool"
    LCB_NOTOOL = "lcb_notool"
    SKYWORK_NOTOOL = "skywork_notool"

    @property
    def uses_tool(self) -> bool:
        return not self.value.endswith(NOTOOL_SUFFIX)

    @property
    def base(self) -> Profile:
        """The profile with the tool."""
        return Profile(self.value.removesuffix(NOTOOL_SUFFIX))


class Arms(str, Enum):
    """Which agent runs the rows: in training, or in evaluation without rollback, with it, or both ways."""

    TRAIN = "train"
    OFF = "off"
    ON = "on"
    BOTH = "both"

    @property
    def agents(self) -> tuple[str, ...]:
        """Names of agent loops, as `agent_loops/saar.yaml` of the veRL layer registers them."""
        return _AGENTS[self]


_AGENTS = {
    Arms.TRAIN: ("saar_agent",),
    Arms.OFF: ("saar_eval_off",),
    Arms.ON: ("saar_eval_on",),
    Arms.BOTH: ("saar_eval_off", "saar_eval_on"),
}


class PublishedSet(str, Enum):
    """What `cleartrace data fetch` knows."""

    TRAIN_30K = "open-agentrl-30k"
    SFT_3K = "open-agentrl-sft-3k"
    AIME_2024 = "aime2024"
    AIME_2025 = "aime2025"
    GPQA = "gpqa"
    LCB = "lcb"
