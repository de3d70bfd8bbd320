# Table of contents: a study (config/*.yaml) -> runs -> tables and figures under results/<study>/.
#
#   snakemake --cores all all                                      the demo
#   snakemake --cores all --configfile config/embedded.yaml all    another study
#   snakemake -n all                                               what would be done
#   snakemake report                                               tables and figures again, from the records

from dynamonet.spec_files import dataset_spec, model_spec, spec_paths, write_specs
from dynamonet.workflow import dataset_inputs, existing, manifest_of, open_study, parent_weights, record_paths

STUDY, RUNS = open_study(config, default="config/demo.yaml")
DIR = str(STUDY.directory)


wildcard_constraints:
    dataset="[A-Za-z0-9_]+",
    model="[A-Za-z0-9_]+",


localrules:
    all,
    specs,
    report,
    results,


rule all:
    input:
        f"{DIR}/report.html",
    default_target: True


include: "workflow/rules/data.smk"
include: "workflow/rules/train.smk"
include: "workflow/rules/evaluate.smk"
include: "workflow/rules/measure.smk"
include: "workflow/rules/report.smk"
