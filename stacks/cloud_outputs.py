"""What clouds would answer, for a recording without them: the outputs of a cluster's resources that are no inputs.

A preview knows none of them, and a recording of an update needs a value of the right shape. All are of no real cluster.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

CERTIFICATE = base64.b64encode(b"certificate").decode()
KUBECONFIG = json.dumps(
    {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "c", "cluster": {"server": "https://c.example.com", "certificate-authority-data": CERTIFICATE}}
        ],
        "users": [{"name": "u", "user": {}}],
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "c",
    }
)

OUTPUTS: Mapping[str, Mapping[str, Any]] = {
    "aws:eks/cluster:Cluster": {
        "endpoint": "https://c.example.com",
        "certificateAuthority": {"data": CERTIFICATE},
        "arn": "arn:aws:eks:c",
    },
    "aws:eks/nodeGroup:NodeGroup": {"arn": "arn:aws:eks:c:nodes"},
    "aws:iam/role:Role": {"arn": "arn:aws:iam:role"},
    "aws:kms/key:Key": {"arn": "arn:aws:kms:key"},
    "aws:ec2/launchTemplate:LaunchTemplate": {"latestVersion": 1},
    "azure-native:containerservice:ManagedCluster": {"fqdn": "c.example.com"},
    "command:local:Command": {"stdout": KUBECONFIG},
    "gcp:container/cluster:Cluster": {
        "endpoint": "c.example.com",
        "masterAuth": {"clusterCaCertificate": CERTIFICATE},
    },
    "gcp:projects/serviceIdentity:ServiceIdentity": {"member": "serviceAccount:agent"},
    "gcp:serviceaccount/account:Account": {"member": "serviceAccount:nodes", "email": "nodes@example.com"},
}
"""By the resource's type token."""

OTHER_THAN_INPUTS: Mapping[str, Mapping[str, Any]] = {
    "azure-native:containerservice:ManagedCluster": {"identity": {"type": "UserAssigned", "userAssignedIdentities": {}}}
}
"""Outputs of another type than the inputs of the same name, in a preview too; by the resource's type token."""

STACK_REFERENCE = "pulumi:pulumi:StackReference"
OTHER_STACK = {"outputs": {"kubeconfig": KUBECONFIG, "endpoint": "https://c.example.com"}, "secretOutputNames": []}
"""What a stack has that another one refers to."""

ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "azure-native:containerservice:listManagedClusterUserCredentials": {
        "kubeconfigs": [{"name": "clusterUser", "value": base64.b64encode(KUBECONFIG.encode()).decode()}]
    },
}
"""By the token of a provider's function."""
