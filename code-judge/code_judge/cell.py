"""Runs ./main.py like a notebook cell: the value of a trailing bare expression is printed with repr unless None.

The text of this file is given to `python -c`, so it imports nothing of this package. The program is parsed and
executed once, in `__main__`, with its own line numbers.
"""


def _run_cell():
    import __future__

    # The C module behind `ast`: importing `ast` itself would cost every run as much as starting Python.
    import _ast as ast
    import os
    import sys

    names = globals()
    kept = {"__name__", "__builtins__", "__doc__", "__package__", "__loader__", "__spec__", "__annotations__"}
    for name in [name for name in names if name not in kept]:
        del names[name]
    names["__doc__"] = None
    names["__file__"] = os.path.abspath("main.py")
    sys.argv[:] = ["main.py"]
    sys.path[0] = os.getcwd()
    try:
        with open("main.py", "rb") as file:
            tree = compile(file.read(), "main.py", "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
        assert isinstance(tree, ast.Module)
        tail = [tree.body.pop()] if tree.body and isinstance(tree.body[-1], ast.Expr) else []
        body = compile(tree, "main.py", "exec", dont_inherit=True)
        known = 0
        for feature in __future__.all_feature_names:
            known |= getattr(__future__, feature).compiler_flag
        last = compile(ast.Interactive(body=tail), "main.py", "single", body.co_flags & known, dont_inherit=True)
        exec(body, names)
        if tail:
            exec(last, names)
    except SystemExit:
        raise
    except BaseException as error:
        # Drop the frames above the program's own, so that the traceback is that of a plain run.
        trace = error.__traceback__
        while trace is not None and trace.tb_frame.f_code.co_filename != "main.py":
            trace = trace.tb_next
        error.__traceback__ = trace
        sys.excepthook(type(error), error, trace)
        sys.exit(1)


_run_cell()
