"""The recorded answers of Kubernetes 1.36 for the Widget schema, and each keyword by itself."""

# ruff: noqa: E501  (one case a line reads best)
import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trireme.pocket.objects.causes import UNCHECKED, Cause, summary
from trireme.pocket.objects.schema import Structural

WIDGET = {
    "type": "object",
    "required": ["spec"],
    "properties": {
        "spec": {
            "type": "object",
            "required": ["mode"],
            "properties": {
                "mode": {"type": "string", "enum": ["Fast", "Safe"]},
                "replicas": {"type": "integer", "minimum": 1, "maximum": 100, "default": 2},
                "minReplicas": {"type": "integer", "minimum": 1},
                "owner": {
                    "type": "string",
                    "maxLength": 20,
                    "x-kubernetes-validations": [{"rule": "self == oldSelf", "message": "owner is immutable"}],
                },
                "limits": {"type": "object", "default": {}, "properties": {"retry": {"type": "integer", "default": 3}}},
                "template": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
            },
            "x-kubernetes-validations": [
                {
                    "rule": "!has(self.minReplicas) || self.minReplicas <= self.replicas",
                    "message": "minReplicas must not exceed replicas",
                }
            ],
        },
        "status": {
            "type": "object",
            "properties": {
                "conditions": {
                    "type": "array",
                    "maxItems": 16,
                    "x-kubernetes-list-type": "map",
                    "x-kubernetes-list-map-keys": ["type"],
                    "items": {
                        "type": "object",
                        "required": ["type", "status"],
                        "properties": {"type": {"type": "string"}, "status": {"type": "string"}},
                    },
                }
            },
        },
    },
}


def widget(**spec):
    return {"apiVersion": "g/v1", "kind": "Widget", "metadata": {"name": "a"}, "spec": {"mode": "Fast", **spec}}


def spec_of(**properties):
    return Structural({"type": "object", "properties": {"spec": {"type": "object", "properties": properties}}})


def causes(schema, value, **more):
    return [
        (cause.reason.removeprefix("FieldValue"), cause.field, cause.message)
        for cause in spec_of(v=schema, **more).validate({"spec": {"v": value}})
    ]


@pytest.fixture(scope="module")
def structural():
    return Structural(WIDGET)


def test_defaults(structural):
    obj = widget()
    structural.default(obj)
    assert obj["spec"] == {"mode": "Fast", "replicas": 2, "limits": {"retry": 3}}


def test_null_counts_as_absent(structural):
    obj = widget(replicas=None, owner=None)
    structural.default(obj)
    assert obj["spec"] == {"mode": "Fast", "replicas": 2, "limits": {"retry": 3}}


def test_prune_keeps_metadata_and_preserved_fields(structural):
    obj = widget(colour="red", template={"anything": {"goes": 1}}, limits={"x": 1})
    obj["metadata"]["shade"] = 1
    obj["extra"] = 1
    assert structural.prune(obj) == ["extra", "metadata.shade", "spec.colour", "spec.limits.x"]
    assert obj == widget(template={"anything": {"goes": 1}}, limits={})


def test_a_good_widget(structural):
    assert structural.validate(widget(replicas=2, minReplicas=2, owner="ann")) == []


@pytest.mark.parametrize(
    ("obj", "expected"),
    [
        pytest.param(
            widget(mode="Odd", replicas=0),
            [
                Cause(
                    "FieldValueNotSupported", "spec.mode", 'Unsupported value: "Odd": supported values: "Fast", "Safe"'
                ),
                Cause(
                    "FieldValueInvalid",
                    "spec.replicas",
                    "Invalid value: 0: spec.replicas in body should be greater than or equal to 1",
                ),
                UNCHECKED,
            ],
            id="enum",
        ),
        pytest.param(
            {"spec": {}}, [Cause("FieldValueRequired", "spec.mode", "Required value"), UNCHECKED], id="missing"
        ),
        pytest.param(
            widget(replicas="two"),
            [
                Cause(
                    "FieldValueTypeInvalid",
                    "spec.replicas",
                    'Invalid value: "string": spec.replicas in body must be of type integer: "string"',
                ),
                UNCHECKED,
            ],
            id="type",
        ),
        pytest.param(
            widget(replicas=2, minReplicas=5),
            [Cause("FieldValueInvalid", "spec", "Invalid value: minReplicas must not exceed replicas")],
            id="cel",
        ),
        pytest.param(
            {
                **widget(replicas=1),
                "status": {"conditions": [{"type": "A", "status": "x"}, {"type": "A", "status": "y"}]},
            },
            [Cause("FieldValueDuplicate", "status.conditions[1]", 'Duplicate value: {"type":"A"}')],
            id="map list",
        ),
    ],
)
def test_recorded_refusals(structural, obj, expected):
    assert structural.validate(obj) == expected


