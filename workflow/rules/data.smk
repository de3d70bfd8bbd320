# The study resolved into specs; the embedded motion set; videos checked and copied; one manifest per data set.


rule specs:
    output:
        spec_paths(STUDY, RUNS),
    params:
        study=lambda wildcards: STUDY.model_dump_json(),
    run:
        write_specs(STUDY, RUNS)


if STUDY.motion:

    rule motion:
        output:
            f"{STUDY.motion_root}/complete.json",
        log:
            f"{DIR}/logs/motion.log",
        localrule: True
        threads: workflow.cores
        params:
            # Beside the set, which studies share: a rule whose parameters change is done again.
            spec=f"{STUDY.motion_root}.spec.json",
            content=lambda wildcards: STUDY.motion.model_dump_json(),
        shell:
            "printf %s {params.content:q} > {params.spec:q} && "
            "dynamonet motion --spec {params.spec:q} --workers {threads} 2> {log:q}"


# A data set with `shards` in the study has its videos checked, and copied, by as many jobs beside each other. What they
# find is in data/checked, from where rule prepare takes it; the file that they leave behind only says so.
rule check_videos:
    input:
        generated=lambda wildcards: ancient(dataset_inputs(STUDY, wildcards.dataset)),
    output:
        spec=f"{DIR}/checks/{{dataset}}.{{shard}}.spec.json",
        record=f"{DIR}/checks/{{dataset}}.{{shard}}.json",
    log:
        f"{DIR}/logs/check-{{dataset}}.{{shard}}.log",
    wildcard_constraints:
        shard=r"\d+-of-\d+",
    localrule: STUDY.motion is not None
    threads: workflow.cores
    params:
        shard=lambda wildcards: wildcards.shard.replace("-of-", "/"),
        content=lambda wildcards: dataset_spec(
            STUDY, wildcards.dataset
        ).model_dump_json(),
        sources=lambda wildcards: sources_of(STUDY, wildcards.dataset),
    shell:
        "printf %s {params.content:q} > {output.spec:q} && "
        "dynamonet prepare --spec {output.spec:q} --shard {params.shard} --workers {threads} 2> {log:q}"


# Its spec is a parameter, not a file of rule specs: another folder is another manifest, another title is not.
# So is what its lists hold: a changed line is another manifest, a touched list is not.
# Real data sets take hours of many cores to decode, the embedded ones seconds: those stay on the login node.
rule prepare:
    input:
        generated=lambda wildcards: ancient(dataset_inputs(STUDY, wildcards.dataset)),
        # Not ancient: Snakemake does nothing that follows only ancient files of a job that is done again.
        checked=lambda wildcards: checked_shards(STUDY, wildcards.dataset),
    output:
        spec=f"{DIR}/manifests/{{dataset}}.spec.json",
        manifest=f"{DIR}/manifests/{{dataset}}.parquet",
        record=f"{DIR}/manifests/{{dataset}}.json",
        report=f"{DIR}/manifests/{{dataset}}.md",
    log:
        f"{DIR}/logs/prepare-{{dataset}}.log",
    localrule: STUDY.motion is not None
    threads: workflow.cores
    params:
        content=lambda wildcards: dataset_spec(
            STUDY, wildcards.dataset
        ).model_dump_json(),
        sources=lambda wildcards: sources_of(STUDY, wildcards.dataset),
    shell:
        "printf %s {params.content:q} > {output.spec:q} && "
        "dynamonet prepare --spec {output.spec:q} --workers {threads} 2> {log:q}"
