"""What the documents say exists: commands, links, configuration keys."""

import ast
import importlib.util
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
import typer.main
import yaml
from omegaconf import OmegaConf

from cleartrace.cli import app
from cleartrace.losses.context_options import ContextConfig
from cleartrace.purify.config import SaarConfig
from cleartrace_verl.compose import PUBLISHED_KEYS, compose
from cleartrace_verl.known_keys import leaves
from cleartrace_verl.main import parse
from code_judge.cli import app as judge

ROOT = Path(__file__).resolve().parents[2]
SKIP_FOLDERS = {".venv", "runs", "node_modules"}
TOPS = [top for top in sorted(ROOT.iterdir()) if not top.name.startswith(".") and top.name not in SKIP_FOLDERS]
DOCUMENTS = [p for top in TOPS for p in ([top] if top.suffix == ".md" else sorted(top.rglob("*.md")))]
CONFIGURATION = ROOT / "docs/configuration.md"


@dataclass(frozen=True)
class Command:
    """One line of a fenced `bash` block."""

    document: str
    words: tuple[str, ...]


def commands_in(text: str, document: str = "") -> list[Command]:
    """Commands of all ```bash blocks, comments removed and continued lines joined."""
    found = []
    for block in re.findall(r"^```bash\n(.*?)^```", text, re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                found.append(Command(document, tuple(words)))
    return found


COMMANDS = [c for p in DOCUMENTS for c in commands_in(p.read_text(), str(p.relative_to(ROOT)))]


def resolves(words: tuple[str, ...]) -> str:
    """ "" when the command can be run here, else what is wrong with it."""
    program = words[0]
    if program == "bash":
        return "" if (ROOT / words[1]).is_file() else f"no file {words[1]}"
    if program.endswith("python"):
        return _python_resolves(words)
    if program == "cleartrace":
        return _cleartrace_resolves(words)
    if program == "code-judge":
        return _judge_resolves(words)
    if program in ("source", "echo", "cp"):
        return ""
    if program.startswith(".venv/bin/"):
        # Development tools need not be installed where the tests run, but setup must install them.
        pinned = re.search(rf"^{Path(program).name}==", (ROOT / "requirements.txt").read_text(), re.M)
        return "" if pinned else f"{program} is not in requirements.txt"
    return f"the test does not know what {program!r} is"


def _python_resolves(words: tuple[str, ...]) -> str:
    if words[1] != "-m":
        return "" if (ROOT / words[1]).is_file() else f"no file {words[1]}"
    return "" if importlib.util.find_spec(words[2]) else f"no module {words[2]}"


def _cleartrace_resolves(words: tuple[str, ...]) -> str:
    if words[1] == "train":  # replaces the process; test_training_commands_compose reads its arguments
        return ""
    return _typer_resolves("cleartrace", app, words)


def _judge_resolves(words: tuple[str, ...]) -> str:
    return _typer_resolves("code-judge", judge, words)


def _typer_resolves(program: str, typer_app: typer.Typer, words: tuple[str, ...]) -> str:
    """The command is there, and so is every option that is given."""
    command, path, rest = typer.main.get_command(typer_app), program, list(words[1:])
    while commands := getattr(command, "commands", None):
        if not rest or rest[0] not in commands:
            return f"{path} has no command {rest[0] if rest else ''}"
        path, command = f"{path} {rest[0]}", commands[rest.pop(0)]
    known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)} | {"--help"}
    given = [word.partition("=")[0] for word in rest if re.match(r"--?[a-z]", word)]
    unknown = [word for word in given if word not in known]
    return f"{path} has no {unknown}" if unknown else ""


# One entry per different thing to resolve, however often it is written.
DISTINCT = {c.words if c.words[0] in ("cleartrace", "code-judge") else c.words[:3]: c for c in COMMANDS}


def test_there_are_commands():
    assert {c.document for c in COMMANDS} >= {"README.md", "CONTRIBUTING.md", "docs/configuration.md"}


@pytest.mark.parametrize("command", DISTINCT.values(), ids=lambda c: f"{c.document}: {' '.join(c.words)[:60]}")
def test_commands_resolve(command):
    assert resolves(command.words) == ""


