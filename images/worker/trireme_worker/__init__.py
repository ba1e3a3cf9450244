"""What runs inside every pod of a job: the agent, the coordinator on worker 0, and `report` for user code.

Importing it costs user code next to nothing: only `report` and the standard library come with it. In a job's process it
also registers a handler that shows the Python stacks when the job hangs.
"""

import os

from trireme_worker import stacks
from trireme_worker.reporter import report

__all__ = ["report"]

stacks.register(os.environ)
