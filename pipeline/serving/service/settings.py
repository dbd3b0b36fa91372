"""What a service is told, validated once: where it listens, which models it has, and what a request may cost."""

from __future__ import annotations

import ipaddress
import re
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from pipeline.settings import Settings

MAX_WHOLE = 1024 * 1024  # input pixels that go through a network at once, as a tile or as a whole image
BODY_SECONDS = 120.0  # for a body to arrive: 64 MiB at half a megabyte a second
NAME = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


class Limits(Settings):
    """What one request may cost."""

    max_bytes: Annotated[int, Field(ge=1024, le=2**31)] = 64 << 20
    """Of a request's body."""
    held_bytes: Annotated[int, Field(ge=2048, le=2**40)] = 1 << 30
    """Of all bodies together that are arriving, waiting or at work; they stand in the front's memory."""
    max_pixels: Annotated[int, Field(ge=1, le=10**9)] = 25_000_000
    """Of the picture as sent, and as answered where a model enlarges; each takes 75 bytes of a replica's memory."""
    seconds: Annotated[float, Field(gt=0, le=86_400)] = 300.0
    """From the request's last byte to the answer, waiting included."""
    queue: Annotated[int, Field(ge=1, le=10_000)] = 64
    """Requests of one model whose pictures are waiting or at work; more are told to come again (429)."""

    @model_validator(mode="after")
    def _one_fits(self) -> Limits:
        if self.held_bytes < 2 * self.max_bytes:  # a form's boundaries come along
            twice = f"twice max_bytes, {self.max_bytes}"
            raise ValueError(f"held_bytes {self.held_bytes} is less than {twice}; raise it, or lower max_bytes")
        return self


class Replicas(Settings):
    """How a model's replicas are sized; each holds the model once, and computes one tile at a time."""

    least: Annotated[int, Field(ge=1, le=1000)] = 1
    most: Annotated[int, Field(ge=1, le=1000)] = 1
    cpus: Annotated[float, Field(gt=0, le=256)] = 1.0
    """Reserved of the cluster for each, at work or not."""
    gpus: Annotated[float, Field(ge=0, le=16)] = 0.0
    """0: on the CPU. A fraction lets several models share a GPU."""
    at_once: Annotated[int, Field(ge=1, le=64)] = 3
    """Requests inside one replica: while one computes, another is decoded and a third encoded."""

    @model_validator(mode="after")
    def _ordered(self) -> Replicas:
        if self.least > self.most:
            raise ValueError(f"least {self.least} is above most {self.most}")
        return self


class ServeSettings(Settings):
    """One service."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=1, le=65_535)] = 8000
    every_node: bool = False
    """Listen on every node of the cluster, instead of the head alone."""
    models: dict[str, str]
    """Name in the URL -> address: ``models:/name@alias`` (followed), ``models:/name/3``, ``shipped:task``, a folder."""
    limits: Limits = Limits()
    replicas: Replicas = Replicas()
    follow_every_s: Annotated[float, Field(ge=0.1, le=3600)] = 10.0
    """How often the registry is asked where an alias points."""
    token_sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    """SHA-256 of the token: the token itself never travels through Ray."""

    @field_validator("models")
    @classmethod
    def _names(cls, models: dict[str, str]) -> dict[str, str]:
        if not models:
            raise ValueError("no model to serve")
        for name in models:
            if not NAME.fullmatch(name):
                raise ValueError(f"{name!r:.80} is no name for a URL: lower-case letters, digits, _ - . (64 at most)")
        return models

    @model_validator(mode="after")
    def _guarded(self) -> ServeSettings:
        if self.token_sha256 is None and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host} can be reached from other machines, so a token is needed: "
                "set SEMANIR_SERVE_TOKEN or give --token-file, or listen on 127.0.0.1"
            )
        return self


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``; a name counts as reachable unless it is ``localhost``."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
