# Specs of all stages; the embedded motion set; one manifest per data set.


rule specs:
    output:
        spec_paths(STUDY, RUNS),
    params:
        study=lambda wildcards: STUDY.model_dump_json(),
    run:
        write_specs(STUDY, RUNS)


if STUDY.motion:

    rule motion:
        input:
            ancient(f"{DIR}/motion.spec.json"),
        output:
            f"{STUDY.motion_root}/complete.json",
        log:
            f"{DIR}/logs/motion.log",
        threads: workflow.cores
        shell:
            "dynamonet motion --spec {input:q} --workers {threads} 2> {log:q}"


rule prepare:
    input:
        spec=ancient(f"{DIR}/manifests/{{dataset}}.spec.json"),
        generated=lambda wildcards: ancient(dataset_inputs(STUDY, wildcards.dataset)),
    output:
        f"{DIR}/manifests/{{dataset}}.parquet",
        f"{DIR}/manifests/{{dataset}}.json",
    log:
        f"{DIR}/logs/prepare-{{dataset}}.log",
    threads: workflow.cores
    params:
        # another folder is another manifest
        spec=lambda wildcards: dataset_spec(STUDY, wildcards.dataset).model_dump_json(),
    shell:
        "dynamonet prepare --spec {input.spec:q} --workers {threads} 2> {log:q}"
