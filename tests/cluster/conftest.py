"""Ray clusters of several nodes on this machine; what a test takes away from one is put back before the next."""

import importlib.util
import os
from pathlib import Path

import pytest
from conftest import require

TESTS = str(Path(__file__).resolve().parents[1])


class Nodes:
    """A head of one core, and two nodes of two cores and a GPU that is only counted."""

    def __init__(self, **system):
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 1, "include_dashboard": False, "_system_config": system or None}
        self.cluster = Cluster(initialize_head=True, head_node_args=head)
        self.whole()

    @property
    def address(self):
        return self.cluster.address

    @property
    def workers(self):
        """The nodes but for the head, by id."""
        return {node.node_id: node for node in self.cluster.worker_nodes}

    def add(self):
        return self.cluster.add_node(num_cpus=2, num_gpus=1).node_id

    def remove(self, node_id):
        """All its processes are killed."""
        self.cluster.remove_node(self.workers[node_id], allow_graceful=False)

    def whole(self):
        """Two workers again, not more."""
        for node_id in list(self.workers)[2:]:
            self.remove(node_id)
        while len(self.workers) < 2:
            self.add()

    def stop(self):
        import ray

        ray.shutdown()
        self.cluster.shutdown()


def started(**system):
    """Nodes whose workers find the tests' modules, and that ask for no token, whatever other Rays of this process do."""
    require(importlib.util.find_spec("ray"), "Ray")
    paths = os.pathsep.join(filter(None, [TESTS, os.environ.get("PYTHONPATH")]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", paths)
        patch.setenv("RAY_AUTH_MODE", "disabled")
        nodes = Nodes(**system)
        yield nodes
        nodes.stop()


@pytest.fixture(scope="module")
def _three():
    yield from started()


@pytest.fixture
def nodes(_three):
    _three.whole()
    return _three
