"""One check in a process of its own: `python -m dynamonet.doctor STUDY.json CHECK [ARGUMENT]`; prints its findings."""

import json
import sys
from pathlib import Path

from dynamonet.doctor.datasets import check_checkpoints, check_dataset
from dynamonet.doctor.storage import check_storage
from dynamonet.study_schema import Study


def main(file: str, check: str, argument: str = "") -> None:
    study = Study.model_validate_json(Path(file).read_text())
    if check == "dataset":
        found = check_dataset(study, argument)
    elif check == "checkpoints":
        found = check_checkpoints(study)
    else:
        found = check_storage(study.directory, on_cluster=argument == "cluster")
    print(json.dumps([finding.as_json() for finding in found]))


if __name__ == "__main__":
    main(*sys.argv[1:])
