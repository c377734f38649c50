"""A server with the part of the hub's protocol that a download needs, on loopback."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@contextmanager
def hub_server(files: dict[str, dict[str, bytes]], token: str = "") -> Iterator[tuple[str, list[str]]]:
    """Serve `files[repo][path]`; gives the address and the list of requests so far. `token`: refuse other callers."""
    requests: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            pass

        def answer(self, status: int, body: bytes = b"", **headers: str) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(body)

        def do_GET(self) -> None:
            requests.append(f"{self.command} {self.path}")
            if token and self.headers.get("Authorization") != f"Bearer {token}":
                return self.answer(401, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")
            for repo, paths in files.items():
                if self.path.startswith(f"/api/datasets/{repo}/revision/"):
                    return self.listing(repo, sorted(paths))
                prefix = f"/datasets/{repo}/resolve/{COMMIT}/"
                if self.path.startswith(prefix) and self.path.removeprefix(prefix) in paths:
                    body = paths[self.path.removeprefix(prefix)]
                    return self.answer(200, body, X_Repo_Commit=COMMIT, ETag=f'"{len(body)}"')
            return self.answer(404, X_Error_Code="RepoNotFound", X_Error_Message="Repository not found")

        do_HEAD = do_GET

        def listing(self, repo: str, paths: list[str]) -> None:
            if not self.path.rpartition("/revision/")[2].startswith(("main", COMMIT)):
                return self.answer(404, X_Error_Code="RevisionNotFound", X_Error_Message="Invalid rev id")
            value = {"id": repo, "sha": COMMIT, "siblings": [{"rfilename": path} for path in paths]}
            return self.answer(200, json.dumps(value).encode(), Content_Type="application/json")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", requests
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
