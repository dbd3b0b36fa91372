"""Fetch a registered model as a folder, and refuse it when it is not what was registered."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import shipped
from pipeline.errors import UserError
from pipeline.registry import sealed
from pipeline.registry.client import connect
from pipeline.registry.logged_model import ARTIFACT, WEIGHTS_TAG
from pipeline.registry.signature import SIGNATURE_FILE, verify_folder
from pipeline.registry.versions import all_versions

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

_MODEL = re.compile(r"models:/+(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")
_LOGGED = re.compile(r"models:/+(?P<model>m-[^/]+)")
_RUN = re.compile(r"runs:/+(?P<run>[^/]+)(?:/.*)?")


def pull(uri: str | Path, cache: str | Path | None = None, *, verify: Path | None = None) -> Path:
    """The local folder of a model, its digests verified, and with a public key ``verify`` its signature.

    uri: ``models:/name@alias``, ``models:/name/3``, ``runs:/<run id>``, ``shipped:<task>``, or a local folder (one
    written by ``semanir.save`` has no digests to verify). cache: where fetched models are kept, one folder per model,
    so that a second call downloads nothing; default ``$XDG_CACHE_HOME/semanir-on-ray/models``.

    Raises UserError when the server, model, alias, version or folder is not there, naming what is, and when the
    signature is missing or another key's; AlteredModelError when a file differs from what was registered or signed.
    """
    text = str(uri)
    if text.startswith(("models:", "runs:")):
        return pull_located(locate(text), cache, verify=verify)
    folder = shipped.locate(text) if shipped.is_shipped(text) else _local(text)
    if verify is not None:
        verify_folder(folder, verify, text)
    return folder


@dataclass(frozen=True)
class Located:
    """A registered or logged model: MLflow's id of it, and for a registered one name, version and weights' SHA-256."""

    model_id: str
    name: str | None = None
    version: int | None = None
    weights: str | None = None

    @property
    def uri(self) -> str:
        """An address that stays when an alias moves."""
        return f"models:/{self.model_id}" if self.name is None else f"models:/{self.name}/{self.version}"


def locate(uri: str) -> Located:
    """Which model ``models:/…`` or ``runs:/…`` means now. Raises UserError when there is none, naming what is."""
    client = connect()
    if match := _MODEL.fullmatch(uri):
        version = _find_version(client, match["name"], match["alias"], match["version"])
        logged = _LOGGED.fullmatch(version.source or "")
        if logged is None:
            raise UserError(f"{uri} was not registered by this project: its source is {version.source!r}")
        return Located(logged["model"], version.name, int(version.version), version.tags.get(WEIGHTS_TAG))
    if match := _RUN.fullmatch(uri):
        return Located(_logged_model(client, match["run"]))
    raise UserError(f"model URI {uri!r}: expected models:/name@alias, models:/name/version, runs:/run_id or a folder")


def pull_located(located: Located, cache: str | Path | None = None, *, verify: Path | None = None) -> Path:
    """The folder of a model that ``locate`` found; what this machine has already is not asked of the server again.

    A signature is: it may have been given after the model was fetched.

    Raises as ``pull``.
    """
    folder = _fetch(located.model_id, located.weights, Path(cache) if cache else default_cache())
    if verify is not None:
        _fetch_signature(located.model_id, folder)
        try:
            verify_folder(folder, verify, located.uri)
        except sealed.AlteredModelError:
            shutil.rmtree(folder)  # as below
            raise
    return folder


def default_cache() -> Path:
    """Where fetched models are kept."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "semanir-on-ray" / "models"


def _local(text: str) -> Path:
    folder = Path(text)
    for place in (folder, folder / "artifacts" / ARTIFACT):  # the second: a downloaded MLflow model
        if (place / sealed.WEIGHTS_FILE).is_file():
            if sealed.is_sealed(place):
                sealed.verify_digests(place)
            return place
    if not folder.exists():
        raise UserError(f"model {text!r} does not exist: give a folder, models:/name@alias or models:/name/version")
    raise UserError(f"folder {text} holds no {sealed.WEIGHTS_FILE}; expected one written by semanir.save or pulled")


def _find_version(client: MlflowClient, name: str, alias: str | None, version: str | None) -> ModelVersion:
    from mlflow.exceptions import MlflowException

    try:
        model = client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        known = ", ".join(sorted(m.name for m in client.search_registered_models(max_results=100))) or "none"
        raise UserError(f"no registered model {name!r}; there are: {known}") from None
    if alias is not None:
        if alias not in model.aliases:
            known = ", ".join(f"{a} (version {v})" for a, v in sorted(model.aliases.items())) or "none"
            raise UserError(f"{name} has no alias {alias!r}; there are: {known}")
        version = str(model.aliases[alias])
    versions = {str(v.version): v for v in all_versions(client, name)}
    if version not in versions:
        raise UserError(f"{name} has no version {version}; there are: {', '.join(versions) or 'none'}")
    return versions[version]


def _logged_model(client: MlflowClient, run_id: str) -> str:
    from mlflow.exceptions import MlflowException

    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        raise UserError(f"no MLflow run {run_id!r}") from None
    outputs = run.outputs.model_outputs if run.outputs else []
    if not outputs:
        raise UserError(f"run {run_id} has logged no model")
    return str(outputs[-1].model_id)


def _fetch(model_id: str, weights: str | None, cache: Path) -> Path:
    target = cache / model_id
    if not target.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache, prefix=".partial-") as scratch:
            place = _download(model_id, ARTIFACT, scratch)
            sealed.verify_digests(place)
            try:
                os.rename(place, target)
            except OSError:  # another process fetched the same model meanwhile
                if not target.exists():
                    raise
    try:
        digests = sealed.verify_digests(target)
    except sealed.AlteredModelError:
        shutil.rmtree(target)  # a damaged cache must not last: the next call fetches again
        raise
    if weights is not None and digests[sealed.WEIGHTS_FILE] != weights:
        raise sealed.AlteredModelError(f"{target} holds other weights than the registry's tag {WEIGHTS_TAG} names")
    return target


def _fetch_signature(model_id: str, folder: Path) -> None:
    """Put the signature that the server has now into ``folder``; without one there, take away what was."""
    place = f"{ARTIFACT}/{SIGNATURE_FILE}"
    listed = connect().list_logged_model_artifacts(model_id, f"artifacts/{ARTIFACT}")
    if f"artifacts/{place}" not in {file.path for file in listed}:
        (folder / SIGNATURE_FILE).unlink(missing_ok=True)
        return
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".partial-") as scratch:
        os.replace(_download(model_id, place, scratch), folder / SIGNATURE_FILE)


def _download(model_id: str, place: str, destination: str) -> Path:
    """A file or folder of a logged model's artifacts."""
    client = connect()
    import mlflow

    location = client.get_logged_model(model_id).artifact_location
    return Path(mlflow.artifacts.download_artifacts(artifact_uri=f"{location}/artifacts/{place}", dst_path=destination))
