"""The process of the hidden tests: runs them against a program that lives in another process.

What the program defines appears here as stand-ins. Only data comes back from it, so it cannot reach the tests, the
results or this process's memory. A stand-in never equals plain data, and is not put in relation to it either: else a
program could pass by a class that equals everything. Only for what the tests themselves made, by what they take for a
class and do not test, may the class say how it relates to data.
"""

import ast
import builtins
import os
import socket
import sys
import types

from code_judge.sandbox.agents.cells import Cells, flush
from code_judge.sandbox.agents.frames import receive, send
from code_judge.sandbox.agents.values import decode, encode, is_mutable, refill

_ARITHMETIC = "add sub mul truediv floordiv mod pow matmul and or xor lshift rshift"
_REFLECTED = "radd rsub rmul rtruediv rfloordiv rmod"
_RELATIONS = frozenset(f"__{name}__" for name in f"{_ARITHMETIC} {_REFLECTED} lt le gt ge contains".split())
_PLAIN = "len iter next getitem setitem delitem neg pos abs invert str repr enter exit int float index round reversed"


class ProgramLost(BaseException):
    """The program's process is gone; no test may catch this by accident."""


class Unsupported(BaseException):
    """The tests do something that two processes cannot; says nothing about the program."""


class Link:
    """The checker's side of the connection."""

    def __init__(self, channel):
        self.channel = channel
        self.entry_point = ""
        self.asked = False
        self.classes = set()
        self.unread = []
        self.callbacks = []
        self.errors = {}
        self.refused = None

    def refuse(self, why):
        self.refused = why
        raise Unsupported(why)

    def refer(self, value):
        """Only functions of the tests go by reference, and all the program can do with one is to call it."""
        if isinstance(value, Remote):
            return {"id": _facts(value).id}
        if isinstance(value, type) and "_remote" in value.__dict__:
            return {"id": value.__dict__["_remote"]}
        if callable(value):
            self.callbacks.append(value)
            return {"callback": len(self.callbacks) - 1}
        return self.refuse(f"the tests hand the program an object of their own class {type(value).__name__}")

    def resolve(self, fields):
        if "BaseException" in fields.get("bases", ()):
            return self.error_class(fields["class"], fields["bases"], fields["id"])
        return Remote(self, Facts(fields))

    def look_up(self, name):
        """What the program defines by this name. Raises NameError."""
        value = self.ask(0, "name", (name,))
        if isinstance(value, Remote) and _facts(value).is_class and name != self.entry_point:
            _facts(value).maker = name
        return value

    def takes_for_class(self, name):
        """Whether the tests so far do with this name what is done with a class. A program can make any name one."""
        while self.unread:
            self.classes |= used_as_classes(ast.parse(self.unread.pop()))
        return name in self.classes

    def error_class(self, name, bases, number=None):
        """A class to catch: the built-in one, or one of ours that extends the nearest built-in one."""
        known = getattr(builtins, str(name), None)
        if isinstance(known, type) and issubclass(known, BaseException):
            return RuntimeError if known in (StopIteration, StopAsyncIteration) else known
        if name not in self.errors:
            found = [getattr(builtins, str(other), None) for other in bases[1:]]
            base = next((one for one in found if isinstance(one, type) and issubclass(one, BaseException)), Exception)
            self.errors[name] = type(str(name), (base,), {})
        if number is not None:
            self.errors[name]._remote = number
        return self.errors[name]

    def ask(self, number, op, arguments=(), named=None):
        """One operation on the program's object `number`. Raises what the program raised, and ProgramLost."""
        self.asked = True
        request = {
            "id": number, "op": op, "args": [encode(item, self.refer) for item in arguments],
            "kwargs": {key: encode(item, self.refer) for key, item in (named or {}).items()},
        }  # fmt: skip
        try:
            send(self.channel, request)
            reply, _ = receive(self.channel)
            while "callback" in reply:
                send(self.channel, self._call_back(reply))
                reply, _ = receive(self.channel)
        except (EOFError, OSError, ValueError, RecursionError) as error:
            raise ProgramLost(str(error)) from None
        if reply["status"] == "stop":
            # Anywhere else it would end a loop of the tests early, which then passes.
            raise StopIteration if op == "__next__" else RuntimeError("StopIteration")
        if reply["status"] != "ok":
            raise self._raised(reply)
        for index, item in reply["changed"]:
            if is_mutable(arguments[index]):
                refill(arguments[index], decode(item, self.resolve))
        return decode(reply["value"], self.resolve)

    def _raised(self, reply):
        kind = self.error_class(reply["error_class"], reply["bases"])
        try:
            return kind(*[decode(item) for item in reply["args"]])
        except Exception:  # some built-in ones take only certain arguments
            return RuntimeError(f"{reply['error_class']}: {reply['message']}")

    def _call_back(self, reply):
        try:
            function = self.callbacks[reply["callback"]]
            value = function(*[decode(item, self.resolve) for item in reply["args"]])
            return {"status": "ok", "value": encode(value, self.refer)}
        except Exception as error:
            return {"status": "error", "message": f"{type(error).__name__}: {error}"}


