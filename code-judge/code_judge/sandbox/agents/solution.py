"""The solution's process: loads the program once, then calls its functions, each in a fork, or serves a checker."""

import json
import os
import signal
import socket

from code_judge.sandbox.agents.cells import Cells, flush
from code_judge.sandbox.agents.frames import read_one, receive, send, write_one
from code_judge.sandbox.agents.values import decode, encode, is_mutable


def find(names, path):
    """`f`, or `Class.method`, for which an instance is made; a method of `Solution` also by its bare name."""
    owner, _, method = path.partition(".")
    target = names.get(owner)
    if method:
        target = target() if isinstance(target, type) else target
        for name in method.split("."):
            target = getattr(target, name, None)
    elif target is None and isinstance(names.get("Solution"), type):
        target = getattr(names["Solution"](), owner, None)
    if not callable(target):
        raise NameError(f"the program defines no function {path!r}")
    return target


def failure(error):
    """What is told of an exception: its class, the classes it extends, its arguments where they are data."""
    try:
        message = str(error)
    except BaseException:
        message = ""
    arguments = []
    for value in getattr(error, "args", ()):
        try:
            arguments.append(encode(value))
        except Exception:
            arguments.append(repr(type(value)))
    bases = [kind.__name__ for kind in type(error).__mro__]
    return {"status": "error", "error_class": type(error).__name__, "bases": bases, "message": message[:2000],
            "args": arguments}  # fmt: skip


def call(cells, request):
    """One function call on data; the result is data too."""
    try:
        function = find(cells.names, request["function"])
        named = {name: decode(item) for name, item in request["kwargs"].items()}
        value = function(*[decode(item) for item in request["args"]], **named)
        answer = {"status": "ok", "value": encode(value)}
    except BaseException as error:
        answer = failure(error)
    flush()
    return answer


def in_fork(cells, request):
    """Each call starts from the loaded program: what one changes, the next does not see."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reader)
        write_one(writer, json.dumps(call(cells, request)).encode())
        os._exit(0)
    os.close(writer)
    text = read_one(reader)
    os.close(reader)
    if text is not None:
        os.kill(pid, signal.SIGKILL)
    _, status, usage = os.wait4(pid, 0)
    answer = json.loads(text) if text is not None else {"status": "died", "wait_status": status}
    return {**answer, "cpu_s": usage.ru_utime + usage.ru_stime}


class Server:
    """Answers a checker: it may look up, call, compare and read what the program defines, by reference."""

    def __init__(self, channel, names):
        self.channel = channel
        self.objects = {0: names}
        self.numbers = {}

    def refer(self, value):
        number = self.numbers.get(id(value))
        if number is None:
            number = self.numbers[id(value)] = len(self.objects)
            self.objects[number] = value  # kept alive, so that its id stays its own
        fields = {"id": number, "type": type(value).__name__}
        if isinstance(value, type):
            fields["class"] = value.__name__
            fields["bases"] = [kind.__name__ for kind in value.__mro__]
        return fields

    def resolve(self, fields):
        if "callback" in fields:
            return Callback(self, fields["callback"])
        return self.objects[fields["id"]]

    def answer(self, request):
        """Do one operation. Never raises: an exception is an answer."""
        try:
            target = self.objects[request["id"]]
            arguments = [decode(item, self.resolve) for item in request["args"]]
            named = {key: decode(item, self.resolve) for key, item in request["kwargs"].items()}
            value = encode(self.operate(request["op"], target, arguments, named), self.refer)
            changed = [
                [index, encode(item, self.refer)] for index, item in enumerate(arguments) if is_mutable(item)
            ]  # fmt: skip
            return {"status": "ok", "value": value, "changed": changed}
        except StopIteration:
            return {"status": "stop"}
        except BaseException as error:
            return failure(error)

    def operate(self, op, target, arguments, named):
        if op == "name":
            if arguments[0] not in target:
                raise NameError(f"name {arguments[0]!r} is not defined")
            return target[arguments[0]]
        if op == "call":
            return target(*arguments, **named)
        if op == "get":
            return getattr(target, arguments[0])
        if op == "set":
            return setattr(target, arguments[0], arguments[1])
        if op == "isinstance":
            return isinstance(arguments[0], target)
        # As the interpreter does it: the method of the type, with the reflected one where that has no answer.
        if op == "__eq__":
            return target == arguments[0]
        if op in ("__iter__", "__next__", "__len__", "__bool__"):
            return {"__iter__": iter, "__next__": next, "__len__": len, "__bool__": bool}[op](target)
        return getattr(type(target), op)(target, *arguments)

    def serve(self):
        """Until the checker closes."""
        while True:
            try:
                request, _ = receive(self.channel)
            except (EOFError, OSError):
                return
            send(self.channel, self.answer(request))
            flush()


class Callback:
    """A function of the checker's: all that the program can do with it is to call it."""

    def __init__(self, server, number):
        self.server, self.number = server, number

    def __call__(self, *arguments):
        send(self.server.channel, {"callback": self.number, "args": [encode(a, self.server.refer) for a in arguments]})
        while True:
            reply, _ = receive(self.server.channel)
            if "op" not in reply:
                break
            send(self.server.channel, self.server.answer(reply))
        if reply["status"] != "ok":
            raise RuntimeError(reply.get("message", "the callback failed"))
        return decode(reply["value"], self.server.resolve)


def main():
    channel = socket.socket(fileno=3)
    cells = Cells("solution")  # as imported: what stands below `if __name__ == "__main__"` is not run
    while True:
        try:
            request, _ = receive(channel)
        except (EOFError, OSError):
            os._exit(0)
        if request["op"] == "load":
            send(channel, cells.run(request["code"], echo=False, name="main.py"))
        elif request["op"] == "call":
            send(channel, in_fork(cells, request))
        else:
            Server(socket.socket(fileno=4), cells.names).serve()
