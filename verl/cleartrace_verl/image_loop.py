"""The agent loop for rows with images: `SaarAgentLoop`, with the row's pictures beside every request."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from verl.experimental.agent_loop.agent_loop import AgentLoopOutput

from cleartrace.purify import machine
from cleartrace.trajectory.segment import SegmentKind, context_segment
from cleartrace_verl.agent_loop import SaarAgentLoop
from cleartrace_verl.conversation import Conversation
from cleartrace_verl.trajectory_log import RolloutLog


class ServerWithImages:
    """A rollout server's client that sends the same pictures with every request of a rollout."""

    def __init__(self, client: Any, images: Sequence[Any], processor_options: Mapping[str, Any]):
        self._client, self._images, self._options = client, list(images), dict(processor_options)

    async def generate(self, **request: Any) -> Any:
        return await self._client.generate(image_data=self._images, mm_processor_kwargs=self._options, **request)


class ImageAgentLoop(SaarAgentLoop):
    """Pictures belong to the prompt; tools answer in text. Rows without pictures go through as they do elsewhere.

    Rollback works as in text. What it cannot have is a score of spliced tokens: engines score text only, so
    `rollout.custom.saar.score_spliced` and corrections by importance are refused with the engine's words.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._images: Any = []
        self._options: dict[str, Any] = {}

    async def _open(self, row: dict[str, Any]) -> Conversation:
        messages = list(row["raw_prompt"])
        media = await self.process_multi_modal_info(messages)
        if other := sorted(name for name, value in media.items() if value is not None and name != "images"):
            raise ValueError(f"image_agent handles text and images, and this row has {', '.join(other)}.")
        self._images = media.get("images") or []
        if self._images:
            self._options = self._get_mm_processor_kwargs()
            self.server_manager = ServerWithImages(self.server_manager, self._images, self._options)
        pictures: Any = self._images or None
        ids = await self.ct_build_initial_tokens(messages, tools=self.tool_schemas, images=pictures)
        prompt = context_segment(SegmentKind.PROMPT, ids)
        return Conversation(messages, [prompt], self.tool_schemas, self.continuous_token_builder)

    async def _close(
        self, state: machine.SaarState, talk: Conversation, log: RolloutLog
    ) -> AgentLoopOutput | list[AgentLoopOutput]:
        output = await super()._close(state, talk, log)
        if self._images:
            for row in output if isinstance(output, list) else [output]:
                row.multi_modal_data = {"images": self._images}
                row.mm_processor_kwargs = self._options
        return output
