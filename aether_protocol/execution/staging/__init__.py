"""Artifacts on their way into and out of an attempt's workspace (ART): packed, unpacked, laid down, kept."""
