"""Parts of a request in the shape of starlette's: headers, query parameters, address, cookies."""

from collections import abc, namedtuple
from urllib.parse import parse_qsl, unquote

Address = namedtuple("Address", ["host", "port"])


class MultiDict(abc.Mapping):
    """A mapping that may hold several values under a name; ``[]`` gives the last, ``getlist`` all of them."""

    def __init__(self, pairs):
        self._pairs = list(pairs)
        self._last = dict(self._pairs)

    def __getitem__(self, name):
        return self._last[name]

    def __iter__(self):
        return iter(self._last)

    def __len__(self):
        return len(self._last)

    def getlist(self, name):
        """Return every value of ``name``, in order."""
        return [value for key, value in self._pairs if key == name]

    def multi_items(self):
        """Return all (name, value) pairs, in order."""
        return list(self._pairs)

    def __repr__(self):
        return "%s(%r)" % (type(self).__name__, self._pairs)


class QueryParams(MultiDict):
    """The query string, decoded; ``str()`` gives it as it was sent."""

    def __init__(self, query):
        super().__init__(parse_qsl(query, keep_blank_values=True))
        self._query = query

    def __str__(self):
        return self._query


class Headers(abc.Mapping):
    """Headers by name, whatever its case; ``[]`` gives the first of several, ``getlist`` all of them."""

    def __init__(self, pairs):
        self._pairs = [(name.lower(), value) for name, value in pairs]

    def __getitem__(self, name):
        wanted = name.lower()
        for key, value in self._pairs:
            if key == wanted:
                return value
        raise KeyError(name)

    def __iter__(self):
        return iter(dict.fromkeys(key for key, _ in self._pairs))

    def __len__(self):
        return len({key for key, _ in self._pairs})

    def getlist(self, name):
        """Return every value of ``name``, in order."""
        return [value for key, value in self._pairs if key == name.lower()]

    @property
    def raw(self):
        """All headers as a list of (name, value) pairs of bytes."""
        return [(key.encode("latin-1", "replace"), value.encode("latin-1", "replace")) for key, value in self._pairs]

    def __repr__(self):
        return "Headers(%r)" % self._pairs


class URL:
    """The address as the client named it."""

    def __init__(self, scheme, host, path, query):
        self.scheme = scheme
        self.netloc = host
        self.path = path
        self.query = query
        self.fragment = ""

    @property
    def hostname(self):
        """The host without its port, lower case; None where the client sent none."""
        host = self.netloc.rpartition(":")[0] if self.port is not None else self.netloc
        return host.strip("[]").lower() or None

    @property
    def port(self):
        """The port as an int; None where the address has none."""
        tail = self.netloc.rpartition("]")[2].rpartition(":")
        return int(tail[2]) if tail[1] and tail[2].isdigit() else None

    @property
    def is_secure(self):
        """Whether the client used https."""
        return self.scheme == "https"

    def __str__(self):
        return "%s://%s%s%s" % (self.scheme, self.netloc, self.path, "?" + self.query if self.query else "")

    def __eq__(self, other):
        return str(self) == str(other)

    def __hash__(self):
        return hash(str(self))

    def __repr__(self):
        return "URL(%r)" % str(self)


def parse_cookies(header):
    """Return the name → value dictionary of a Cookie header; parts that are no cookie are left out."""
    cookies = {}
    for part in header.split(";"):
        name, equals, value = part.strip().partition("=")
        if equals and name:
            cookies[name] = unquote(value.strip('"'))
    return cookies
