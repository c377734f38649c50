"""The far end of an AppWorld session. Runs in the interpreter that has `appworld`, as a script, with nothing of ours.

Requests and answers are JSON lines on standard input and output: {"call": name, ...} gives {"result": ...} or
{"error": message}. The end of standard input ends the process, whatever runs in it.
"""

import importlib
import json
import os
import queue
import sys
import threading


class Server:
    """One world at a time, as the package freezes the process's clock for it."""

    def __init__(self, root):
        self.package = importlib.import_module("appworld")
        self.package.update_root(root)
        self.world = None

    def about(self):
        return {"version": getattr(self.package, "__version__", "")}

    def start(self, task_id, settings):
        self.close()
        self.world = self.package.AppWorld(task_id=task_id, **settings)
        task = self.world.task
        return {
            "instruction": task.instruction,
            "datetime": str(task.datetime),
            "supervisor": {
                name: task.supervisor[name] for name in ("first_name", "last_name", "email", "phone_number")
            },
            "apps": dict(task.app_descriptions),
        }

    def execute(self, code):
        output = self._open().execute(code)
        return {"output": output, "completed": bool(self._open().task_completed())}

    def evaluate(self):
        return self._open().evaluate(suppress_errors=True).to_dict()

    def _open(self):
        if self.world is None:
            raise RuntimeError("no world is open")
        return self.world

    def close(self):
        world, self.world = self.world, None
        if world is not None:
            world.close()


def main():
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what the package prints is no answer
    source = os.fdopen(os.dup(0), "r", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    requests = queue.SimpleQueue()

    def read():
        for line in source:
            requests.put(line)
        os._exit(1)

    threading.Thread(target=read, daemon=True).start()
    server = None
    while True:
        request = json.loads(requests.get())
        try:
            if server is None:
                server = Server(sys.argv[1])
            name = request.pop("call")
            answer = {"result": getattr(server, name)(**request)}
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"}
        out.write(json.dumps(answer, default=str) + "\n")
        out.flush()


if __name__ == "__main__":
    main()
