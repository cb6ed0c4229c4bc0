"""The ServiceAccount of a service's pods: its identity in the mesh, and for the cloud's workload identity."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from traffic.fields import SECRET_NAME, LabelKey, Model, wrong

LONGEST_NAME = 253


def _account_name(value: str) -> str:
    if len(value) <= LONGEST_NAME and re.fullmatch(SECRET_NAME, value):
        return value
    raise wrong(
        f"{value!r} is not the name of a ServiceAccount",
        "a Kubernetes name: a-z, 0-9, '-' and '.', beginning and ending with a letter or digit",
        "write shop, for example",
    )


AccountName = Annotated[
    str,
    AfterValidator(_account_name),
    WithJsonSchema({"type": "string", "pattern": f"^({SECRET_NAME})$", "maxLength": LONGEST_NAME}),
]


class ServiceAccount(Model):
    """The ServiceAccount of a service's pods."""

    name: AccountName | None = Field(
        default=None,
        examples=["shop"],
        description="A ServiceAccount that exists in the namespace; the stack then makes none.",
    )
    annotations: dict[LabelKey, str] = Field(
        default_factory=dict,
        description="Annotations of the ServiceAccount that the stack makes, as for a cloud's workload identity.",
    )

    @model_validator(mode="after")
    def _is_ours_or_not(self) -> ServiceAccount:
        if self.name is not None and self.annotations:
            raise wrong(
                f"the stack does not make the ServiceAccount {self.name}, and so cannot annotate it",
                "annotations of the ServiceAccount that the stack makes, or the name of another one",
                "remove name, or annotate the ServiceAccount where it is made",
            )
        return self
