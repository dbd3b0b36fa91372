"""List, read, sign, fetch, publish, export and roll back registered models, and check exported files.

    semanir models list
    semanir models card models:/semanir-denoising-color@champion
    semanir models pull models:/semanir-denoising-color/3
    semanir models sign models:/semanir-denoising-color/3 --key team.pem
    semanir models pull models:/semanir-denoising-color/3 --verify team.pub
    semanir models publish
    semanir models export models:/semanir-denoising-color@champion --output denoising.onnx
    semanir models check denoising.onnx
    semanir models rollback semanir-denoising-color 2

The server is the one of MLFLOW_TRACKING_URI. Exit status: 0 done, 2 bad input.
"""

from __future__ import annotations

import argparse
import sys
from functools import partial
from pathlib import Path

from pipeline.options import at_least
from pipeline.wording import escaped

SIGNED = "models:/name@alias, models:/name/version, runs:/run_id, or a folder"
MODEL = f"shipped:task, {SIGNED}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line: one sub-command per thing that can be done with a model."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")

    listing = actions.add_parser("list", help="every version, its alias and its held-out PSNR")
    listing.set_defaults(act=_list)

    card = actions.add_parser("card", help="what a model was trained on, its figures and its limits")
    card.add_argument("model", help=MODEL)
    card.set_defaults(act=_card)

    pull = actions.add_parser("pull", help="fetch a model, check its digests, print its folder")
    pull.add_argument("model", help=MODEL)
    pull.add_argument("--cache", type=Path, help="where fetched models are kept (default: ~/.cache/semanir-on-ray)")
    pull.add_argument("--verify", type=Path, metavar="PUBLIC_KEY", help="refuse it unless this key's holder signed it")
    pull.set_defaults(act=_pull)

    sign = actions.add_parser("sign", help="sign the digests of a model with a key of your own")
    sign.add_argument("model", help=SIGNED)
    sign.add_argument("--key", type=Path, required=True, help="private key: a PEM file that only you can read")
    sign.set_defaults(act=_sign)

    publish = actions.add_parser("publish", help="register the models that come with the package, as @shipped")
    publish.add_argument("task", nargs="*", help="of which tasks (default: all that come with the package)")
    publish.set_defaults(act=_publish)

    export = actions.add_parser("export", help="write one file for other programs, checked against the model")
    export.add_argument("model", help=MODEL)
    export.add_argument("--format", default="onnx", help="onnx, onnx-float16, darktable, spandrel (default: onnx)")
    export.add_argument("--output", type=Path, required=True, help="the file to write")
    export.add_argument("--overwrite", action="store_true", help="replace the file when it exists")
    export.set_defaults(act=_export)

    check = actions.add_parser(
        "check", help="whether an exported file is as it was written, and what it says of itself"
    )
    check.add_argument("file", type=Path, help="a file that `models export` wrote, of any format")
    check.set_defaults(act=_check)

    rollback = actions.add_parser("rollback", help="make an older version champion, and withdraw what would beat it")
    rollback.add_argument("name", help="name of the model, e.g. semanir-denoising-color")
    rollback.add_argument("version", type=at_least(1), help="the version that becomes champion")
    rollback.set_defaults(act=_rollback)


def run(options: argparse.Namespace) -> int:
    """Do the chosen thing; returns the exit status. Raises UserError on bad input."""
    from pipeline.errors import UserError
    from pipeline.registry import AlteredModelError

    try:
        options.act(options)
    except AlteredModelError as error:
        raise UserError(str(error)) from error
    return 0


def _list(_: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.table import Table

    from pipeline.registry.registered_versions import list_registered

    table = Table("model", "version", "alias", "held-out PSNR", "restores")
    for version in list_registered():
        state = f"withdrawn: {version.withdrawn}" if version.withdrawn else version.setting
        figure = "" if version.psnr_db is None else f"{version.psnr_db:.2f} dB"
        alias = ", ".join(f"@{alias}" for alias in version.aliases)
        table.add_row(version.name, str(version.version), alias, figure, state)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _card(options: argparse.Namespace) -> None:
    from pipeline.errors import UserError
    from pipeline.registry import pull, sealed

    file = pull(options.model) / sealed.CARD_FILE
    if not file.is_file():
        raise UserError(f"{file.parent} has no {file.name}: it holds weights that were never registered")
    print(file.read_text(encoding="utf-8"))


def _pull(options: argparse.Namespace) -> None:
    from pipeline.registry import pull

    print(pull(options.model, options.cache, verify=options.verify))


def _sign(options: argparse.Namespace) -> None:
    from pipeline.registry.sign import sign

    done = sign(options.model, options.key)
    print(f"{done.model}: signed by {done.key}")


def _publish(options: argparse.Namespace) -> None:
    from pipeline.registry.publish import SHIPPED, publish
    from pipeline.shipped import names

    for task in options.task or names():
        done = publish(task)
        print(f"{done.name}: version {done.version} is {SHIPPED}" + ("" if done.new else " already"))


def _export(options: argparse.Namespace) -> None:
    from pipeline.registry import pull
    from pipeline.registry.export import check_target, export, find_format

    find_format(options.format)  # before anything is fetched
    check_target(options.output, overwrite=options.overwrite)
    say = partial(print, file=sys.stderr, flush=True)
    done = export(pull(options.model), options.output, options.format, overwrite=options.overwrite, say=say)
    print(f"{done.path}: {done.size / 2**20:.1f} MiB, {done.checked}")


def _check(options: argparse.Namespace) -> None:
    from pipeline.registry.export import check_file
    from pipeline.registry.formats import form_of

    texts = check_file(options.file)
    lines = {
        "format": form_of(options.file),
        "task": texts.get("task", "not stated"),
        "card": texts.get("model_card", "").partition("\n")[0].lstrip("# ") or "none",
        "license": texts.get("license", "not stated"),
        "weights": f"sha256 {texts.get('weights_sha256', 'not stated')}",
    }
    print(f"{options.file}: as it was written")
    for name, text in lines.items():
        print(escaped(f"  {name}: {text}"))  # a stranger may have written it


def _rollback(options: argparse.Namespace) -> None:
    from pipeline.registry import rollback

    rollback(options.name, options.version)
    print(f"{options.name}: version {options.version} is champion")