def test_transition_rule(structural):
    old = widget(owner="ann", replicas=1)
    assert structural.validate(old, old) == []
    assert structural.validate(widget(replicas=1), old) == []
    assert structural.validate(old, widget(replicas=1)) == []
    assert structural.validate(widget(owner="bob", replicas=1), old) == [
        Cause("FieldValueInvalid", "spec.owner", 'Invalid value: "bob": owner is immutable')
    ]


def test_unchanged_values_are_not_held_against_the_user(structural):
    old = widget(mode="Odd", replicas=1)
    assert structural.validate(widget(mode="Odd", replicas=2), old) == []
    assert [cause.field for cause in structural.validate(widget(mode="Even", replicas=2), old)] == [
        "spec.mode",
        "<nil>",
    ]


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"type": "integer"}, 3.0),
        ({"type": "number"}, 3),
        ({"x-kubernetes-int-or-string": True}, "50%"),
        ({"x-kubernetes-int-or-string": True}, 5),
        ({"type": "string", "nullable": True}, None),
        ({"type": "string", "maxLength": 3}, "häß"),
        ({"type": "string", "pattern": "^[a-z]+$"}, "abc"),
        ({"type": "string", "pattern": "b"}, "abc"),
        ({"type": "string", "format": "date-time"}, "2026-01-01T00:00:00.123456789Z"),
        ({"type": "string", "format": "duration"}, "1h30m0.5s"),
        ({"type": "string", "format": "byte"}, "dg=="),
        ({"type": "string", "format": "unheard-of"}, "x"),
        ({"type": "number", "multipleOf": 0.5}, 2.5),
        ({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}, ["a", "b"]),
        ({"type": "object", "additionalProperties": {"type": "string"}}, {"a": "b"}),
        ({"type": "object", "additionalProperties": True}, {"a": {"b": 1}}),
        ({"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 1}]}, 7),
        ({"type": "integer", "not": {"enum": [3]}}, 4),
    ],
)
def test_keyword_accepts(schema, value):
    assert causes(schema, value) == []


