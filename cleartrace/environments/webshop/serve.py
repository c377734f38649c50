"""Starts the real WebShop. Runs in the interpreter that has it, as a script, with nothing of ours:

    cd WebShop; python .../cleartrace/environments/webshop/serve.py --goals goals.jsonl

The application draws prices before it seeds anything, so the same goal reads otherwise at each start. Here the seed
comes first. It also listens on loopback instead of everywhere.
"""

import argparse
import importlib
import json
import os
import random
from typing import Any


def main():
    parser = argparse.ArgumentParser(description="Serve WebShop, and write its goals.")
    parser.add_argument("--goals", required=True, help="file for the goals, JSON lines")
    parser.add_argument("--products", help="file of products, such as sample.py writes; the application's own without")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=233)
    given = parser.parse_args()
    shop: Any = importlib.import_module("web_agent_site.app")
    # With a number of products the application wants an index made for that very number; None means all of the file.
    shop.DEBUG_PROD_SIZE = None
    if given.products:
        shop.DEFAULT_FILE_PATH = os.path.abspath(given.products)
    random.seed(given.seed)
    # The first page loads products, goals and index.
    answer = shop.app.test_client().get("/fixed_start_0")
    if answer.status_code != 200:
        raise SystemExit(f"WebShop does not start: its first page has status {answer.status_code}")
    write_goals(shop.goals, given.goals)
    print(f"{len(shop.goals)} goals in {given.goals}; http://{given.host}:{given.port}", flush=True)
    shop.app.run(host=given.host, port=given.port, threaded=True)


def write_goals(goals, path):
    partial = path + ".part"
    with open(partial, "w", encoding="utf-8") as lines:
        for index, goal in enumerate(goals):
            row = {"index": index, "instruction": goal["instruction_text"], "asin": goal["asin"]}
            lines.write(json.dumps(row) + "\n")
    os.replace(partial, path)


if __name__ == "__main__":
    main()
