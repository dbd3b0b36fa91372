"""Sign a model that is registered, or lies in a folder: fetched, checked against its digests, signed, handed back.

No training signs. Whoever may send a job to the cluster runs code as the cluster's user, and could read a key that lay
there; a signature is given afterward, by who answers for the model, on a machine of theirs.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from pipeline.errors import UserError
from pipeline.registry import sealed
from pipeline.registry.client import connect
from pipeline.registry.logged_model import ARTIFACT
from pipeline.registry.pull import locate, pull, pull_located
from pipeline.registry.signature import SHOWN, SIGNATURE_FILE, sign_folder
from pipeline.shipped.locate import MODELS

SIGNER_TAG = "signed_by"  # for people to see; what counts is the signature


@dataclass(frozen=True)
class Signed:
    """A model that now has a signature. key: the name of the key that made it."""

    model: str
    key: str


def sign(model: str, private_key: Path) -> Signed:
    """Sign ``model`` (``models:/…``, ``runs:/…`` or a folder) anew; a registered one's signature lies beside its files.

    Raises:
        UserError: there is no such model, it was never sealed, it is one of the package's own files, or the key cannot
            be used.
        AlteredModelError: its files are not what was registered.
    """
    if not model.startswith(("models:", "runs:")):
        folder = pull(model)
        place = folder.resolve()
        if place.is_relative_to(MODELS):  # by whatever name
            raise UserError(
                f"{model} lies in the installed package, which the next install writes anew: copy it, and sign the "
                f"copy: cp -r {shlex.quote(str(place))} {place.name}"
            )
        if not sealed.is_sealed(folder):
            raise UserError(f"{folder} has no {sealed.DIGESTS_FILE}: weights that were never registered are not signed")
        return Signed(str(folder), sign_folder(folder, private_key)[:SHOWN])
    located = locate(model)
    folder = pull_located(located)
    key = sign_folder(folder, private_key)[:SHOWN]
    client = connect()
    client.log_model_artifact(located.model_id, str(folder / SIGNATURE_FILE), f"artifacts/{ARTIFACT}")
    if located.name is not None:
        client.set_model_version_tag(located.name, str(located.version), SIGNER_TAG, key)
    return Signed(located.uri, key)
