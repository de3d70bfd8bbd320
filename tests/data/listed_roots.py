"""Roots of data sets as a test wants them: files with some text, and what is wrong with their lists."""

import pytest

from dynamonet.data.listing import read_listing
from dynamonet.errors import UserError


def write(root, files):
    """Write texts by their paths; a list of paths becomes empty files."""
    for name, text in (files if isinstance(files, dict) else dict.fromkeys(files, "")).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
    return root


def error(layout, root):
    """The one sentence with which a listing is refused."""
    with pytest.raises(UserError) as caught:
        read_listing(layout, root)
    assert "\n" not in str(caught.value)
    return str(caught.value)
