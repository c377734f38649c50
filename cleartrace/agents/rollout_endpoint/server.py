"""The contract over HTTP: POST /invocations, GET /ping, and what a client without a bucket needs.

GET /results/BUCKET/KEY is 200 with a result, 202 while there is none yet, 404 for what was never asked for; DELETE ends
a rollout. GET /status counts.
"""

from __future__ import annotations

import json
import time
from typing import Any

from cleartrace.agents.rollout_endpoint.service import Busy, RolloutService, Unacceptable
from cleartrace.agents.rollout_endpoint.store import StoreFault
from cleartrace.agents.rollout_endpoint.types import SESSION_HEADER, Place
from cleartrace.serving import Guarded, NotServed

PING = "/ping"


def build_app(service: RolloutService, about: dict[str, Any], token: str | None = None) -> Any:
    """An ASGI application.

    Args:
        about: facts for /status: environment, agent, context.
        token: all but /ping want it as their bearer token.
    """
    try:
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse, Response
        from starlette.routing import Route
    except ImportError as error:
        raise NotServed(f"this needs starlette and uvicorn ({error}): pip install 'cleartrace[serve]'") from error
    started = int(time.time())

    def say(message: str, status: int, **headers: str) -> Any:
        return JSONResponse({"detail": message}, status, headers=headers)

    async def invoke(request: Any) -> Any:
        try:
            payload = json.loads(await request.body())
            place = await service.accept(payload, request.headers.get(SESSION_HEADER, ""))
        except Busy as error:
            return say(str(error), 429, **{"Retry-After": "5"})
        except Unacceptable as error:
            return say(str(error), 422)
        except ValueError as error:
            return say(f"not JSON: {error}", 400)
        except StoreFault as error:
            return say(str(error), 503)
        return JSONResponse({"status": "processing", **place.model_dump()})

    async def ping(request: Any) -> Any:
        status = "HealthyBusy" if service.running or service.waiting else "Healthy"
        return JSONResponse({"status": status, "time_of_last_update": started})

    async def status(request: Any) -> Any:
        counts = {name: getattr(service, name) for name in ("waiting", "running", "done", "failed", "fault")}
        return JSONResponse({**about, **counts})

    async def result(request: Any) -> Any:
        place = Place(s3_bucket=request.path_params["bucket"], result_key=request.path_params["key"])
        if request.method == "DELETE":
            return JSONResponse({"cancelled": await service.cancel(place)})
        try:
            found = await service.state(place)
        except StoreFault as error:
            return say(str(error), 503)
        if found is None:
            return say(f"nothing was asked for under {place.result_key}", 404)
        state, content = found
        if content is None:
            return JSONResponse({"status": state.value, **place.model_dump()}, 202)
        return Response(content, media_type="application/json")

    routes = [
        Route("/invocations", invoke, methods=["POST"]),
        Route(PING, ping),
        Route("/status", status),
        Route("/results/{bucket}/{key:path}", result, methods=["GET", "HEAD", "DELETE"]),
    ]
    app = Starlette(routes=routes)
    return Guarded(app, token, (PING,)) if token else app
