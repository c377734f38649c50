"""Values in a text that belong to one task: addresses, amounts, dates, ids, names."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?!\d))")
_TOKEN = re.compile(r"\d+(?:\.\d+)+|\w+(?:[-'’]\w+)*")
_EMAIL = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+")
_URL = re.compile(r"https?://[^\s<>\"')\]]+[^\s<>\"')\].,;:]")
_FILE = re.compile(r"(?<![\w/.@-])[\w/-]+\.(?:[a-z]{2,5}\d?)(?![\w.])")
_DATE = re.compile(r"\b\d{4}-\d{2}-\d{2}\b")
_NUMBER = re.compile(r"(?<![\w.-])\d+(?:\.\d+)?(?![\w-]|\.\d)")
_MIXED = re.compile(r"(?<![\w-])(?=[\w-]*\d)(?=[\w-]*[A-Za-z])[A-Za-z\d]+(?:[_-][A-Za-z\d]+)*(?![\w-])")
_QUOTED = re.compile(r"\"([^\"\n]{3,60})\"|“([^”\n]{3,60})”|(?<!\w)'([^'\n]{3,60})'(?!\w)|`([^`\n]{3,60})`")
_NAME = re.compile(r"\b[A-Z][\w'’-]+(?:[ \t]+[A-Z][\w'’-]+)+")
_YEAR = range(1900, 2101)
_WORD_FORMS = re.compile(r"\d+(?:st|nd|rd|th|s|d|x|h|am|pm|mb|gb|kb|k|m)", re.IGNORECASE)

_GRAMMAR = """
a about after again all also always an and any are as at be because been before but by can cannot could did do
does don't done each else even every few first for from get give go had has have he her here him his how i if in
into is it its just know last let like made make many may me more most much must my need never new next no none
not now of off on once one only or other our out over own please put same say see set she should show since so
some such take tell than that the their them then there these they thing things this those three to too true
false two under until up us use used very want was way we well were what when where which while who whom why
will with without would yes yet you your
"""
_COMMON = frozenset(_GRAMMAR.split())
_IMPERATIVES = """
add book buy call check create delete download find follow list log move open pay play read remove reply search
send update write
"""
_OPENERS = _COMMON | frozenset(_IMPERATIVES.split())
"""Words whose capital says only that a sentence begins."""


def leak_tokens(text: str) -> list[str]:
    """Words and numbers in lower case; 1,200.50 and 1200.50 are one.

    Example:
        >>> leak_tokens("Pay $1,200.50 to KX-2291, Ann's.")
        ['pay', '1200.50', 'to', 'kx-2291', "ann's"]
    """
    return _TOKEN.findall(_plain(text).casefold())


def telling_words(words: Iterable[str]) -> list[str]:
    """Those that are more than grammar."""
    return [word for word in words if word not in _COMMON and (len(word) > 2 or word.isdigit())]


def entities(text: str) -> set[str]:
    """Values in lower case.

    Example:
        >>> sorted(entities("Write to ann@x.org that order KX-2291 costs 12.50, due 2024-05-01; ask Maria Lopez."))
        ['12.50', '2024-05-01', 'ann@x.org', 'kx-2291', 'maria lopez']
    """
    text = _plain(text)
    found: set[str] = set()
    for pattern in (_URL, _EMAIL, _DATE, _FILE):
        found |= set(pattern.findall(text))
        text = pattern.sub(" ; ", text)
    quoted = {next(filter(None, groups)).strip() for groups in _QUOTED.findall(text)}
    found |= {value for value in quoted if len(telling_words(leak_tokens(value))) > 1}
    found |= {value for value in _NUMBER.findall(text) if _odd_number(value)}
    found |= {value for value in _MIXED.findall(text) if len(value) >= 4 and not _WORD_FORMS.fullmatch(value)}
    found |= {name for value in _NAME.findall(text) if (name := _name(value))}
    return {value.casefold() for value in found}


def is_telling(answer: str) -> bool:
    """Whether an answer is such that nobody says it by chance: a value, a name, an odd number, several words."""
    answer = answer.strip()
    tokens = leak_tokens(answer)
    if len(tokens) == 1 and answer[:1].isupper() and not answer.isupper() and tokens[0].isalpha():
        return len(answer) >= 4 and tokens[0] not in _COMMON
    return bool(entities(answer)) or _odd_number(_plain(answer).strip("$€£% ")) or len(telling_words(tokens)) > 1


def _name(text: str) -> str:
    """Without a first word that is capital for its place alone; '' where one word is left."""
    words = text.split()
    words = words[1:] if words[0].casefold() in _OPENERS else words
    return " ".join(words) if len(words) > 1 else ""


def _odd_number(text: str) -> bool:
    """Three digits or more, and neither round nor a year."""
    if not re.fullmatch(r"\d+(?:\.\d+)?", text):
        return False
    digits = text.replace(".", "").strip("0")
    return len(digits) >= 3 and not ("." not in text and len(text) == 4 and int(text) in _YEAR)


def _plain(text: str) -> str:
    return _THOUSANDS.sub("", unicodedata.normalize("NFKC", text).replace("’", "'"))
