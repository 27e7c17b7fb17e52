"""The connection to the server: questions and answers, one line of JSON each. No bytes of objects pass through it."""

import collections
import json
import os
import select
import shutil
import socket
import threading
import uuid
import warnings
import weakref

from . import _server
from ._errors import OssError, exception_of

PROTOCOL = 1
GONE = "the server of the connector has ended; make a new OssModelConnector"


class Pending:
    """What is waited for: `result` or `error` once `done`, pages meanwhile."""

    def __init__(self):
        self.done = threading.Event()
        self.result = None
        self.error = None
        self.pages = []


class Link:
    """One connection, of one process. Its thread reads answers and knows nothing of who asks."""

    def __init__(self, path, provider, on_evicted):
        self.path = path
        self.provider = provider
        self.on_evicted = on_evicted
        self.pid = os.getpid()
        self.folder = None
        self.closing = False
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(path)
        self.wake_read, self.wake_write = os.pipe()
        self.lock = threading.Lock()  # of what is sent
        self.pending = {}
        self.numbers = 0
        self.notes = collections.deque()
        self.error = None
        self.thread = threading.Thread(target=self.run, name="ossmodelconnector", daemon=True)
        self.thread.start()

    def begin(self, op, fields):
        pending = Pending()
        with self.lock:
            if self.error is not None:
                raise self.error
            self.numbers += 1
            number = self.numbers
            self.pending[number] = pending
            try:
                self.socket.sendall(line(dict(fields, id=number, op=op)))
            except OSError:
                self.pending.pop(number, None)
                raise OssError(GONE, "CONNECTOR_GONE") from None
        return pending

    def wait(self, pending):
        pending.done.wait()
        if pending.error is not None:
            raise pending.error
        return pending.result

    def note(self, message):
        """To be sent soon. Safe wherever the garbage collector strikes: no lock is taken."""
        self.notes.append(message)
        try:
            os.write(self.wake_write, b"n")
        except OSError:
            pass

    def close(self):
        self.closing = True
        self.note(None)

    def run(self):
        text = b""
        try:
            while not self.closing or self.notes:
                ready, _, _ = select.select([self.socket, self.wake_read], [], [])
                if self.wake_read in ready:
                    os.read(self.wake_read, 4096)
                    self.send_notes()
                if self.socket not in ready:
                    continue
                part = self.socket.recv(1 << 18)
                if not part:
                    break
                *lines, text = (text + part).split(b"\n")
                for each in lines:
                    self.take(json.loads(each))
        except OSError:
            pass
        finally:
            self.end()

    def send_notes(self):
        while self.notes:
            message = self.notes.popleft()
            if message is not None:
                with self.lock:
                    self.socket.sendall(line(message))

    def take(self, message):
        if "ask" in message:
            threading.Thread(target=self.give_credentials, args=(message["ask"],), daemon=True).start()
        elif "evicted" in message:
            self.on_evicted(message["evicted"])
        elif "page" in message:
            self.pending[message["id"]].pages.append(message["page"])
        else:
            pending = self.pending.pop(message["id"], None)
            if pending is not None:
                pending.result = message.get("result")
                pending.error = exception_of(message["error"]) if "error" in message else None
                pending.done.set()

    def give_credentials(self, number):
        answer = {"id": number, "op": "credentials", "keyId": "", "secret": "", "token": "", "failure": ""}
        try:
            given = self.provider.get_credentials()
            answer["keyId"] = field(given, "access_key_id")
            answer["secret"] = field(given, "access_key_secret")
            answer["token"] = field(given, "security_token")
        except Exception as error:  # whatever a provider raises is told to who waits for the bytes
            answer["failure"] = "%s: %s" % (type(error).__name__, error)
        self.note(answer)

    def end(self):
        with self.lock:
            self.error = OssError(GONE, "CONNECTOR_GONE")
            pending, self.pending = self.pending, {}
        self.abandon()
        for each in pending.values():
            each.error = self.error
            each.done.set()
        if not self.closing:
            _server.forget(self.path)
            if self.folder is not None:
                shutil.rmtree(self.folder, ignore_errors=True)  # a server that was killed has left it

    def abandon(self):
        """Also in a forked process: there the connection is the parent's, whose thread is not here."""
        self.socket.close()
        ends, self.wake_read, self.wake_write = (self.wake_read, self.wake_write), -1, -1
        for end in ends:
            if end >= 0:
                os.close(end)


class Channel:
    """A session with the server: that of this process and of those that it forks, each over a connection of its own."""

    def __init__(self, hello, provider):
        self.hello = dict(hello, protocol=PROTOCOL, session=uuid.uuid4().hex)
        self.provider = provider
        self.objects = {}  # weak references by id: of a plain dict, a list can be made while others change it
        self.path = _server.socket_path()
        self.closed = False
        self.link = self.connect()
        channels.add(self)

    def connect(self):
        try:
            link = Link(self.path, self.provider, self.evicted)
        except OSError:
            raise OssError(GONE, "CONNECTOR_GONE") from None
        try:
            welcome = link.wait(link.begin("hello", self.hello))
        except BaseException:
            link.close()
            raise
        link.folder = welcome["folder"]
        for each in welcome["warnings"]:
            warnings.warn(each, stacklevel=4)
        return link

    def current(self):
        if self.closed:
            raise ValueError("the connector is closed")
        if self.link.pid != os.getpid():
            self.link.abandon()
            self.link = self.connect()
        return self.link

    def call(self, op, **fields):
        """Waits for the answer. Raises what the server says, or OssError when it has gone."""
        link = self.current()
        return link.wait(link.begin(op, fields))

    def pages(self, op, **fields):
        """All pages of an answer."""
        link = self.current()
        pending = link.begin(op, fields)
        link.wait(pending)
        return pending.pages

    def note(self, op, **fields):
        """Tells the server something, soon. What belongs to the parent of a forked process is left to it."""
        if not self.closed and self.link.pid == os.getpid():
            self.link.note(dict(fields, id=0, op=op))

    def evicted(self, path):
        for each in self.living():
            each.evicted(path)

    def add(self, opened):
        self.objects[id(opened)] = weakref.ref(opened)

    def remove(self, opened):
        self.objects.pop(id(opened), None)

    def living(self):
        return [each for each in [reference() for reference in list(self.objects.values())] if each is not None]

    def close(self):
        if not self.closed:
            self.closed = True
            if self.link.pid == os.getpid():
                self.link.close()
            else:
                self.link.abandon()


channels = weakref.WeakSet()


def renew_locks():
    for channel in list(channels):
        for each in channel.living():
            each.renew_lock()


os.register_at_fork(after_in_child=renew_locks)


def line(message):
    return json.dumps(message).encode() + b"\n"


def field(credentials, name):
    """Of an object as the SDK's, or of one with a getter of that name."""
    value = getattr(credentials, name, None)
    if value is None:
        getter = getattr(credentials, "get_" + name, None)
        value = getter() if getter is not None else None
    return value or ""
