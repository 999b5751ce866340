"""Memory and orchestration for teams of agents."""
