"""`python -m code_judge`: the same command line as `code-judge`."""

from code_judge.cli import app

if __name__ == "__main__":
    app()
