# Cost and speed of every model. Takes all cores, so that nothing else disturbs the timing.


rule measure:
    output:
        spec=f"{DIR}/measure/{{model}}.spec.json",
        record=f"{DIR}/measure/{{model}}.json",
    log:
        f"{DIR}/logs/measure-{{model}}.log",
    threads: workflow.cores
    params:
        content=lambda wildcards: model_spec(STUDY, wildcards.model).model_dump_json(),
    shell:
        "printf %s {params.content:q} > {output.spec:q} && "
        "dynamonet measure --spec {output.spec:q} 2> {log:q}"
