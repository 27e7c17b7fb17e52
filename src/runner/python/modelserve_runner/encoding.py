"""Python values as JSON: what ``json`` knows, what people return besides, and the path of what cannot be encoded."""

import datetime
import decimal
import enum
import json
import math
import os
import sys
import uuid
from collections import abc


_BINARY = (bytes, bytearray, memoryview)


class UnencodableError(Exception):
    """A result cannot be JSON; the message names the path to the value, such as ``result.scores[3]``."""


def encode_result(value):
    """Return the UTF-8 bytes of ``value`` as JSON; raises UnencodableError."""
    try:
        text = _dump(value)
    except (TypeError, ValueError, RecursionError):
        # Something json has no answer to: a NaN, a key that is no string, an unknown type. Now with the path.
        text = _dump(_plain(value, "result", ()))
    # Half a surrogate pair can only be carried escaped; Python's way to write it is JSON's.
    return text.encode("utf-8", "backslashreplace")


def _simplify(value):
    """Return something nearer to JSON, one step; raises TypeError for a type without one."""
    kind = type(value)
    # numpy's scalars and arrays (torch's tensors too), recognised without importing them
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        return value.tolist()
    if isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, datetime.timedelta):
        return value.total_seconds()
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, decimal.Decimal):
        return int(value) if value.is_finite() and value == value.to_integral_value() else float(value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if hasattr(kind, "__dataclass_fields__"):
        # Whoever has a dataclass has the module, which CPython 3.6 itself does not.
        return {field.name: getattr(value, field.name) for field in sys.modules["dataclasses"].fields(value)}
    if isinstance(value, abc.Mapping):
        return dict(value)
    if isinstance(value, (abc.Set, abc.Sequence, abc.ValuesView)) and not isinstance(value, _BINARY):
        return list(value)
    raise TypeError("%s is no JSON type" % kind.__name__)


# Made once: json.dumps makes an encoder for each call with options.
_dump = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_simplify).encode


def _plain(value, path, above):
    """Return ``value`` made of JSON types only; raises UnencodableError naming ``path`` or a path below it."""
    if value is None or isinstance(value, (str, bool, int)) and not isinstance(value, enum.Enum):
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UnencodableError("%s is %r, which JSON cannot carry: return a number or None" % (path, float(value)))
        return value
    if id(value) in above:
        raise UnencodableError("%s contains itself" % path)
    if len(above) > 200:
        raise UnencodableError("%s is nested more than 200 levels deep" % path)
    above = above + (id(value),)
    if isinstance(value, dict):
        return {_key(key, path): _plain(item, _member(path, key), above) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item, "%s[%d]" % (path, index), above) for index, item in enumerate(value)]
    try:
        simpler = _simplify(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise UnencodableError("%s is %s, which JSON cannot carry%s" % (path, _article(value), _remedy(value, error)))
    return _plain(simpler, path, above)


def _key(key, path):
    if isinstance(key, enum.Enum):
        key = key.value
    if hasattr(key, "tolist") and hasattr(key, "dtype"):
        key = key.tolist()
    if key is None or isinstance(key, (str, int, float)):
        return key
    if isinstance(key, (datetime.datetime, datetime.date, datetime.time, uuid.UUID, os.PathLike)):
        return str(_simplify(key))
    raise UnencodableError("%s has a key %r, %s: JSON objects have strings as keys" % (path, key, _article(key)))


def _member(path, key):
    return "%s.%s" % (path, key) if isinstance(key, str) and key.isidentifier() else "%s[%r]" % (path, key)


def _article(value):
    name = type(value).__name__
    return "%s %s" % ("an" if name[0].lower() in "aeiou" else "a", name)


def _remedy(value, error):
    if isinstance(value, _BINARY):
        return ": encode it as base64, or return it alone"
    if hasattr(value, "__await__"):
        return ": await it; where a decorator hides an async def, it needs functools.wraps"
    return "" if isinstance(error, TypeError) else " (%s)" % error
