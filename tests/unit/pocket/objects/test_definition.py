import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trireme.pocket.objects.schema import Structural, check_definition

SPEC = {"type": "object", "properties": {"mode": {"type": "string"}}}


def definition(*, version=None, **spec_schema):
    return {
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets", "listKind": "WidgetList", "shortNames": ["wd"]},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec_schema or SPEC}}},
                    **(version or {}),
                }
            ],
        },
    }


def edited(path, value):
    crd = copy.deepcopy(definition())
    *above, last = path.split(".")
    node = crd
    for step in above:
        node = node[int(step) if step.isdigit() else step]
    node[last] = value
    return crd


def told(crd):
    return [(cause.reason.removeprefix("FieldValue"), cause.field) for cause in check_definition(crd)]


def test_a_good_definition():
    columns = [{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]
    scale = {"scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}}
    assert told(definition(version={"additionalPrinterColumns": columns, "subresources": scale})) == []


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("metadata.name", "wrong.example.com", [("Invalid", "metadata.name")]),
        ("spec.scope", "Galaxy", [("NotSupported", "spec.scope")]),
        ("spec.names.shortNames", ["W"], [("Invalid", "spec.names.shortNames[0]")]),
        ("spec.names.kind", "", [("Required", "spec.names.kind")]),
        ("spec.names.listKind", "Widget", [("Invalid", "spec.names.listKind")]),
        ("spec.conversion", {"strategy": "Webhook"}, [("NotSupported", "spec.conversion.strategy")]),
        ("spec.versions", "v1", [("TypeInvalid", "spec.versions")]),
        ("spec.versions.0.schema.openAPIV3Schema.properties", {"spec": {"type": 3}},
         [("TypeInvalid", "spec.versions[0].schema.openAPIV3Schema.properties[spec].type")]),
        ("spec.versions", [], [("Required", "spec.versions")]),
        ("spec.versions.0.storage", False, [("Invalid", "spec.versions")]),
        ("spec.versions.0.name", "V1", [("Invalid", "spec.versions[0].name")]),
        ("spec.versions.0.schema", {}, [("Required", "spec.versions[0].schema.openAPIV3Schema")]),
        ("spec.versions.0.schema.openAPIV3Schema", {"type": "array", "items": {"type": "string"}},
         [("Invalid", "spec.versions[0].schema.openAPIV3Schema.type")]),
        ("spec.versions.0.additionalPrinterColumns", [{"name": "A", "type": "odd", "jsonPath": ".["}],
         [("NotSupported", "spec.versions[0].additionalPrinterColumns[0].type"),
          ("Invalid", "spec.versions[0].additionalPrinterColumns[0].jsonPath")]),
        ("spec.versions.0.subresources", {"scale": {"specReplicasPath": ".spec.a[0]", "statusReplicasPath": ".spec.b"}},
         [("Invalid", "spec.versions[0].subresources.scale.specReplicasPath"),
          ("Invalid", "spec.versions[0].subresources.scale.statusReplicasPath")]),
    ],
)  # fmt: skip
def test_names_and_versions(path, value, expected):
    assert told(edited(path, value)) == expected


AT = "spec.versions[0].schema.openAPIV3Schema.properties[spec]"


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"properties": {}}, [("Required", ".type")]),
        ({"type": "thing"}, [("NotSupported", ".type")]),
        ({"type": "array"}, [("Required", ".items")]),
        ({"type": "array", "items": {"type": "string"}, "uniqueItems": True}, [("Forbidden", ".uniqueItems")]),
        ({"type": "object", "$ref": "#/x"}, [("Forbidden", ".$ref")]),
        ({"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": {"type": "string"}},
         [("Forbidden", ".additionalProperties")]),
        ({"type": "object", "additionalProperties": False}, [("Forbidden", ".additionalProperties")]),
        ({"type": "string", "pattern": "("}, [("Invalid", ".pattern")]),
        ({"type": "integer", "default": "x"}, [("TypeInvalid", ".default")]),
        ({"type": "array", "items": {"type": "object"}, "x-kubernetes-list-type": "map"},
         [("Required", ".x-kubernetes-list-map-keys")]),
        ({"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
          "items": {"type": "object", "properties": {"k": {"type": "string"}}}},
         [("Required", ".items.properties[k].default")]),
        ({"type": "object", "anyOf": [{"type": "object"}]}, [("Forbidden", ".anyOf[0].type")]),
        ({"type": "object", "anyOf": [{"properties": {"a": {}}}]}, [("Required", ".anyOf[0].properties[a]")]),
    ],
)  # fmt: skip
def test_structural_schema(schema, expected):
    assert told(definition(**schema)) == [(reason, AT + field) for reason, field in expected]


def rule(text, **more):
    return {"x-kubernetes-validations": [{"rule": text, **more}]}


TEXTS = {"type": "array", "items": {"type": "string"}}
NUMBERS = {"type": "object", "properties": {"a": {"type": "array", "maxItems": 9, "items": {"type": "integer"}}}}


