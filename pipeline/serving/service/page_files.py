"""The files of the page at ``/``, read once from the package: what is not listed is not served."""

from __future__ import annotations

from importlib import resources

MEDIA_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".svg": "image/svg+xml",
    ".json": "application/json",
}


def page_files() -> dict[str, tuple[bytes, str]]:
    """Path in the URL -> bytes and media type."""
    folder = resources.files("pipeline.serving") / "page"
    files = {}
    waiting = [("/page", folder)]
    while waiting:
        path, place = waiting.pop()
        for entry in place.iterdir():
            if entry.is_dir():
                waiting.append((f"{path}/{entry.name}", entry))
                continue
            suffix = "." + entry.name.rpartition(".")[2]
            if suffix in MEDIA_TYPES:
                files[f"{path}/{entry.name}"] = (entry.read_bytes(), MEDIA_TYPES[suffix])
    files["/"] = files.pop("/page/index.html")
    return files
