"""What the registry holds, one line per version: for a person who chooses a model or rolls one back."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.registry.client import connect
from pipeline.registry.promotion import METRIC_TAG, WITHDRAWN_TAG
from pipeline.registry.versions import all_versions

PREFIX = "semanir-"


@dataclass(frozen=True, kw_only=True)
class Listed:
    """A version of a registered model.

    Attributes:
        name: of the model, ``semanir-<task>``.
        version: its number.
        aliases: ``champion`` or ``challenger``, or names that people gave, in alphabetical order.
        psnr_db: mean over the held-out images; None for a version that carries no figures.
        withdrawn: why it is out of the contest; empty while it competes.
        setting: what it restores, in words.
    """

    name: str
    version: int
    aliases: tuple[str, ...]
    psnr_db: float | None
    withdrawn: str
    setting: str


def list_registered() -> list[Listed]:
    """Every version of every model of this project, by name, the newest first.

    Raises UserError when the MLflow server is not set or does not answer.
    """
    client = connect()
    names: list[str] = []
    token = None
    while True:
        page = client.search_registered_models(filter_string=f"name LIKE '{PREFIX}%'", page_token=token)
        names += [model.name for model in page]
        token = page.token
        if not token:
            break
    listed = []
    for name in sorted(names):
        aliases = client.get_registered_model(name).aliases
        for version in reversed(all_versions(client, name)):
            figure = version.tags.get(METRIC_TAG)
            listed.append(
                Listed(
                    name=name,
                    version=int(version.version),
                    aliases=tuple(
                        sorted(alias for alias, number in aliases.items() if int(number) == int(version.version))
                    ),
                    psnr_db=None if figure is None else float(figure),
                    withdrawn=version.tags.get(WITHDRAWN_TAG, ""),
                    setting=version.tags.get("setting", ""),
                )
            )
    return listed
