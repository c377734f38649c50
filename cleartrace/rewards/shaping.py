"""Length shaping of a score."""

from __future__ import annotations


def overlong_penalty(
    response_tokens: int, max_response_tokens: int = 20480, buffer_tokens: int = 4096, factor: float = 1.0
) -> float:
    """Soft overlong punishment: 0 up to `max_response_tokens - buffer_tokens`, then linear down to `-factor`.

    Eq. 13 of DAPO (arXiv 2503.14476) up to its hard maximum; responses longer than `max_response_tokens` go on
    along the same line. `response_tokens` counts all response tokens, tool output included. Published CLEANER
    numbers are the defaults: free up to 16384 tokens, -1 at 20480. The penalty is added to the score, never to `acc`.

    Example:
        >>> overlong_penalty(16384), overlong_penalty(18432), overlong_penalty(20480)
        (0.0, -0.5, -1.0)
    """
    if not 0 < buffer_tokens <= max_response_tokens:
        raise ValueError(f"buffer_tokens must be in 1..{max_response_tokens}, got {buffer_tokens}")
    excess = response_tokens - (max_response_tokens - buffer_tokens)
    return -excess / buffer_tokens * factor if excess > 0 else 0.0
