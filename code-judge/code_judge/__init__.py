"""code-judge: an execution service for model-written programs.

`code_judge.client` talks to a service, `code_judge.embedded` starts one as child processes.
"""

__version__ = "0.1.0"
