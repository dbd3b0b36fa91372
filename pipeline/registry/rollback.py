"""Make an older version champion again, so that it stays until a new one is better."""

from __future__ import annotations

from pipeline.errors import UserError
from pipeline.registry.client import connect
from pipeline.registry.promotion import CHAMPION, METRIC_TAG, PROTOCOL_TAG, WITHDRAWN_TAG
from pipeline.registry.versions import all_versions


def rollback(name: str, version: int) -> None:
    """Make ``version`` champion again, and withdraw whatever would beat it, so that it stays until a new one does.

    Raises UserError when there is no such model or version.
    """
    client = connect()
    versions = {int(v.version): v for v in all_versions(client, name)}
    if version not in versions:
        known = ", ".join(str(number) for number in sorted(versions)) or "none"
        raise UserError(f"{name} has no version {version}; there are: {known}")
    target = versions[version]
    client.delete_model_version_tag(name, str(version), WITHDRAWN_TAG)
    if METRIC_TAG in target.tags:
        for number, other in versions.items():
            comparable = other.tags.get(PROTOCOL_TAG) == target.tags.get(PROTOCOL_TAG) and METRIC_TAG in other.tags
            if number != version and comparable and float(other.tags[METRIC_TAG]) > float(target.tags[METRIC_TAG]):
                client.set_model_version_tag(name, str(number), WITHDRAWN_TAG, f"rolled back to version {version}")
    client.set_registered_model_alias(name, CHAMPION, str(version))
