"""The packages that the benchmark serves: a no-op, an echo, a stream, a slow call, a model that gains by batches, one that is read."""
import asyncio
import os
import time


class NoOp:
    def __init__(self, model_path):
        pass

    async def __call__(self, request):
        await request.json()
        return {"status": 1}


class Echo:
    def __init__(self, model_path):
        pass

    async def __call__(self, request):
        return await request.body()


class Stream:
    def __init__(self, model_path):
        pass

    async def __call__(self, request):
        return self.chunks(await request.json())

    async def chunks(self, wanted):
        for _ in range(wanted["chunks"]):
            if wanted["turns"]:
                await asyncio.sleep(0)
            yield b"0123456789abcde\n"


class Slow:
    def __init__(self, model_path):
        pass

    async def __call__(self, request):
        await asyncio.sleep(0.2)
        return {"status": 1}


class Batched:
    """5 ms for a batch and 0.5 ms for each item in it."""

    def __init__(self, model_path):
        pass

    def predict_batch(self, items):
        time.sleep(0.005 + 0.0005 * len(items))
        return [{"status": 1} for _ in items]


class ReadAll:
    """Reads its model from the first byte to the last, and says when it had."""

    def __init__(self, model_path):
        folder = os.path.join(*model_path.split(",")[:2])
        block = bytearray(1024 * 1024)
        self.bytes = 0
        for name in sorted(os.listdir(folder)):
            with open(os.path.join(folder, name), "rb", buffering=0) as file:
                while count := file.readinto(block):
                    self.bytes += count
        self.read_at_ms = time.time() * 1000

    async def __call__(self, request):
        return {"bytes": self.bytes, "read_at_ms": self.read_at_ms}
