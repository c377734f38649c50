"""`cleartrace episodes`."""

import json

from make_episode import episode
from typer.testing import CliRunner

from cleartrace.cli import app
from cleartrace.episodes.store import EpisodeStore


def call(*words) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["episodes", *map(str, words)])
    return done.exit_code, done.output


def test_from_a_log_to_a_table(tmp_path):
    log, store = tmp_path / "log.jsonl", tmp_path / "store"
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello"}]
    log.write_text("\n".join(json.dumps({"messages": messages, "score": score, "task_id": "t"}) for score in (1, 0)))
    code, said = call("import", log, "--store", store, "--environment", "chat")
    assert (code, said) == (0, f"2 runs added to {store}, 0 known before, 0 refused\n")
    code, said = call("list", store, "--task", "t")
    assert code == 0 and "score 1" in said and "2 runs, 2 shown, mean score 0.5 of n = 2" in said
    id = json.loads(call("list", store, "--json", "--limit", "1")[1])["id"]
    assert "Hello" in call("show", store, id)[1] and '"score"' not in call("show", store, id)[1]
    assert '"score": 1.0' in call("show", store, id, "--outcome")[1]
    assert call("export", store, tmp_path / "x.jsonl", "--as", "sft")[1].startswith("1 of 2 runs")
    assert call("export", store, tmp_path / "x.csv", "--as", "csv")[1].startswith("2 of 2 runs")


def test_mistakes_are_told(tmp_path):
    (tmp_path / "x.jsonl").write_text('{"a": 1}\n')
    EpisodeStore(tmp_path / "store").add(episode())
    for words, told in [
        (("import", tmp_path / "none", "--store", tmp_path / "s"), "there is nothing at"),
        (("import", tmp_path / "x.jsonl", "--store", tmp_path / "s"), "name one with --format"),
        (("list", tmp_path / "none"), "holds no episodes"),
        (("show", tmp_path / "store", "abc"), "holds no run abc"),
    ]:
        code, said = call(*words)
        assert code == 2 and told in said
    code, said = call("import", tmp_path / "x.jsonl", "--store", tmp_path / "s", "--format", "messages")
    assert code == 1 and "refused: " in said and "not a list of messages" in said
