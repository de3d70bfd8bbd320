from pathlib import Path

import pytest
import synthetic_study

from dynamonet.report import write_report


@pytest.fixture(scope="session")
def reported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A complete study with its report. Read only."""
    directory = synthetic_study.write_study(
        tmp_path_factory.mktemp("study"), synthetic_study.plan(models=4, datasets=2)
    )
    write_report(directory)
    return directory
