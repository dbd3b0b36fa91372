"""The requests that are inside, and a door that can be shut: what a service that stops has to wait for."""

from __future__ import annotations

from starlette.types import ASGIApp, Message, Receive, Scope, Send

WATCHED = "/metrics"  # is answered to the end, and nobody waits for it


class Inside:
    """An application with a door. count: the requests whose clients do not have their whole answer yet.

    refusal: answers who comes when it is shut.
    """

    def __init__(self, app: ASGIApp, refusal: ASGIApp) -> None:
        self._app, self._refusal, self._is_shut = app, refusal, False
        self.count = 0

    def shut(self) -> int:
        """Let nobody in from now on; returns how many are inside."""
        self._is_shut = True
        return self.count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] == WATCHED:
            await self._app(scope, receive, send)
        elif self._is_shut:
            await self._refusal(scope, receive, send)
        else:
            self.count += 1
            try:
                await self._app(scope, receive, _in_two(send))
                while (await receive())["type"] != "http.disconnect":
                    pass
            finally:
                self.count -= 1


def _in_two(send: Send) -> Send:
    """Sends the end of an answer by itself.

    A server takes a message when the client has all but a little of those before, and says that the client is done as
    soon as it took the last one, which may be the whole answer.
    """

    async def send_in_two(message: Message) -> None:
        if message["type"] == "http.response.body" and message.get("body") and not message.get("more_body"):
            await send({**message, "more_body": True})
            message = {"type": "http.response.body", "body": b"", "more_body": False}
        await send(message)

    return send_in_two
