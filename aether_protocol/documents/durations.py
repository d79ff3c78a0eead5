"""Durations as documents write them (DOC-8). The grammar lives below, where executors can read it too."""

from aether_protocol.expressions.durations import PATTERN, ZERO_PATTERN, parse_duration

__all__ = ["PATTERN", "ZERO_PATTERN", "parse_duration"]
