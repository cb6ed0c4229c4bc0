"""The ServiceAccount of a service's pods: its identity in the mesh, and for the cloud's workload identity."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field, WithJsonSchema, model_validator

from traffic.fields import SECRET_NAME, LabelKey, Model, name_of_kind, wrong


def _account_name(value: str) -> str:
    return name_of_kind(value, "is not the name of a ServiceAccount", "write shop, for example")


AccountName = Annotated[
    str,
    AfterValidator(_account_name),
    WithJsonSchema({"type": "string", "pattern": f"^({SECRET_NAME})$", "maxLength": 253}),
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
