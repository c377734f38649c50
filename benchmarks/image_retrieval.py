"""Time and peak memory of the retrieval that mines image pairs: exact, blockwise, mutual neighbours.

    python -m benchmarks.image_retrieval 20000 200000

Vectors are drawn around random centres, five to a centre, so that neighbours and matches exist; each size runs in a
process of its own, and its peak is the resident memory of that process.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import time

import numpy as np

from cleartrace.pairs.mine.images.neighbours import BLOCK, mutual_pairs, nearest, unit_rows

PER_CENTRE = 5
SPREAD = 0.35


def clustered(rows: int, size: int, seed: int) -> np.ndarray:
    """Unit float32 rows `[rows, size]`; rows of one centre have a cosine of about 0.9."""
    rng = np.random.default_rng(seed)
    centres = unit_rows(rng.standard_normal((-(-rows // PER_CENTRE), size), dtype=np.float32))
    vectors = np.repeat(centres, PER_CENTRE, axis=0)[:rows]
    for start in range(0, rows, 10_000):
        part = vectors[start : start + 10_000]
        part += SPREAD / np.sqrt(size) * rng.standard_normal(part.shape, dtype=np.float32)
    return unit_rows(vectors)


def measure(rows: int, size: int, k: int, threshold: float, block: int) -> dict[str, float | int]:
    """One search in this process."""
    vectors = clustered(rows, size, seed=0)
    before = resource.getrusage(resource.RUSAGE_SELF)
    started = time.perf_counter()
    indices, cosines = nearest(vectors, k, block)
    pairs = mutual_pairs(indices, cosines, threshold)
    wall = time.perf_counter() - started
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "rows": rows,
        "size": size,
        "k": k,
        "block": block,
        "pairs": len(pairs),
        "wall_s": round(wall, 2),
        "cpu_s": round(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, 2),
        "peak_mib": after.ru_maxrss // 1024,
        "vectors_mib": vectors.nbytes >> 20,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", type=int, nargs="+")
    parser.add_argument("--size", type=int, default=128, help="length of a vector")
    parser.add_argument("-k", type=int, default=20)
    parser.add_argument("--threshold", type=float, default=0.85)
    parser.add_argument("--block", type=int, default=BLOCK)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measure(args.rows[0], args.size, args.k, args.threshold, args.block)))
        return
    threads = os.environ.get("OMP_NUM_THREADS", "all")
    print(f"# {' '.join(sys.argv)}\n# {platform.machine()}, {os.cpu_count()} cores, {threads} threads", flush=True)
    for rows in args.rows:
        options = ["--size", args.size, "-k", args.k, "--threshold", args.threshold, "--block", args.block, "--child"]
        command = [sys.executable, "-m", "benchmarks.image_retrieval", rows, *options]
        subprocess.run([str(part) for part in command], check=True)


if __name__ == "__main__":
    main()
