"""Starts the endpoint as its image does, asks for one rollout and prints the result. Runs in the image."""

import asyncio
import subprocess
import sys
import time
import urllib.request

from cleartrace.agents.rollout_endpoint.client import Pace, RolloutClient
from cleartrace.environments.ruleworld import RuleWorld

URL = "http://127.0.0.1:8080"


def wait_for(url: str, limit_s: float = 120.0) -> None:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        try:
            urllib.request.urlopen(url, timeout=5)
            return
        except OSError:
            time.sleep(0.5)
    raise SystemExit(f"{url} does not answer")


async def rollout() -> None:
    async with RolloutClient(URL, "check", pace=Pace(0.1)) as client:
        result = await (await client.invoke(RuleWorld().tasks("train")[0].id, "one")).result(120)
    print(result.status_code, result.rewards, result.stop_reason)
    if result.failed:
        raise SystemExit("the rollout failed")


server = subprocess.Popen(["cleartrace", "rollout-serve", "ruleworld", "--out", "/runs"])
try:
    wait_for(f"{URL}/ping")
    asyncio.run(rollout())
finally:
    server.terminate()
    sys.stdout.flush()
    server.wait(30)
