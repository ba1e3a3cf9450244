"""From the JSON object of a TrainingJob to the typed one, or to all that is wrong with it.

The object comes from the API server or straight from a user's file. Of a file nothing is ignored: a field that is not
known, or does not work in this version, is refused. A stored object has only fields of its CRD, which may be newer than
this version and adds its defaults to every job; what we do not know of these is passed over. Nobody prunes templates:
unknown fields there are refused always. The messages speak to a user: pydantic's own words never leave this file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import NoneType
from typing import Any, get_args

from pydantic import ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from trireme.contract import names
from trireme.spec import checkpoint, elastic, kubernetes_schema, roles, scheduling, template, words
from trireme.spec.errors import FieldError, InvalidSpec
from trireme.spec.model import FORMS, Backend, JobSpec, Model, Strategy, TrainingJob

TOP_LEVEL = ("apiVersion", "kind", "metadata", "spec", "status")

NOT_SUPPORTED = frozenset({
    "spec.mesh", "spec.allReduce.compression",
})  # fmt: skip
"""Agreed fields that later versions bring."""

LATER_STRATEGIES = ("ModelParallel", "Hybrid")

HOROVOD_ONLY = ("timeout_seconds", "fusion_threshold_bytes", "cycle_time_milliseconds", "timeline_file")
"""Fields of AllReduce that torch.distributed has no counterpart for."""
HOROVOD_ALONE = "works with backend Horovod only"


def parse(obj: Any) -> TrainingJob:
    """Raises InvalidSpec with every problem, sorted. Without a server: namespace `default`, no uid, generation 1."""
    if not isinstance(obj, dict):
        raise InvalidSpec((FieldError(names.KIND, f"must be a mapping, got {words.describe(obj)}"),))
    metadata = obj.get("metadata")
    stored = isinstance(metadata, dict) and bool(metadata.get("uid"))
    problems = [*_top_level(obj, stored), *_metadata(metadata, stored)]
    spec, wrong = _spec(obj.get("spec"), stored)
    problems += wrong
    if problems or spec is None or not isinstance(metadata, dict):
        raise InvalidSpec(tuple(sorted(set(problems))))
    return TrainingJob(
        name=metadata["name"],
        namespace=metadata.get("namespace") or "default",
        uid=metadata.get("uid") or "",
        generation=metadata.get("generation") or 1,
        spec=spec,
    )


def ours(obj: Mapping[str, Any]) -> bool:
    """Whether a stored TrainingJob is ours to run; asked before it is parsed, since another's may hold anything."""
    spec = obj.get("spec")
    return not isinstance(spec, dict) or spec.get("managedBy") in (None, names.CONTROLLER)


def _top_level(obj: Mapping[Any, Any], stored: bool) -> Iterator[FieldError]:
    for key, expected in (("apiVersion", names.API_VERSION), ("kind", names.KIND)):
        if obj.get(key) != expected:
            yield FieldError(key, f"must be {expected}, got {words.describe(obj.get(key))}")
    for key in map(str, obj):
        if key not in TOP_LEVEL and not stored:
            yield FieldError(words.shown(key), words.unknown_field(key, TOP_LEVEL))


def _metadata(metadata: Any, stored: bool) -> Iterator[FieldError]:
    if not isinstance(metadata, dict):
        yield FieldError("metadata", "is required: it holds the job's name")
        return
    known = kubernetes_schema.definitions()["ObjectMeta"]["properties"]
    checked = {key: metadata[key] for key in metadata if key in known} if stored else metadata
    problems = list(kubernetes_schema.check("ObjectMeta", checked, "metadata"))
    yield from problems
    if not problems:
        yield from _name(metadata.get("name"))
        namespace = metadata.get("namespace")
        if namespace and not names.is_dns_label(namespace):
            yield FieldError("metadata.namespace", f"{_LABEL_FORM}, got {words.describe(namespace)}")


_LABEL_FORM = "must be lower case letters, digits and `-`, with a letter or digit at both ends, at most 63 in all"


def _name(name: str | None) -> Iterator[FieldError]:
    if not name:
        yield FieldError("metadata.name", "is required")
    elif len(name) > names.JOB_NAME_MAX:
        longest = names.pod_name(name, names.ROLE_WORKER, names.MAX_REPLICAS - 1)
        yield FieldError(
            "metadata.name",
            f"must be at most {names.JOB_NAME_MAX} characters, got {len(name)}: a pod's hostname "
            f"{words.shown(longest)} would have {len(longest)}, and {names.LABEL_MAX} are allowed",
        )
    elif not names.is_dns_label(name):
        yield FieldError("metadata.name", f"{_LABEL_FORM}, got {words.describe(name)}: pods' hostnames begin with it")


