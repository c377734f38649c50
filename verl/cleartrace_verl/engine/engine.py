"""The synchronous core: requests in, one token per running request and step, results out."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from collections.abc import Sequence as Tokens

import numpy as np
import torch

from .cache import SlotCache
from .config import (
    EngineConfig,
    EngineError,
    EngineStats,
    Finish,
    Gate,
    Generation,
    InvalidRequest,
    Running,
    Sampling,
)
from .model import Chunk, LeanModel
from .prefix import Entry, PrefixStore, common_prefix
from .sampler import sample, token_log_probs, uniforms
from .sequence import Sequence, make_batch, plan_step

WAIT_FOR_DONOR = 8
"""Prompt tokens that must be saved for a request to wait until a running one has computed them."""


class Engine:
    """Continuous batching over a fixed number of slots. Not thread-safe: see `AsyncEngine`.

    Make one with `load_engine` or `build_engine`. Example::

        engine = load_engine("path/to/checkpoint")
        engine.add("r1", prompt_ids, Sampling(temperature=1.0, max_tokens=64))
        while engine.busy:
            for generation in engine.step():
                print(generation.token_ids, generation.finish)
    """

    sees_images = False

    def __init__(self, model: LeanModel, config: EngineConfig, eos_token_ids: Iterable[int] = ()) -> None:
        """`eos_token_ids` apply where `config.eos_token_ids` is None. The rotary tables set the context length."""
        self.model, self.config = model, config
        self.context = model.context
        self.eos = frozenset(eos_token_ids if config.eos_token_ids is None else config.eos_token_ids)
        self.version = 0
        self.gate = Gate.OPEN
        self._weights_error: str | None = None
        self._cache: SlotCache | None = None
        self._store = PrefixStore(config.prefix_cache_bytes)
        self._running: list[Sequence] = []
        self._waiting: deque[Sequence] = deque()
        self._finished: list[Generation] = []
        self._arrivals = 0
        self._steps = self._decoded = self._prefilled = self._reused = 0

    @property
    def busy(self) -> bool:
        """True while a call of `step` would do or return something."""
        return bool(self._finished) or (self.gate is Gate.OPEN and bool(self._running or self._waiting))

    @property
    def stats(self) -> EngineStats:
        return EngineStats(
            running=len(self._running),
            waiting=len(self._waiting),
            steps=self._steps,
            decoded_tokens=self._decoded,
            prefilled_tokens=self._prefilled,
            cached_tokens=self._reused,
            prefix_entries=len(self._store),
            prefix_bytes=self._store.bytes,
        )

    # ---- requests

    def add(self, request_id: str, prompt_ids: Tokens[int], sampling: Sampling) -> None:
        """Queue a request. Raises InvalidRequest for a prompt that cannot be served or an id in use."""
        if any(s.request_id == request_id for s in (*self._running, *self._waiting)):
            raise InvalidRequest(f"request id {request_id!r} is in use")
        prompt = self._check_tokens(prompt_ids, "prompt")
        room = self.context - len(prompt)
        limit = room if sampling.max_tokens is None else min(room, sampling.max_tokens)
        self._arrivals += 1
        sequence = Sequence(
            request_id=request_id,
            prompt=prompt,
            tokens=prompt.tolist(),
            sampling=sampling,
            limit=limit,
            stops=frozenset(sampling.stop_token_ids) | (frozenset() if sampling.ignore_eos else self.eos),
            draws=uniforms(self._seed(sampling), limit if sampling.temperature > 0 else 0),
        )
        if self.gate is Gate.REJECT:
            self._finished.append(sequence.result(Finish.ABORTED, self.version))
        elif limit < 1:
            self._finished.append(sequence.result(Finish.LENGTH, self.version))
        else:
            self._waiting.append(sequence)

    def generate(self, prompts: Tokens[Tokens[int]], sampling: Sampling | Tokens[Sampling]) -> list[Generation]:
        """Run several prompts to their end and return the results in their order. Nothing else may be running."""
        if self._running or self._waiting or self.gate is not Gate.OPEN:
            raise EngineError("generate() needs an idle, open engine; use add() and step() beside other requests")
        settings = [sampling] * len(prompts) if isinstance(sampling, Sampling) else list(sampling)
        for index, (prompt, setting) in enumerate(zip(prompts, settings, strict=True)):
            self.add(str(index), prompt, setting)
        done: dict[str, Generation] = {}
        while self.busy:
            done.update({g.request_id: g for g in self.step()})
        return [done[str(index)] for index in range(len(prompts))]

    def abort(self, request_id: str) -> bool:
        """End one request with its tokens so far; False when it is not (or no longer) here."""
        for sequence in (*self._running, *self._waiting):
            if sequence.request_id == request_id:
                self._end(sequence, Finish.ABORTED)
                return True
        return False

    def abort_all(self) -> int:
        """End all running and waiting requests with their tokens so far; returns how many."""
        sequences = (*self._running, *self._waiting)
        for sequence in sequences:
            self._end(sequence, Finish.ABORTED)
        return len(sequences)

    def pause(self, gate: Gate = Gate.HOLD) -> None:
        """Freeze the running requests and hold or reject new ones until `resume`."""
        if gate is Gate.OPEN:
            raise ValueError("pause() takes Gate.HOLD or Gate.REJECT; use resume() to open the gate")
        self.gate = gate

    def resume(self) -> None:
        """Open the gate: frozen requests go on, held ones are admitted."""
        self.gate = Gate.OPEN

    # ---- the step

    @torch.inference_mode()
    def step(self) -> list[Generation]:
        """Admit what fits, compute one token for each running request, return those that ended since the last call.

        Raises EngineError when the weights are unusable or the logits are not finite; then call `reset`.
        """
        if self.gate is Gate.OPEN and (self._running or self._waiting):
            self._need_weights()
            self._admit()
            self._advance()
        return self.drain()

    def drain(self) -> list[Generation]:
        """The requests that ended since the last call, without computing anything."""
        finished, self._finished = self._finished, []
        return finished

    def reset(self) -> None:
        """Forget every request and all KV, after a failed step; the ended but unreported ones go too."""
        self._running.clear()
        self._waiting.clear()
        self._finished.clear()
        self.clear_kv()

    @torch.inference_mode()
    def score(self, prompt_ids: Tokens[int], continuation_ids: Tokens[int], temperature: float = 1.0) -> list[float]:
        """Log-probs of `continuation_ids` after `prompt_ids`, as `Generation.log_probs` defines them."""
        prompt = self._check_tokens(prompt_ids, "prompt")
        if not len(continuation_ids):
            return []
        self._need_weights()
        tokens = self._check_tokens([*prompt_ids, *continuation_ids], "prompt plus continuation")
        inputs = tokens[:-1]
        scorer = Sequence("", inputs, inputs.tolist(), Sampling(), 0, frozenset(), np.empty(0))
        scorer.slot = self.config.max_slots
        self._reuse(scorer, inputs[: len(prompt) - 1], self._best_donor(inputs[: len(prompt) - 1]))
        parts = []
        while scorer.prefilling:
            parts.append(self._score_chunk(scorer, len(prompt)))
        logits = torch.cat(parts)
        self._keep(scorer)
        log_probs = token_log_probs(logits, torch.full((len(logits),), float(temperature), device=logits.device))
        targets = torch.tensor(tokens[len(prompt) :], dtype=torch.int64, device=logits.device)
        return log_probs.gather(-1, targets[:, None])[:, 0].tolist()

    # ---- weights and memory

    def update_weights(
        self,
        weights: Iterable[tuple[str, torch.Tensor]],
        version: int,
        running: Running = Running.ERROR,
    ) -> None:
        """Copy a full set of Hugging Face named tensors in, drop all KV, set `version`.

        `running` says what becomes of requests that are being decoded. Raises EngineError when some run (ERROR),
        ValueError for a version that goes back, WeightMismatch for a set that is not exactly the model's; after a
        WeightMismatch the engine refuses to generate until an update succeeds.
        """
        if version < self.version:
            raise ValueError(f"weights version {version} is older than the present {self.version}")
        self._settle(running)
        self.clear_kv()
        self._weights_error = "the last weight update did not complete"
        try:
            self.model.weights.load(weights)
        except Exception as error:
            self._weights_error = f"the last weight update failed: {error}"
            raise
        self._weights_error = None
        self.version = version

    def clear_kv(self) -> None:
        """Drop all KV, idle and slots, and give the memory back. Raises EngineError while requests run."""
        if self._running:
            raise EngineError(f"{len(self._running)} requests are running; finish or abort them before dropping KV")
        self._store.clear()
        self._cache = None

    sleep = clear_kv

    # ---- parts

    @property
    def _kv(self) -> SlotCache:
        if self._cache is None:
            embed = self.model.weights.embed
            # One slot more than sequences: `score` works in the last one.
            slots = self.config.max_slots + 1
            with torch.inference_mode(False):
                self._cache = SlotCache(self.model.arch, slots, self.context, embed.dtype, embed.device)
        return self._cache

    def _need_weights(self) -> None:
        if self._weights_error:
            raise EngineError(f"the weights are unusable: {self._weights_error}")

    def _seed(self, sampling: Sampling) -> int:
        if sampling.seed is not None:
            return sampling.seed
        return int(np.random.SeedSequence((self.config.seed, self._arrivals)).generate_state(1, np.uint64)[0])

    def _check_tokens(self, ids: Tokens[int], what: str) -> np.ndarray:
        tokens = np.asarray(ids, dtype=np.int64)
        if tokens.ndim != 1 or not len(tokens):
            raise InvalidRequest(f"{what} must be a non-empty flat list of token ids, got shape {tokens.shape}")
        if len(tokens) > self.context:
            raise InvalidRequest(f"{what} has {len(tokens)} tokens, the context holds {self.context}")
        if tokens.min() < 0 or tokens.max() >= self.model.vocab:
            raise InvalidRequest(f"{what} holds a token id outside 0..{self.model.vocab - 1}")
        return tokens.astype(np.int32)

    def _settle(self, running: Running) -> None:
        if running is Running.ABORT:
            self.abort_all()
        elif self._running and running is Running.ERROR:
            raise EngineError(
                f"{len(self._running)} requests are running; update weights between steps of the trainer, "
                "or pass running=Running.FINISH or Running.ABORT"
            )
        with torch.inference_mode():
            while self._running:
                self._advance()

    def _admit(self) -> None:
        taken = {s.slot for s in self._running}
        free = [slot for slot in range(self.config.max_slots) if slot not in taken]
        later: deque[Sequence] = deque()
        while self._waiting and free:
            sequence = self._waiting.popleft()
            prefix = sequence.prompt[:-1]
            donor = self._best_donor(prefix)
            if self._worth_waiting(prefix, donor[1]):
                later.append(sequence)
                continue
            sequence.slot = free.pop(0)
            self._reuse(sequence, prefix, donor)
            self._running.append(sequence)
        self._waiting.extendleft(reversed(later))
        self._close_gaps()

    def _best_donor(self, prefix: np.ndarray) -> tuple[Entry | Sequence | None, int]:
        """Where most of `prefix` is already computed: an idle entry or a running sequence, and how much."""
        donor, length = self._store.match(prefix)
        best: Entry | Sequence | None = donor
        for sequence in self._running:
            if sequence.computed > length:
                shared = min(common_prefix(sequence.prompt, prefix), sequence.computed)
                if shared > length:
                    best, length = sequence, shared
        return best, length

    def _worth_waiting(self, prefix: np.ndarray, length: int) -> bool:
        """True when a running prompt is about to compute clearly more of `prefix` than is there now."""
        needed = length + WAIT_FOR_DONOR
        return any(
            s.prefilling and len(s.prompt) >= needed and common_prefix(s.prompt, prefix) >= needed
            for s in self._running
        )

    def _reuse(self, sequence: Sequence, prefix: np.ndarray, donor: tuple[Entry | Sequence | None, int]) -> None:
        source, length = donor
        if isinstance(source, Sequence):
            self._kv.copy(source.slot, sequence.slot, length)
        elif source is not None:
            self._kv.write(sequence.slot, source.kv, length)
        sequence.computed = sequence.cached = length
        self._reused += length

    def _close_gaps(self) -> None:
        """Move sequences from the highest slots into holes: decoding computes over every slot up to the highest."""
        by_slot = {s.slot: s for s in self._running}
        for hole in range(len(self._running)):
            if hole not in by_slot:
                sequence = by_slot.pop(max(by_slot))
                self._kv.copy(sequence.slot, hole, sequence.computed)
                sequence.slot = hole
                by_slot[hole] = sequence

    def _advance(self) -> None:
        embed = self.model.weights.embed
        plan = plan_step(self._running, self.config.prefill_chunk, embed.dtype, embed.device)
        if plan is None:
            return
        logits = self.model.forward(plan.batch, self._kv, plan.rows)
        self._steps += 1
        for sequence in plan.decoding:
            sequence.computed += 1
        for sequence, chunk in plan.chunks:
            sequence.computed += chunk.count
            self._prefilled += chunk.count
        if plan.sampled:
            self._take(plan.sampled, logits)

    def _take(self, sampled: list[Sequence], logits: torch.Tensor) -> None:
        settings = [s.sampling for s in sampled]
        draws = [s.draw if s.sampling.temperature > 0 else 0.0 for s in sampled]
        tokens, log_probs = sample(logits, settings, draws, self.model.never)
        if not bool(torch.isfinite(log_probs).all()):
            bad = [s.request_id for s, ok in zip(sampled, torch.isfinite(log_probs).tolist(), strict=True) if not ok]
            raise EngineError(
                f"logits are not finite for request(s) {bad[:4]}: check the weights of version {self.version}"
            )
        self._decoded += len(sampled)
        for sequence, token, log_prob in zip(sampled, tokens.tolist(), log_probs.tolist(), strict=True):
            finish = sequence.append(token, log_prob)
            if finish is not None:
                self._end(sequence, finish)

    def _end(self, sequence: Sequence, finish: Finish) -> None:
        if sequence.slot >= 0:
            self._running.remove(sequence)
            self._keep(sequence)
        else:
            self._waiting.remove(sequence)
        self._finished.append(sequence.result(finish, self.version))

    def _keep(self, sequence: Sequence) -> None:
        """Store the KV of a sequence that leaves its slot, unless all of it is there already."""
        tokens = np.asarray(sequence.tokens[: sequence.computed], dtype=np.int32)
        arch, embed = self.model.arch, self.model.weights.embed
        size = arch.layers * 2 * arch.kv_heads * arch.head_dim * embed.element_size() * len(tokens)
        if self._store.wants(tokens, size):
            with torch.inference_mode(False):
                self._store.put(Entry(tokens, self._kv.read(sequence.slot, len(tokens))))

    def _score_chunk(self, scorer: Sequence, prompt_length: int) -> torch.Tensor:
        """Compute the scorer's next chunk; logits of those of its positions that predict the continuation."""
        embed = self.model.weights.embed
        count = min(self.config.prefill_chunk, len(scorer.prompt) - scorer.computed)
        chunk = Chunk(scorer.slot, scorer.computed, count)
        first = max(prompt_length - 1 - chunk.start, 0)
        rows = torch.arange(min(first, count), count, device=embed.device)
        logits = self.model.forward(make_batch([], [(scorer, chunk)], embed.dtype, embed.device), self._kv, rows)
        scorer.computed += count
        self._prefilled += count
        return logits
