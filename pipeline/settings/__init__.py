"""What every settings class is made of, from a degradation's ranges to a whole run's configuration."""

from pipeline.settings.base import Settings, parse_json, parse_settings

__all__ = ["Settings", "parse_json", "parse_settings"]
