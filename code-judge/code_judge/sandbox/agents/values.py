"""Values as JSON, for two processes that do not trust each other: data by value, everything else by reference.

No value can run code where it is read. Subclasses of the built-in types travel as what they extend.
"""

import base64
import collections
import sys

_SEQUENCES = {"tuple": tuple, "set": set, "frozenset": frozenset, "list": list, "deque": collections.deque}
_INFINITY = float("inf")
_MAX_DEPTH = 200


class NotData(TypeError):
    """This value can only travel by reference."""


def encode(value, refer=None, depth=0):
    """A JSON value. `refer(value)` gives the reference of what is not data; without it NotData is raised."""
    if value is None or value is True or value is False:
        return value
    if depth > _MAX_DEPTH:
        raise NotData("nested too deeply")
    if isinstance(value, str):
        return value if type(value) is str else "".join(value)
    if isinstance(value, int):
        return int(value) if -(1 << 63) <= value < 1 << 63 else {"$": "int", "v": hex(value)}
    if isinstance(value, float):
        special = value != value or value in (_INFINITY, -_INFINITY)
        return {"$": "float", "v": float(value).hex()} if special else float(value)
    if isinstance(value, complex):
        return {"$": "complex", "v": [value.real.hex(), value.imag.hex()]}
    if isinstance(value, (bytes, bytearray)):
        kind = "bytes" if isinstance(value, bytes) else "bytearray"
        return {"$": kind, "v": base64.b64encode(bytes(value)).decode()}
    for kind, known in _SEQUENCES.items():
        if isinstance(value, known):
            items = [encode(item, refer, depth + 1) for item in value]
            return items if kind == "list" else {"$": kind, "v": items}
    if isinstance(value, dict):
        pairs = [[encode(key, refer, depth + 1), encode(item, refer, depth + 1)] for key, item in value.items()]
        return {"$": "dict", "v": pairs}
    if isinstance(value, (range, slice)):
        return {"$": type(value).__name__, "v": [value.start, value.stop, value.step]}
    return _foreign(value, refer, depth)


def _foreign(value, refer, depth):
    numpy, module = sys.modules.get("numpy"), type(value).__module__
    if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)) and value.dtype != object:
        return {"$": "array", "v": encode(value.tolist(), refer, depth + 1), "type": str(value.dtype)}
    if module == "decimal" and type(value).__name__ == "Decimal":
        return {"$": "decimal", "v": str(value)}
    if module == "fractions" and type(value).__name__ == "Fraction":
        return {"$": "fraction", "v": [hex(value.numerator), hex(value.denominator)]}
    if refer is None:
        raise NotData(f"a value of type {type(value).__name__} is not data")
    return {"$": "ref", **refer(value)}


def decode(value, resolve=None):
    """The value of a JSON value. `resolve(fields)` makes something of a reference. Raises ValueError."""
    if isinstance(value, list):
        return [decode(item, resolve) for item in value]
    if not isinstance(value, dict):
        return value
    kind, inner = value.get("$"), value.get("v") or ()
    if kind in _SEQUENCES:
        return _SEQUENCES[kind](decode(item, resolve) for item in inner)
    if kind == "dict":
        return {decode(key, resolve): decode(item, resolve) for key, item in inner}
    if kind in _SCALARS:
        return _SCALARS[kind](inner)
    if kind == "array":
        return _array(decode(inner, resolve), value.get("type"))
    if kind == "ref" and resolve is not None:
        return resolve(value)
    raise ValueError(f"not a value: {str(value)[:100]}")


def _fraction(inner):
    from fractions import Fraction

    return Fraction(int(inner[0], 16), int(inner[1], 16))


def _decimal(inner):
    from decimal import Decimal

    return Decimal(inner)


_SCALARS = {
    "int": lambda inner: int(inner, 16),
    "float": float.fromhex,
    "complex": lambda inner: complex(float.fromhex(inner[0]), float.fromhex(inner[1])),
    "bytes": base64.b64decode,
    "bytearray": lambda inner: bytearray(base64.b64decode(inner)),
    "range": lambda inner: range(*inner),
    "slice": lambda inner: slice(*inner),
    "decimal": _decimal,
    "fraction": _fraction,
}


def _array(items, dtype):
    try:
        import numpy
    except ImportError:
        return items
    kind = numpy.dtype(dtype)
    if kind.kind not in "biufcSU" and kind.name not in ("datetime64[ns]", "timedelta64[ns]"):
        raise ValueError(f"not an array of data: {kind}")  # its items may be anything, which could not travel back
    array = numpy.array(items, dtype=kind)
    return array if isinstance(items, list) else array[()]


def refill(old, new):
    """Make the mutable value `old` equal to `new`, in place: what a callee did to its argument."""
    if isinstance(old, (list, bytearray)):
        old[:] = new
    elif isinstance(old, (dict, set)):
        old.clear()
        old.update(new)
    elif isinstance(old, collections.deque):
        old.clear()
        old.extend(new)
    elif getattr(old, "shape", None) == getattr(new, "shape", ()):
        old[...] = new


def is_mutable(value):
    """Whether a callee can change it in place, so that it must travel back."""
    return isinstance(value, (list, bytearray, dict, set, collections.deque)) or hasattr(value, "setflags")
