# shellcheck shell=bash
# To be sourced in a GitLab job: log in to a cloud with the job's OIDC token ($CLOUD_TOKEN, an id_token), and to the
# cluster. Which cloud is told by the variables of the job's environment:
#   AWS_ROLE_ARN                                          Amazon
#   AZURE_CLIENT_ID, AZURE_TENANT_ID                      Azure
#   GCP_WORKLOAD_IDENTITY_PROVIDER, GCP_SERVICE_ACCOUNT   Google
# The token is in a file, which the clouds' libraries exchange whenever they need new credentials.
set -euo pipefail

credentials=$(mktemp -d)
export CLOUD_TOKEN_FILE=$credentials/token
(umask 077 && printf '%s' "$CLOUD_TOKEN" >"$CLOUD_TOKEN_FILE")

if [[ -n ${AWS_ROLE_ARN:-} ]]; then
    export AWS_WEB_IDENTITY_TOKEN_FILE=$CLOUD_TOKEN_FILE
fi
if [[ -n ${AZURE_CLIENT_ID:-} ]]; then
    export AZURE_FEDERATED_TOKEN_FILE=$CLOUD_TOKEN_FILE
    # az takes the token as an argument alone; it is valid for the job, in the job's own container.
    az login --service-principal --username "$AZURE_CLIENT_ID" --tenant "$AZURE_TENANT_ID" \
        --federated-token "$CLOUD_TOKEN" --output none
fi
if [[ -n ${GCP_WORKLOAD_IDENTITY_PROVIDER:-} ]]; then
    gcloud iam workload-identity-pools create-cred-config "$GCP_WORKLOAD_IDENTITY_PROVIDER" \
        --service-account "$GCP_SERVICE_ACCOUNT" --credential-source-file "$CLOUD_TOKEN_FILE" \
        --output-file "$credentials/google.json"
    export GOOGLE_APPLICATION_CREDENTIALS=$credentials/google.json
    gcloud auth login --cred-file "$GOOGLE_APPLICATION_CREDENTIALS" --quiet
fi

ci/kubeconfig.sh "$credentials/kubeconfig"
if [[ -s $credentials/kubeconfig ]]; then
    export KUBECONFIG=$credentials/kubeconfig
fi
