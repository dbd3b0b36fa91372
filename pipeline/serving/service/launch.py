"""Start the service on a Ray cluster, and keep it until the person has enough."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from pipeline.errors import UserError, first_line
from pipeline.registry import AlteredModelError
from pipeline.restoring.restorer import Restorer
from pipeline.serving.service import access
from pipeline.serving.service.settings import ServeSettings, is_loopback
from pipeline.serving.service.versions import address_of, name_of, resolve
from pipeline.settings import parse_settings

APPLICATION = "semanir"
INGRESS_AT_ONCE = 10_000  # each model's own queue is what bounds requests
UPSCALE_AFTER_S, DOWNSCALE_AFTER_S = 5.0, 300.0  # a replica starts in seconds, and holds little while it idles
DRAIN_S = 30.0
MOST_REPLICAS = 1000


def find_models(words: Sequence[str]) -> dict[str, str]:
    """Names and addresses of what a person wants served; every model is fetched, loaded and proven here first.

    words: task names (their registered champions), addresses or folders. Raises UserError, in one line.
    """
    models: dict[str, str] = {}
    for word in words:
        address = address_of(word)
        try:
            _, folder = resolve(address)
            Restorer(folder, device="cpu")
        except AlteredModelError as error:
            raise UserError(str(error)) from error
        name = name_of(folder, address)
        if name in models:
            raise UserError(f"{models[name]} and {address} both restore {name}; serve one of them")
        models[name] = address
    return models


def fill(settings: ServeSettings, resources: Mapping[str, float]) -> ServeSettings:
    """As many replicas of each model, at most, as the cluster has room for if no other model is asked."""
    own = settings.replicas
    room = resources.get("GPU", 0) / own.gpus if own.gpus else resources.get("CPU", 0) / own.cpus
    most = max(own.least, min(MOST_REPLICAS, int(room)))
    return settings.model_copy(update={"replicas": own.model_copy(update={"most": most})})


def application(settings: ServeSettings) -> Any:
    """The Ray Serve application: a deployment per model, and the ingress before them."""
    from ray import serve
    from ray.serve.config import AutoscalingConfig

    from pipeline.serving.service.front import Front
    from pipeline.serving.service.replica import Model

    own = settings.replicas
    resources: dict[str, float] = {"num_cpus": own.cpus, "num_gpus": own.gpus}
    scaling: dict[str, Any] = {"num_replicas": own.least}
    if own.most > own.least:
        scaling = {
            "autoscaling_config": AutoscalingConfig(
                min_replicas=own.least,
                max_replicas=own.most,
                target_ongoing_requests=max(1.0, own.at_once - 1),
                upscale_delay_s=UPSCALE_AFTER_S,
                downscale_delay_s=DOWNSCALE_AFTER_S,
            )
        }
    models = {
        name: serve.deployment(
            name=name,
            ray_actor_options=resources,
            max_ongoing_requests=own.at_once,
            max_queued_requests=settings.limits.queue,
            max_constructor_retry_count=3,
            graceful_shutdown_timeout_s=DRAIN_S,
            **scaling,
        )(Model).bind(resolve(address)[0], settings.limits, own)
        for name, address in settings.models.items()
    }
    front = serve.deployment(
        name="front",
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=INGRESS_AT_ONCE,
        graceful_shutdown_timeout_s=DRAIN_S,
    )(serve.ingress()(Front))
    return front.bind(settings, models)


def build(values: Mapping[str, Any]) -> Any:
    """What a Serve configuration file names (``import_path``): the application from plain ``args``.

    ``models`` may be a list of words as ``semanir serve`` takes them. The token comes from the environment of the node.
    """
    given = json.loads(json.dumps(values))
    if isinstance(given.get("models"), list):
        given["models"] = find_models(given["models"])
    given.setdefault("token_sha256", access.token_digest(None))
    return application(parse_settings(ServeSettings, given, "args"))


def run(settings: ServeSettings, say: Callable[[str], None]) -> None:
    """Serve on the cluster that this process has joined, until SIGINT or SIGTERM; requests at work are finished.

    Raises UserError where the port is taken, or a model cannot be served.
    """
    from ray import serve

    check_port(settings)
    where = "EveryNode" if settings.every_node else "HeadOnly"
    with _told_to_stop() as stop:
        try:
            serve.start(http_options={"host": settings.host, "port": settings.port}, proxy_location=where)
            serve.run(application(settings), name=APPLICATION, logging_config={"log_level": "WARNING"})
            shown = f"[{settings.host}]" if ":" in settings.host else settings.host
            say(f"serving {', '.join(settings.models)} at http://{shown}:{settings.port}; ctrl-C stops")
            stop.wait()
            say("stopping: requests at work are finished first")
        except RuntimeError as error:
            raise UserError(f"the service did not start: {first_line(error)}; Ray's logs say more") from None
        finally:
            serve.shutdown()


def check_port(settings: ServeSettings) -> None:
    """Raises UserError where another program listens already, as far as this machine can tell."""
    if not is_loopback(settings.host):
        return
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            reason = error.strerror or str(error)
            raise UserError(f"{settings.host}:{settings.port} cannot be listened on ({reason}); give --port") from None


@contextmanager
def _told_to_stop() -> Iterator[threading.Event]:
    stop = threading.Event()
    former = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
