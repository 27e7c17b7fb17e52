"""What the class returned or raised, as status, headers and body."""

import json

from collections import abc
from numbers import Integral

from .encoding import UnencodableError, encode_result
from .frames import encode_json
from .form import BadForm
from .importing import format_error
from .notes import note_failure, note_refusal
from .request import BadJson

_TEXT = "text/plain; charset=utf-8"
_BYTES = "application/octet-stream"
_JSON = "application/json"
#: So that the head of an answer fits into one frame.
MAX_HEADER_CHARS = 8 * 1024
#: A longer body is not looked into for whether it reports failure: those that do are short.
_MAX_LOOK_BYTES = 16 * 1024


class Answer:
    """``body`` is bytes, or None where ``chunks``, an iterator or asynchronous iterator, gives it piece by piece.

    ``ok`` is whether user code counts as having succeeded.
    """

    __slots__ = ("status", "headers", "ok", "body", "chunks")

    def __init__(self, status, headers, ok, body=None, chunks=None):
        self.status = status
        self.headers = headers
        self.ok = ok
        self.body = body
        self.chunks = chunks

    def head(self):
        """Return the payload of the response frame."""
        return encode_json({"status": self.status, "headers": self.headers, "ok": self.ok})


class _WholeJson:
    """The Answer of most calls: 200, JSON. Its head is no more than a number in a template."""

    __slots__ = ("ok", "body")

    chunks = None

    def __init__(self, ok, body):
        self.ok = ok
        self.body = body

    def head(self):
        """Return the payload of the response frame."""
        return (_OK_HEAD if self.ok else _FAILED_HEAD) % len(self.body)


_HEAD = (b'{"status":200,"headers":[["content-type","application/json"],["content-length","%%d"]],"ok":%s}')
_OK_HEAD = _HEAD % b"true"
_FAILED_HEAD = _HEAD % b"false"


def answer_of(result):
    """Return the Answer for what the class returned; raises UnencodableError."""
    if type(result) is dict:
        return _WholeJson(not _says_failed(result), encode_result(result))
    if isinstance(result, str):
        return _whole(200, result.encode("utf-8", "replace"), _TEXT, True)
    if _is_binary(result):
        return _whole(200, bytes(result), _BYTES, True)
    if _is_typed_binary(result):
        body = bytes(result[0])
        return _whole(200, body, result[1], not (_is_json(result[1]) and _text_says_failed(body)))
    if hasattr(result, "status_code") and hasattr(result, "headers"):
        return _from_response(result)
    if isinstance(result, (abc.Iterator, abc.AsyncIterator)):
        return Answer(200, [], True, chunks=result)
    body = encode_result(result)
    return _WholeJson(not _text_says_failed(body), body)


def answer_of_error(error, head):
    """Return the Answer for an exception that left the class, and write its traceback to the log."""
    status, told, ok = error_of(error, head)
    return _whole(status, encode_result(told), _JSON, ok)


def error_of(error, head):
    """Return (status, what the client is told, whether user code is free of blame); writes the traceback to the log."""
    status, code, ok = 500, "BACKEND_ERROR", False
    if isinstance(error, BadJson):
        status, code, ok = 400, "BAD_JSON", True
        info = "the body of the request is not JSON: %s" % error
    elif isinstance(error, BadForm):
        status, code, ok = 400, "BAD_FORM", True
        info = str(error)
    elif isinstance(error, UnencodableError):
        note_refusal("request %s" % head["id"], error)
        info = "the answer cannot be encoded: %s" % error
    else:
        note_failure("request %s failed" % head["id"], error)
        info = format_error(error) if head.get("expose_errors") else (
            "the backend raised %s; the log of its replica has the traceback under this request id"
            % type(error).__name__)
    return status, {"status": 0, "code": code, "info": info, "request_id": head["id"]}, ok


def _whole(status, body, content_type, ok):
    return Answer(status, [("content-type", content_type), ("content-length", str(len(body)))], ok, body)


def _from_response(response):
    """Take over a starlette-like response object: its status, headers and body or body_iterator."""
    status = int(response.status_code)
    raw = getattr(response, "raw_headers", None)
    pairs = raw if raw is not None else response.headers.items()
    headers = [(_text(name).lower(), _text(value)) for name, value in pairs]
    names = {name for name, _ in headers}
    if sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_CHARS:
        raise UnencodableError("result has more than %d characters of headers" % MAX_HEADER_CHARS)
    media_type = getattr(response, "media_type", None)
    if media_type and "content-type" not in names:
        headers.append(("content-type", media_type))
    body = getattr(response, "body", None)
    if isinstance(body, str):
        body = body.encode("utf-8")
    if _is_binary(body):
        if "content-length" not in names and status not in (204, 304):
            headers.append(("content-length", str(len(body))))
        body = bytes(body)
        is_json = any(name == "content-type" and _is_json(value) for name, value in headers)
        # A refusal (4xx) is of the client's making, whatever its words.
        says_failed = status < 400 and is_json and _text_says_failed(body)
        return Answer(status, headers, status < 500 and not says_failed, body)
    chunks = getattr(response, "body_iterator", None)
    if chunks is None:
        raise UnencodableError("result is a %s without body or body_iterator" % type(response).__name__)
    return Answer(status, headers, status < 500, chunks=chunks if hasattr(chunks, "__aiter__") else iter(chunks))


def _text_says_failed(body):
    """Whether a body of JSON, however it was made, is an object that reports failure."""
    if len(body) > _MAX_LOOK_BYTES or b'"status"' not in body or body.lstrip()[:1] != b"{":
        return False
    try:
        return _says_failed(json.loads(body.decode("utf-8")))
    except (ValueError, RecursionError):
        return False


def _is_json(content_type):
    return content_type.split(";", 1)[0].strip().lower() == _JSON


def _says_failed(result):
    """Whether the dict reports failure as the template does: ``{"status": 0, …}`` (False is no status)."""
    status = result.get("status")
    return status is not None and isinstance(status, Integral) and not isinstance(status, bool) and status == 0


def _is_typed_binary(value):
    """Whether it is (bytes, content type), which JSON could not carry in any case."""
    return type(value) is tuple and len(value) == 2 and _is_binary(value[0]) and isinstance(value[1], str)


def _is_binary(value):
    return isinstance(value, (bytes, bytearray, memoryview))


def _text(value):
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)
