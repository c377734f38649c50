"""How a trainer finds the reward service: through the environment, never through a configuration that is written."""

from __future__ import annotations

URL_VARIABLE = "CLEARTRACE_GUIDANCE_URL"
TOKEN_VARIABLE = "CLEARTRACE_GUIDANCE_TOKEN"
