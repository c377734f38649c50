"""Settings of a mining run."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, model_validator


class MineOptions(BaseModel):
    """Thresholds of the cascade. The paper publishes none of stage 4; these are the specification's.

    Args:
        min_cosine, max_cosine: of two issues' TF-IDF vectors: related, and yet different.
        shared_names: names that look like code which both issues must use.
        max_mask_difference: between the placeholders of the two contexts.
        min_length_ratio: shorter over longer context, in characters; 0.8 allows 0.8 to 1.25.
        max_turn_difference: between the assistant messages of the two contexts.
        max_overlap_gap: between the shares of the answer's 5-grams found in its own and in the other context.
        max_uses: pairs that one instance may be in.
        include_issue: leave the issue in the contexts. It names the defect, so the default is to take it out.
        mask_removed: hide the lines a patch removes as well as those it adds.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_cosine: float = Field(default=0.25, ge=0, le=1)
    max_cosine: float = Field(default=0.95, ge=0, le=1)
    shared_names: int = Field(default=1, ge=0)
    max_mask_difference: int = Field(default=1, ge=0)
    min_length_ratio: float = Field(default=0.8, gt=0, le=1)
    max_turn_difference: int = Field(default=3, ge=0)
    max_overlap_gap: float = Field(default=0.05, ge=0, le=1)
    max_uses: int = Field(default=4, ge=1)
    include_issue: bool = False
    mask_removed: bool = True

    @model_validator(mode="after")
    def _ordered(self) -> MineOptions:
        if self.min_cosine > self.max_cosine:
            raise ValueError(f"min_cosine {self.min_cosine} is above max_cosine {self.max_cosine}")
        return self
