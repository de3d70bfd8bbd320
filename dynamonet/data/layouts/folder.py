"""Your own clips: `<class>/<file>` in any container, and lists in UCF101's format beside the class folders.

`classInd.txt`, `trainlist01.txt` and `testlist01.txt` are needed, splits 02 and 03 are optional.
"""

from pathlib import Path

from dynamonet.data.layouts.ucf101 import read_lists
from dynamonet.data.listing import Listing


def listing(root: Path) -> Listing:
    # Either list makes the split exist: a forgotten partner is then reported, not skipped.
    further = [split for split in (2, 3) if list(root.glob(f"t*list{split:02d}.txt"))]
    return read_lists(root, ".", splits=(1, *further))
