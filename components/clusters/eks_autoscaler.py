"""The Cluster Autoscaler of an EKS cluster: EKS alone keeps a group of nodes at the size that it has.

See EKS's "Cluster Autoscaler" in the best practices guide, and "Cluster Autoscaler on AWS" of Kubernetes' autoscaler.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi
import pulumi_kubernetes as k8s

NAMESPACE, SERVICE_ACCOUNT = "kube-system", "cluster-autoscaler"
CHART, CHART_VERSION = "cluster-autoscaler", "9.50.1"
REPOSITORY = "https://kubernetes.github.io/autoscaler"


def scaling_policy(cluster: str) -> Mapping[str, Any]:
    """Return the IAM policy: it looks at all groups, and changes those of this cluster alone, by EKS's own tag."""
    looks = [
        "autoscaling:DescribeAutoScalingGroups",
        "autoscaling:DescribeAutoScalingInstances",
        "autoscaling:DescribeLaunchConfigurations",
        "autoscaling:DescribeScalingActivities",
        "ec2:DescribeImages",
        "ec2:DescribeInstanceTypes",
        "ec2:DescribeLaunchTemplateVersions",
        "ec2:GetInstanceTypesFromInstanceRequirements",
        "eks:DescribeNodegroup",
    ]
    changes = ["autoscaling:SetDesiredCapacity", "autoscaling:TerminateInstanceInAutoScalingGroup"]
    owned = {"StringEquals": {f"aws:ResourceTag/k8s.io/cluster-autoscaler/{cluster}": "owned"}}
    return {
        "Version": "2012-10-17",
        "Statement": [
            {"Effect": "Allow", "Action": looks, "Resource": "*"},
            {"Effect": "Allow", "Action": changes, "Resource": "*", "Condition": owned},
        ],
    }


def build_autoscaler(
    name: str, cluster: str, region: str, labels: Mapping[str, str], opts: pulumi.ResourceOptions
) -> k8s.helm.v3.Release:
    """Build the release of the autoscaler's chart, which finds the groups of nodes by the tags that EKS gives them."""
    return k8s.helm.v3.Release(
        name,
        name=SERVICE_ACCOUNT,
        namespace=NAMESPACE,
        chart=CHART,
        version=CHART_VERSION,
        repository_opts={"repo": REPOSITORY},
        values={
            "autoDiscovery": {"clusterName": cluster},
            "awsRegion": region,
            "rbac": {"serviceAccount": {"name": SERVICE_ACCOUNT}},
            "resources": {"requests": {"cpu": "50m", "memory": "128Mi"}, "limits": {"memory": "600Mi"}},
            "additionalLabels": dict(labels),
        },
        opts=opts,
    )
