"""The nodes of a Ray cluster as one pool of workers and one network. Nodes may come and go.

On each node, an actor has the worker processes (`crew.py`), and another one the model (`network.py`). Images and
probabilities go from node to node; this process, the driver, only sees references to them.
"""

import pickle
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from medseg.cluster import tasks
from medseg.cluster.posts import Plan, Post, Role, choose_backend, count_cpus, get_ready, hire, is_lost, raise_own
from medseg.errors import MedsegError, WorkerError
from medseg.folder.handover import Predicted, Read
from medseg.folder.pool import Gone, Lost
from medseg.folder.write import write_results

_ATTEMPTS = 3  # as many as for a task of one machine
_STILLBORN = 10  # give up after so many actors in a row that end before they are ready
_LOOK_SECONDS = 1.0  # between two looks at the nodes
_KILLED = "killed: the node that processed it was lost"
_NO_NODE = "the Ray cluster has no node that is ready. Add nodes, and run the same command again to resume"

_Ended = tuple[Any, Any]
_Handle = Callable[["Future[Any]"], _Ended | None]


@dataclass(eq=False)
class _Task:
    tag: Any  # stage and file
    payload: bytes
    parts: int
    values: tuple[Any, ...] = ()


class Cluster:
    """All nodes, with the interface of `medseg.folder.pool.Workers`. Its tasks are those of `medseg.folder.stages`."""

    def __init__(self, ray: Any, plan: Plan) -> None:
        self._ray, self._plan = ray, plan
        self.timeout_seconds, self.memory_gib = plan.limits.timeout_seconds, plan.limits.memory_gib
        self.batch_size = plan.predict.batch_size
        self._posts: list[Post] = []
        self._changed = threading.Condition()  # guards the posts
        self._waiting: deque[_Task] = deque()
        self._done: SimpleQueue[tuple[_Handle, Future[Any]] | None] = SimpleQueue()
        self._attempts: Counter[Any] = Counter()  # by file
        self._looked, self._staffed, self._stillborn = 0.0, time.monotonic(), 0

    @property
    def number(self) -> int:
        """Number of processes that are ready for tasks."""
        with self._changed:
            batches = self.batch_size * len(self._list_ready("network"))
            return batches + sum(post.number for role in ("read", "write") for post in self._list_ready(role))

    def start(self) -> str:
        """Wait until the first node is ready. Returns the backend, which a node has chosen for all of them.

        Raises `ConfigError` if a node does not support the settings, and `WorkerError` if there is no node.
        """
        self._look()  # the crews start while the backend is being chosen
        nodes = [node for node in self._ray.nodes() if node["Alive"] and count_cpus(node)]
        if not nodes:
            raise WorkerError(_NO_NODE)
        post = hire(self._ray, self._plan, "network", max(nodes, key=self._plan.wants_gpu))
        with self._changed:
            self._posts.append(post)
        self._await(choose_backend(post, self._plan), partial(self._end_choice, post))
        while not self._is_ready():
            self._take_next()
        return self._plan.backend

    def submit(self, tag: object, function: Callable[..., Any], *arguments: Any) -> None:
        """Run one of the two functions of the stages on a node. `wait` returns the result with `tag`."""
        if function is write_results:
            job, found, (probabilities, seconds), date = arguments
            payload = pickle.dumps((tasks.write, (job, replace(found, taken={}), date)))
            self._waiting.append(_Task(tag, payload, 1, (found.taken, seconds, probabilities)))
        else:
            self._waiting.append(_Task(tag, pickle.dumps((tasks.read, arguments)), 3))
        self._dispatch()

    def wake(self) -> None:
        """Make the current or next call of `wait` return without a result. Any thread may call this."""
        self._done.put(None)

    def wait(self) -> _Ended | None:
        """The tag of the next task that ends, and its result, `Lost` or `Gone`; None after `wake`.

        Raises an error of the task, and `WorkerError` if there is no node.
        """
        while True:
            is_over, ended = self._take_next()
            if is_over:
                return ended

    def predict(self, images: Sequence[Any]) -> list[tuple[Any, Any]]:
        """References to the probabilities of each image, and to the seconds that they took, before they are there."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._list_ready("network"), self._plan.folder.wait_seconds):
                raise WorkerError(_NO_NODE)
            post = min(self._list_ready("network"), key=lambda post: post.busy)
            post.busy += len(images)
        seconds, *maps = post.actor.predict.options(num_returns=len(images) + 1).remote(*images)
        self._await(seconds, partial(self._end_step, post, len(images)))
        return [(each, seconds) for each in maps]

    def close(self) -> None:
        """End the actors. Their processes and temporary files are removed."""
        crews = [post.actor.close.remote() for post in self._posts if post.role != "network" and post.is_ready]
        if crews:
            self._ray.wait(crews, num_returns=len(crews), timeout=10)
        for post in self._posts:
            self._ray.kill(post.actor)

    def _take_next(self) -> tuple[bool, _Ended | None]:
        """Handle what ends next. Returns whether it is for the stages: an ended task, or None after `wake`."""
        self._look()
        try:
            item = self._done.get(timeout=_LOOK_SECONDS)
        except Empty:
            return False, None
        ended = None if item is None else item[0](item[1])
        return item is None or ended is not None, ended

    def _await(self, reference: Any, handle: _Handle) -> None:
        reference.future().add_done_callback(lambda future: self._done.put((handle, future)))

    def _look(self) -> None:
        """Hire actors on new nodes, and forget those of lost nodes. Raises `WorkerError` if there are none for long."""
        now = time.monotonic()
        if now - self._looked < _LOOK_SECONDS:
            return
        self._looked = now
        nodes = {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}
        with self._changed:
            self._posts = [post for post in self._posts if post.node in nodes]
            present = Counter((post.node, post.role) for post in self._posts)
        for node in nodes.values():
            for role, number in self._plan.staff(node).items():
                for _ in range(number - present[node["NodeID"], role]):
                    self._hire(role, node)
        if self._is_ready():
            self._staffed = now
        elif now - self._staffed > self._plan.folder.wait_seconds:
            raise WorkerError(_NO_NODE)

    def _hire(self, role: Role, node: Mapping[str, Any]) -> None:
        post = hire(self._ray, self._plan, role, node)
        with self._changed:
            self._posts.append(post)
        self._await(get_ready(post, self._plan), partial(self._end_start, post))

    def _end_choice(self, post: Post, future: "Future[str]") -> None:
        if future.exception() is not None:
            self._end_start(post, future)
            raise WorkerError(f"Ray node {post.address}: was lost before it was ready. Run the same command again")
        self._plan = replace(self._plan, backend=future.result(), is_chosen=True)
        self._await(get_ready(post, self._plan), partial(self._end_start, post))

    def _end_start(self, post: Post, future: "Future[Any]") -> None:
        error = future.exception()
        if error is None:
            self._stillborn = 0
            with self._changed:
                post.is_ready = True
                self._changed.notify_all()
            self._dispatch()
            return
        self._remove(post)
        try:
            raise_own(self._ray, error)
        except MedsegError as cause:
            raise type(cause)(f"Ray node {post.address}: {cause}") from None
        self._stillborn += 1
        if self._stillborn >= _STILLBORN:
            raise WorkerError(f"Ray node {post.address}: actors cannot be started ({type(error).__name__})") from None

    def _dispatch(self) -> None:
        """Send tasks to the crews that have least to do."""
        while self._waiting:
            role: Role = "write" if self._waiting[0].parts == 1 and self._plan.folder.writers else "read"
            with self._changed:
                post = min(self._list_ready(role), key=lambda post: post.busy / post.number, default=None)
                if post is None:
                    return
                post.busy += 1
            task = self._waiting.popleft()
            sent = post.actor.run.options(num_returns=task.parts).remote(task.payload, task.parts, *task.values)
            head, *rest = [sent] if task.parts == 1 else sent
            self._await(head, partial(self._end_task, post, task, rest))

    def _end_task(self, post: Post, task: _Task, rest: list[Any], future: "Future[bytes]") -> _Ended:
        with self._changed:
            post.busy -= 1
        file = task.tag[1]
        if (error := future.exception()) is not None:
            self._dismiss(post, error)
            self._attempts[file] += 1
            return task.tag, Gone() if self._attempts[file] < _ATTEMPTS else Lost(_KILLED)
        result = pickle.loads(future.result())
        if rest and not isinstance(result, Lost) and not result.status:
            return task.tag, replace(result, image=rest[0], taken=rest[1])
        self._attempts.pop(file, None)
        return task.tag, result

    def _end_step(self, post: Post, number: int, future: "Future[float]") -> None:
        with self._changed:
            post.busy -= number
        if (error := future.exception()) is not None:
            self._dismiss(post, error)

    def _dismiss(self, post: Post, error: BaseException) -> None:
        """Let an actor go if it is lost; the next look hires another one. Raises the error of a task."""
        raise_own(self._ray, error)
        if is_lost(self._ray, error):
            self._remove(post)

    def _remove(self, post: Post) -> None:
        with self._changed:
            if post in self._posts:
                self._posts.remove(post)
                self._ray.kill(post.actor)

    def _list_ready(self, role: Role) -> list[Post]:
        return [post for post in self._posts if post.role == role and post.is_ready]

    def _is_ready(self) -> bool:
        with self._changed:
            roles: list[Role] = ["read", "network", *(["write"] if self._plan.folder.writers else [])]  # type: ignore[list-item]
            return all(self._list_ready(role) for role in roles)


class ClusterNetwork:
    """The network of `medseg.folder.stages`, on the nodes. Its seconds come with the results."""

    def __init__(self, cluster: Cluster, seconds: object) -> None:
        self._cluster = cluster

    def predict(self, step: Sequence[Read]) -> list[Predicted]:
        """The files of a step with references to their probabilities."""
        made = self._cluster.predict([read.image for read in step])
        return [Predicted(read.file, read.found, each) for read, each in zip(step, made, strict=True)]
