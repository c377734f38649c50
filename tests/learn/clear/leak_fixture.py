"""Twelve tasks of six scenarios with their runs, outcomes and gold answers; guidance that leaks and guidance that does
not. Written for the tests; each answer, value and sentence is made up."""

from __future__ import annotations

from cleartrace.episodes.types import Episode, Outcome, Step, StepKind, Task, Trajectory

RULES = 'You work through the Ledger Service. Ask "show_api_doc" for the form of a call; limit is 20 items a page.'

# id -> (scenario, task, what a tool showed, what the evaluator said, gold answer)
_TASKS = {
    "owe-1": (
        "owe",
        "Pay Ada what I owe her for the trip.",
        "Ada paid 187.35, note NT-4410",
        "expected a payment of 187.35 to ada.king@post.example, got none",
        "187.35",
    ),
    "owe-2": (
        "owe",
        "Pay Ben what I owe him for the concert.",
        "Ben paid 64.20, note NT-7782",
        "expected a payment of 64.20, got 642.0",
        "64.20",
    ),
    "song-1": (
        "song",
        "Name my most played song of this year.",
        'plays: "Harbour of Glass" 412',
        "the answer is not Harbour of Glass",
        "Harbour of Glass",
    ),
    "song-2": (
        "song",
        "Name my most played song of last year.",
        'plays: "Paper Lantern Road" 388',
        "the answer is not Paper Lantern Road",
        "Paper Lantern Road",
    ),
    "file-1": (
        "file",
        "Remove the largest file of my downloads.",
        "downloads/tax_scan_2019.pdf 8213 kB",
        "downloads/tax_scan_2019.pdf still exists",
        "tax_scan_2019.pdf",
    ),
    "file-2": (
        "file",
        "Remove the oldest file of my downloads.",
        "downloads/ferry_list.csv 1998-03-02",
        "downloads/ferry_list.csv still exists",
        "ferry_list.csv",
    ),
    "mail-1": (
        "mail",
        "Tell my manager that I am ill.",
        "manager: Orla Brandt <orla@firm.example>",
        "no message to orla@firm.example was sent",
        "orla@firm.example",
    ),
    "mail-2": (
        "mail",
        "Tell my landlord that the heating is broken.",
        "landlord: Piet Vos <piet@flat.example>",
        "no message to piet@flat.example was sent",
        "piet@flat.example",
    ),
    "count-1": (
        "count",
        "How many open orders do I have?",
        "page 1: 20 orders, page 2: 7 orders",
        "wrong number of open orders in the answer",
        "27",
    ),
    "count-2": (
        "count",
        "How many reviews did I write?",
        "page 1: 20 reviews, page 2: 13 reviews",
        "wrong number of reviews in the answer",
        "33",
    ),
    "code-1": (
        "code",
        "Find the voucher for the shop and use it.",
        "voucher QX-88-ZETA valid",
        "voucher QX-88-ZETA was not used",
        "QX-88-ZETA",
    ),
    "code-2": (
        "code",
        "Find the door code of the house and send it to Eve.",
        "door code 7719, changed 2024-02-11",
        "the message to Eve lacks 7719",
        "7719",
    ),
}

TASKS = [Task(environment="made-up", id=id, input=row[1], group=row[0]) for id, row in _TASKS.items()]
GOLD = {id: [row[4]] for id, row in _TASKS.items()}


def runs() -> list[Episode]:
    """Two of each task: one that passed, one that the evaluator complained of."""
    found = []
    for id, (_, text, shown, said, _) in _TASKS.items():
        for seed, score in enumerate((1.0, 0.0)):
            steps = (
                Step(kind=StepKind.INPUT, name="system", text=RULES),
                Step(kind=StepKind.INPUT, name="user", text=text),
                Step(kind=StepKind.CALL, name="search", arguments={"page": seed}),
                Step(kind=StepKind.RESULT, name="search", text=f'{{"service": "Ledger Service", "found": "{shown}"}}'),
            )
            run = Trajectory(environment="made-up", task_id=id, agent="a", seed=seed, steps=steps, output="done")
            feedback = "" if score else f"task failed; {said}"
            found.append(Episode(trajectory=run, outcome=Outcome(score=score, feedback=feedback)))
    return found


LEAKING = [
    ("owe-1", "Pay 187.35 and add the note."),
    ("owe-1", "Look at note NT-4410 before you pay."),
    ("owe-1", "Send the payment to ada.king@post.example."),
    ("owe-2", "The amount is 64.20, with a dot."),
    ("owe-2", "Read NT-7782 first, then pay."),
    ("song-1", "The answer is Harbour of Glass."),
    ("song-1", "Sort by plays; harbour of glass comes first."),
    ("song-2", "Answer with Paper Lantern Road alone."),
    ("file-1", "Delete tax_scan_2019.pdf and confirm."),
    ("file-1", "The file downloads/tax_scan_2019.pdf still exists unless you empty the bin."),
    ("file-2", "The oldest one is ferry_list.csv."),
    ("file-2", "Look for the date 1998-03-02."),
    ("mail-1", "Write to orla@firm.example."),
    ("mail-1", "Your manager is Orla Brandt; write to her."),
    ("mail-2", "Piet Vos is the landlord. Tell him."),
    ("count-1", "The answer is 27."),
    ("count-2", "Read all pages. The total is 33."),
    ("code-1", "Use QX-88-ZETA at the till."),
    ("code-1", "Check that voucher QX-88-ZETA was not used before."),
    ("code-2", "Send 7719 to Eve."),
    ("code-2", "The code was changed on 2024-02-11, so take the newest."),
]
"""(task, guidance)"""

CLEAN = [
    ("owe-1", "Look the shared expenses of the trip up, and pay Ada the open share of them."),
    ("owe-1", "Write the amount with a dot and two decimals. Read the balance before you pay."),
    ("owe-2", "Find the note on the concert; it holds the amount. Pay Ben once, and check the list of payments."),
    ("owe-2", "Amounts may come in cents: compare with another payment."),
    ("song-1", "Sort by plays of this year alone, and answer with the title and nothing else."),
    ("song-2", "The library has pages of 20 items: read all before you compare."),
    ("song-2", "Ask show_api_doc for the filter by year."),
    ("file-1", "Sizes are given in kB and MB: compare them in one unit."),
    ("file-1", "A removed file goes to the bin; empty it, or the file counts as there."),
    ("file-2", "Dates of files are in the details of each, not in the list."),
    ("mail-1", "The contacts say who the manager is. Send a mail, not a draft."),
    ("mail-2", "Look the landlord up under relations in the contacts; the phone book lacks him."),
    ("mail-2", "Check the outbox after sending."),
    ("count-1", "Go on until a page has fewer than 20 orders. Count only open ones."),
    ("count-2", "Answer with a number alone. Drafts are no reviews."),
    ("code-1", "Vouchers are in the mail of the shop; take the one that is still valid, and apply it before you pay."),
    ("code-2", "The newest message on the door wins. Send the code in one message to Eve."),
    ("code-2", "In the Ledger Service, search page by page."),
]
"""(task, guidance)"""
