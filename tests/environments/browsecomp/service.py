"""A retrieval service on the loopback, by plain HTTP and by MCP, with ways to misbehave."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CANARY = "canary-gold-marker"
DOCUMENTS = {
    "d1": "The lighthouse was built in 1911 by Ida Holm.",
    "d2": "Ida Holm was born in Tromso.",
    "d3": "Unrelated words. " * 10,
}


class Service:
    """`mode`: "" works; "500", "hang", "garbage" do what they say; "json" answers MCP without a stream of events."""

    def __init__(self) -> None:
        self.mode = ""
        self.calls: list[str] = []
        self.open: set[str] = set()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (_Handler,), {"service": self}))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    service: Service

    def do_POST(self) -> None:
        data = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        mode = self.service.mode
        if mode == "hang":
            time.sleep(2)
        if mode == "500":
            return self._send(500, "text/plain", "out of memory")
        if mode == "garbage":
            return self._send(200, "application/json", "<html>")
        if self.path == "/mcp":
            return self._mcp(data)
        operation = self.path.strip("/")
        self.service.calls.append(operation)
        found = _answer(operation, data, data.get("k", 5))
        return self._send(
            404 if found is None else 200,
            "application/json",
            json.dumps("no such document" if found is None else found),
        )

    def do_DELETE(self) -> None:
        self.service.open.discard(self.headers.get("Mcp-Session-Id", ""))
        self._send(200, "text/plain", "")

    def _mcp(self, message: dict[str, Any]) -> None:
        method = message["method"]
        self.service.calls.append(method)
        if method == "initialize":
            session = f"s{len(self.service.calls)}"
            self.service.open.add(session)
            result: dict[str, Any] = {"protocolVersion": "2025-03-26", "capabilities": {}, "serverInfo": {"name": "x"}}
            return self._reply(message, result, {"Mcp-Session-Id": session})
        if self.headers.get("Mcp-Session-Id") not in self.service.open:
            return self._send(400, "text/plain", "no session")
        if method.startswith("notifications/"):
            return self._send(202, "text/plain", "")
        arguments = message["params"]["arguments"]
        if set(arguments) - {"query", "docid"}:
            return self._reply(message, {"isError": True, "content": [{"type": "text", "text": "unknown argument"}]})
        found = _answer(message["params"]["name"], arguments, 5)
        if found is None:
            return self._reply(message, {"isError": True, "content": [{"type": "text", "text": "no such document"}]})
        blocks = found if isinstance(found, list) else [found]  # as the reference server unpacks lists
        return self._reply(message, {"content": [{"type": "text", "text": json.dumps(block)} for block in blocks]})

    def _reply(self, message: dict[str, Any], result: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result})
        if self.service.mode == "json":
            return self._send(200, "application/json", body, headers)
        note = json.dumps({"jsonrpc": "2.0", "method": "notifications/progress"})
        stream = f"event: message\r\ndata: {note}\r\n\r\nevent: message\r\ndata: {body}\r\n\r\n"
        return self._send(200, "text/event-stream", stream, headers)

    def _send(self, status: int, kind: str, text: str, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(text.encode())), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None: ...


def _answer(operation: str, arguments: dict[str, Any], k: int) -> Any:
    if operation == "get_document":
        docid = arguments["docid"]
        return {"docid": docid, "text": DOCUMENTS[docid], "role": CANARY} if docid in DOCUMENTS else None
    words = arguments["query"].lower().split()
    hits = [name for name, text in DOCUMENTS.items() if any(word in text.lower() for word in words)]
    return [{"docid": name, "snippet": DOCUMENTS[name], "score": 1.0, "is_gold": CANARY} for name in hits][:k]
