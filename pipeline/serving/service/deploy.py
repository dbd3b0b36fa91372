"""Start the service on a Ray cluster, and keep it until the person has enough."""

from __future__ import annotations

import json
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from pipeline.errors import UserError, first_line
from pipeline.registry import AlteredModelError
from pipeline.restoring.restorer import Restorer
from pipeline.serving.service import access
from pipeline.serving.service.finish import finish, longest
from pipeline.serving.service.refusal import one_line
from pipeline.serving.service.settings import ServeSettings, is_loopback
from pipeline.serving.service.versions import address_of, name_of, resolve
from pipeline.settings import parse_settings

APPLICATION = "semanir"
INGRESS_AT_ONCE = 10_000  # each model's own queue is what bounds requests
UPSCALE_AFTER_S, DOWNSCALE_AFTER_S = 5.0, 300.0  # a replica starts in seconds, and holds little while it idles
SHUT_S = 30.0  # for the front to answer when it is told to let nobody in
MOST_REPLICAS = 1000
LEAST_CPUS = 0.01  # of a replica
SAY_EVERY_S = 20.0


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


def fill(settings: ServeSettings, resources: Mapping[str, float], cpus: float | None = None) -> ServeSettings:
    """The settings with replicas that the cluster has room for.

    Of each model at most as many as there are CPUs, or GPUs, if no other is asked, unless ``most`` is set already.
    cpus: of a replica. None: one, or less where the models that wait for requests would then take more than half of the
    cluster: a replica that is not asked computes nothing, and the other half is for those that are.
    """
    own, cores = settings.replicas, resources.get("CPU", 0.0)
    room = resources.get("GPU", 0.0) / own.gpus if own.gpus else cores / (cpus or 1.0)
    most = own.most if "most" in own.model_fields_set else max(own.least, min(MOST_REPLICAS, int(room)))
    if cpus is None:
        waiting = own.least * len(settings.models)
        cpus = min(1.0, max(LEAST_CPUS, round(cores / (2 * waiting) - LEAST_CPUS / 2, 2)))
    return settings.model_copy(update={"replicas": own.model_copy(update={"most": most, "cpus": cpus})})


def check_room(settings: ServeSettings, resources: Mapping[str, float]) -> None:
    """Raises UserError where a cluster that does not grow can never hold one replica of each model."""
    own = settings.replicas
    for kind, each, option in (("CPU", own.cpus, "--cpus"), ("GPU", own.gpus, "--gpus")):
        there, wanted = resources.get(kind, 0.0), own.least * len(settings.models) * each
        if wanted > there:
            raise UserError(
                f"{len(settings.models)} models of {each:g} {kind} each need {wanted:g}, and there is {there:g}: "
                f"serve fewer models, or give a smaller {option}"
            )


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
            graceful_shutdown_timeout_s=longest(settings.limits),
            **scaling,
        )(Model).bind(resolve(address)[0], settings.limits, own)
        for name, address in settings.models.items()
    }
    front = serve.deployment(
        name="front",
        ray_actor_options={"num_cpus": 0},
        max_ongoing_requests=INGRESS_AT_ONCE,
        graceful_shutdown_timeout_s=longest(settings.limits),
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


def run(settings: ServeSettings, say: Callable[[str], None], *, own: bool) -> None:
    """Serve on the cluster that this process has joined, until SIGINT or SIGTERM; requests at work are finished.

    own: the cluster ends with this process and takes Serve along; in any other Serve is shut down here. (Both would be
    noise: the driver prints each call to Serve's controller that is under way when it kills itself.)

    Raises UserError where the port is taken, or a model cannot be served.
    """
    from ray import serve

    check_port(settings)
    where = "EveryNode" if settings.every_node else "HeadOnly"
    with _told_to_stop() as stop:
        try:
            serve.start(http_options={"host": settings.host, "port": settings.port}, proxy_location=where)
            with _telling(say):
                serve.run(application(settings), name=APPLICATION, logging_config={"log_level": "WARNING"})
            stop.started()
            shown = f"[{settings.host}]" if ":" in settings.host else settings.host
            say(f"serving {', '.join(settings.models)} at http://{shown}:{settings.port}; ctrl-C stops")
            stop.wait()
            finish(_shut, longest(settings.limits), stop.again, say)
        except StoppedEarlyError:
            say("stopping before it served")
        except RuntimeError as error:
            raise UserError(f"the service did not start: {first_line(error)}; Ray's logs say more") from None
        finally:
            if not own:
                serve.shutdown()


def _shut() -> int:
    """Tell the front to let nobody in; returns how many are inside: none where it is gone, and they with it."""
    from ray import serve
    from ray.exceptions import RayError
    from ray.serve.exceptions import RayServeException

    try:
        return int(serve.get_app_handle(APPLICATION).shut.remote().result(timeout_s=SHUT_S))
    except (RayError, RayServeException, TimeoutError):
        return 0


@contextmanager
def _telling(say: Callable[[str], None]) -> Iterator[None]:
    """Say now and then which models are not there yet, and why: without room they may be long in coming."""
    done = threading.Event()

    def tell() -> None:
        from ray import serve
        from ray.exceptions import RayError

        before = ""
        while not done.wait(SAY_EVERY_S):
            with suppress(RayError, KeyError):
                models = dict(serve.status().applications[APPLICATION].deployments)
                line = waiting({name: (one.status.value, one.message) for name, one in models.items()})
                if line not in ("", before) and not done.is_set():
                    say(line)
                before = line

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()


def waiting(models: Mapping[str, tuple[str, str]]) -> str:
    """A line on the models that do not serve yet, with Ray's reason for the first that has one; "" without any.

    models: name -> Ray Serve's (status, message).
    """
    missing = {name: message for name, (status, message) in sorted(models.items()) if status != "HEALTHY"}
    if not missing:
        return ""
    why = next((one_line(message) for message in missing.values() if message), "")
    return f"waiting for {', '.join(missing)}" + (f": {why}" if why else "")


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


class StoppedEarlyError(Exception):
    """Told to stop while the models are still loading; it ends that wait, of which Ray has no other end."""


class _Stop:
    """SIGINT and SIGTERM: an exception until ``started``, an event from then on. again: it was told more than once."""

    def __init__(self) -> None:
        self._told, self._starting = threading.Event(), True
        self.again = threading.Event()

    def told(self, *_: object) -> None:
        if self._told.is_set():
            self.again.set()
        self._told.set()
        if self._starting:
            self._starting = False  # a second signal does not disturb the shutdown
            raise StoppedEarlyError

    def started(self) -> None:
        self._starting = False

    def wait(self) -> None:
        self._told.wait()


@contextmanager
def _told_to_stop() -> Iterator[_Stop]:
    stop = _Stop()
    former = {number: signal.signal(number, stop.told) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in former.items():
            signal.signal(number, handler)
