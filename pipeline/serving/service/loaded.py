"""The versions of one model that a replica holds, each proven by digests and probe before it is used."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pipeline.restoring.restorer import Restorer
from pipeline.serving.service.versions import Version, fetch

HELD = 2  # the one that serves, and the one that is about to, or did until a moment ago


class Loaded:
    """Safe to use from several threads; a version is loaded once, whoever asks first."""

    def __init__(self, device: str, load: Callable[[Version], Restorer] | None = None) -> None:
        self._load = load or (lambda version: Restorer(fetch(version), device=device))
        self._held: dict[Version, Restorer] = {}
        self._last: Version | None = None
        self._loading = threading.Lock()

    def get(self, version: Version) -> Restorer:
        """The loaded model. Raises UserError or AlteredModelError when it cannot be had, or is not what it was.

        Who asks for a version that is held does not wait while another is loaded.
        """
        restorer = self._held.get(version)
        if restorer is None:
            with self._loading:
                restorer = self._held.get(version) or self._load(version)
                kept = list(self._held.items())[1 - HELD :]  # those loaded last; who uses another one still has it
                self._held = dict([*kept, (version, restorer)])
        self._last = version
        return restorer

    def if_held(self, version: Version) -> Restorer | None:
        """The loaded model, unless it would have to be loaded."""
        return self._held.get(version)

    def newest(self) -> Version | None:
        """The version that was asked for last, of those that could be loaded."""
        return self._last
