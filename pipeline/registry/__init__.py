"""The one door to the model registry: register, find, pull, roll back. Nothing that it stores is a pickle."""

from pipeline.registry import mlflow_environment  # noqa: F401 (before anything imports MLflow)  # isort: split
from pipeline.registry.card import ModelCard
from pipeline.registry.client import check_tracking_server
from pipeline.registry.pull import pull
from pipeline.registry.register import Registered, find_registered, register, registered_name, settle_again
from pipeline.registry.rollback import rollback
from pipeline.registry.sealed import AlteredModelError

__all__ = [
    "AlteredModelError",
    "ModelCard",
    "Registered",
    "check_tracking_server",
    "find_registered",
    "pull",
    "register",
    "registered_name",
    "rollback",
    "settle_again",
]