def at_v(detail):
    return f"spec.v in body {detail}"


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        ({"type": "integer"}, 1.5, [("TypeInvalid", "spec.v", f'Invalid value: "number": {at_v("must be of type integer")}: "number"')]),
        ({"type": "integer"}, 1e30, [("TypeInvalid", "spec.v", f'Invalid value: "number": {at_v("must be of type integer")}: "number"')]),
        ({"type": "boolean"}, 1, [("TypeInvalid", "spec.v", f'Invalid value: "integer": {at_v("must be of type boolean")}: "integer"')]),
        ({"type": "string"}, None, [("TypeInvalid", "spec.v", f'Invalid value: "null": {at_v("must be of type string")}: "null"')]),
        ({"x-kubernetes-int-or-string": True}, [], [("TypeInvalid", "spec.v", f'Invalid value: "array": {at_v("must be of type integer,string")}: "array"')]),
        ({"type": "string", "maxLength": 2}, "abc", [("TooLong", "spec.v", "Too long: may not be more than 2 bytes")]),
        ({"type": "string", "minLength": 1}, "", [("Invalid", "spec.v", f'Invalid value: "": {at_v("should be at least 1 chars long")}')]),
        ({"type": "string", "pattern": "^[a-z]+$"}, "abc\n", [("Invalid", "spec.v", 'Invalid value: "abc\\n": ' + at_v("should match '^[a-z]+$'"))]),
        ({"type": "string", "format": "date-time"}, "yesterday", [("TypeInvalid", "spec.v", f'Invalid value: "yesterday": {at_v("must be of type date-time")}: "yesterday"')]),
        ({"type": "integer", "format": "int32"}, 2**31, [("Invalid", "spec.v", "Invalid value: 2147483648: Checked value must be of type integer with format int32 in spec.v")]),
        ({"type": "integer", "maximum": 3}, 4, [("Invalid", "spec.v", f'Invalid value: 4: {at_v("should be less than or equal to 3")}')]),
        ({"type": "integer", "maximum": 3, "exclusiveMaximum": True}, 3, [("Invalid", "spec.v", f'Invalid value: 3: {at_v("should be less than 3")}')]),
        ({"type": "integer", "minimum": 3, "exclusiveMinimum": True}, 3, [("Invalid", "spec.v", f'Invalid value: 3: {at_v("should be greater than 3")}')]),
        ({"type": "integer", "multipleOf": 4}, 6, [("Invalid", "spec.v", f'Invalid value: 6: {at_v("should be a multiple of 4")}')]),
        ({"type": "array", "maxItems": 1, "items": {"type": "string"}}, ["a", "b"], [("TooMany", "spec.v", "Too many: 2: must have at most 1 items")]),
        ({"type": "array", "minItems": 1, "items": {"type": "string"}}, [], [("Invalid", "spec.v", f'Invalid value: 0: {at_v("should have at least 1 items")}')]),
        ({"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}}, ["a", "b", "a"], [("Duplicate", "spec.v[2]", 'Duplicate value: "a"')]),
        ({"type": "array", "items": {"type": "object", "required": ["a"]}}, [{}], [("Required", "spec.v[0].a", "Required value")]),
        ({"type": "object", "maxProperties": 1, "additionalProperties": {"type": "string"}}, {"a": "", "b": ""}, [("TooMany", "spec.v", "Too many: 2: must have at most 1 items")]),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, {"a": "b"}, [("TypeInvalid", "spec.v.a", 'Invalid value: "string": spec.v.a in body must be of type integer: "string"')]),
        ({"type": "integer", "not": {"enum": [3]}}, 3, [("Invalid", "spec.v", 'Invalid value: "": "spec.v" must not validate the schema (not)')]),
        ({"type": "integer", "oneOf": [{"minimum": 5}, {"minimum": 6}]}, 7, [("Invalid", "spec.v", 'Invalid value: "": "spec.v" must validate one and only one schema (oneOf). Found 2 valid alternatives')]),
        ({"type": "object", "x-kubernetes-embedded-resource": True, "x-kubernetes-preserve-unknown-fields": True}, {"kind": "Pod"}, [("Required", "spec.v.apiVersion", "Required value: must not be empty")]),
    ],
)  # fmt: skip
def test_keyword_refuses(schema, value, expected):
    assert causes(schema, value) == expected


def ruled(rule, kind="object", **more):
    return {"type": kind, "x-kubernetes-validations": [{"rule": rule, **more.pop("with_", {})}], **more}


INTEGERS = {"type": "array", "maxItems": 5, "items": {"type": "integer"}}


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        (ruled("self.all(x, x > 0) && size(self) == 2", **INTEGERS | {"kind": "array"}), [1, 2]),
        (ruled("self.isSorted() && self.sum() == 3", **INTEGERS | {"kind": "array"}), [1, 2]),
        (ruled("self > 2.5", "number"), 3),
        (ruled("self.lowerAscii() == 'abc' && self.matches('^A')", "string"), "ABC"),
        (ruled("self.__dash__a == 1 && self.__namespace__ == 2 && self.namespace == 2", properties={"-a": {"type": "integer"}, "namespace": {"type": "integer"}}), {"-a": 1, "namespace": 2}),
        (ruled("self < timestamp('2027-01-01T00:00:00Z')", "string", format="date-time"), "2026-01-01T00:00:00Z"),
        (ruled("self == duration('90m')", "string", format="duration"), "1h30m"),
        (ruled("!has(self.hidden)", **{"x-kubernetes-preserve-unknown-fields": True}), {"hidden": 1}),
        (ruled("!oldSelf.hasValue() || self == oldSelf.value()", "integer", with_={"optionalOldSelf": True}), 1),
        (ruled("self['a'] == 'b' && self.exists(k, k == 'a')", additionalProperties={"type": "string"}), {"a": "b"}),
    ],
)  # fmt: skip
def test_rule_holds(schema, value):
    schema = {**schema, "type": schema.pop("kind", schema["type"])}
    assert causes(schema, value) == []


