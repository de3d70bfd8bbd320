# Tables, figures and report.html, from records alone. `snakemake --report out.html` shows the page and the figures.


rule results:
    input:
        spec=f"{DIR}/study.json",
        records=record_paths(STUDY, RUNS),
    output:
        page=report(
            f"{DIR}/report.html",
            caption="../report/page.rst",
            category="Study",
            labels={"result": "tables, figures and records"},
        ),
        figures=report(
            directory(f"{DIR}/figures"),
            patterns=["{figure}.svg"],
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    shell:
        "dynamonet report --spec {input.spec:q}"


# The same whenever asked for, of the study as its file is now, from whatever records there are: it never trains, since
# nothing but the study is its input.
rule report:
    input:
        spec=f"{DIR}/study.json",
    shell:
        "dynamonet report --spec {input.spec:q}"
