"""The models that come with the package: small, blind, made only of photographs under free licenses.

``semanir.load("shipped:photo")`` finds them by the entry point in pyproject.toml. Nothing here needs
Ray, MLflow or DeepSpeed.
"""

from pipeline.shipped.locate import SCHEME, is_shipped, locate, names, read_provenance

__all__ = ["SCHEME", "is_shipped", "locate", "names", "read_provenance"]
