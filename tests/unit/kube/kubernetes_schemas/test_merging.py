"""Kubernetes' own types laid over one another, as by a strategic merge patch."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kube.kubernetes_schemas import laid_over

SPEC = "io.k8s.api.core.v1.PodSpec"


@pytest.mark.parametrize(
    ("base", "over", "merged"),
    [
        ({"nodeSelector": {"a": "1"}}, {"nodeSelector": {"b": "2"}}, {"nodeSelector": {"a": "1", "b": "2"}}),
        ({"nodeSelector": {"a": "1"}}, {"nodeSelector": None}, {}),
        ({"tolerations": [{"key": "a"}]}, {"tolerations": [{"key": "b"}]}, {"tolerations": [{"key": "b"}]}),
        (
            {"containers": [{"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}]},
            {"containers": [{"name": "c"}, {"name": "a", "env": [{"name": "Y", "value": "2"}]}]},
            {
                "containers": [
                    {"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}, {"name": "Y", "value": "2"}]},
                    {"name": "b"},
                    {"name": "c"},
                ]
            },
        ),
        (
            {"containers": [{"name": "a", "ports": [{"name": "http", "containerPort": 80}]}]},
            {"containers": [{"name": "a", "ports": [{"name": "metrics", "containerPort": 90}]}]},
            {"containers": [{"name": "a", "ports": [{"name": "http", "containerPort": 80},
                                                    {"name": "metrics", "containerPort": 90}]}]},
        ),
        (
            {"volumes": [{"name": "a", "emptyDir": {}}]},
            {"volumes": [{"name": "a", "secret": {"secretName": "s"}}]},
            {"volumes": [{"name": "a", "secret": {"secretName": "s"}}]},
        ),
        (
            {"containers": [{"name": "a", "readinessProbe": {"tcpSocket": {"port": 1}, "periodSeconds": 2}}]},
            {"containers": [{"name": "a", "readinessProbe": {"httpGet": {"port": 2}}}]},
            {"containers": [{"name": "a", "readinessProbe": {"httpGet": {"port": 2}, "periodSeconds": 2}}]},
        ),
        ({"imagePullSecrets": [{"name": "a"}]}, {"imagePullSecrets": [{"name": "b"}]},
         {"imagePullSecrets": [{"name": "a"}, {"name": "b"}]}),
    ],
)  # fmt: skip
def test_an_overlay_is_merged_as_kubernetes_merges_it(
    base: dict[str, Any], over: dict[str, Any], merged: dict[str, Any]
) -> None:
    assert laid_over(base, over, SPEC) == merged


CONTAINERS = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abc")}, optional={"image": st.sampled_from("xyz")}),
    unique_by=lambda one: one["name"],
)
SPECS = st.fixed_dictionaries(
    {}, optional={"containers": CONTAINERS, "nodeSelector": st.dictionaries(st.sampled_from("ab"), st.just("1"))}
)


@given(base=SPECS, over=SPECS)
def test_an_overlay_laid_over_twice_changes_nothing_more(base: dict[str, Any], over: dict[str, Any]) -> None:
    once = laid_over(base, over, SPEC)

    assert laid_over(once, over, SPEC) == once


@given(base=SPECS)
def test_an_empty_overlay_changes_nothing(base: dict[str, Any]) -> None:
    assert laid_over(base, {}, SPEC) == base
