"""What is built of what. Two runs with the same plan do the same, so the second goes on with what the first has left."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any

from polyvec.cluster.building.inputs import Input
from polyvec.cluster.building.work import Work
from polyvec.errors import StorageError
from polyvec.index.catalog.settings import IndexSettings, ModelRecord
from polyvec.publish.store import ObjectExistsError
from polyvec.version import __version__

PLAN = "plan.json"
LAYOUT = 1


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that decides what comes out.

    Attributes:
        inputs: The files of documents, in order.
        target: Where the shards go, in one spelling.
        published: Whether that is an object store; otherwise a folder.
        shards: How many.
        dim: Dimensions of a token vector.
        nbits: Bits a dimension; 16 is fp16.
        model: That encodes.
        block_documents: Documents of a block, at most.
    """

    inputs: tuple[Input, ...]
    target: str
    published: bool
    shards: int
    dim: int
    nbits: int
    model: ModelRecord
    block_documents: int

    def settings(self) -> IndexSettings:
        """Of each shard."""
        return IndexSettings(
            state="ready", source=None, version=__version__, dim=self.dim, nbits=self.nbits, model=self.model
        )

    def to_json(self) -> dict[str, Any]:
        """As it is stored."""
        return {"layout": LAYOUT, "polyvec": __version__, **asdict(self)}

    @classmethod
    def from_json(cls, stored: dict[str, Any]) -> Plan:
        """Read one that was stored by this version of polyvec."""
        fields = {name: value for name, value in stored.items() if name not in ("layout", "polyvec")}
        fields["inputs"] = tuple(Input(**one) for one in stored["inputs"])
        fields["model"] = ModelRecord(**stored["model"])
        return cls(**fields)


def begin(work: Work, plan: Plan) -> bool:
    """Begin a build, or go on with one.

    Args:
        work: What the build keeps.
        plan: Of the build.

    Returns:
        Whether an earlier run has begun it.

    Raises:
        StorageError: Another build was begun there, or something else is there.
    """
    content = json.dumps(plan.to_json(), ensure_ascii=False, indent=1).encode()
    try:
        work.store.create(PLAN, content)
        return False
    except ObjectExistsError:
        check_same(work, plan)
        return True


def check_same(work: Work, plan: Plan) -> None:
    """Check that what was begun is this build.

    Args:
        work: What the build keeps.
        plan: Of the build.

    Raises:
        StorageError: It is another one; the message says in what.
    """
    anew = f"Run it as it was begun, or add --restart to delete {work.url} and begin anew."
    try:
        stored = json.loads(work.store.read(PLAN))
        wanted = json.loads(json.dumps(plan.to_json()))
        different = [name for name in wanted if stored.get(name) != wanted[name]]
    except (ValueError, AttributeError) as error:
        raise StorageError(
            f"{work.url}/{PLAN} is no plan of polyvec: it is damaged, or of another program. {anew}"
        ) from error
    if not different:
        return
    if "layout" in different or "polyvec" in different:
        raise StorageError(
            f"A build was begun at {plan.target} by polyvec {stored.get('polyvec')}, not by {__version__}. {anew}"
        )
    if "inputs" in different:
        raise StorageError(
            f"A build was begun at {plan.target} from other documents, or they have changed since. {anew}"
        )
    name = different[0]
    raise StorageError(
        f"A build was begun at {plan.target} with {name}={_shown(stored.get(name))}, not {_shown(wanted[name])}. {anew}"
    )


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return str((value.get("settings") or {}).get("model") or value.get("fingerprint"))
    return str(value)[:100]
