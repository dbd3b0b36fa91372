"""One picture's tiles, computed here and by others at the same time, with the result of one computer alone."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait

from torch import Tensor

from semanir.tiling import Canvas, ModelShape

Run = Callable[[Tensor], Tensor]
Send = Callable[[Tensor], "Future[Tensor | None]"]
GRACE_S = 2.0  # how long a tile that another has is waited for when nothing else is left to do


def restore_shared(
    image: Tensor, run: Run, shape: ModelShape, *, tile: int, overlap: int, send: Send | None = None, helpers: int = 0
) -> Tensor:
    """Restore a network input (1, C, H, W) by tiles as ``semanir.restore_tiled`` does, with up to ``helpers`` others.

    run: (1, C, h, w) here. send: the same elsewhere; a future of None, or one that fails, means that the other does not
    take it, and one helper fewer is asked from then on. A tile that stays away longer than ``GRACE_S`` is computed here
    as well, so that a helper that waits for its own picture's tiles, or died, stops nobody.
    """
    height, width = image.shape[2:]
    if not 0 < tile < max(height, width):
        return run(image)
    canvas = Canvas(shape, (1, height, width), tile, overlap)
    origins = canvas.origins
    todo = deque(range(len(origins)))
    away: dict[Future[Tensor | None], int] = {}
    ready: dict[int, Tensor] = {}
    added = 0

    def cut(number: int) -> Tensor:
        y, x = origins[number]
        return image[..., y : y + tile, x : x + tile]

    while added < len(origins):
        # The rest of a picture is too little to give away when there is a tile or less for each.
        while send is not None and len(away) < helpers and len(todo) > 1:
            number = todo.popleft()
            away[send(cut(number))] = number
        if todo:
            number = todo.popleft()
            ready.setdefault(number, run(cut(number)).cpu())
        elif not wait(away, timeout=GRACE_S, return_when=FIRST_COMPLETED).done:
            late, number = next(iter(away.items()))
            late.cancel()
            del away[late]
            ready[number] = run(cut(number)).cpu()
        for future in [one for one in away if one.done()]:
            number = away.pop(future)
            result = None if future.cancelled() or future.exception() is not None else future.result()
            if result is None:
                helpers -= 1
                todo.appendleft(number)
            else:
                ready[number] = result
        while added in ready:
            canvas.add(origins[added], ready.pop(added))
            added += 1
    return canvas.total
