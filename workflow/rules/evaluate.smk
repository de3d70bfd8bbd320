# Scores of every test video, once; and for runs that are searched with, the nearest training videos of each.


rule evaluate:
    input:
        spec=ancient(f"{DIR}/runs/{{run}}/spec.json"),
        manifest=lambda wildcards: ancient(manifest_of(STUDY, RUNS, wildcards.run)),
        flow=lambda wildcards: ancient(flow_specs(STUDY, RUNS, wildcards.run)),
        weights=ancient(f"{DIR}/runs/{{run}}/model.safetensors"),
        fit=ancient(f"{DIR}/runs/{{run}}/fit.json"),
    output:
        f"{DIR}/runs/{{run}}/logits.parquet",
        f"{DIR}/runs/{{run}}/evaluate.json",
    log:
        f"{DIR}/logs/{{run}}.evaluate.log",
    wildcard_constraints:
        run="(?!retrieve-).+",
    threads: STUDY.threads
    resources:
        loader_workers=0,
        reader=STUDY.reader,
    shell:
        "submitit-launch dynamonet {rule} --spec {input.spec:q} --workers {resources.loader_workers}"
        " --reader {resources.reader} 2> {log:q}"


use rule evaluate as retrieve with:
    output:
        f"{DIR}/runs/{{run}}/neighbours.parquet",
        f"{DIR}/runs/{{run}}/retrieve.json",
    log:
        f"{DIR}/logs/{{run}}.retrieve.log",
    wildcard_constraints:
        run="retrieve-.+",
