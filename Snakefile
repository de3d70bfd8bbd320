# Table of contents: a study (config/*.yaml) -> runs -> tables and figures under results/<study>/.
#
#   snakemake all                                       the demo
#   snakemake all --configfile config/embedded.yaml     another study (targets come before --configfile and --config)
#   snakemake all -n                                    what would be done
#   snakemake ablation                                  one experiment of it
#   snakemake --profile slurm all                       the paper's study on a SLURM cluster
#   snakemake report                                    tables and figures again, from the records

from snakemake_executor_plugin_submitit.holder import announce_holders, hold

from dynamonet.spec_files import dataset_spec, model_spec, spec_paths, write_specs
from dynamonet.study_schema import RELEASED_FOLDER
from dynamonet.workflow import (
    checked_shards,
    dataset_inputs,
    experiment_records,
    flow_specs,
    initial_weights,
    manifest_of,
    open_study,
    record_paths,
    sources_of,
    spec_of_download,
)

announce_holders(workflow)
DEMO = f"{workflow.basedir}/config/demo.yaml"
STUDY, RUNS = open_study(
    config, default=None if workflow.overwrite_configfiles else DEMO
)
DIR = str(STUDY.directory)


wildcard_constraints:
    dataset="[A-Za-z0-9_]+",
    model="[A-Za-z0-9_]+",


localrules:
    all,
    specs,
    report,
    results,


onstart:
    hold(workflow)


rule all:
    default_target: True
    input:
        f"{DIR}/report.html",


# One experiment, by its name, and what it starts from.
for experiment in STUDY.experiments:

    rule:
        name:
            experiment
        input:
            experiment_records(STUDY, RUNS, experiment),
        localrule: True


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/report.smk"
