"""What the user's class is called with: the part of starlette's Request that people use.

The body is here in full before the class is called, so nothing waits. An asynchronous class gets ``Request``, whose
``json() body() form() stream()`` are awaited as starlette's are; a synchronous one gets ``SyncRequest``, where the same
names return the value itself.
"""

import json
import types

from .fields import Address, Headers, QueryParams, URL, parse_cookies
from .form import SyncUploadFile, UploadFile, parse_form


class BadJson(json.JSONDecodeError):
    """The body is not JSON; if user code lets it pass, the client gets 400 BAD_JSON instead of 500."""


class _RequestBase:
    """Everything that is the same for both kinds of class. What few classes look at is made when it is."""

    def __init__(self, call):
        head = call.head
        self._call = call
        self._head = head
        self._headers = None
        self._query_params = None
        self._state = None
        self.id = head["id"]
        self.method = head["method"]
        self.path_params = {}

    @property
    def headers(self):
        """The headers, by name in any case."""
        if self._headers is None:
            self._headers = Headers(self._head["headers"])
        return self._headers

    @property
    def query_params(self):
        """The decoded query."""
        if self._query_params is None:
            self._query_params = QueryParams(self._head["query"])
        return self._query_params

    @property
    def state(self):
        """A place for whatever user code wants to keep with the request."""
        if self._state is None:
            self._state = types.SimpleNamespace()
        return self._state

    @property
    def url(self):
        """The address as the client named it."""
        head = self._head
        return URL(head.get("scheme", "http"), self.headers.get("host", ""), head["path"], head["query"])

    @property
    def client(self):
        """(host, port) of the client, or None."""
        client = self._head.get("client")
        return None if client is None else Address(*client)

    @property
    def cookies(self):
        """The cookies as a dictionary."""
        return parse_cookies(self.headers.get("cookie", ""))

    def parameters(self):
        """Return the JSON body, or without a body the query parameters as a dictionary; raises BadJson."""
        body = self._call.body()
        if not body.strip():
            return dict(self.query_params)
        try:
            return json.loads(body.decode("utf-8"))
        except UnicodeDecodeError as error:
            raise BadJson("not UTF-8 (%s)" % error.reason, body.decode("latin-1"), error.start)
        except json.JSONDecodeError as error:
            raise BadJson(error.msg, error.doc, error.pos)
        except RecursionError:
            raise BadJson("nested too deeply", "", 0)
        except ValueError as error:  # such as a number of more digits than Python takes
            raise BadJson(str(error), "", 0)


class SyncRequest(_RequestBase):
    """The request of a synchronous class: nothing is awaited."""

    def json(self):
        """Return the JSON body, or without a body the query parameters as a dictionary; raises BadJson."""
        return self.parameters()

    def body(self):
        """Return the body as bytes."""
        return self._call.body()

    def form(self):
        """Return the fields of a form body; files as SyncUploadFile; raises BadForm."""
        return parse_form(self.headers.get("content-type", ""), self._call.body(), SyncUploadFile)

    def stream(self):
        """Yield the body."""
        yield self._call.body()

    def is_disconnected(self):
        """Return whether nobody waits for the answer any more."""
        return self._call.gone


class Request(_RequestBase):
    """The request of an asynchronous class."""

    async def json(self):
        """Return the JSON body, or without a body the query parameters as a dictionary; raises BadJson."""
        return self.parameters()

    async def body(self):
        """Return the body as bytes."""
        return self._call.body()

    async def form(self):
        """Return the fields of a form body; files as UploadFile; raises BadForm."""
        return parse_form(self.headers.get("content-type", ""), self._call.body(), UploadFile)

    async def stream(self):
        """Yield the body."""
        yield self._call.body()

    async def is_disconnected(self):
        """Return whether nobody waits for the answer any more."""
        return self._call.gone
