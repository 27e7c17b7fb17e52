"""The no-op handler on MLServer, which wants its answer in the shape of the Open Inference Protocol."""
from mlserver import MLModel, types


class NoOp(MLModel):
    async def load(self):
        return True

    async def predict(self, payload):
        output = types.ResponseOutput(name="status", shape=[1], datatype="INT32", data=[1])
        return types.InferenceResponse(model_name=self.name, id=payload.id, outputs=[output])
