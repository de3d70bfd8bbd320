"""Records written by hand, and what a plan of the tiny study makes of them."""

from dynamonet.expansion import expand
from dynamonet.files import write_json
from dynamonet.planning.footprint import Footprint
from dynamonet.planning.forecast import ALL, make_plan
from dynamonet.planning.profile import Profile

GPU, OTHER = "NVIDIA H100 80GB HBM3", "NVIDIA A40"
HERE = Profile(None, jobs=2)
CLIPS = 24
"""Of each fit of the tiny study: 6 steps of 4."""
TEST_VIDEOS = 12
"""Of its kinetics400."""
FOOTPRINT = Footprint(gmacs_per_clip=0.5, parameters=1000, weights_bytes=4000, checkpoints_at_once=3)


def plan(study, profile=HERE, **options):
    return make_plan(study, expand(study), profile, **options)


def row(made, name=ALL):
    return next(row for row in made.rows if row.name == name)


def write_fit(study, spec, wall_s, clips_per_s, device=GPU, world_size=1):
    folder = study.directory / "runs" / spec.run
    spec.save(folder / "spec.json")
    provenance = {"device": device, "world_size": world_size}
    write_json(folder / "fit.json", {"time": {"wall_s": wall_s, "clips_per_s": clips_per_s}, "provenance": provenance})


def write_evaluation(study, spec, wall_s, scored, device=GPU):
    content = {"time": {"wall_s": wall_s}, "counts": {"scored": scored}, "provenance": {"device": device}}
    write_json(study.directory / "runs" / spec.run / "evaluate.json", content)


def seconds(made, spec):
    return tuple(made.jobs[f"{rule} {spec.run}"]["seconds"] for rule in ("train", "evaluate"))
