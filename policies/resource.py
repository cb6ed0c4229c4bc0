"""A registered resource as the rules see it, whatever it was read from.

Resources come from a recording of the program, from Pulumi's engine (pulumi_policy's PolicyResource) and from a state
file; each has one conversion here. Afterwards all values are plain JSON: whole numbers are ints, a secret is SECRET and
what a preview does not know yet is UNKNOWN.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from policies.policy_error import PolicyError

SECRET = "[secret]"  # noqa: S105 - stands for every secret
UNKNOWN = "[unknown]"
STACK_TYPE = "pulumi:pulumi:Stack"
_SIGNATURE = "4dabf18193072939515e22adb298388d"
"""Key that marks special values on Pulumi's wire and in its state (Pulumi: sdk/go/common/resource/properties.go)."""
_SECRET_SIGNATURE = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - a marker
_UNKNOWN_VALUES = frozenset(
    {
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",
        "030794c1-ac77-496b-92df-f27374a8bd58",
        "e48ece36-62e2-4504-bad9-02848725956a",
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",
    }
)
"""What Pulumi sends for a value of each type that a preview does not know."""


@dataclass(frozen=True)
class Resource:
    """One resource: its URN, Pulumi's type token and name, and its properties under Kubernetes' own names."""

    urn: str
    type: str
    name: str
    props: Mapping[str, Any]

    @property
    def kind(self) -> str:
        """Its kind, such as `Deployment`; a patch of an existing object has the kind of the object."""
        return self.type.rpartition(":")[2].removesuffix("Patch")

    @property
    def group(self) -> str:
        """The API group and version, such as `apps/v1`."""
        return self.type.removeprefix("kubernetes:").rpartition(":")[0]

    @property
    def is_kubernetes(self) -> bool:
        """Whether it is an object of Kubernetes' API, and not a component or a provider."""
        return self.type.startswith("kubernetes:")

    @property
    def is_known(self) -> bool:
        """Whether all its values are: neither a secret nor unknown in a preview."""
        return _is_known(self.props)

    @property
    def object_name(self) -> str:
        """The name of the object or of the Helm release, else Pulumi's."""
        return str(self.mapping("metadata").get("name") or self.props.get("name") or self.name)

    @property
    def namespace(self) -> str:
        """The namespace of the object or of the Helm release, "" if it has none."""
        return str(self.mapping("metadata").get("namespace") or self.props.get("namespace") or "")

    @property
    def path(self) -> str:
        """`<namespace>/<name>`, or the name."""
        return f"{self.namespace}/{self.object_name}" if self.namespace else self.object_name

    @property
    def labels(self) -> Mapping[str, Any]:
        """The object's labels."""
        return self.mapping("metadata", "labels")

    @property
    def spec(self) -> Mapping[str, Any]:
        """The object's spec; empty if it has none."""
        return self.mapping("spec")

    def mapping(self, *keys: str) -> Mapping[str, Any]:
        """Return the mapping at these keys; an empty one if there is none."""
        return mapping(self.props, *keys)


def _is_known(value: Any) -> bool:
    if isinstance(value, Mapping):
        return all(_is_known(one) for one in value.values())
    if isinstance(value, list):
        return all(_is_known(one) for one in value)
    return value not in (SECRET, UNKNOWN)


def mapping(value: Any, *keys: str) -> Mapping[str, Any]:
    """Return the mapping at these keys of `value`; an empty one if there is none."""
    for key in keys:
        value = value.get(key) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def items(value: Any) -> Sequence[Mapping[str, Any]]:
    """Return the mappings of a list; none if it is not a list."""
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def texts(value: Any) -> list[str]:
    """Return the texts of a list that are known; none if it is not a list."""
    return [one for one in value if isinstance(one, str) and one != UNKNOWN] if isinstance(value, list) else []


class Resources:
    """All resources of a stack, by kind."""

    def __init__(self, resources: Iterable[Resource]) -> None:
        self._all = tuple(resources)

    def __iter__(self) -> Iterator[Resource]:
        return iter(self._all)

    def __len__(self) -> int:
        return len(self._all)

    @property
    def stack(self) -> str:
        """The stack's name, from the URNs; "" if there are no resources."""
        return stack_of(self._all[0].urn) if self._all else ""

    def of_kind(self, *kinds: str) -> list[Resource]:
        """Return the Kubernetes objects of these kinds, in the order of registration."""
        return [resource for kind in kinds for resource in self._by_kind.get(kind, ())]

    @cached_property
    def _by_kind(self) -> Mapping[str, Sequence[Resource]]:
        found: dict[str, list[Resource]] = {}
        for resource in self._all:
            if resource.is_kubernetes:
                found.setdefault(resource.kind, []).append(resource)
        return found


def stack_of(urn: str) -> str:
    """Return the stack's name, which the URN has at its beginning (Pulumi: "Resource names", URNs)."""
    return urn.removeprefix("urn:pulumi:").partition("::")[0]


class RecordedResource(Protocol):
    """What the recording of a program has for each resource."""

    @property
    def urn(self) -> str: ...
    @property
    def type(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def inputs(self) -> Mapping[str, Any]: ...


class AnalyzedResource(Protocol):
    """What Pulumi's engine hands to a policy for each resource: pulumi_policy's PolicyResource."""

    @property
    def urn(self) -> str: ...
    @property
    def resource_type(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def props(self) -> Mapping[str, Any]: ...


def from_recorded(recorded: Iterable[RecordedResource]) -> list[Resource]:
    """Return the resources of a recording (`stacks.recording.record`)."""
    return [Resource(one.urn, one.type, one.name, _plain_mapping(one.inputs)) for one in recorded]


def from_analyzed(analyzed: Iterable[AnalyzedResource]) -> list[Resource]:
    """Return the resources that Pulumi's engine hands to a policy."""
    return [Resource(one.urn, one.resource_type, one.name, _plain_mapping(one.props)) for one in analyzed]


def from_state(exported: Any) -> list[Resource]:
    """Return the resources of `pulumi stack export`'s JSON, without those that are about to be deleted.

    Raises PolicyError if it is not such an export.
    """
    deployment = mapping(exported, "deployment")
    if not isinstance(deployment.get("resources", []), list) or "deployment" not in mapping(exported):
        raise PolicyError(
            "this is not an exported state: it has no `deployment` with a list of resources",
            "what `pulumi stack export` writes",
            "pulumi stack export --stack STACK --file state.json",
        )
    return [
        Resource(
            str(one["urn"]),
            str(one["type"]),
            str(one["urn"]).rpartition("::")[2],
            _plain_mapping(mapping(one, "inputs")),
        )
        for one in items(deployment.get("resources"))
        if not one.get("delete") and "urn" in one and "type" in one
    ]


def plain(value: Any) -> Any:
    """Return what Pulumi's wire, its proxies and its state hold as plain JSON, without the provider's own `__` keys."""
    # pulumi_policy's proxies raise when an unknown value is read; what they wrap is under this key.
    if type(value).__name__ in ("_DictProxy", "_ListProxy"):
        value = value["__target"]
    if isinstance(value, Mapping):
        if _SIGNATURE in value:
            return SECRET if value[_SIGNATURE] == _SECRET_SIGNATURE else UNKNOWN
        return {str(key): plain(one) for key, one in value.items() if not str(key).startswith("__")}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(one) for one in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return UNKNOWN if isinstance(value, str) and value in _UNKNOWN_VALUES else value


def _plain_mapping(value: Mapping[str, Any]) -> Mapping[str, Any]:
    made = plain(value)
    return made if isinstance(made, dict) else {}
