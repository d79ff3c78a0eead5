"""AE2xx references and structure, AE3xx expressions, AE4xx executors, secrets and artifacts, AE9xx surprises.

Law: one row per code, in order of code; codes are never reused for something else.
"""

from typing import Final

from aether_protocol.diagnostics.model import CodeInfo

CHECKS: Final[tuple[CodeInfo, ...]] = ()
