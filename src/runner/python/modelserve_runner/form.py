"""Form bodies: ``application/x-www-form-urlencoded`` and ``multipart/form-data`` (RFC 7578)."""

import email.message
import email.utils
import io
from urllib.parse import parse_qsl

from .fields import Headers, MultiDict

#: A part has few and short headers; more is an attack or no form.
MAX_PART_HEADER_BYTES = 16 * 1024
MAX_PARTS = 1000


class BadForm(ValueError):
    """The body is not the form its content type says; if user code lets it pass, the client gets 400."""


class SyncUploadFile:
    """A file of a multipart form. ``file`` is a binary file object over its content."""

    def __init__(self, filename, headers, content):
        self.filename = filename
        self.headers = headers
        self.content_type = headers.get("content-type", "application/octet-stream")
        self.size = len(content)
        self.file = io.BytesIO(content)

    def read(self, size=-1):
        """Return up to ``size`` bytes from the current position; all that is left when negative."""
        return self.file.read(size)

    def seek(self, offset):
        """Move to ``offset`` bytes from the start."""
        self.file.seek(offset)

    def close(self):
        """Let go of the content."""
        self.file.close()

    def __repr__(self):
        return "%s(filename=%r, size=%d)" % (type(self).__name__, self.filename, self.size)


class UploadFile(SyncUploadFile):
    """The same with methods to be awaited, as starlette's."""

    async def read(self, size=-1):
        """Return up to ``size`` bytes from the current position; all that is left when negative."""
        return self.file.read(size)

    async def seek(self, offset):
        """Move to ``offset`` bytes from the start."""
        self.file.seek(offset)

    async def close(self):
        """Let go of the content."""
        self.file.close()


def parse_form(content_type, body, file_class):
    """Return the fields of a form body as a MultiDict of str and ``file_class``; raises BadForm."""
    kind, parameters = _parse_header(content_type)
    if kind == "application/x-www-form-urlencoded":
        charset = parameters.get("charset", "utf-8")
        try:
            return MultiDict(parse_qsl(body.decode(charset), keep_blank_values=True))
        except (UnicodeDecodeError, LookupError) as error:
            raise BadForm("the form is not %s: %s" % (charset, error))
    if kind == "multipart/form-data":
        boundary = parameters.get("boundary", "")
        if not boundary:
            raise BadForm("multipart/form-data without a boundary in its content type")
        return MultiDict(_parse_part(part, file_class) for part in _split(body, b"--" + boundary.encode("latin-1")))
    raise BadForm("the content type of the request is %r; a form is application/x-www-form-urlencoded or "
                  "multipart/form-data" % content_type)


def _parse_header(value):
    """Return (lower-case value, parameters) of a header such as ``form-data; name="a"``."""
    message = email.message.Message()
    message["content-type"] = value.replace("\r", " ").replace("\n", " ")
    first, *parameters = message.get_params(failobj=[("", "")])
    decoded = {}
    for name, text in parameters:
        if isinstance(text, tuple):  # RFC 2231: filename*=utf-8''…
            text = email.utils.collapse_rfc2231_value(text)
        decoded[name.lower()] = text
    return first[0].strip().lower(), decoded


def _split(body, delimiter):
    """Yield the parts between delimiters (headers, blank line, content)."""
    if not body.startswith(delimiter):
        start = body.find(b"\r\n" + delimiter)  # a preamble, which is to be ignored
        if start < 0:
            raise BadForm("the multipart body does not contain its boundary")
        body = body[start + 2:]
    position = len(delimiter)
    for _ in range(MAX_PARTS):
        if body.startswith(b"--", position):
            return
        start = body.find(b"\r\n", position) + 2
        end = body.find(b"\r\n" + delimiter, start - 2)
        if start < 2 or end < 0:
            raise BadForm("the multipart body ends in the middle of a part")
        yield body[start:end]
        position = end + 2 + len(delimiter)
    raise BadForm("the multipart body has more than %d parts" % MAX_PARTS)


def _parse_part(part, file_class):
    head, blank, content = part.partition(b"\r\n\r\n")
    if not blank or len(head) > MAX_PART_HEADER_BYTES:
        raise BadForm("a part of the multipart body has no end of its headers")
    lines = head.decode("utf-8", "replace").split("\r\n")
    headers = Headers((name.strip(), value.strip()) for name, _, value in (line.partition(":") for line in lines))
    _, parameters = _parse_header(headers.get("content-disposition", ""))
    name = parameters.get("name")
    if name is None:
        raise BadForm("a part of the multipart body has no name")
    if "filename" in parameters:
        return name, file_class(parameters["filename"], headers, content)
    _, content_parameters = _parse_header(headers.get("content-type", "text/plain"))
    try:
        return name, content.decode(content_parameters.get("charset", "utf-8"))
    except (UnicodeDecodeError, LookupError) as error:
        raise BadForm("field %r of the form cannot be decoded: %s" % (name, error))
