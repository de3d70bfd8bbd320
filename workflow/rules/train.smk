# Pretraining and training. Inputs are `ancient`: a run is identified by the hash in its name, so nothing but a
# missing result makes it run again; the report marks results whose inputs have changed since.


rule pretrain:
    input:
        spec=ancient(f"{DIR}/runs/{{run}}/spec.json"),
        manifest=lambda wildcards: ancient(manifest_of(STUDY, RUNS, wildcards.run)),
        flow=lambda wildcards: ancient(flow_specs(STUDY, RUNS, wildcards.run)),
        weights=lambda wildcards: ancient(initial_weights(STUDY, RUNS, wildcards.run)),
    output:
        f"{DIR}/runs/{{run}}/model.safetensors",
        f"{DIR}/runs/{{run}}/fit.json",
    log:
        f"{DIR}/logs/{{run}}.fit.log",
    wildcard_constraints:
        run="pretrain-.+",
    threads: STUDY.threads
    resources:
        loader_workers=0,
        reader=STUDY.reader,
        trackers=",".join(STUDY.trackers) or "none",  # a resource: unlike a parameter, it never has a run done again
        progress_file=f"{DIR}/runs/{{wildcards.run}}/checkpoints/latest.json",
    shell:
        "submitit-launch dynamonet {rule} --spec {input.spec:q} --workers {resources.loader_workers}"
        " --reader {resources.reader} --trackers {resources.trackers} 2> {log:q}"


use rule pretrain as train with:
    wildcard_constraints:
        run="(?!pretrain-|evaluate-|retrieve-).+",


# Weights as they are, for what is evaluated or searched with them.
rule adopt:
    input:
        spec=ancient(f"{DIR}/runs/{{run}}/spec.json"),
        manifest=lambda wildcards: ancient(manifest_of(STUDY, RUNS, wildcards.run)),
        weights=lambda wildcards: ancient(initial_weights(STUDY, RUNS, wildcards.run)),
    output:
        f"{DIR}/runs/{{run}}/model.safetensors",
        f"{DIR}/runs/{{run}}/fit.json",
    log:
        f"{DIR}/logs/{{run}}.fit.log",
    wildcard_constraints:
        run="(evaluate|retrieve)-.+",
    threads: STUDY.threads
    shell:
        "dynamonet adopt --spec {input.spec:q} 2> {log:q}"


# Weights that others released, by their file name; on the login node, which has a way out where others have none.
rule download:
    input:
        spec=lambda wildcards: ancient(spec_of_download(STUDY, RUNS, wildcards.file)),
    output:
        f"{RELEASED_FOLDER}/{{file}}",
    log:
        f"{DIR}/logs/download-{{file}}.log",
    localrule: True
    shell:
        "dynamonet download --spec {input.spec:q} 2> {log:q}"