DEFAULTED = {"type": "object", "default": {}, "properties": {"a": {"type": "integer", "default": 2}}}


def test_a_default_is_held_against_the_rules_without_the_defaults_below_it():
    [cause] = check_definition(definition(**DEFAULTED, **rule("self.a > 1")))
    assert (cause.field, cause.message.partition(": ")[2][:8]) == (f"{AT}.default", '"object"')
    assert cause.message.endswith(" evaluating rule: self.a > 1")
    assert check_definition(definition(**DEFAULTED, **rule("!has(self.a) || self.a > 1"))) == []


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "object", "properties": {"a": {"type": "integer"}}, **rule("has(self.a) && self.a > 1")},
        {**NUMBERS, **rule("self.a.all(x, self.a.exists_one(y, x == y))")},
        {**TEXTS, "maxItems": 10, **rule("self.all(x, x.startsWith('a'))")},
        {"type": "string", **rule("self == oldSelf")},
        {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"a": {"type": "string"}},
         **rule("has(self.a)")},
        {"type": "integer", **rule("!oldSelf.hasValue() || oldSelf.value() < self", optionalOldSelf=True)},
    ],
)  # fmt: skip
def test_rules_accepted(schema):
    assert check_definition(definition(**schema)) == []


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "object", **rule("")}, [("Required", ".rule")]),
        ({"type": "integer", **rule("self >")}, [("Invalid", ".rule")]),
        ({"type": "integer", **rule("other > 1")}, [("Invalid", ".rule")]),
        ({"type": "string", **rule("quantity(self).isInteger()")}, [("Invalid", ".rule")]),
        ({"type": "object", "properties": {"a": {"type": "integer"}}, **rule("self.b > 1")}, [("Invalid", ".rule")]),
        ({**NUMBERS, **rule("self.a.all(x, x > self.none)")}, [("Invalid", ".rule")]),
        ({"type": "integer", **rule("self > 1", messageExpression="string(")}, [("Invalid", ".messageExpression")]),
        ({"type": "integer", **rule("self > 1", reason="Mood")}, [("NotSupported", ".reason")]),
        ({"type": "integer", **rule("self\n> 1")}, [("Required", ".message")]),
        ({"type": "integer", **rule("self > 1", message="a\nb")}, [("Invalid", ".message")]),
        ({"type": "integer", **rule("self > 1", optionalOldSelf=True)}, [("Invalid", ".optionalOldSelf")]),
        ({**TEXTS, **rule("self.all(x, x.startsWith('a'))")}, [("Forbidden", ".rule")]),
        ({**TEXTS, "maxItems": 5000, **rule("self.all(x, self.exists(y, x == y))")}, [("Forbidden", ".rule")]),
    ],
)  # fmt: skip
def test_rules_refused(schema, expected):
    at = f"{AT}.x-kubernetes-validations[0]"
    found = told(definition(**schema))
    assert found[: len(expected)] == [(reason, at + field) for reason, field in expected]


def test_a_transition_rule_needs_a_place_that_can_be_found_again():
    schema = {"type": "array", "maxItems": 2, "items": {"type": "integer", **rule("self == oldSelf")}}
    assert told(definition(**schema)) == [("Invalid", f"{AT}.items.x-kubernetes-validations[0].rule")]


def test_cost_counts_how_often_a_rule_runs():
    item = {"type": "string", "maxLength": 10_000, **rule("self.matches('^a.*b$')")}
    rule_cause, total_cause = check_definition(definition(type="array", maxItems=50_000, items=item))
    assert rule_cause.field == f"{AT}.items.x-kubernetes-validations[0].rule"
    assert rule_cause.message.startswith("Forbidden: estimated rule cost exceeds budget by factor of 40.0x (")
    assert total_cause.field == "spec.versions[0].schema.openAPIV3Schema"


junk = st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=2)
FULL = definition(
    version={
        "additionalPrinterColumns": [{"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}],
        "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.a", "statusReplicasPath": ".status.a"}},
    },
    type="object",
    required=["a"],
    properties={
        "a": {"type": "string", "maxLength": 3, "enum": ["x"], "default": "x", "nullable": True, **rule("self != ''")},
        "b": {"type": "object", "additionalProperties": {"type": "integer", "anyOf": [{"minimum": 1}], "not": {}}},
        "c": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
              "items": {"type": "object", "required": ["k"], "properties": {"k": {"type": "string"}}}},
    },
)  # fmt: skip


def places(node, path=()):
    yield from ((*path, key) for key in (node if isinstance(node, dict) else range(len(node))))
    for key, below in node.items() if isinstance(node, dict) else enumerate(node):
        if isinstance(below, dict | list):
            yield from places(below, (*path, key))


@given(st.sampled_from(list(places(FULL))), junk)
def test_whatever_is_refused_is_refused_with_causes(place, value):
    crd = copy.deepcopy(FULL)
    node = crd
    for key in place[:-1]:
        node = node[key]
    node[place[-1]] = value
    if not check_definition(crd):
        Structural(crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
