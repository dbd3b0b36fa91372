"""Serve models over HTTP, with a page to look at: those that come with the package, or registered ones.

    semanir serve
    semanir serve denoising_color deblurring --port 8080
    semanir serve models:/semanir-denoising-color@champion --replicas 4
    curl --data-binary @photo.jpg http://127.0.0.1:8000/v1/restore/unified_color?strength=0.7 -o restored.jpg

A task's name means its registered champion: when the alias moves, the new version is loaded beside the old one, proves
itself by its probe, and takes over. Without RAY_ADDRESS a cluster of this machine alone is started. Only this machine
is answered unless --host says otherwise, and then a token is needed (SEMANIR_SERVE_TOKEN, or --token-file).
Told to stop by ctrl-C or SIGTERM, it lets nobody in (503) and answers who is inside, for as long as a request may take:
--max-seconds, and 150 more to arrive and be sent. A second signal stops at once.
Exit status: 0 stopped; 2 bad input, or no room for so many models.
"""

from __future__ import annotations

import argparse
import os

from pipeline.options import above, at_least, number


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    add = parser.add_argument
    add("models", nargs="*", metavar="MODEL", help="tasks (their registered champions), models:/name@alias, "
        "models:/name/version, shipped:task, or folders (default: all that come with the package)")  # fmt: skip
    add("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1, this machine alone)")
    add("--port", type=at_least(1, 65_535), default=8000, help="(default: 8000)")
    add("--every-node", action="store_true", help="listen on every node of the cluster, not on the head alone")
    add(
        "--replicas",
        type=at_least(1),
        help="of each model, at most; 1 is kept when idle (default: one per CPU, or GPU)",
    )
    add("--cpus", type=above(0, 256), help="reserved for a replica, at work or not (default: 1, or less where the "
        "models would take more than half of the cluster)")  # fmt: skip
    add("--gpus", type=number(0, 16), default=0.0, help="of a replica; 0.5 lets two share one (default: 0)")
    add("--max-bytes", type=at_least(1024), default=64 << 20, help="of a file (default: 64 MiB)")
    add("--held-bytes", type=at_least(2048), help="of all files together that are arriving, waiting or at work, in "
        "memory (default: 1 GiB, or twice --max-bytes where that is more)")  # fmt: skip
    add(
        "--max-pixels",
        type=at_least(1),
        default=25_000_000,
        help="of a picture, as sent and as answered (default: 25000000)",
    )
    add("--max-seconds", type=above(0, 86_400), default=300.0, help="of a request, waiting included (default: 300)")
    add(
        "--queue",
        type=at_least(1),
        default=64,
        help="pictures of a model waiting or at work; more are told to come again (default: 64)",
    )
    add(
        "--follow-every",
        type=number(0.1, 3600),
        default=10.0,
        help="seconds between looks at where aliases point (default: 10)",
    )
    add("--token-file", metavar="FILE", help="the token that clients must send (default: SEMANIR_SERVE_TOKEN)")


def run(options: argparse.Namespace) -> int:
    """Serve until told to stop; returns the exit status. Raises UserError on bad input."""
    from contextlib import nullcontext

    from pipeline import shipped
    from pipeline.cluster import connect, total_resources
    from pipeline.own_cluster import own_cluster
    from pipeline.serving.service.access import token_digest
    from pipeline.serving.service.deploy import check_port, check_room, fill, find_models
    from pipeline.serving.service.deploy import run as serve
    from pipeline.serving.service.settings import ServeSettings
    from pipeline.settings import parse_settings

    limits = {
        "max_bytes": options.max_bytes,
        "held_bytes": options.held_bytes or max(1 << 30, 2 * options.max_bytes),
        "max_pixels": options.max_pixels,
        "seconds": options.max_seconds,
        "queue": options.queue,
    }
    words = options.models or [shipped.SCHEME + name for name in shipped.names()]
    values = {
        "host": options.host,
        "port": options.port,
        "every_node": options.every_node,
        "models": find_models(words),
        "limits": limits,
        "replicas": {"gpus": options.gpus, **({"most": options.replicas} if options.replicas else {})},
        "follow_every_s": options.follow_every,
        "token_sha256": token_digest(options.token_file),
    }
    settings = parse_settings(ServeSettings, values, "semanir serve")
    check_port(settings)
    given = bool(os.environ.get("RAY_ADDRESS"))
    with nullcontext() if given else own_cluster(os.cpu_count() or 1):
        if given:
            connect()
        resources = total_resources()
        settings = fill(settings, resources, options.cpus)
        if not given:
            check_room(settings, resources)
        serve(settings, lambda line: print(line, flush=True), own=not given)
    return 0
