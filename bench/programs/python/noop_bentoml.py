"""The no-op handler on BentoML."""
import bentoml


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class NoOp:
    @bentoml.api
    async def noop(self, input: str) -> dict:
        return {"status": 1}
