"""Teams of agents: turns, models, the message bus, and agents that act without a model."""

from .actor import CaseGuidedActor, Decision
from .bus import Bus, BusStatistics, Reply, Request, open_bus
from .critic import Critic
from .envelope import Envelope, EnvelopeType
from .environment import Environment, Observation, Task
from .models import ChatModel, Completion, Message, Usage, parse_model
from .planner import Planner
from .recorder import Recorder
from .run import DEFAULT_TIMEOUT, ActiveRun, current_run, running
from .team import Agent, AgentNode, Team
from .transport import Transport
from .turn import Turn

__all__ = [
    "DEFAULT_TIMEOUT",
    "ActiveRun",
    "Agent",
    "AgentNode",
    "Bus",
    "BusStatistics",
    "CaseGuidedActor",
    "ChatModel",
    "Completion",
    "Critic",
    "Decision",
    "Envelope",
    "EnvelopeType",
    "Environment",
    "Message",
    "Observation",
    "Planner",
    "Recorder",
    "Reply",
    "Request",
    "Task",
    "Team",
    "Transport",
    "Turn",
    "Usage",
    "current_run",
    "open_bus",
    "parse_model",
    "running",
]
