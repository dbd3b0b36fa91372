"""A package for darktable (5.6 and later): ``preferences → AI → import from file…`` installs it for "neural restore".

The contract is that of darktable's own packages: a zip archive with one folder, named as the model is known, which
holds ``config.json`` and one ONNX file whose only input is an sRGB image, float32 (1, 3, H, W) in [0, 1]
(https://github.com/darktable-org/darktable/blob/master/src/ai/README.md; the files' names for enlarging models:
``dt_restore_load_upscale_x2`` in src/ai/restore.c; ``input_sizes``: the model.yaml files of darktable-ai).
"""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from pathlib import Path
from tempfile import TemporaryDirectory

import semanir
from pipeline.errors import UserError
from pipeline.registry.export_parity import Restore, in_onnxruntime
from semanir.export import read_onnx_metadata, to_onnx

CONFIG = "config.json"
# Among the ONNX file's own texts, which its seal covers.
_CONFIG_DIGEST = "darktable_config_sha256"
# By enlargement: what darktable calls the task, and the file that it looks for.
TASKS = {1: ("denoise", "model.onnx"), 2: ("upscale", "model_x2.onnx"), 4: ("upscale", "model_x4.onnx")}
# The side of darktable's tiles. All scores of a layer are in memory at once: its own 2048 would need gigabytes.
TILE = 256
# Far more than the published sizes have.
_LARGEST_BYTES = 1 << 30
# The earliest that a zip archive can state: the same model gives the same bytes on every day.
_DATE = (1980, 1, 1, 0, 0, 0)


def write(model: semanir.SemanIR, path: Path, metadata: dict[str, str]) -> None:
    """Write the package. Raises UserError for a model that takes or gives anything but RGB of its task's size."""
    config = model.config
    if (config.in_channels, config.out_channels) != (3, 3) or config.upscale not in TASKS or _observes_less(metadata):
        raise UserError(
            f"darktable hands over RGB and takes RGB of 1, 2 or 4 times the size; this model takes "
            f"{config.in_channels} channels to {config.out_channels} at scale {config.upscale}"
            + (", from a mosaic" if _observes_less(metadata) else "")
        )
    task, file = TASKS[config.upscale]
    ours = metadata.get("task", "")
    name = "-".join(word for word in (task, "semanir", ours.replace("_", "-")) if word)
    sizes = {"input_sizes": [TILE]}
    described = {
        "id": name,
        "name": f"{task} semanir {ours.replace('_', ' ')}".strip(),
        "description": json.loads(metadata.get("task_record", "{}")).get("setting", ""),
        "task": task,
        "backend": "onnx",
        "version": f"1.0+{metadata['weights_sha256'][:12]}",
        "arch": "semanir",
        "tiling": True,
        "num_inputs": 1,
        "type": "single" if config.upscale == 1 else "multi",
        "attributes": sizes if config.upscale == 1 else {file.removesuffix(".onnx"): sizes},
        "model_card": {"license": metadata.get("license", "not stated")},
    }
    with TemporaryDirectory() as scratch, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as package:
        graph, text = Path(scratch) / file, json.dumps(described, indent=1).encode()
        texts = {**metadata, _CONFIG_DIGEST: _digest(f"{name}/{CONFIG}", text)}
        to_onnx(model, graph, texts, fixed_k=config.k, names=("input", "output"))
        for member, content in ((CONFIG, text), (file, graph.read_bytes())):
            package.writestr(zipfile.ZipInfo(f"{name}/{member}", _DATE), content, zipfile.ZIP_DEFLATED)


def run(path: Path) -> Restore:
    """The model of the package in ONNX Runtime, which is darktable's own."""
    with TemporaryDirectory() as scratch:
        graph, _ = _unpack(path, Path(scratch))
        return in_onnxruntime(graph)


def read_metadata(path: Path) -> dict[str, str]:
    """The texts inside the package's ONNX file. Raises ValueError for another package, or one altered since."""
    with TemporaryDirectory() as scratch:
        graph, digest = _unpack(path, Path(scratch))
        try:
            texts = read_onnx_metadata(graph)
        except ValueError as error:
            raise ValueError(str(error).replace(str(graph), str(path))) from None
    if texts.pop(_CONFIG_DIGEST, None) != digest:
        raise ValueError(f"{path} was altered: its {CONFIG} does not match the digest inside its model; export it anew")
    return texts


def _observes_less(metadata: dict[str, str]) -> bool:
    """Whether something must be done to a picture before the network can take it."""
    return bool(json.loads(metadata.get("task_record", "{}")).get("to_input"))


def _digest(member: str, content: bytes) -> str:
    """Of a file with its name, which says the folder that darktable knows the model by."""
    return hashlib.sha256(member.encode() + b"\n" + content).hexdigest()


def _unpack(path: Path, folder: Path) -> tuple[Path, str]:
    """The package's model, unpacked into ``folder``, and the digest of its configuration. It may hold nothing else."""
    files = {file for _, file in TASKS.values()}
    try:
        with zipfile.ZipFile(path) as package:
            members = {member.filename.rpartition("/")[2]: member for member in package.infolist()}
            models = [name for name in members if name in files]
            if len(models) != 1 or sum(member.file_size for member in members.values()) > _LARGEST_BYTES:
                raise ValueError(
                    f"{path} is no package for darktable: it holds {len(models)} models, 1 of 1 GiB is allowed"
                )
            places = {member.filename.rpartition("/")[0] for member in package.infolist()}
            if set(members) != {CONFIG, models[0]} or len(package.infolist()) != 2 or len(places) != 1:
                raise ValueError(f"{path} was altered: it must hold one folder with {CONFIG} and {models[0]} alone")
            target = folder / "model.onnx"
            target.write_bytes(package.read(members[models[0]]))
            return target, _digest(members[CONFIG].filename, package.read(members[CONFIG]))
    except (zipfile.BadZipFile, NotImplementedError, zlib.error, EOFError) as error:
        raise ValueError(f"{path} is no package for darktable: {error}") from None
