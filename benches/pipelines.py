#!/usr/bin/env python3
"""Pipelines of many small steps: AMLite beside Snakemake, DVC, Luigi and Metaflow on the same graphs.

    benches/pipelines.py --peers DIR --install --docs docs/performance.md

A step writes the file that the next ones read. Three graphs: a chain, steps side by side, and thirty
layers of thirty of which each step needs the whole layer before. Measured is what a first run of the
small graphs takes, and what it takes with the large ones to find that nothing has changed, where the
outputs of an earlier run are there. Where a tool can be told to take files for made by it, it is, instead
of running a thousand steps first (`snakemake --touch`, `dvc commit`).
"""

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

PEERS = {"snakemake": "snakemake", "dvc": "dvc", "luigi": "luigi", "metaflow": "metaflow"}


def graph(kind, count):
    """Step → the steps it needs, in an order in which they can run."""
    if kind == "chain":
        return {f"s{at}": [f"s{at - 1}"] if at else [] for at in range(count)}
    if kind == "parallel":
        return {f"s{at}": [] for at in range(count)}
    side = int(count**0.5)
    return {
        f"l{layer}_{at}": [f"l{layer - 1}_{of}" for of in range(side)] if layer else []
        for layer in range(side)
        for at in range(side)
    }


class Tool:
    def __init__(self, peers, folder):
        self.peers, self.folder = peers, folder
        folder.mkdir()
        self.env = dict(os.environ)

    def program(self, name):
        return str(self.peers / "bin" / name)

    def run(self, *command, check=True):
        began = time.perf_counter()
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True)
        took = time.perf_counter() - began
        if check and done.returncode:
            sys.exit(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return took

    def outputs(self, steps):
        for step in steps:
            (self.folder / f"{step}.txt").write_text(step)


class Aml(Tool):
    def __init__(self, aml, folder):
        super().__init__(None, folder)
        self.aml = aml
        self.env["AML_HOME"] = str(folder / "home")
        self.run(aml, "workspace", "create", "-n", "w", "-o", "none")

    def write(self, steps):
        text = ["type: pipeline", "settings: {default_compute: azureml:serverless}", "jobs:"]
        for step, needs in steps.items():
            ports = ", ".join(f"{n}: '${{{{parent.jobs.{n}.outputs.o}}}}'" for n in needs)
            text += [
                f"  {step}:",
                f"    command: echo {step} > ${{{{outputs.o}}}}/a.txt",
                "    environment: {image: python}",
                f"    inputs: {{{ports}}}",
                "    outputs: {o: }",
            ]
        (self.folder / "pipeline.yml").write_text("\n".join(text))

    def first(self, steps):
        self.write(steps)
        return self.run(self.aml, "job", "create", "-f", "pipeline.yml", "--stream", "-o", "none")

    made = first

    def again(self):
        return self.run(self.aml, "job", "create", "-f", "pipeline.yml", "-o", "none")

    def plan(self):
        return self.run(self.aml, "pipeline", "plan", "pipeline.yml", "-o", "none")


class Snakemake(Tool):
    def write(self, steps):
        ends = [f'"{step}.txt"' for step in steps]
        text = [f"rule all:\n    input: {', '.join(ends)}"]
        for step, needs in steps.items():
            files = ", ".join(f'"{n}.txt"' for n in needs)
            text.append(f'rule {step}:\n    input: {files or "[]"}\n    output: "{step}.txt"\n    shell: "echo {step} > {{output}}"')
        (self.folder / "Snakefile").write_text("\n".join(text))

    def first(self, steps):
        self.write(steps)
        return self.run(self.program("snakemake"), "-c2", "-q")

    def made(self, steps):
        self.write(steps)
        self.outputs(steps)
        self.run(self.program("snakemake"), "-c2", "-q", "--touch")

    def again(self):
        return self.run(self.program("snakemake"), "-c2", "-q")

    def plan(self):
        return self.run(self.program("snakemake"), "-n", "-q")


class Dvc(Tool):
    def __init__(self, peers, folder):
        super().__init__(peers, folder)
        self.env["DVC_NO_ANALYTICS"] = "1"
        self.run(self.program("dvc"), "init", "--no-scm", "-q")

    def write(self, steps):
        stages = {
            step: {
                "cmd": f"echo {step} > {step}.txt",
                **({"deps": [f"{n}.txt" for n in needs]} if needs else {}),
                "outs": [f"{step}.txt"],
            }
            for step, needs in steps.items()
        }
        (self.folder / "dvc.yaml").write_text(json.dumps({"stages": stages}))

    def first(self, steps):
        self.write(steps)
        return self.run(self.program("dvc"), "repro", "-q")

    def made(self, steps):
        self.write(steps)
        self.outputs(steps)
        self.run(self.program("dvc"), "commit", "-f", "-q")

    def again(self):
        return self.run(self.program("dvc"), "repro", "-q")

    def plan(self):
        return self.run(self.program("dvc"), "status", "-q")


class Luigi(Tool):
    def write(self, steps):
        text = [
            "import json, luigi",
            f"STEPS = json.loads('''{json.dumps(steps)}''')",
            "class Step(luigi.Task):",
            "    name = luigi.Parameter()",
            "    def requires(self): return [Step(name=n) for n in STEPS[self.name]]",
            "    def output(self): return luigi.LocalTarget(self.name + '.txt')",
            "    def run(self):",
            "        with self.output().open('w') as out: out.write(self.name)",
            "class All(luigi.WrapperTask):",
            "    def requires(self): return [Step(name=n) for n in STEPS]",
        ]
        (self.folder / "flow.py").write_text("\n".join(text))
        self.env["PYTHONPATH"] = str(self.folder)

    def start(self):
        luigi = self.program("luigi")
        return self.run(luigi, "--module", "flow", "All", "--local-scheduler", "--workers", "2", "--log-level", "ERROR")

    def first(self, steps):
        self.write(steps)
        return self.start()

    def made(self, steps):
        self.write(steps)
        self.outputs(steps)

    def again(self):
        return self.start()


class Metaflow(Tool):
    """Runs a process for each step, and all of them each time."""

    def first(self, steps):
        names = list(steps)
        text = ["from metaflow import FlowSpec, step", "class Flow(FlowSpec):"]
        if any(steps.values()):
            text += ["    @step", "    def start(self): self.next(self.%s)" % names[0]]
            for name, after in zip(names, [*names[1:], "end"]):
                text += ["    @step", f"    def {name}(self): self.next(self.{after})"]
        else:
            text += [
                "    @step", "    def start(self):", f"        self.of = list(range({len(names)}))",
                "        self.next(self.one, foreach='of')",
                "    @step", "    def one(self): self.next(self.join)",
                "    @step", "    def join(self, inputs): self.next(self.end)",
            ]
        text += ["    @step", "    def end(self): pass", "if __name__ == '__main__': Flow()"]
        (self.folder / "flow.py").write_text("\n".join(text))
        self.env["METAFLOW_USER"] = self.env["USERNAME"] = "bench"
        return self.run(self.program("python"), "flow.py", "--quiet", "run", "--max-workers", "2", "--max-num-splits", "2000")


TOOLS = {"Snakemake": Snakemake, "DVC": Dvc, "Luigi": Luigi, "Metaflow": Metaflow}


def measured(options, folder):
    rows = []
    tools = {"AMLite": lambda at: Aml(str(options.aml.resolve()), at)}
    if options.peers:
        tools |= {name: lambda at, make=make: make(options.peers.resolve(), at) for name, make in TOOLS.items()}
    tools = {name: make for name, make in tools.items() if not options.only or name in options.only}
    number = iter(range(10**6))

    def fresh(name):
        return tools[name](folder / f"{name}-{next(number)}")

    for kind in ["chain", "parallel"]:
        steps = graph(kind, options.small)
        row = {name: fresh(name).first(steps) for name in tools}
        rows.append((f"{kind} of {len(steps)}, first run", row))
        print(rows[-1], file=sys.stderr, flush=True)
    for kind in ["chain", "parallel", "layered"]:
        steps = graph(kind, options.large)
        again, plan = {}, {}
        for name in tools:
            if name == "Metaflow":
                continue
            tool = fresh(name)
            tool.made(steps)
            again[name] = statistics.median(tool.again() for _ in range(options.times))
            if hasattr(tool, "plan"):
                plan[name] = statistics.median(tool.plan() for _ in range(options.times))
            shutil.rmtree(tool.folder, ignore_errors=True)
        rows.append((f"{kind} of {len(steps)}, nothing changed", again))
        rows.append((f"{kind} of {len(steps)}, what would run", plan))
        print(rows[-2:], file=sys.stderr, flush=True)
    return list(tools), rows


def table(tools, rows):
    def shown(value):
        if value is None:
            return "–"
        return f"{value:.0f}" if value >= 100 else f"{value:.3g}"

    lines = ["| seconds | " + " | ".join(tools) + " |", "|---|" + "---:|" * len(tools)]
    for label, row in rows:
        lines.append(f"| {label} | " + " | ".join(shown(row.get(tool)) for tool in tools) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aml", type=pathlib.Path, default=pathlib.Path("target/release/aml"))
    parser.add_argument("--peers", type=pathlib.Path, help="folder of a virtual environment with the others")
    parser.add_argument("--install", action="store_true", help="make it first")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--small", type=int, default=50)
    parser.add_argument("--large", type=int, default=1000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--docs", type=pathlib.Path, help="write the table between its marks")
    options = parser.parse_args()
    if options.install:
        subprocess.run([sys.executable, "-m", "venv", options.peers], check=True)
        subprocess.run([options.peers / "bin/pip", "install", "-q", *PEERS.values()], check=True)
    with tempfile.TemporaryDirectory(prefix="pipelines-") as folder:
        tools, rows = measured(options, pathlib.Path(folder))
    text = table(tools, rows)
    print(text)
    if options.docs:
        page = options.docs.read_text()
        before, rest = page.split("<!-- pipelines -->\n", 1)
        after = rest.split("<!-- /pipelines -->", 1)[1]
        options.docs.write_text(f"{before}<!-- pipelines -->\n{text}\n<!-- /pipelines -->{after}")


if __name__ == "__main__":
    main()
