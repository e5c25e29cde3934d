"""The Kubernetes manifests: valid to the field, and the database's URL is where the driver is and nowhere else."""

import copy
import shlex
import tomllib

import jsonschema
import pytest
import yaml
from heads import ROOT
from schema import schema_of

from nas.config import SearchConfig, read_config

MANIFEST = ROOT / "deploy" / "kuberay" / "nas-search.yaml"
OBJECTS = {each["kind"]: each for each in yaml.safe_load_all(MANIFEST.read_text())}


def faults(manifest):
    """What the API server would refuse, and every field that it does not know."""
    validator = jsonschema.Draft202012Validator(schema_of(manifest["kind"]))
    return [f"{fault.json_path}: {fault.message}" for fault in validator.iter_errors(manifest)]


def cluster():
    return OBJECTS["RayJob"]["spec"]["rayClusterSpec"]


def pods():
    head, (workers,) = cluster()["headGroupSpec"], cluster()["workerGroupSpecs"]
    submitter = OBJECTS["RayJob"]["spec"]["submitterPodTemplate"]
    return {"head": head["template"], "worker": workers["template"], "submitter": submitter}


@pytest.mark.parametrize("kind", ["ConfigMap", "PersistentVolumeClaim", "NetworkPolicy", "RayJob"])
def test_every_field_is_one_that_the_cluster_knows(kind):
    assert faults(OBJECTS[kind]) == []


@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        (("spec", "entryPoint"), "nas search"),
        (("spec", "submissionMode"), "K8SJobMode"),
        (("spec", "backoffLimit"), "3"),
        (("spec", "rayClusterSpec", "authOptions", "mod"), "token"),
        (("spec", "rayClusterSpec", "enableInTreeAutoscaler"), True),
        (("spec", "rayClusterSpec", "headGroupSpec", "rayStartParams", "num-cpus"), 0),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "minReplica"), 1),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "template", "spec", "nodeselector"), {}),
        (("spec", "rayClusterSpec", "workerGroupSpecs", 0, "template", "spec", "containers", 0, "volumeMount"), []),
    ],
)
def test_a_typo_or_a_wrong_type_is_found(path, wrong):
    manifest = copy.deepcopy(OBJECTS["RayJob"])
    place = manifest
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = wrong

    (fault,) = faults(manifest)

    assert repr(wrong) in fault or repr(path[-1]) in fault


def test_a_missing_part_is_found():
    manifest = copy.deepcopy(OBJECTS["RayJob"])
    del manifest["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]

    assert faults(manifest) == ["$.spec.rayClusterSpec.headGroupSpec: 'template' is a required property"]


def test_the_search_file_of_the_config_map_is_one_and_stands_where_the_command_looks(tmp_path):
    (name,) = OBJECTS["ConfigMap"]["data"]
    (tmp_path / name).write_text(OBJECTS["ConfigMap"]["data"][name])
    words = shlex.split(OBJECTS["RayJob"]["spec"]["entrypoint"])

    config = read_config(tmp_path / name, {"runner": "ray", "address": "auto"})

    assert isinstance(config, SearchConfig)
    assert words == ["nas", "search", f"/etc/nas/{name}", "--runner", "ray", "--address", "auto"]
    head = pods()["head"]["spec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in head["containers"][0]["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in head["volumes"]}
    assert volumes[mounts["/etc/nas"]]["configMap"]["name"] == OBJECTS["ConfigMap"]["metadata"]["name"]
    assert config.checkpoints.startswith("/shared/")


def test_the_databases_url_is_a_file_on_the_head_and_nowhere_else():
    texts = {name: yaml.safe_dump(pod) for name, pod in pods().items()}

    assert "nas-storage" in texts["head"]
    assert [name for name, text in texts.items() if "nas-storage" in text or "NAS_STORAGE" in text] == ["head"]
    assert "runtimeEnvYAML" not in OBJECTS["RayJob"]["spec"]  # its variables reach every worker
    assert cluster()["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"  # no trial beside the secret
    assert "://" not in yaml.safe_dump(list(OBJECTS.values()))


def test_head_and_workers_share_checkpoints_and_cache_under_one_path():
    for name in ("head", "worker"):
        spec = pods()[name]["spec"]
        (container,) = spec["containers"]
        shared = next(mount["name"] for mount in container["volumeMounts"] if mount["mountPath"] == "/shared")
        volume = next(volume for volume in spec["volumes"] if volume["name"] == shared)
        assert volume["persistentVolumeClaim"]["claimName"] == OBJECTS["PersistentVolumeClaim"]["metadata"]["name"]
        assert {"name": "NAS_CACHE", "value": "/shared/cache"} in container["env"]
    assert OBJECTS["PersistentVolumeClaim"]["spec"]["accessModes"] == ["ReadWriteMany"]


def test_tokens_are_asked_for_and_the_head_is_reached_from_within_only():
    labels = pods()["head"]["metadata"]["labels"].items()

    assert cluster()["authOptions"] == {"mode": "token"}
    assert cluster()["headGroupSpec"]["serviceType"] == "ClusterIP"
    assert cluster()["headGroupSpec"]["enableIngress"] is False
    policy = OBJECTS["NetworkPolicy"]["spec"]
    own = {label: value for label, value in policy["podSelector"]["matchLabels"].items() if label != "ray.io/node-type"}
    assert own.items() <= labels
    assert policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"].items() <= labels


def test_one_image_runs_everywhere_and_its_ray_is_the_one_that_the_manifest_names():
    images = {container["image"] for pod in pods().values() for container in pod["spec"]["containers"]}
    dockerfile = (ROOT / "deploy" / "Dockerfile").read_text()

    assert len(images) == 1
    assert f"ARG RAY={cluster()['rayVersion']}-py311-gpu\nFROM rayproject/ray:${{RAY}}" in dockerfile
    for package in ("nas", "search_spaces", "runners", "dashboards"):
        assert f"COPY --chown=ray:users {package} /tmp/mixer-nas/{package}\n" in dockerfile


def test_workers_come_and_go_and_one_is_there_to_begin_with():
    (workers,) = cluster()["workerGroupSpecs"]

    assert cluster()["enableInTreeAutoscaling"] is True
    assert 1 <= workers["minReplicas"] <= workers["replicas"] <= workers["maxReplicas"]
    resources = workers["template"]["spec"]["containers"][0]["resources"]
    assert resources["requests"] == resources["limits"]
    search = tomllib.loads(OBJECTS["ConfigMap"]["data"]["search.toml"])
    gpus = workers["maxReplicas"] * int(resources["limits"]["nvidia.com/gpu"])
    assert search["workers"] == gpus / search["gpus_per_trial"]  # what waits makes the cluster grow to its largest
