"""The no-op handler on FastAPI."""
from fastapi import FastAPI, Request

app = FastAPI()


@app.api_route("/noop", methods=["GET", "POST"])
async def noop(request: Request):
    await request.json()
    return {"status": 1}
