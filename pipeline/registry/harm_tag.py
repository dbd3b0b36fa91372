"""A version's harm curve in the registry: a tag that promotion reads, and lines of its description."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.registry.client import MAX_DESCRIPTION, connect
from pipeline.scoring.harm import Harm, decode_harm

if TYPE_CHECKING:
    from collections.abc import Mapping

HARM_TAG = "harm_curve"
HEADING = "## Harm"


def read_harm(tags: Mapping[str, str]) -> Harm | None:
    """The curve among a version's tags; None without one, or when it is not readable."""
    try:
        return decode_harm(tags[HARM_TAG]) if HARM_TAG in tags else None
    except ValueError:
        return None


def harm_section(harm: Harm) -> list[str]:
    """A card's lines."""
    return [HEADING, f"Change in PSNR over the whole range of strengths, on images {harm.images}:", *harm.describe()]


def tag_harm(name: str, version: int, harm: Harm) -> None:
    """Give a registered version its curve: the tag, and the section of its description if there is room.

    An earlier curve of the version is replaced.
    """
    client = connect()
    number = str(version)
    client.set_model_version_tag(name, number, HARM_TAG, harm.encode())
    known = (client.get_model_version(name, number).description or "").partition(f"\n{HEADING}\n")[0]
    section = "\n".join(harm_section(harm))
    if len(known) + len(section) + 2 <= MAX_DESCRIPTION:
        client.update_model_version(name, number, description=f"{known}\n{section}\n")


def harm_of(name: str, version: str) -> Harm | None:
    """The curve of a registered version. Raises UserError when the MLflow server does not answer."""
    return read_harm(connect().get_model_version(name, version).tags)
