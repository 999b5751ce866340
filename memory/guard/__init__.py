"""The guard: what may enter the memory, what may leave it, and what agents do with it.

A consensus guard after A-MemGuard (arXiv 2510.02373); the interface stands in `interface`.
"""

from .access import Access
from .admission import Admission, AdmissionPolicy
from .interface import ALLOWED, Guard, Judgement, OpenGuard, ProposedStep, Verdict
from .notify import QuarantineEvent
from .quarantine import QuarantineCase, Trace, Use

__all__ = [
    "ALLOWED",
    "Access",
    "Admission",
    "AdmissionPolicy",
    "Guard",
    "Judgement",
    "OpenGuard",
    "ProposedStep",
    "QuarantineCase",
    "QuarantineEvent",
    "Trace",
    "Use",
    "Verdict",
]
