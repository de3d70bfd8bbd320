# Cost and speed of every model. Takes all cores, so that nothing else disturbs the timing.


rule measure:
    input:
        ancient(f"{DIR}/measure/{{model}}.spec.json"),
    output:
        f"{DIR}/measure/{{model}}.json",
    log:
        f"{DIR}/logs/measure-{{model}}.log",
    threads: workflow.cores
    params:
        spec=lambda wildcards: model_spec(STUDY, wildcards.model).model_dump_json(),
    shell:
        "dynamonet measure --spec {input:q} 2> {log:q}"
