"""An index in an object store: published by one machine, pulled and followed by others. docs/publishing.md shows it.

S3, Google Cloud Storage, Azure, or a folder. Needs the extra `polyvec[publish]`; importing this needs nothing.
"""

from polyvec.publish.following import Follower, follow
from polyvec.publish.pruning import Pruned, prune
from polyvec.publish.publishing import Published, publish
from polyvec.publish.pulling import Pulled, pull

__all__ = ["Follower", "Pruned", "Published", "Pulled", "follow", "prune", "publish", "pull"]