@pytest.mark.parametrize(
    "words",
    [
        ("bash", "no/such.sh"),
        ("python", "-m", "no_such_module"),
        ("cleartrace", "nothing"),
        ("cleartrace", "pairs"),
        ("cleartrace", "playbook", "nothing"),
        ("cleartrace", "playbook", "show", "--no"),
        ("cleartrace", "optimize", "ruleworld", "--iteration", "3"),
        ("frobnicate",),
        ("code-judge", "no"),
        ("code-judge", "bench", "--no"),
    ],
)
def test_wrong_commands_are_found(words):
    assert resolves(words) != ""


TRAINING = [c for c in COMMANDS if c.words[:2] == ("cleartrace", "train")]


@pytest.mark.parametrize("command", TRAINING, ids=lambda c: " ".join(c.words[2:]))
def test_training_commands_compose(command):
    args = parse(command.words[2:])
    compose(args.overrides, [ROOT / args.recipe])


def links_in(text: str) -> list[str]:
    """Relative link targets outside code, without their anchors."""
    prose = re.sub(r"^```.*?^```|`[^`\n]*`", "", text, flags=re.M | re.S)
    targets = re.findall(r"\]\(([^)\s]+)\)", prose)
    return [t for t in targets if not re.match(r"[a-z]+:", t)]


def anchors_of(text: str) -> set[str]:
    """GitHub's anchors of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def broken_links(document: Path) -> list[str]:
    broken = []
    for link in links_in(document.read_text()):
        name, _, anchor = link.partition("#")
        target = document.parent / name if name else document
        if not target.exists() or (anchor and anchor not in anchors_of(target.read_text())):
            broken.append(link)
    return broken


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_relative_links_resolve(document):
    assert broken_links(document) == []


def test_broken_links_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One\n[a](none.md) [b](#one) [c](#two) [d](https://example.org/x) `[e](code.md)`\n")
    assert broken_links(page) == ["none.md", "#two"]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda p: str(p.relative_to(ROOT)))
def test_python_blocks_parse(document):
    for block in re.findall(r"^```python\n(.*?)^```", document.read_text(), re.M | re.S):
        ast.parse(block)


def first_cells(heading: str) -> list[str]:
    """Code words in the first column of the tables below a heading of docs/configuration.md."""
    section = re.split(r"^## ", CONFIGURATION.read_text(), flags=re.M)
    body = next(part for part in section if part.startswith(heading))
    return [m for row in re.findall(r"^\|([^|]+)\|", body, re.M) for m in re.findall(r"`([\w.]+)`", row)]


def yaml_leaves(node: object, prefix: str = "") -> list[str]:
    if not isinstance(node, dict) or not node:
        return [prefix.rstrip(".")]
    return [leaf for key, value in node.items() for leaf in yaml_leaves(value, f"{prefix}{key}.")]


def test_the_cleartrace_block_is_documented():
    config = compose([])
    assert sorted(first_cells("The cleartrace block")) == sorted(leaves(config.cleartrace, "cleartrace."))


def test_every_key_of_the_file_is_documented_once():
    text = (ROOT / "verl/cleartrace_verl/config/cleartrace.yaml").read_text()
    written = yaml_leaves({k: v for k, v in yaml.safe_load(text).items() if k != "defaults"})
    prefix = "actor_rollout_ref.rollout."
    elsewhere = {f"{prefix}multi_turn.{name}" for name in PUBLISHED_KEYS} | {f"{prefix}custom.saar"}
    elsewhere |= {f"actor_rollout_ref.context_rl.{name}" for name in ContextConfig.model_fields}
    documented = first_cells("The cleartrace block") + first_cells("What else")
    assert sorted(documented) == sorted(set(written) - elsewhere)


def test_saar_options_are_documented():
    cells = [cell for cell in first_cells("Rollback") if cell not in PUBLISHED_KEYS and cell != "custom.saar"]
    documented = set(cells) | {"similarity_threshold"}
    assert documented == set(SaarConfig.model_fields)


def test_context_options_are_documented_and_the_file_has_their_defaults():
    assert first_cells("ContextRL") == list(ContextConfig.model_fields)
    written: dict = OmegaConf.to_container(compose([]).actor_rollout_ref.context_rl)  # pyright: ignore[reportAssignmentType]
    assert ContextConfig(**written) == ContextConfig() and list(written) == list(ContextConfig.model_fields)


def test_published_names_are_documented_with_their_option():
    rows = re.findall(r"^\| `(\w+)` \| [^|]+ \| `(\w+)` \|$", CONFIGURATION.read_text(), re.M)
    assert dict(rows) == PUBLISHED_KEYS
