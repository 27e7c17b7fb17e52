"""The packages that the benchmark serves: a no-op, an echo, a stream, a slow call, and a model that gains by batches."""
import asyncio
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
