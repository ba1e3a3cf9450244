"""An API server that answers as kube-apiserver does, in memory and in one process. It knows no TrainingJob."""

from trireme.pocket.apiserver.faults import Faults
from trireme.pocket.apiserver.logs import LogSource
from trireme.pocket.apiserver.server import ApiServer

__all__ = ["ApiServer", "Faults", "LogSource"]