class Facts:
    """Of an object of the program's: its number there, and what the tests have to do with it.

    `made`: the tests made it, so it is no result. `maker`: the name by which they know what makes objects for them.
    """

    def __init__(self, fields):
        self.id, self.type, self.is_class = int(fields["id"]), str(fields.get("type")), "class" in fields
        self.made, self.maker = False, ""


def _facts(remote):
    return object.__getattribute__(remote, "_facts")


class Remote:
    """Stands for an object of the program."""

    def __init__(self, link, facts):
        object.__setattr__(self, "_link", link)
        object.__setattr__(self, "_facts", facts)

    def _ask(self, op, *arguments, **named):
        facts, link = _facts(self), object.__getattribute__(self, "_link")
        if op in _RELATIONS and not facts.made and not isinstance(arguments[0], Remote):
            raise TypeError(f"the program gave an object of its class {facts.type} where data is compared")
        value = link.ask(facts.id, op, arguments, named)
        if isinstance(value, Remote) and facts.maker:
            if op == "call":
                _facts(value).made = link.takes_for_class(facts.maker)
            elif op == "get" and facts.is_class and arguments[0] != link.entry_point:
                _facts(value).maker = facts.maker  # such as a class method
        return value

    def __call__(self, *arguments, **named):
        return self._ask("call", *arguments, **named)

    def __getattr__(self, name):
        return self._ask("get", name)

    def __setattr__(self, name, value):
        self._ask("set", name, value)

    def __eq__(self, other):
        return isinstance(other, Remote) and (self is other or self._ask("__eq__", other) is True)

    def __ne__(self, other):
        return not self == other

    def __instancecheck__(self, value):
        return isinstance(value, Remote) and self._ask("isinstance", value) is True

    def __mro_entries__(self, bases):
        object.__getattribute__(self, "_link").refuse("the tests extend a class of the program")

    def __hash__(self):
        return _facts(self).id

    def __bool__(self):
        return bool(self._ask("__bool__"))


def _forward(name):
    def method(self, *arguments):
        return self._ask(name, *arguments)

    method.__name__ = name
    return method


for _name in [*(f"__{word}__" for word in _PLAIN.split()), *_RELATIONS]:
    setattr(Remote, _name, _forward(_name))


class Names(dict):
    """The tests' globals: what they do not define themselves is looked up in the program."""

    def __init__(self, link):
        super().__init__()
        self.link = link

    def __missing__(self, name):
        if hasattr(builtins, name) and name != self.link.entry_point:
            raise KeyError(name)
        if name == "candidate" and self.link.entry_point:
            name = self.link.entry_point
        try:
            return self.link.look_up(name)
        except NameError:
            raise KeyError(name) from None


class ProgramModule(types.ModuleType):
    """What `import solution` gives the tests."""

    def __init__(self, name, link):
        super().__init__(name)
        self.__dict__["_link"] = link

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            return self.__dict__["_link"].look_up(name)
        except NameError as error:
            raise AttributeError(str(error)) from None


def _called(node):
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", None)


def _owners(node):
    """Whose attribute it is: of `N`, of `N(...)`, or of what an operator makes of them."""
    if isinstance(node, ast.BinOp):
        return _owners(node.left) | _owners(node.right)
    return {_called(node.func if isinstance(node, ast.Call) else node)}


def used_as_classes(tree):
    """Names `N` where tests read an attribute of `N`, `N(...)` or a variable that is `N(...)`, or ask `isinstance`."""
    origins, found = {}, set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            origins.update((_called(target), _called(node.value.func)) for target in node.targets)
        elif isinstance(node, ast.ImportFrom):
            origins.update((alias.asname, alias.name) for alias in node.names if alias.asname)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            found |= _owners(node.value)
        elif isinstance(node, ast.Call) and _called(node.func) == "isinstance":
            found.update(_called(inner) for inner in ast.walk(node))
    while further := {origins[name] for name in found & origins.keys()} - found:
        found |= further
    return found


def run_part(cells, link, code, name):
    """A case passes when all of it was executed without an exception; nothing else answers `ok`."""
    link.refused = None
    link.unread.append(code)
    result = cells.run(code, echo=False, name=name)
    flush()
    if link.refused is not None:
        return {**result, "status": "unsupported", "message": link.refused}
    return {**result, "status": "lost"} if result.get("error_class") == "ProgramLost" else result


def main():
    control = socket.socket(fileno=3)
    link = Link(socket.socket(fileno=4))
    cells = Cells()
    while True:
        try:
            request, _ = receive(control)
        except (EOFError, OSError):
            os._exit(0)
        if request["op"] == "setup":
            link.entry_point = request["entry_point"]
            cells.names = names = Names(link)
            names.update(__builtins__=builtins, __name__="__main__")
            for name in ("solution", "main"):
                sys.modules[name] = ProgramModule(name, link)
        result = run_part(cells, link, request["code"], request["name"])
        if request["op"] == "setup" and link.asked and result["status"] in ("error", "exit"):
            result["status"] = "lost"  # as the program has it: a setup that fails by itself says nothing about it
        send(control, result)
