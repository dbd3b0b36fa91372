"""A published dataset's layout as data, and the images found by it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.addresses import absolute
from pipeline.data.images import SUFFIXES
from pipeline.data.packing.listing import Say, list_images
from pipeline.data.packing.sources import Location, Source, check_unique
from pipeline.errors import UserError
from pipeline.storage.base import Entry
from pipeline.wording import counted

SHOWN_FOLDERS = 6


@dataclass(frozen=True, kw_only=True)
class Split:
    """One split of a dataset.

    name: "train", "val" or "test", or a test set's own name.
    samples: how many images, or pairs, the published split has.
    expected: the files in words, for a person whose folder does not fit.
    clean: regular expression of a clean image's path, without suffix, from some folder on. Its named groups
        together name the image.
    degraded: the same for the degraded partner of a pair, with the same groups. A further group ``key`` names the
        sample, where one clean image has several partners.
    """

    name: str
    samples: int
    expected: str
    clean: str
    degraded: str | None = None


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """A dataset: what it is, under which terms, where it comes from, and its splits.

    credit: whom to cite; goes into the manifest.
    license: as its publishers state it, in short: read theirs before use.
    download: what to fetch from where, and what to unpack.
    seen: where terms, counts, place and layout were read, and what of them was found nowhere ("not verified").
    """

    name: str
    title: str
    credit: str
    license: str
    download: str
    seen: str
    splits: tuple[Split, ...]

    def describe(self) -> str:
        """All of it as text."""
        lines = [f"{self.name}: {self.title}", f"  cite: {self.credit}", f"  license: {self.license}"]
        lines += [f"  download: {self.download}", f"  seen: {self.seen}"]
        lines += [f"  {split.name}: {counted(split.samples, 'sample')}, {split.expected}" for split in self.splits]
        return "\n".join(lines)


def find_splits(
    dataset: Dataset, uri: str, allow_incomplete: bool = False, say: Say = lambda line: None
) -> dict[str, list[Source]]:
    """The images of each split that lies under a folder or S3 prefix, at any depth; other splits are left out.

    Args:
        dataset: what to look for.
        uri: the unpacked download, or a folder above it.
        allow_incomplete: take a split that has fewer samples than were published.

    Raises:
        UserError: no split is there, one has another number of samples than was published, or an image has no
            partner; says what was expected and what was found.
    """
    uri = absolute(uri)
    entries, _ = list_images(uri, say)
    found = {split.name: _match(dataset, split, uri, entries) for split in dataset.splits}
    found = {name: sources for name, sources in found.items() if sources}
    if not found:
        wanted = "; or ".join(split.expected for split in dataset.splits)
        raise UserError(f"{uri!r} does not look like {dataset.title}: expected {wanted}; found {_summary(entries)}")
    for split in dataset.splits:
        count = len(found.get(split.name, ()))
        if count > split.samples or (0 < count < split.samples and not allow_incomplete):
            raise UserError(
                f"{uri!r}: {split.name} of {dataset.title} has {counted(count, 'sample')}, expected {split.samples}"
                f" ({split.expected}); found {_summary(entries)};"
                " complete the download, or pass --incomplete to take fewer"
            )
        check_unique(found.get(split.name, ()))
    return found


def _match(dataset: Dataset, split: Split, uri: str, entries: Sequence[Entry]) -> list[Source]:
    clean = _files(split.clean, entries)
    if split.degraded is None:
        return [Source(_key(match), _location(uri, entry), credit=dataset.credit) for match, entry in clean]
    partners = {_name(match): entry for match, entry in clean}
    pairs = []
    for match, entry in _files(split.degraded, entries):
        partner = partners.get(_name(match))
        if partner is None:
            raise UserError(
                f"{uri}/{entry.key} of {dataset.title} has no clean partner {_name(match)!r};"
                f" expected {split.expected}; found {_summary(entries)}"
            )
        pairs.append(Source(_key(match), _location(uri, partner), _location(uri, entry), dataset.credit))
    return pairs


def _files(pattern: str, entries: Sequence[Entry]) -> list[tuple[re.Match[str], Entry]]:
    compiled = re.compile(rf"(?:^|/){pattern}$")
    matches = ((compiled.search(entry.key.rpartition(".")[0]), entry) for entry in entries)
    return [(match, entry) for match, entry in matches if match]


def _name(match: re.Match[str]) -> str:
    return "/".join(value for group, value in match.groupdict().items() if group != "key")


def _key(match: re.Match[str]) -> str:
    # WebDataset cuts keys at dots.
    return (match.groupdict().get("key") or _name(match)).replace(".", "_")


def _location(uri: str, entry: Entry) -> Location:
    return Location(uri, entry.key, f"{entry.size}:{entry.version}")


def _summary(entries: Sequence[Entry]) -> str:
    if not entries:
        return f"no images ({', '.join(SUFFIXES)})"
    folders = Counter(entry.key.rpartition("/")[0] or "." for entry in entries)
    shown = [f"{counted(count, 'image')} in {folder}/" for folder, count in sorted(folders.items())[:SHOWN_FOLDERS]]
    more = [f"and {len(folders) - SHOWN_FOLDERS} more folders"] if len(folders) > SHOWN_FOLDERS else []
    return ", ".join([*shown, *more])
