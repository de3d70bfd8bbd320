# Scores of every test video, once.


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
    threads: STUDY.threads
    resources:
        loader_workers=0,
    shell:
        "submitit-launch dynamonet evaluate --spec {input.spec:q} --workers {resources.loader_workers} 2> {log:q}"
