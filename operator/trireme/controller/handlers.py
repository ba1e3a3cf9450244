"""kopf watches the TrainingJobs: this is the only file that knows it. Pods never pass through it.

kopf takes the process's signals and, when it stops, cancels every task of its event loop. So it has a thread and a loop
of its own, and the operator is the same inside other programs (`trireme run`) as it is alone.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Callable
from functools import partial
from typing import Any

import kopf
from kopf._cogs.structs.credentials import Vault  # kopf.operator takes one, and nothing public makes one

from trireme.cluster import backoff, kubeconfig
from trireme.cluster.client import Client
from trireme.cluster.fence import Fence
from trireme.cluster.leader import Elector, Work, new_identity
from trireme.cluster.lease import Terms
from trireme.cluster.throttle import Throttle
from trireme.cluster.transport import REQUEST_SECONDS
from trireme.contract import names
from trireme.controller import key
from trireme.controller.controller import Controller
from trireme.controller.exposition import serving
from trireme.controller.loop import Loop
from trireme.controller.metrics import Metrics
from trireme.controller.settings import Settings

log = logging.getLogger(__name__)

HEALTHY_SECONDS = 60.0
"""kopf ran well for so long: what ended it is a new trouble."""

Heard = Callable[[str | None, dict[str, Any]], object]


async def run(settings: Settings, stop: asyncio.Event | None = None) -> None:
    """The operator, until `stop` is set; without one, until SIGTERM or SIGINT. Raises BadKubeconfig and BadKey."""
    if stop is None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
    operator = asyncio.create_task(_operate(settings))
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((operator, stopping), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        operator.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await operator


async def _operate(settings: Settings) -> None:
    operator_key = key.load(settings.key_file)
    writes = Throttle(settings.writes_per_second, settings.write_burst, settings.write_concurrency)
    fence = Fence() if settings.leader_elect else None
    metrics = Metrics()
    connect = partial(Client.connect, settings.kubeconfig, settings.context, answered=metrics.answered)
    async with contextlib.AsyncExitStack() as stack:
        if settings.metrics_port is not None:
            await stack.enter_async_context(serving(metrics.registry, settings.metrics_address, settings.metrics_port))
        client = await stack.enter_async_context(await connect(writes=writes, fence=fence))
        controller = Controller(client, operator_key, settings, metrics)
        work: Work = controller.work
        if fence is not None:
            leases = await stack.enter_async_context(await connect())
            work = partial(_elector(leases, fence, settings).run, controller.work)
        async with controller.running(), asyncio.TaskGroup() as group:
            log.info("operator up namespaces=%s", ",".join(settings.namespaces) or "all")
            group.create_task(work())
            group.create_task(_watch_jobs_for_ever(controller, settings))


def _elector(client: Client, fence: Fence, settings: Settings) -> Elector:
    terms = Terms(settings.lease_seconds)
    return Elector(client, fence, settings.lease_namespace, settings.lease_name, terms, new_identity())


async def _watch_jobs_for_ever(controller: Controller, settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    failures = 0
    while True:
        began = loop.time()
        await _watch_jobs(controller.heard, settings)
        failures = 1 if loop.time() - began > HEALTHY_SECONDS else failures + 1
        seconds = backoff.delay(failures)
        log.warning("the watch of TrainingJobs ended; again in %.1f s", seconds)
        await asyncio.sleep(seconds)
        await controller.catch_up()  # kopf never sees a kind that is not served yet when it starts


async def _watch_jobs(heard: Heard, settings: Settings) -> None:
    """kopf, until it gives up (it does on some errors of the API server) or this is cancelled."""
    ours = asyncio.get_running_loop()
    its = Loop()
    stop = asyncio.Event()
    vault = Vault()
    registry = _registry(lambda kind, job: ours.call_soon_threadsafe(heard, kind, job), settings)

    def watch() -> None:
        with asyncio.Runner(loop_factory=lambda: its) as runner:
            runner.run(_kopf(registry, settings, vault, stop))
            runner.run(_tidy(its, vault))

    thread = asyncio.create_task(asyncio.to_thread(watch))
    try:
        await asyncio.shield(thread)
    finally:
        with contextlib.suppress(RuntimeError):  # it has ended of itself
            its.call_soon_threadsafe(stop.set)
        await asyncio.wait([thread])


async def _tidy(its: Loop, vault: Vault) -> None:
    """What kopf leaves behind when it is cancelled twice: tasks, sessions in its vault, connections. In this order: a
    task would make another session, a session another connection."""
    await its.end_tasks()
    await vault.close()
    await its.hang_up()


async def _kopf(registry: kopf.OperatorRegistry, settings: Settings, vault: Vault, stop: asyncio.Event) -> None:
    """Cancelled rather than stopped: kopf would give handlers five seconds more, and ours have nothing to finish."""
    logging.getLogger("kopf._core.reactor.running").setLevel(logging.ERROR)  # it warns that signals are not its own
    logging.getLogger("kopf.objects").setLevel(logging.WARNING)  # it praises every handled event
    where: dict[str, Any] = {"namespaces": settings.namespaces} if settings.namespaces else {"clusterwide": True}
    if settings.probe_port is not None:
        where["liveness_endpoint"] = f"http://0.0.0.0:{settings.probe_port}/healthz"
    stopping = asyncio.create_task(stop.wait())
    operator = asyncio.create_task(kopf.operator(registry=registry, settings=_kopf_settings(), vault=vault, **where))
    await asyncio.wait((operator, stopping), return_when=asyncio.FIRST_COMPLETED)
    asked = stop.is_set()
    operator.cancel()
    (outcome,) = await asyncio.gather(operator, return_exceptions=True)
    if not asked:
        log.warning("kopf ended outcome=%r", outcome)


def _registry(heard: Heard, settings: Settings) -> kopf.OperatorRegistry:
    registry = kopf.OperatorRegistry()

    @kopf.on.login(registry=registry)
    async def login(**_: Any) -> kopf.ConnectionInfo:
        return await _credentials(settings)

    @kopf.on.event(names.GROUP, names.VERSION, names.PLURAL, registry=registry)
    async def event(event: Any, **_: Any) -> None:
        heard(event["type"], event["object"])

    return registry


async def _credentials(settings: Settings) -> kopf.ConnectionInfo:
    found = await kubeconfig.load(settings.kubeconfig, settings.context)
    schemes: Any = await found.auth_settings()
    scheme, _, token = next((each["value"] for each in schemes.values()), "").partition(" ")
    return kopf.ConnectionInfo(
        server=found.host,
        ca_path=found.ssl_ca_cert,
        insecure=not found.verify_ssl,
        scheme=scheme or None,
        token=token or None,
        certificate_path=found.cert_file,
        private_key_path=found.key_file,
        proxy_url=found.proxy,
    )


def _kopf_settings() -> kopf.OperatorSettings:
    settings = kopf.OperatorSettings()
    settings.process.ultimate_exiting_timeout = None  # it would kill a process that is not its own
    settings.peering.standalone = True  # our leader election is another: equal priorities pause everybody
    settings.posting.enabled = False
    settings.scanning.disabled = True  # one look at what the cluster serves, no watch of all CRDs and namespaces
    settings.watching.server_timeout = 300
    # A task and copies of each job that it lists: of a thousand at once 15 MiB more would stay with us (measured).
    settings.watching.chunk_size = 100
    settings.queueing.idle_timeout = 0.1
    settings.networking.error_backoffs = backoff.Endless()
    settings.networking.request_timeout = REQUEST_SECONDS  # its own patience with a silent server is five minutes
    return settings
