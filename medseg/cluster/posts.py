"""The actors of a run: how many a node gets, and how they are started."""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Literal

from medseg.cluster.config import FolderConfig
from medseg.cluster.crew import Crew
from medseg.cluster.network import Network, list_versions
from medseg.inference.config import FolderPredictConfig, InputConfig

Role = Literal["read", "write", "network"]
"""The work of an actor. Crews that read also write, unless there are others for it."""

_THREADS = 64  # calls that a crew has at the same time; most of them wait in its queue


@dataclass(frozen=True)
class Plan:
    """What all actors of a run are to do."""

    folder: FolderConfig
    predict: FolderPredictConfig
    limits: InputConfig
    formats: tuple[str, ...]
    model: Any
    """Reference to the model."""
    backend: str
    """The backend of all networks; until it is chosen, that of an earlier run, or empty."""
    is_chosen: bool = False

    def wants_gpu(self, node: Mapping[str, Any]) -> bool:
        """Whether networks on a node of `ray.nodes()` may run on its GPUs."""
        device = self.predict.device
        if device == "auto" and self.backend:
            device = "cuda" if "/cuda/" in self.backend else "cpu"
        return device != "cpu" and node["Resources"].get("GPU", 0) >= 1

    def staff(self, node: Mapping[str, Any]) -> dict[Role, int]:
        """The number of actors for each role on a node of `ray.nodes()`."""
        crew = int(count_cpus(node) > 0)
        networks = self.folder.networks * crew
        if "/cuda/" in self.backend:
            networks = min(self.folder.networks, int(node["Resources"].get("GPU", 0)))
        return {
            "read": crew,
            "write": crew if self.folder.writers else 0,
            "network": networks if self.is_chosen else 0,
        }


@dataclass(eq=False)
class Post:
    """An actor on a node."""

    role: Role
    node: str
    address: str
    number: int
    """Number of its processes, or of the threads of its network."""
    actor: Any
    is_ready: bool = False
    busy: int = 0
    """Number of tasks or images that it has been given."""


def hire(ray: Any, plan: Plan, role: Role, node: Mapping[str, Any]) -> Post:
    """An actor on a node, which never moves to another one."""
    place = import_module("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
    if role == "network":
        number = max(1, count_cpus(node) // plan.folder.networks)
        options = {"num_cpus": 0, "num_gpus": int(plan.wants_gpu(node))}
        actor = ray.remote(Network).options(scheduling_strategy=place, **options).remote()
    else:
        number = (plan.folder.writers if role == "write" else None) or plan.predict.workers or count_cpus(node)
        options = {"num_cpus": min(number, count_cpus(node)) if role == "read" else 0, "max_concurrency": _THREADS}
        crew = ray.remote(Crew).options(scheduling_strategy=place, **options)
        actor = crew.remote(number, plan.limits, plan.formats)
    return Post(role, node["NodeID"], node["NodeManagerAddress"], number, actor)


def choose_backend(post: Post, plan: Plan) -> Any:
    """Reference to the backend that a network chooses."""
    return post.actor.choose.remote(plan.model, plan.predict, plan.backend, post.number)


def get_ready(post: Post, plan: Plan) -> Any:
    """Reference that is there when an actor is ready for tasks."""
    if post.role != "network":
        return post.actor.start.remote()
    return post.actor.load.remote(plan.model, plan.predict, plan.backend, post.number, list_versions())


def count_cpus(node: Mapping[str, Any]) -> int:
    """The number of CPUs that Ray may use on a node."""
    return int(node["Resources"].get("CPU", 0))


def raise_own(ray: Any, error: BaseException) -> None:
    """Raise the error of a task. One of Ray means that an actor or a node is lost, perhaps another one."""
    cause: Any = error
    while isinstance(cause, ray.exceptions.RayTaskError):
        cause = cause.cause
    if not isinstance(cause, ray.exceptions.RayError):
        raise cause


def is_lost(ray: Any, error: BaseException) -> bool:
    """Whether the actor of a task is lost, and not an actor that made an argument of the task."""
    lost = ray.exceptions
    return isinstance(error, lost.RayActorError) and not isinstance(error, lost.RayTaskError)
