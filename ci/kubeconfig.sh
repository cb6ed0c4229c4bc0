#!/usr/bin/env bash
# For a stack whose file names a context (istio-canary:cluster.context): write a kubeconfig with the context
# $KUBE_CONTEXT (by default the stack's name, $STACK) to the file $1, for the cluster that one of these variables names.
# Without any of them, do nothing: a stack with cluster.stackReference, with a kind that it creates, or with an encrypted
# cluster.kubeconfig has its kubeconfig from Pulumi.
#   KUBECONFIG_CONTENT                      a kubeconfig, as it is
#   EKS_CLUSTER, AWS_REGION                 Amazon EKS
#   AKS_CLUSTER, AKS_RESOURCE_GROUP         Azure AKS
#   GKE_CLUSTER, GKE_LOCATION, GKE_PROJECT  Google GKE (needs gke-gcloud-auth-plugin)
# The cloud's own command line must be logged in.
set -euo pipefail

file=$1
context=${KUBE_CONTEXT:-$STACK}
umask 077

if [[ -n ${KUBECONFIG_CONTENT:-} ]]; then
    printf '%s\n' "$KUBECONFIG_CONTENT" >"$file"
elif [[ -n ${EKS_CLUSTER:-} ]]; then
    aws eks update-kubeconfig --name "$EKS_CLUSTER" --region "$AWS_REGION" --alias "$context" --kubeconfig "$file"
elif [[ -n ${AKS_CLUSTER:-} ]]; then
    az aks get-credentials --name "$AKS_CLUSTER" --resource-group "$AKS_RESOURCE_GROUP" --context "$context" --file "$file"
elif [[ -n ${GKE_CLUSTER:-} ]]; then
    export KUBECONFIG=$file
    gcloud container clusters get-credentials "$GKE_CLUSTER" --location "$GKE_LOCATION" --project "$GKE_PROJECT"
    kubectl config rename-context "gke_${GKE_PROJECT}_${GKE_LOCATION}_${GKE_CLUSTER}" "$context"
else
    echo "no cluster is named: the kubeconfig is that of the stack's cluster, or by kubectl's own rules" >&2
    exit 0
fi
# Later steps of a GitHub job read their environment from this file.
if [[ -n ${GITHUB_ENV:-} ]]; then
    echo "KUBECONFIG=$file" >>"$GITHUB_ENV"
fi
