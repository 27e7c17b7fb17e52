"""The no-op handler on Ray Serve, and a stream of chunks. Arguments: the HTTP port, a folder for Ray's session."""
import asyncio
import signal
import sys
import threading

import ray
from ray import serve
from ray.serve.schema import LoggingConfig
from starlette.responses import StreamingResponse

quiet = LoggingConfig(enable_access_log=False)
# With the default, 5, the proxy backs off for what waits: at 32 connections it answered a tenth of what it can.
ONGOING = 100


@serve.deployment(logging_config=quiet, max_ongoing_requests=ONGOING)
class NoOp:
    async def __call__(self, request):
        await request.json()
        return {"status": 1}


@serve.deployment(logging_config=quiet, max_ongoing_requests=ONGOING)
class Stream:
    async def __call__(self, request):
        wanted = await request.json()

        async def chunks():
            for _ in range(wanted["chunks"]):
                if wanted["turns"]:
                    await asyncio.sleep(0)
                yield b"0123456789abcde\n"

        return StreamingResponse(chunks(), media_type="text/plain")


if __name__ == "__main__":
    port, folder = int(sys.argv[1]), sys.argv[2]
    ray.init(
        include_dashboard=False,
        _temp_dir=folder,
        _node_ip_address="127.0.0.1",
        object_store_memory=256 * 1024 * 1024,
        log_to_driver=False,
        configure_logging=False,
    )
    serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config=quiet)
    serve.run(Stream.bind(), name="stream", route_prefix="/stream")
    serve.run(NoOp.bind(), name="noop", route_prefix="/noop")  # the last: what answers here is all there
    ended = threading.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: ended.set())
    ended.wait()
    serve.shutdown()
    ray.shutdown()
