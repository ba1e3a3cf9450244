"""Entry of agent.pyz: the environment in, the termination message and the exit code out."""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from trireme.contract import environ, exits, names, wire
from trireme.contract.environ import BadEnvironment, PodEnvironment

from trireme_worker.agent import PATIENCE, Agent, Patience
from trireme_worker.output import Output

DESCRIPTION = """\
The agent of a Trireme job's pod. It joins the other pods of the job, starts COMMAND once for each process of this pod
with the variables that Horovod and torch.distributed need, and exits when all ranks of the job are done (0) or one has
failed. The operator starts it; what it needs comes from TRIREME_* variables.
"""

FILES = 65536
"""Open files that the coordinator of a large job may need."""


def main(argv: Sequence[str] | None = None, patience: Patience = PATIENCE) -> NoReturn:
    command = _command(argv)
    output = Output()
    termination = _termination(command, output, patience)
    _leave_word(termination, output)
    output.close()
    sys.exit(termination.exit_code)


def _command(argv: Sequence[str] | None) -> list[str]:
    parser = argparse.ArgumentParser(
        prog=names.AGENT_FILE, description=DESCRIPTION, usage="%(prog)s -- COMMAND ARGS..."
    )
    parser.add_argument("command", nargs=argparse.REMAINDER, metavar="COMMAND", help="what to run, as in a shell")
    command: list[str] = parser.parse_args(argv).command
    if command[:1] == ["--"]:
        del command[0]
    if not command:
        parser.error("there is no COMMAND")
    return command


def _termination(command: Sequence[str], output: Output, patience: Patience) -> wire.Termination:
    try:
        env = PodEnvironment.read(os.environ)
        _raise_file_limit()
        return asyncio.run(_run(env, command, output, patience))
    except BadEnvironment as error:
        return _failed(exits.BAD_ENVIRONMENT, str(error))
    except Exception as error:  # the last resort: the operator must learn that the agent is to blame
        output.say(traceback.format_exc().rstrip())
        return _failed(exits.AGENT_ERROR, traceback.format_exception_only(type(error), error)[-1].strip())


async def _run(env: PodEnvironment, command: Sequence[str], output: Output, patience: Patience) -> wire.Termination:
    return await Agent(env, _token(env.token_file), command, os.environ, output, patience).run()


def _token(path: str) -> str:
    try:
        token = Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise BadEnvironment(f"the token in {path} cannot be read: {error}") from error
    if not token:
        raise BadEnvironment(f"the token in {path} is empty")
    return token


def _failed(code: int, message: str) -> wire.Termination:
    """Without trust in the environment: it may be what is wrong."""
    index = os.environ.get(environ.INDEX, "")
    failure = wire.Failure(
        role=os.environ.get(environ.ROLE, names.ROLE_WORKER),
        index=int(index) if index.isdecimal() else 0,
        exit_code=code,
        reason=exits.describe(code).reason,
        message=message,
        at=time.time(),
    )
    return wire.Termination(code, failure=failure)


def _leave_word(termination: wire.Termination, output: Output, base: Mapping[str, str] = os.environ) -> None:
    failure = termination.failure or termination.cause
    if failure is not None:
        who = wire.pod_label(failure) + (f", rank {failure.rank}" if failure.rank is not None else "")
        output.say(f"exit {termination.exit_code}: {who}: {failure.reason}: {failure.message}")
    path = Path(base.get(environ.TERMINATION_LOG, environ.TERMINATION_PATH))
    if environ.TERMINATION_LOG not in base and not path.exists():
        return  # not started by a kubelet, which makes the file
    try:
        path.write_text(wire.termination_message(termination))
    except OSError as error:
        output.say(f"the termination message cannot be written to {path}: {error}")


def _raise_file_limit() -> None:
    """The coordinator has a few connections for each pod; most images allow 1,024 files softly."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, max(soft, FILES)), hard))


if __name__ == "__main__":
    main()
