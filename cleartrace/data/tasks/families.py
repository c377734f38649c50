"""The task families: each is a pure function of a random generator and a level (1 easy, 2 default, 3 hard).

Questions use a small closed vocabulary and write an operator with one space on either side, as programs do,
so that a tokenizer sees the same tokens in both places.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from random import Random

from cleartrace.data.tasks.task import Task

PEOPLE = ("Ann", "Ben", "Eva", "Max")
GOODS = ("pens", "books", "eggs", "cups", "balls", "cards")
HOLDERS = ("boxes", "bags", "shelves", "trays")
WORDS = (
    "apple", "banana", "cherry", "lemon", "orange", "papaya", "tomato", "pepper",
    "river", "summer", "winter", "yellow", "purple", "silver", "window", "letter",
)  # fmt: skip
Family = Callable[[Random, int], Task]


def _number(rng: Random, level: int) -> int:
    """A number of up to two, three or four digits."""
    return rng.randrange(2, (40, 100, 1000)[level - 1])


def spend(rng: Random, level: int) -> Task:
    price, count = rng.randrange(2, 20), rng.randrange(2, 20)
    have = price * count + _number(rng, level)
    who, goods = rng.choice(PEOPLE), rng.choice(GOODS)
    question = f"{who} has {have} coins and buys {count} {goods} for {price} coins each. How many coins are left?"
    programs = (f"print({have} - {count} * {price})", f"a = {count} * {price}\nprint({have} - a)")
    return Task("spend", question, str(have - count * price), programs, level)


def store(rng: Random, level: int) -> Task:
    holders, goods = rng.choice(HOLDERS), rng.choice(GOODS)
    count, each, more = rng.randrange(2, 40), _number(rng, level), _number(rng, level)
    question = (
        f"There are {count} {holders} with {each} {goods} each and {more} more {goods}. How many {goods} are there?"
    )
    programs = (f"print({count} * {each} + {more})", f"a = {count} * {each}\nprint(a + {more})")
    return Task("store", question, str(count * each + more), programs, level)


def share(rng: Random, level: int) -> Task:
    people, each = rng.randrange(2, 13), _number(rng, level)
    total = people * each
    first = rng.randrange(1, total)
    goods = rng.choice(GOODS)
    question = f"{people} people share {first} {goods} and {total - first} {goods}. How many {goods} for each?"
    programs = (
        f"print(({first} + {total - first}) // {people})",
        f"a = {first} + {total - first}\nprint(a // {people})",
    )
    return Task("share", question, str(each), programs, level)


def bracketed_expression(rng: Random, level: int) -> Task:
    a, b, c, d = (_number(rng, level) for _ in range(4))
    inner, outer, last = rng.choice("+-"), rng.choice("+-*"), rng.choice("+-")
    expression = f"({a} {inner} {b}) {outer} {c}" + (f" {last} {d}" if level > 1 else "")
    programs = (f"print({expression})", f"a = {expression}\nprint(a)")
    return Task("bracketed_expression", f"Compute {expression}.", str(_evaluate(expression)), programs, level)


def letter_count(rng: Random, level: int) -> Task:
    words = [rng.choice(WORDS) for _ in range(level + 1)]
    letter = rng.choice(sorted(set("".join(words))))
    text = " ".join(words)
    question = f"How many times does the letter {letter} occur in '{text}'?"
    programs = (f"print('{text}'.count('{letter}'))", f"s = '{text}'\nprint(s.count('{letter}'))")
    return Task("letter_count", question, str(text.count(letter)), programs, level)


def list_statistic(rng: Random, level: int) -> Task:
    word, function = rng.choice((("sum", "sum"), ("largest", "max"), ("smallest", "min")))
    numbers = [_number(rng, level) for _ in range(rng.randrange(3, 5 + level))]
    listed = ", ".join(map(str, numbers))
    answer = {"sum": sum, "max": max, "min": min}[function](numbers)
    programs = (f"print({function}([{listed}]))", f"a = [{listed}]\nprint({function}(a))")
    return Task("list_statistic", f"Find the {word} of {listed}.", str(answer), programs, level)


def digit_reversal(rng: Random, level: int) -> Task:
    number = rng.randrange(10 ** (level + 1), 10 ** (level + 3)) // 10 * 10 + rng.randrange(1, 10)
    programs = (f"print(str({number})[::-1])", f"s = str({number})\nprint(s[::-1])")
    return Task("digit_reversal", f"Reverse the digits of {number}.", str(number)[::-1], programs, level)


def greatest_common_divisor(rng: Random, level: int) -> Task:
    factor = rng.randrange(2, 30)
    a, b = factor * _number(rng, level), factor * _number(rng, level)
    question = f"Find the greatest common divisor of {a} and {b}."
    programs = (
        f"import math\nprint(math.gcd({a}, {b}))",
        f"a = {a}\nb = {b}\nwhile b:\n    a, b = b, a % b\nprint(a)",
    )
    return Task("greatest_common_divisor", question, str(math.gcd(a, b)), programs, level)


def digit_sum(rng: Random, level: int) -> Task:
    number = rng.randrange(10 ** (level + 1), 10 ** (level + 3))
    programs = (f"print(sum(map(int, str({number}))))", f"s = str({number})\nprint(sum(map(int, s)))")
    return Task("digit_sum", f"Add the digits of {number}.", str(sum(map(int, str(number)))), programs, level)


def smallest_prime_factor(rng: Random, level: int) -> Task:
    number = rng.choice((3, 5, 7, 11, 13, 17)) * (_number(rng, level) * 2 + 1)
    answer = next(d for d in range(2, number + 1) if number % d == 0)
    question = f"Find the smallest prime factor of {number}."
    programs = (
        f"a = 2\nwhile {number} % a:\n    a += 1\nprint(a)",
        f"n = {number}\na = 2\nwhile n % a:\n    a += 1\nprint(a)",
    )
    return Task("smallest_prime_factor", question, str(answer), programs, level)


def two_operands(rng: Random, level: int) -> Task:
    expression = f"{_number(rng, level)} {rng.choice('+-*')} {_number(rng, level)}"
    programs = (f"print({expression})", f"a = {expression}\nprint(a)")
    return Task("two_operands", f"Compute {expression}.", str(_evaluate(expression)), programs, level)


def product(rng: Random, level: int) -> Task:
    holders, goods = rng.choice(HOLDERS), rng.choice(GOODS)
    count, each = _number(rng, level), _number(rng, level)
    question = f"There are {count} {holders} with {each} {goods} each. How many {goods} are there?"
    programs = (f"print({count} * {each})", f"a = {count} * {each}\nprint(a)")
    return Task("product", question, str(count * each), programs, level)


def _evaluate(expression: str) -> int:
    """Value of an expression that this module itself composed of numbers and operators."""
    return int(eval(expression, {"__builtins__": {}}))


FAMILIES: dict[str, Family] = {
    make.__name__: make
    for make in (
        spend,
        store,
        share,
        bracketed_expression,
        letter_count,
        list_statistic,
        digit_reversal,
        greatest_common_divisor,
        digit_sum,
        smallest_prime_factor,
        two_operands,
        product,
    )
}
EASY_FAMILIES = ("two_operands", "product")
