"""Fakes and conformance suites for users and third parties.

The suites need pytest and stand in modules of their own: `store_conformance`,
`revert_conformance`, `transport_conformance`, `environment_conformance`.
"""

from .clock import FakeClock
from .lossy import LossyTransport
from .openai_server import FakeOpenAIServer
from .scripted import ScriptedModel, forbid_real_models

__all__ = [
    "FakeClock",
    "FakeOpenAIServer",
    "LossyTransport",
    "ScriptedModel",
    "forbid_real_models",
]
