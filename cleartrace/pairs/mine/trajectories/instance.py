"""Names of SWE-smith and SWE-bench task instances."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SMITH = re.compile(r"^(?P<owner>[^/]+?)__(?P<repo>.+)\.(?P<commit>[0-9a-f]{8})\.(?P<bug>\w+)$")
_BENCH = re.compile(r"^(?P<owner>[^/]+?)__(?P<repo>.+)-(?P<bug>\d+)$")


@dataclass(frozen=True)
class InstanceId:
    """`owner__repo.<8 hex>.<bug type>__<hash>`, `owner__repo.<8 hex>.pr_<n>`, or `owner__repo-<n>` (no commit in it).

    Example:
        >>> parse_instance("tobymao__sqlglot.036601ba.func_pm_remove_cond__4k2hz7nk").group
        'tobymao/sqlglot@036601ba'
    """

    text: str
    owner: str
    repo: str
    commit: str
    bug: str

    @property
    def repository(self) -> str:
        return f"{self.owner}/{self.repo}"

    @property
    def group(self) -> str:
        """Stage 1 of the cascade, and what a split never cuts."""
        return f"{self.repository}@{self.commit}"

    @property
    def bug_type(self) -> str:
        """`func_pm_remove_cond`, `lm_rewrite`, `pr`, ..."""
        return self.bug.partition("__")[0] if "__" in self.bug else self.bug.rpartition("_")[0]


def parse_instance(text: str, base_commit: str = "") -> InstanceId | None:
    """None for a name of another grammar, and for a SWE-bench name without a `base_commit` from the task table."""
    if found := _SMITH.match(text):
        return InstanceId(text, *found.group("owner", "repo", "commit", "bug"))
    if base_commit and (found := _BENCH.match(text)):
        owner, repo, bug = found.group("owner", "repo", "bug")
        return InstanceId(text, owner, repo, base_commit[:8], f"pr_{bug}")
    return None