@pytest.mark.parametrize(
    ("schema", "value", "expected"),
    [
        (ruled("self > 1", "integer"), 1, ("Invalid", "spec.v", 'Invalid value: 1: failed rule: self > 1')),
        (ruled("self > 1", "integer", with_={"message": " too few "}), 1, ("Invalid", "spec.v", 'Invalid value: 1: too few')),
        (ruled("self > 1", "integer", with_={"messageExpression": "'got ' + string(self)"}), 1, ("Invalid", "spec.v", 'Invalid value: 1: got 1')),
        (ruled("self > 1", "integer", with_={"messageExpression": "string(1/0)", "message": "plain"}), 1, ("Invalid", "spec.v", 'Invalid value: 1: plain')),
        (ruled("self > 1", "integer", with_={"reason": "FieldValueForbidden", "message": "no"}), 1, ("Forbidden", "spec.v", "Forbidden: no")),
        (ruled("self > 1", "integer", with_={"reason": "FieldValueRequired", "message": "no"}), 1, ("Required", "spec.v", "Required value: no")),
        (ruled("self > 1", "integer", with_={"reason": "FieldValueDuplicate"}), 1, ("Duplicate", "spec.v", 'Duplicate value: 1')),
        (ruled("has(self.a)", properties={"a": {"type": "integer"}}, with_={"fieldPath": ".a", "message": "m"}), {}, ("Invalid", "spec.v.a", "Invalid value: m")),
        ({"type": "array", "maxItems": 3, "items": ruled("self > 1", "integer", with_={"message": "m"})}, [2, 1], ("Invalid", "spec.v[1]", 'Invalid value: 1: m')),
        ({"type": "object", "additionalProperties": ruled("self > 1", "integer", with_={"message": "m"})}, {"a": 1}, ("Invalid", "spec.v[a]", 'Invalid value: 1: m')),
    ],
)  # fmt: skip
def test_rule_refuses(schema, value, expected):
    assert causes(schema, value) == [expected]


def test_a_rule_that_fails_refuses():
    [(reason, field, message)] = causes(ruled("self.a > 1", properties={"a": {"type": "integer"}}), {})
    assert (reason, field) == ("Invalid", "spec.v")
    assert message.startswith('Invalid value: "object": ')
    assert message.endswith("evaluating rule: self.a > 1")


def test_transition_rules_follow_map_list_keys():
    item = ruled("self.v == oldSelf.v", properties={"k": {"type": "string"}, "v": {"type": "integer"}})
    listed = {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"], "items": item}
    schema = spec_of(v=listed)
    old = {"spec": {"v": [{"k": "a", "v": 1}, {"k": "b", "v": 2}]}}
    assert schema.validate({"spec": {"v": [{"k": "c", "v": 9}, {"k": "b", "v": 2}, {"k": "a", "v": 1}]}}, old) == []
    assert [cause.field for cause in schema.validate({"spec": {"v": [{"k": "b", "v": 3}]}}, old)] == ["spec.v[0]"]


def test_summary():
    one, two = Cause("r", "a", "x"), Cause("r", "b", "y")
    assert summary([one, one]) == "a: x"
    assert summary([one, two]) == "[a: x, b: y]"


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=2),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["spec", "mode", "replicas", "limits", "retry", "template", "x"]), inner, max_size=4
        )
    ),
)


@given(st.dictionaries(st.sampled_from(["spec", "status", "extra"]), json_values, max_size=3))
def test_pruning_and_defaulting_twice_change_nothing_more(obj):
    structural = Structural(WIDGET)
    structural.prune(obj)
    structural.default(obj)
    once = copy.deepcopy(obj)
    assert structural.prune(obj) == []
    structural.default(obj)
    assert obj == once
