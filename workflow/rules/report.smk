# Tables, figures and report.html, from records alone.


rule results:
    input:
        spec=f"{DIR}/study.json",
        records=record_paths(STUDY, RUNS),
    output:
        f"{DIR}/report.html",
    shell:
        "dynamonet report --spec {input.spec:q}"


# The same whenever asked for, from whatever records there are: no input, so that it never trains.
rule report:
    params:
        spec=f"{DIR}/study.json",
    shell:
        "dynamonet report --spec {params.spec:q}"
