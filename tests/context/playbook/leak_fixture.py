"""Tasks with answers, advice that gives something away, and advice that does not. Written for this test."""

from __future__ import annotations

from cleartrace.context.playbook.leak import Secret, SecretKind

TASKS = {
    "t1": ("How much did I pay Maria Lopez for groceries in the shared wallet since 2023-04-12?", "187.35"),
    "t2": ("What is the confirmation code of my hotel booking for the trip to Lisbon with the hiking club?", "KX-2291"),
    "t3": ("Which song in my 'Rainy Sunday Mix' playlist was played most often this year?", "Paper Lanterns"),
    "t4": (
        "Reply to the message of ann.berg@example.org about the broken espresso machine with the warranty date.",
        "2025-11-30",
    ),
    "t5": ("How many unread notes mention the quarterly budget review meeting in the north office?", "7"),
    "t6": ("Who signed the file contracts/lease_final.pdf on behalf of the landlord?", "Viktor Halloran"),
    "t7": ("Is the order 4471902 eligible for a full refund under the store policy?", "yes"),
    "t8": ("Find the capital city named in the second paragraph of the travel note on Scandinavia.", "Oslo"),
    "t9": ("What is the total weight in grams of all parcels sent to the warehouse in Rotterdam last week?", "12480"),
    "t10": (
        "Change the delivery address of my pending sofa order to my parents' place and confirm the new fee.",
        "34.90",
    ),
    "t11": ("Which of my colleagues has the most overlapping meetings with me on Thursday afternoon?", "Priya Raman"),
    "t12": ("Compute the compound interest on my savings of 3,750 at the rate stated in the bank letter.", "412.08"),
}
SECRETS = [
    secret
    for id, (task, answer) in TASKS.items()
    for secret in (
        Secret(text=answer, kind=SecretKind.ANSWER, task_id=id),
        Secret(text=task, kind=SecretKind.TASK, task_id=id),
    )
]

# (advice, the task it leaks)
LEAKING = [
    ("The user paid 187.35 in all; add up the grocery items to get there.", "t1"),
    ("Sum transactions with Maria Lopez and leave out refunds.", "t1"),
    ("Start at 2023-04-12 and page forward.", "t1"),
    ("When asked how much did I pay Maria Lopez for groceries in the shared wallet, sum the page totals.", "t1"),
    ("The booking code is kx-2291.", "t2"),
    ("Search mail for the confirmation code of my hotel booking for the trip and copy it.", "t2"),
    ("The most played song turns out to be Paper Lanterns.", "t3"),
    ("Open 'Rainy Sunday Mix' and sort by plays.", "t3"),
    ("Write back to ann.berg@example.org, then archive.", "t4"),
    ("The warranty ends on 2025-11-30.", "t4"),
    ("Use the message about the broken espresso machine with the warranty date when replying.", "t4"),
    ("Count carefully: the answer is 7.", "t5"),
    ("The count should be 7 once archived notes are left out.", "t5"),
    ("Notes that mention the quarterly budget review meeting in the north office are unread ones.", "t5"),
    ("The landlord's side was signed by Viktor Halloran.", "t6"),
    ("Read contracts/lease_final.pdf from its last page.", "t6"),
    ("For order 4471902 look at the purchase date first.", "t7"),
    ("Check the policy; the result: yes.", "t7"),
    ("The capital to report is Oslo.", "t8"),
    ("The second paragraph of the travel note on Scandinavia names a capital.", "t8"),
    ("Parcels add up to 12,480 grams.", "t9"),
    ("The total weight in grams of all parcels sent to the warehouse must leave out returns.", "t9"),
    ("Confirm a fee of $34.90 at the end.", "t10"),
    ("Change the delivery address of my pending sofa order only after checking the fee.", "t10"),
    ("Priya Raman has four overlapping meetings.", "t11"),
    ("With savings of 3750, apply the rate monthly.", "t12"),
    ("Interest comes to 412.08.", "t12"),
]
CLEAN = [
    "Add up all items of a shared wallet page by page; results come in pages.",
    "Check whether amounts are refunds before you sum them.",
    "Look for confirmation codes in mail as well as in messages.",
    "A playlist can hold a song twice; count plays by song and not by row.",
    "Read the warranty letter before you reply, and name its date.",
    "Count unread notes only; archived notes are listed too.",
    "Contracts have signatures of both sides: read to the last page.",
    "Refunds depend on the purchase date and on the store's policy; read both.",
    "If a note has several paragraphs, number them before you pick one.",
    "Weights may be in kilograms; convert them to grams before you add.",
    "Confirm the new fee before you change an address.",
    "Two meetings overlap if one starts before the other ends.",
    "Interest is compounded at the period the letter states, not always yearly.",
    "Give the answer as a bare number, without a currency sign.",
    "The answer is expected in the format YYYY-MM-DD.",
    "Use 24-hour times; 7 in the evening is 19:00.",
    "Retry a failed call at most 3 times, with 10 seconds between.",
    "Ask the supervisor for the password before you log in.",
    "Say yes only when every condition of the policy is met.",
    "List at most 100 items per page; ask for page 2 until a page is empty.",
    "Do not send a message twice: look at the outbox first.",
    "Which of several matching contacts is meant can be told from their relation to the user.",
    "In 2023 and 2024 the export format changed; handle both.",
    "Finish by calling the completion tool with the answer and nothing else.",
    "Names of cities may be written in another language; compare by country too.",
    "Sort by date before you take the newest entry.",
    "When the total is asked for, include fees unless the task says otherwise.",
    "Keep a list of ids you have handled, so that none is handled twice.",
]
