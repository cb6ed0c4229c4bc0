"""The kubeconfig of a job, and the login of a GitLab job: which commands are called, with which names."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest

from tests.unit.ci.servers import ROOT
from tests.unit.ci.stubs import calls, env_with, stub

EKS = {"EKS_CLUSTER": "mesh", "AWS_REGION": "eu-west-1"}
AKS = {"AKS_CLUSTER": "mesh", "AKS_RESOURCE_GROUP": "group"}
GKE = {"GKE_CLUSTER": "mesh", "GKE_LOCATION": "europe-west1", "GKE_PROJECT": "p"}


@pytest.fixture
def bin_folder(tmp_path: Path) -> Path:
    """The clouds' command lines, and kubectl."""
    folder = tmp_path / "bin"
    for name in ("aws", "az", "gcloud", "kubectl"):
        stub(folder, name)
    return folder


def kubeconfig(bin_folder: Path, file: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run ci/kubeconfig.sh for the stack prod."""
    return subprocess.run(
        ["ci/kubeconfig.sh", str(file)],
        cwd=ROOT,
        env=env_with(bin_folder, STACK="prod", **variables),
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("variables", "called"),
    [
        (EKS, ["aws eks update-kubeconfig --name mesh --region eu-west-1 --alias prod --kubeconfig FILE"]),
        (
            {**EKS, "KUBE_CONTEXT": "blue"},
            ["aws eks update-kubeconfig --name mesh --region eu-west-1 --alias blue --kubeconfig FILE"],
        ),
        (AKS, ["az aks get-credentials --name mesh --resource-group group --context prod --file FILE"]),
        (
            GKE,
            [
                "gcloud container clusters get-credentials mesh --location europe-west1 --project p",
                "kubectl config rename-context gke_p_europe-west1_mesh prod",
            ],
        ),
    ],
)
def test_the_kubeconfigs_context_is_the_one_that_the_stacks_file_names(
    bin_folder: Path, tmp_path: Path, variables: dict[str, str], called: list[str]
) -> None:
    file = tmp_path / "kubeconfig"
    github_env = tmp_path / "env"
    done = kubeconfig(bin_folder, file, GITHUB_ENV=str(github_env), **variables)
    assert done.returncode == 0, done.stderr
    assert calls(bin_folder) == [line.replace("FILE", str(file)) for line in called]
    assert github_env.read_text() == f"KUBECONFIG={file}\n"


def test_a_kubeconfig_from_a_secret_is_readable_for_its_user_alone(bin_folder: Path, tmp_path: Path) -> None:
    file = tmp_path / "kubeconfig"
    done = kubeconfig(bin_folder, file, KUBECONFIG_CONTENT="apiVersion: v1\nkind: Config")
    assert done.returncode == 0
    assert file.read_text() == "apiVersion: v1\nkind: Config\n"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert "apiVersion" not in done.stdout + done.stderr


def test_without_a_named_cluster_nothing_is_written(bin_folder: Path, tmp_path: Path) -> None:
    done = kubeconfig(bin_folder, tmp_path / "kubeconfig", GITHUB_ENV=str(tmp_path / "env"))
    assert done.returncode == 0
    assert not (tmp_path / "kubeconfig").exists()
    assert not (tmp_path / "env").exists()


def test_a_login_that_fails_fails_the_step(bin_folder: Path, tmp_path: Path) -> None:
    stub(bin_folder, "aws", err="AccessDenied\n", code=254)
    done = kubeconfig(bin_folder, tmp_path / "kubeconfig", GITHUB_ENV=str(tmp_path / "env"), **EKS)
    assert done.returncode == 254
    assert not (tmp_path / "env").exists()


def sourced(bin_folder: Path, tmp_path: Path, **variables: str) -> dict[str, str]:
    """Source ci/gitlab-credentials.sh as a GitLab job does; return the environment of the job's next command."""
    done = subprocess.run(
        ["bash", "-c", "source ci/gitlab-credentials.sh >&2 && env"],
        cwd=ROOT,
        env=env_with(bin_folder, STACK="prod", CLOUD_TOKEN="ey.token", TMPDIR=str(tmp_path), **variables),  # noqa: S106
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


def test_amazons_libraries_find_the_token_in_a_file_that_only_the_job_can_read(
    bin_folder: Path, tmp_path: Path
) -> None:
    env = sourced(bin_folder, tmp_path, AWS_ROLE_ARN="arn:aws:iam::1:role/canary", **EKS)
    token = Path(env["AWS_WEB_IDENTITY_TOKEN_FILE"])
    assert token.read_text() == "ey.token"
    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert [call.split()[0] for call in calls(bin_folder)] == ["aws"]


def test_azure_and_google_are_logged_in_with_the_token(bin_folder: Path, tmp_path: Path) -> None:
    env = sourced(
        bin_folder,
        tmp_path,
        AZURE_CLIENT_ID="client",
        AZURE_TENANT_ID="tenant",
        GCP_WORKLOAD_IDENTITY_PROVIDER="projects/1/locations/global/workloadIdentityPools/p/providers/gitlab",
        GCP_SERVICE_ACCOUNT="canary@p.iam.gserviceaccount.com",
    )
    azure, google, login = calls(bin_folder)
    assert azure.startswith("az login --service-principal --username client --tenant tenant --federated-token")
    assert f"--credential-source-file {env['CLOUD_TOKEN_FILE']}" in google
    assert login == f"gcloud auth login --cred-file {env['GOOGLE_APPLICATION_CREDENTIALS']} --quiet"


def test_a_job_without_a_cluster_keeps_the_kubeconfig_that_it_has(bin_folder: Path, tmp_path: Path) -> None:
    assert "KUBECONFIG" not in sourced(bin_folder, tmp_path)
    assert "KUBECONFIG" in sourced(bin_folder, tmp_path, KUBECONFIG_CONTENT="kind: Config")