def _spec(spec: Any, stored: bool) -> tuple[JobSpec | None, list[FieldError]]:
    problems: list[FieldError] = []
    for role, check in ((names.ROLE_WORKER, template.check), (names.ROLE_SERVER, template.check_server)):
        said = spec.get(role) if isinstance(spec, dict) else None
        pods = said.get("template") if isinstance(said, dict) else None
        if isinstance(pods, dict):
            problems += check(pods, f"spec.{role}.template")
    try:
        typed = JobSpec.model_validate({} if spec is None else spec, extra="ignore" if stored else "forbid")
    except ValidationError as error:
        return None, problems + [_in_plain_words(detail) for detail in error.errors(include_url=False)]
    except RecursionError:  # enumerations put what they were given into words, all of it
        return None, [*problems, FieldError("spec", "is nested too deeply")]
    return typed, problems + list(_cross_field(typed))


def _cross_field(spec: JobSpec) -> Iterator[FieldError]:
    yield from roles.check(spec)
    if spec.all_reduce.backend is Backend.TORCH:
        for field in HOROVOD_ONLY:
            if getattr(spec.all_reduce, field) is not None:
                yield FieldError(f"spec.allReduce.{to_camel(field)}", f"{HOROVOD_ALONE}, and this is Torch")
    yield from scheduling.check(spec)
    yield from checkpoint.check(spec)
    yield from elastic.check(spec)


_SAYINGS: dict[str, Callable[[ErrorDetails], str]] = {
    "missing": lambda e: "is required",
    "int_type": lambda e: f"must be a whole number, got {words.describe(e['input'])}",
    "string_type": lambda e: f"must be a string, got {words.describe(e['input'])}",
    "list_type": lambda e: f"must be a list, got {words.describe(e['input'])}",
    "too_long": lambda e: f"must have at most {e['ctx']['max_length']} entries, got {len(e['input'])}",
    "dict_type": lambda e: f"must be a mapping, got {words.describe(e['input'])}",
    "model_type": lambda e: f"must be a mapping, got {words.describe(e['input'])}",
    "greater_than_equal": lambda e: f"must be at least {e['ctx']['ge']}, got {words.describe(e['input'])}",
    "less_than_equal": lambda e: f"must be at most {e['ctx']['le']}, got {words.describe(e['input'])}",
    "bool_type": lambda e: f"must be true or false, got {words.describe(e['input'])}",
    "string_pattern_mismatch": lambda e: f"must {FORMS[e['ctx']['pattern']]}, got {words.describe(e['input'])}",
    "string_too_short": lambda e: "must not be empty",
    "string_too_long": lambda e: f"must be at most {e['ctx']['max_length']} characters, got {len(e['input'])}",
}


def _in_plain_words(detail: ErrorDetails) -> FieldError:
    path = _path(detail["loc"])
    if path in NOT_SUPPORTED:
        return FieldError(path, "not supported by this version")
    if path == "spec.strategy" and detail["input"] in LATER_STRATEGIES:
        known = " or ".join(each.value for each in Strategy)
        return FieldError(path, f"{detail['input']} is not supported by this version: it must be {known}")
    if detail["type"] == "extra_forbidden":
        return FieldError(path, words.unknown_field(str(detail["loc"][-1]), _fields(detail["loc"][:-1])))
    if detail["type"] == "enum":
        kind: Any = _annotation(detail["loc"])
        return FieldError(path, words.one_of((member.value for member in kind), detail["input"]))
    say = _SAYINGS.get(detail["type"])
    return FieldError(path, say(detail) if say else detail["msg"])


def _path(loc: tuple[int | str, ...]) -> str:
    return "spec" + "".join(f"[{step}]" if isinstance(step, int) else f".{words.shown(step)}" for step in loc)


def _fields(loc: tuple[int | str, ...]) -> list[str]:
    """Names of the fields of the model at a place below spec."""
    model: type[Model] = _annotation(loc)
    return [field.alias or name for name, field in model.model_fields.items()]


def _annotation(loc: tuple[int | str, ...]) -> Any:
    """The declared type at a place below spec; models and enumerations only."""
    found: Any = JobSpec
    for step in loc:
        found = next(field.annotation for field in found.model_fields.values() if field.alias == step)
        found = next((arm for arm in get_args(found) if arm is not NoneType), found)
    return found
