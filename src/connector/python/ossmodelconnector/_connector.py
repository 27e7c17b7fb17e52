"""The connector itself."""

import os
import typing
import weakref

from ._channel import Channel
from ._hooks import Hooks
from ._object import OssObject, OssText


class ObjectInfo(typing.NamedTuple):
    """An object as a listing names it; `size` in bytes."""

    key: str
    size: int


class OssModelConnector:
    """Lists, opens and reads what lies in OSS. What is opened is fetched into memory at once, in the order it was opened."""

    def __init__(self, endpoint, cred_path="", config_path="", cred_provider=None):
        """endpoint: of OSS, without a scheme it is http. cred_path: a JSON file with AccessKeyId, AccessKeySecret, and
        SecurityToken and Expiration where they are temporary. cred_provider: in place of it, an object with
        get_credentials(), as those of oss2.credentials. config_path: a config.json.

        Raises ValueError for what cannot be a connector, RuntimeError when its server cannot be started."""
        if not endpoint:
            raise ValueError("endpoint must be non-empty")
        if cred_provider is None and not cred_path:
            raise ValueError("Either cred_path or cred_provider must be provided")
        self._hooks = None
        hello = {
            "endpoint": endpoint,
            "region": os.environ.get("OSS_REGION", ""),
            "configPath": absolute(config_path),
            "credPath": "" if cred_provider is not None else absolute(cred_path),
        }
        self._channel = Channel(hello, cred_provider)
        self._finalizer = weakref.finalize(self, Channel.close, self._channel)

    def list(self, bucket, prefix, fast=False):
        """Objects whose keys begin with `prefix`, as a list with .key and .size, ordered by key; `fast`: by many requests
        at once, in no order. Raises OssError."""
        pages = self._channel.pages("list", bucket=bucket, prefix=prefix, fast=bool(fast))
        return [ObjectInfo(key, size) for page in pages for key, size in page]

    def open(self, uri, binary=True):
        """Opens oss://bucket/name as a stream, of UTF-8 text if not `binary`. Raises FileNotFoundError, ValueError for what
        is no URI, OssError."""
        found = OssObject(self, uri, self._channel.call("open", uri=uri))
        return found if binary else OssText(found)

    def prepare_directory(self, uri, dir, libc_hook=False):
        """Makes `dir` hold what lies in the folder `uri`, having emptied it. Small files are there when this returns; large
        ones come into memory, in the order of their names, and who opens them by `open`, torch or safetensors waits for
        them. With `libc_hook` it returns once all files are there, for programs that open them in other ways.

        Raises RuntimeError when that fails."""
        self._unhook()
        try:
            directory = os.path.abspath(dir) if os.path.isabs(dir) else dir
            if (os.getcwd() + "/").startswith(directory.rstrip("/") + "/"):
                raise ValueError("%s cannot be prepared, which would empty it: this process works in it" % dir)
            prepared = self._channel.call("prepare", uri=uri, directory=directory, whole=bool(libc_hook))
        except Exception as failure:
            raise RuntimeError(str(failure)) from failure
        base = uri.rstrip("/") + "/"
        objects = {each["path"]: OssObject(self, base + each["path"], each) for each in prepared["files"]}
        if objects:
            self._hooks = Hooks(directory, objects)
            self._hooks.install()

    def close(self):
        """Removes hooks, ends all requests and gives all memory back."""
        self._unhook()
        self._finalizer()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def __del__(self):
        try:
            self._unhook()
        except Exception:  # the interpreter may be half gone, or the constructor has failed
            pass

    def _unhook(self):
        if self._hooks is not None:
            self._hooks.remove()
            self._hooks = None


def absolute(path):
    return os.path.abspath(path) if path else ""
