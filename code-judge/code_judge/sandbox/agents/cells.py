"""Runs cells of code in one `__main__`, as a notebook does: a trailing expression's value is printed."""

import __future__

import ast
import linecache
import signal
import sys
import traceback
import types

_FEATURES = 0
for _name in __future__.all_feature_names:
    _FEATURES |= getattr(__future__, _name).compiler_flag


class Cells:
    """The namespace, which is that of the module `name`, and the number of the next cell."""

    def __init__(self, name="__main__"):
        module = types.ModuleType(name)
        module.__dict__["__builtins__"] = sys.modules["builtins"]
        sys.modules[name] = module
        self.names = module.__dict__
        self.count = 0
        self.files = set()
        self.flags = 0
        self.running = False
        signal.signal(signal.SIGINT, self._interrupt)

    def _interrupt(self, *_):
        # The supervisor interrupts a cell at its limit; a late signal must not hit what follows the cell.
        if self.running:
            self.running = False
            raise KeyboardInterrupt

    def run(self, code, echo=True, name=None):
        """Run one cell; returns how it ended. Errors are also printed to stderr, as Python does."""
        self.count += 1
        name = name or f"<cell {self.count}>"
        self.files.add(name)
        linecache.cache[name] = (len(code), None, code.splitlines(True), name)
        self.running = True
        try:
            self._execute(code, name, echo)
            return {"status": "ok"}
        except SystemExit as leaving:
            status = leaving.code
            if status is not None and not isinstance(status, int):
                print(status, file=sys.stderr)
                status = 1
            return {"status": "exit", "exit_code": (status or 0) & 0xFF}
        except BaseException as error:
            return self._failed(error)
        finally:
            self.running = False
            flush()

    def _execute(self, code, name, echo):
        tree = compile(code, name, "exec", ast.PyCF_ONLY_AST | self.flags, dont_inherit=True)
        tail = []
        if echo and tree.body and isinstance(tree.body[-1], ast.Expr):
            tail = [tree.body.pop()]
        body = compile(tree, name, "exec", self.flags, dont_inherit=True)
        self.flags |= body.co_flags & _FEATURES
        exec(body, self.names)
        if tail:
            last = compile(ast.Interactive(body=tail), name, "single", self.flags, dont_inherit=True)
            exec(last, self.names)

    def _failed(self, error):
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename == "<agent>":
            trace = trace.tb_next
        last = inner = trace
        while inner is not None:  # an interrupt ends in the handler above
            if inner.tb_frame.f_code.co_filename != "<agent>":
                last = inner
            inner = inner.tb_next
        if last is not None:
            last.tb_next = None
        error.__traceback__ = trace
        sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
        try:
            if sys.excepthook is sys.__excepthook__:
                traceback.print_exception(type(error), error, trace)  # knows the cells' lines
            else:
                sys.excepthook(type(error), error, trace)
        except BaseException:
            sys.__excepthook__(type(error), error, trace)
        line = getattr(error, "lineno", None) if isinstance(error, SyntaxError) else None
        if type(line) is not int or not 0 < line < 1 << 31:
            line = None
        while trace is not None:
            if trace.tb_frame.f_code.co_filename in self.files:
                line = trace.tb_lineno
            trace = trace.tb_next
        try:
            message = str(error)
        except BaseException:
            message = ""
        return {"status": "error", "error_class": type(error).__name__, "message": message[:2000], "line": line}


def flush():
    """A program may have closed or replaced its streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception as error:
            sys.last_value = error
