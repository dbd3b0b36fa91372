"""Which version is the champion: the best on the task's held-out metric, among those measured by one protocol.

MLflow's aliases have no compare-and-set. So each version carries its figures as tags from the moment it
exists, the champion is a function of those tags, and whoever moved the alias looks again until it stands
where that function says. Registrations that race therefore end on the same version, whichever wrote last.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.registry.harm_tag import read_harm
from pipeline.registry.versions import all_versions
from pipeline.scoring.harm import harms_more

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

CHAMPION = "champion"
CHALLENGER = "challenger"
METRIC_TAG = "held_out_psnr_db"
PROTOCOL_TAG = "protocol"
WITHDRAWN_TAG = "withdrawn"  # set by a rollback: out of the contest
MAX_ROUNDS = 20


def settle(client: MlflowClient, name: str, version: int) -> str:
    """Move the aliases of ``name`` to where they belong now that ``version`` exists.

    Returns what ``version`` became: "champion" or "challenger" (the newest version that is not champion, so
    an older one returns "").
    """
    for _ in range(MAX_ROUNDS):
        champion = _alias(client, name, CHAMPION)
        best = best_version(all_versions(client, name), champion)
        if best is not None and best != champion:
            client.set_registered_model_alias(name, CHAMPION, str(best))
            continue  # another registration may have come in between: look again
        challenger = _alias(client, name, CHALLENGER)
        if challenger is not None and challenger == best:
            client.delete_registered_model_alias(name, CHALLENGER)
            continue
        if version == best:
            return CHAMPION
        if challenger is None or challenger < version:
            client.set_registered_model_alias(name, CHALLENGER, str(version))
            continue
        return CHALLENGER if challenger == version else ""
    raise RuntimeError(f"the aliases of {name} did not settle in {MAX_ROUNDS} rounds; look for other writers")


def best_version(versions: Sequence[ModelVersion], champion: int | None) -> int | None:
    """The version that should be champion; a tie keeps the champion, then the older one.

    Only versions with the protocol of the standing champion compete (without one, of the oldest version), and
    none that a rollback withdrew, and none that harms images anywhere more than the standing champion does, where both
    carry a curve (``harm_tag``). None when nobody competes.
    """
    rivals = {int(v.version): v for v in versions if METRIC_TAG in v.tags and WITHDRAWN_TAG not in v.tags}
    if champion is not None and champion not in rivals:
        return champion  # placed by hand, or without figures: nothing here can be compared with it
    if not rivals:
        return None
    protocol = rivals[champion if champion is not None else min(rivals)].tags.get(PROTOCOL_TAG)
    rivals = {number: v for number, v in rivals.items() if v.tags.get(PROTOCOL_TAG) == protocol}
    if champion is not None:
        standing = read_harm(rivals[champion].tags)
        rivals = {
            number: v
            for number, v in rivals.items()
            if number == champion or not harms_more(read_harm(v.tags), standing)
        }
    return max(rivals, key=lambda number: (float(rivals[number].tags[METRIC_TAG]), number == champion, -number))


def why_not_champion(versions: Sequence[ModelVersion], champion: int | None, version: int) -> str:
    """In a few words why ``version`` is not the champion that stands; "" when it is, or when none does."""
    known = {int(v.version): v.tags for v in versions}
    if champion is None or champion == version or champion not in known or version not in known:
        return ""
    tags, best = known[version], known[champion]
    if METRIC_TAG not in best:
        return f"version {champion} was made champion by hand, without figures to compare with"
    if WITHDRAWN_TAG in tags:
        return f"withdrawn: {tags[WITHDRAWN_TAG]}"
    if METRIC_TAG not in tags:
        return "it has no figures to compare with"
    if tags.get(PROTOCOL_TAG) != best.get(PROTOCOL_TAG):
        return f"measured on other images or settings than champion v{champion}"
    gain = float(tags[METRIC_TAG]) - float(best[METRIC_TAG])
    if gain > 0 and harms_more(read_harm(tags), read_harm(best)):
        return f"{gain:.2f} dB above champion v{champion}, but harms some images more"
    return f"{-gain:.2f} dB below champion v{champion}" if gain < 0 else f"no better than champion v{champion}"


def _alias(client: MlflowClient, name: str, alias: str) -> int | None:
    found = client.get_registered_model(name).aliases.get(alias)
    return None if found is None else int(found)
