"""The no-op handler as a bare ASGI application: what Python on uvicorn can do at most."""
import json


async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    parts = []
    while True:
        message = await receive()
        parts.append(message.get("body", b""))
        if not message.get("more_body"):
            break
    body = b"".join(parts)
    if scope["path"] == "/echo":
        answer, kind = body, b"application/octet-stream"
    else:
        json.loads(body)
        answer, kind = json.dumps({"status": 1}).encode(), b"application/json"
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", kind), (b"content-length", str(len(answer)).encode())],
        }
    )
    await send({"type": "http.response.body", "body": answer})
