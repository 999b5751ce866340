"""The Neo4j store: one database of a server, shared by any number of processes and machines."""

from .server import Credentials
from .store import Neo4jStore, open_neo4j

__all__ = ["Credentials", "Neo4jStore", "open_neo4j"]
