"""Property values of the sandbox's provider: secrets, unknowns and what it does not take."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.provider import values
from sandbox.provider.values import UNKNOWN, Secret


@pytest.mark.parametrize(
    "properties",
    [
        {"a": "text", "b": True, "c": False, "d": 5, "e": 0.5, "f": {}, "g": []},
        {"nested": {"list": [{"x": 1}, ["y", 2]], "empty": ""}},
        {"password": Secret("hunter2"), "list": [Secret({"a": 1})]},
        {"later": UNKNOWN, "list": [UNKNOWN, "known"]},
        {"generation": 2**53},
    ],
)
def test_what_is_encoded_decodes_to_the_same(properties: dict[str, Any]) -> None:
    assert values.decode(values.encode(properties)) == properties


def test_whole_numbers_stay_integers_because_the_api_server_refuses_5_0() -> None:
    decoded = values.decode(values.encode({"replicas": 5}))
    assert isinstance(decoded["replicas"], int)


def test_null_properties_are_left_out() -> None:
    struct = values.encode({"kept": "x"})
    struct.fields["gone"].null_value = 0  # type: ignore[assignment]
    assert values.decode(struct) == {"kept": "x"}


def test_secrets_are_plain_when_the_engine_does_not_take_them() -> None:
    struct = values.encode({"password": Secret("hunter2")}, keep_secrets=False)
    assert values.decode(struct) == {"password": "hunter2"}


def test_an_output_value_without_a_value_is_unknown() -> None:
    struct = values.encode({"out": {values.SIGNATURE_KEY: values.OUTPUT_SIGNATURE, "secret": True}})
    assert values.decode(struct) == {"out": Secret(UNKNOWN)}


@pytest.mark.parametrize("signature", [values.ASSET_SIGNATURE, values.ARCHIVE_SIGNATURE])
def test_assets_are_refused_with_their_path(signature: str) -> None:
    struct = values.encode({"files": [{values.SIGNATURE_KEY: signature, "text": "x"}]})
    with pytest.raises(values.PropertyError, match=r"files\[0\]"):
        values.decode(struct)


def test_a_secret_is_kept_out_of_its_own_text() -> None:
    assert "hunter2" not in repr(Secret("hunter2"))


@pytest.mark.parametrize(
    ("outputs", "inputs", "expected"),
    [
        ({"a": "x", "b": "y"}, {"a": Secret("x"), "b": "y"}, {"a": Secret("x"), "b": "y"}),
        ({"spec": {"a": "x", "b": "y"}}, {"spec": {"a": Secret("x")}}, {"spec": {"a": Secret("x"), "b": "y"}}),
        ({"list": ["x", "y"]}, {"list": [Secret("y")]}, {"list": Secret(["x", "y"])}),
        ({"kind": "Secret", "data": {"a": "eA=="}}, {}, {"kind": "Secret", "data": Secret({"a": "eA=="})}),
        ({"kind": "ConfigMap", "data": {"a": "x"}}, {}, {"kind": "ConfigMap", "data": {"a": "x"}}),
    ],
)
def test_outputs_are_secret_where_inputs_are(
    outputs: dict[str, Any], inputs: dict[str, Any], expected: dict[str, Any]
) -> None:
    values.copy_secrets(outputs, inputs)
    assert outputs == expected
