"""The process of a session: runs cells, and forks itself into branches that go on from the same state."""

import json
import os
import socket

from code_judge.sandbox.agents.cells import Cells
from code_judge.sandbox.agents.frames import read_all, receive, send


def _guarded(channel, cells, code, echo):
    """Run a cell in a fork, which becomes the session when the cell succeeds: a failed one leaves no trace."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        result = {**cells.run(code, echo), "pid": os.getpid()}
        os.write(writer, json.dumps(result).encode())
        os.close(writer)
        if result["status"] == "ok":
            return
        os._exit(0)
    os.close(writer)
    text = read_all(reader)
    if not text:
        _, status = os.waitpid(pid, 0)
        send(channel, {"status": "died", "wait_status": status})
        return
    send(channel, json.loads(text))
    if json.loads(text)["status"] == "ok":
        os._exit(0)  # the fork is the session now
    os.waitpid(pid, 0)


def _branch(channel, descriptor):
    """Fork; returns the channel of the process that this now is."""
    pid = os.fork()
    if pid == 0:
        channel.close()
        own = socket.socket(fileno=descriptor)
        send(own, {"status": "ok", "pid": os.getpid()})
        return own
    os.close(descriptor)
    return channel


def main():
    channel = socket.socket(fileno=3)
    cells = Cells()
    send(channel, {"status": "ok", "pid": os.getpid()})
    while True:
        try:
            request, fds = receive(channel)
        except (EOFError, OSError):
            os._exit(0)
        if request["op"] == "fork":
            channel = _branch(channel, fds[0])
        elif request.get("rollback"):
            _guarded(channel, cells, request["code"], request.get("echo", True))
        else:
            send(channel, cells.run(request["code"], request.get("echo", True)))
