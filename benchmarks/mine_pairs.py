"""Memory and speed of mining at the size of the published data: 66,000 trajectories.

    python benchmarks/mine_pairs.py                   # 66,000 made-up runs, written once, mined in a process of its own
    python benchmarks/mine_pairs.py --runs 6600       # a tenth

The runs are made up; nothing of them was executed. Their texts are real Python files of installed packages, their bugs
are real mutations, and their sizes follow the data set's card: about 24 turns and 13 k tokens (some 45 kB, at 3.5
characters a token), 5 runs per instance. They are written as parquet with zstd, as the published file is. Peak memory
is of the mining process alone; its time has reading, decompressing and parsing in it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from cleartrace.pairs.make.mutation.generate import unified  # noqa: E402
from cleartrace.pairs.make.mutation.mutators import functions, mutations  # noqa: E402

PACKAGES = ("packaging", "jinja2", "click", "mpmath", "pygments", "rich", "urllib3", "networkx", "markdown", "yaml")
TURNS, CHARS, RUNS_PER_INSTANCE, FILES_PER_PACKAGE = 24, 45_000, 5, 24


@dataclass(frozen=True)
class Bug:
    """An instance: `source` is the file with the bug, `fix` the diff that mends it."""

    instance: str
    path: str
    function: str
    source: str
    line: int
    fix: str


def bugs(n: int) -> list[Bug]:
    """Mutations of functions of installed packages, under as many made-up commits as are needed."""
    import ast
    import importlib.util

    found: list[Bug] = []
    for package in PACKAGES:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            continue
        folder = Path(spec.origin).parent
        for file in sorted(folder.rglob("*.py"))[:FILES_PER_PACKAGE]:
            source = file.read_text(encoding="utf-8", errors="replace")
            if not 2_000 < len(source) < 60_000 or "\r" in source:
                continue
            path = file.relative_to(folder.parent).as_posix()
            for function in functions(ast.parse(source))[:6]:
                for mutant in mutations(source, function.name)[:4]:
                    digest = hashlib.sha256(mutant.source.encode()).hexdigest()
                    name = f"pypi__{package}.{{commit}}.{mutant.bug_type}__{digest[:8]}"
                    fix = unified(mutant.source, source, path)
                    found.append(Bug(name, path, function.name, mutant.source, mutant.line, fix))
    copies = [f"{i:08x}" for i in range(1, 2 + n // max(1, len(found)))]
    return [
        Bug(b.instance.format(commit=c), b.path, b.function, b.source, b.line, b.fix) for c in copies for b in found
    ][:n]


def messages(bug: Bug, rng: random.Random) -> list[dict[str, str]]:
    """A run of about `TURNS` turns and `CHARS` characters."""
    lines = bug.source.split("\n")
    words = sorted({word for line in lines for word in line.split() if word.isidentifier()})
    told = " ".join(rng.choices(words, k=25))
    issue = f"{bug.function}() of {bug.path} returns a wrong result, see {bug.function}({rng.randrange(99)}): {told}."
    turns = max(8, round(rng.gauss(TURNS, 5)))
    per_view = max(20, round(CHARS / turns / 31))

    def said(command: str, thought: str = "I look further.") -> dict[str, str]:
        return {"role": "assistant", "content": f"THOUGHT: {thought}\n\n```bash\n{command}\n```"}

    def shown(text: str) -> dict[str, str]:
        return {"role": "user", "content": f"<returncode>0</returncode>\n<output>\n{text}\n</output>"}

    out = [
        {"role": "system", "content": "You are an agent that repairs software in a shell."},
        {"role": "user", "content": f"<pr_description>\n{issue}\n</pr_description>"},
    ]
    for turn in range(turns - 3):
        middle = bug.line if turn == 1 else rng.randrange(len(lines))
        begin = max(0, middle - per_view // 2)
        view = lines[begin : begin + per_view]
        out += [said(f"sed -n '{begin + 1},{begin + per_view}p' {bug.path}"), shown("\n".join(view))]
    fixed = next(line[1:] for line in bug.fix.splitlines() if line.startswith("+") and not line.startswith("+++"))
    out += [said(f"sed -i {shlex.quote(f'{bug.line}s|.*|{fixed}|')} {bug.path}", "I mend it."), shown("")]
    out += [said("python -m pytest -q"), shown("12 passed")]
    out += [said("echo MINI_SWE_AGENT_FINAL_OUTPUT && git add -A && git diff --cached")]
    return [*out, shown(f"MINI_SWE_AGENT_FINAL_OUTPUT\n{bug.fix}")]


def rows(n: int, seed: int) -> Iterator[dict]:
    instances = bugs(-(-n // RUNS_PER_INSTANCE))
    for i in range(n):
        bug = instances[i % len(instances)]
        yield {"instance_id": bug.instance, "messages": messages(bug, random.Random(f"{seed}:{i}"))}


def write(path: Path, n: int, seed: int) -> dict[str, float]:
    """The file of made-up runs, 200 rows per row group."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    chars, batch, begun = 0, [], time.perf_counter()
    message = pa.struct([("role", pa.string()), ("content", pa.string())])
    schema = pa.schema([("instance_id", pa.string()), ("messages", pa.list_(message))])
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for row in rows(n, seed):
            chars += sum(len(m["content"]) for m in row["messages"])
            batch.append(row)
            if len(batch) == 200:
                writer.write_table(pa.Table.from_pylist(batch, schema=schema))
                batch = []
        if batch:
            writer.write_table(pa.Table.from_pylist(batch, schema=schema))
    seconds = time.perf_counter() - begun
    return {
        "runs": n,
        "kB_per_run": chars / n / 1e3,
        "GB": chars / 1e9,
        "file_GB": path.stat().st_size / 1e9,
        "s": seconds,
    }


def mine_here(source: Path, out: Path) -> None:
    """Runs in a process of its own, so that the peak is of mining and of nothing else."""
    from cleartrace.pairs.mine.trajectories.judge.rules import RuleJudge
    from cleartrace.pairs.mine.trajectories.pipeline import mine

    begun, at = time.perf_counter(), {}

    def progress(phase: str, done: int, total: int) -> None:
        at.setdefault(phase.split()[0], time.perf_counter() - begun)
        if phase.startswith("reading") and done % 5000 < 200:
            print(f"  {done:,} read, {time.perf_counter() - begun:.0f} s", file=sys.stderr, flush=True)

    done = mine([source], out, judge=RuleJudge(), progress=progress)
    seconds, cpu = time.perf_counter() - begun, time.process_time()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"s": seconds, "cpu_s": cpu, "peak_MiB": peak, "began_s": at, "funnel": done.funnel}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=66_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mine", nargs=2, type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.mine:
        return mine_here(*options.mine)
    with tempfile.TemporaryDirectory(prefix="mine-pairs-") as folder:
        source = Path(folder) / "runs.parquet"
        print("written:", json.dumps(write(source, options.runs, options.seed)), flush=True)
        command = [sys.executable, __file__, "--mine", str(source), str(Path(folder) / "pairs.jsonl")]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        result = json.loads(done.stdout)
        work = sum(file.stat().st_size for file in Path(folder).glob("pairs.work.sqlite*")) / 1e6
    rate = options.runs / result["s"]
    print("mined:  ", json.dumps({**result, "runs_per_s": rate, "working_file_MB": work}))


if __name__ == "__main__":
    main()
