#!/usr/bin/env python3
"""Pipelines of many small steps: AMLite beside Snakemake, DVC, Luigi and Metaflow on the same graphs.

    benches/pipelines.py --peers DIR --install --docs docs/performance.md

A step is a shell's `echo NAME > FILE`, and the next ones need the file. Three graphs: a chain, steps side
by side, and 31 layers of 31 of which each step needs the whole layer before. Two processors, two
steps at once. Measured is

- what a first run takes, a step, above what the shells alone take. A tool that is not done after --limit
  seconds is stopped, and counted is what it has done until then: with all of them the later steps take
  longer than the first, so that is in its favour;
- what it takes to find that nothing has changed, where the outputs of an earlier run are there. Where a
  tool can be told to take files for made by it, it is, instead of running a thousand steps first
  (`snakemake --touch`, `dvc commit`);
- what it takes to say what would run.

--json keeps what was measured and goes on with what was not, so that it can be done tool by tool.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time


class Failed(Exception):
    """A tool could not do what it was asked for."""


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
            raise Failed(f"{' '.join(command)}: {done.stdout[-2000:]}{done.stderr[-2000:]}")
        return took

    def run_until(self, limit, *command):
        """Seconds, and how many steps were done in them."""
        began = time.perf_counter()
        with open(self.folder / "said", "w") as said:
            child = subprocess.Popen(command, cwd=self.folder, env=self.env, stdout=said, stderr=said, start_new_session=True)
            try:
                child.wait(limit)
            except subprocess.TimeoutExpired:
                done = self.done()
                took = time.perf_counter() - began
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()
                return took, done
        took = time.perf_counter() - began
        if child.returncode:
            raise Failed(f"{' '.join(command)}: {(self.folder / 'said').read_text()[-2000:]}")
        return took, self.done()

    def done(self):
        return sum(1 for file in self.folder.glob("*.txt"))

    def outputs(self, steps):
        for step in steps:
            (self.folder / f"{step}.txt").write_text(step)


class Aml(Tool):
    def __init__(self, aml, folder):
        super().__init__(None, folder)
        self.aml = aml
        self.env["AML_HOME"] = str(folder / "home")
        self.run(aml, "workspace", "create", "-n", "w", "-o", "none")
        # What is installed once a machine: the Python that the steps have.
        self.write({"before": []})
        self.run(aml, "job", "create", "-f", "pipeline.yml", "--stream", "-o", "none")

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

    def first(self, steps, limit):
        self.write(steps)
        return self.run_until(limit, self.aml, "job", "create", "-f", "pipeline.yml", "--stream", "-o", "none")

    def done(self):
        listed = subprocess.run([self.aml, "run", "list", "--limit", "5000", "-o", "json"], env=self.env, capture_output=True, text=True)
        return sum(1 for run in json.loads(listed.stdout) if run["status"] == "Completed" and "-" in run["name"]) - 1

    def made(self, steps):
        _, done = self.first(steps, 600)
        if done < len(steps):
            raise Failed(f"{done} steps of {len(steps)} were done in ten minutes")

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

    def first(self, steps, limit):
        self.write(steps)
        return self.run_until(limit, self.program("snakemake"), "-c2", "-q")

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

    def first(self, steps, limit):
        self.write(steps)
        return self.run_until(limit, self.program("dvc"), "repro", "-q")

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
            "import json, luigi, subprocess",
            f"STEPS = json.loads('''{json.dumps(steps)}''')",
            "class Step(luigi.Task):",
            "    name = luigi.Parameter()",
            "    def requires(self): return [Step(name=n) for n in STEPS[self.name]]",
            "    def output(self): return luigi.LocalTarget(self.name + '.txt')",
            "    def run(self):",
            "        subprocess.run(f'echo {self.name} > {self.name}.txt', shell=True, check=True)",
            "class All(luigi.WrapperTask):",
            "    def requires(self): return [Step(name=n) for n in STEPS]",
        ]
        (self.folder / "flow.py").write_text("\n".join(text))
        self.env["PYTHONPATH"] = str(self.folder)

    def command(self):
        luigi = self.program("luigi")
        return luigi, "--module", "flow", "All", "--local-scheduler", "--workers", "2", "--log-level", "ERROR"

    def first(self, steps, limit):
        self.write(steps)
        return self.run_until(limit, *self.command())

    def made(self, steps):
        self.write(steps)
        self.outputs(steps)

    def again(self):
        return self.run(*self.command())


class Metaflow(Tool):
    """Runs a process for each step, and all of them each time."""

    def first(self, steps, limit):
        names = list(steps)
        text = ["import subprocess", "from metaflow import FlowSpec, step", "class Flow(FlowSpec):"]
        if any(len(needs) > 1 for needs in steps.values()):
            layers = {}
            for name in names:
                layers.setdefault(name.split("_")[0], []).append(name)
            text += ["    @step", "    def start(self): self.next(%s)" % ", ".join(f"self.{n}" for n in layers["l0"])]
            for at, layer in enumerate(layers.values()):
                after = f"join{at}"
                for name in layer:
                    text += ["    @step", f"    def {name}(self):",
                             f"        subprocess.run('echo {name} > {name}.txt', shell=True, check=True)",
                             f"        self.next(self.{after})"]
                following = layers.get(f"l{at + 1}")
                to = ", ".join(f"self.{n}" for n in following) if following else "self.end"
                text += ["    @step", f"    def {after}(self, inputs): self.next({to})"]
        elif any(steps.values()):
            text += ["    @step", "    def start(self): self.next(self.%s)" % names[0]]
            for name, after in zip(names, [*names[1:], "end"]):
                text += ["    @step", f"    def {name}(self):",
                         f"        subprocess.run('echo {name} > {name}.txt', shell=True, check=True)",
                         f"        self.next(self.{after})"]
        else:
            text += [
                "    @step", "    def start(self):", f"        self.of = list(range({len(names)}))",
                "        self.next(self.one, foreach='of')",
                "    @step", "    def one(self):",
                "        subprocess.run(f'echo {self.input} > s{self.input}.txt', shell=True, check=True)",
                "        self.next(self.join)",
                "    @step", "    def join(self, inputs): self.next(self.end)",
            ]
        text += ["    @step", "    def end(self): pass", "if __name__ == '__main__': Flow()"]
        (self.folder / "flow.py").write_text("\n".join(text))
        self.env["METAFLOW_USER"] = self.env["USERNAME"] = "bench"
        return self.run_until(limit, self.program("python"), "flow.py", "--quiet", "run", "--max-workers", "2", "--max-num-splits", "2000")


TOOLS = {"Snakemake": Snakemake, "DVC": Dvc, "Luigi": Luigi, "Metaflow": Metaflow}


def shells(steps):
    """Seconds that the shells of all steps take, two at once."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        names, running = list(steps), []
        while names or running:
            if names and len(running) < 2:
                name = names.pop()
                running.append(subprocess.Popen(["sh", "-c", f"echo {name} > {name}.txt"], cwd=folder))
            else:
                running.pop(0).wait()
        return time.perf_counter() - began


GRAPHS = {"chain": "a chain", "parallel": "side by side", "layered": "31 layers of 31"}


class Bench:
    def __init__(self, options, folder):
        self.options, self.folder = options, folder
        self.tools = {"AMLite": lambda at: Aml(str(options.aml.resolve()), at)}
        if options.peers:
            peers = options.peers.resolve()
            self.tools |= {name: lambda at, make=make: make(peers, at) for name, make in TOOLS.items()}
        kept = options.json
        self.rows = json.loads(kept.read_text()) if kept and kept.exists() else {}
        self.number = iter(range(10**6))

    def cell(self, row, tool, measure):
        """Measures what was not. What fails is a cell that says so, and the others are measured all the same."""
        if tool in self.rows.setdefault(row, {}):
            return
        try:
            self.rows[row][tool] = measure()
        except (Failed, OSError) as failed:
            print(row, tool, failed, file=sys.stderr, flush=True)
            self.rows[row][tool] = "failed"
        print(row, tool, self.rows[row][tool], file=sys.stderr, flush=True)
        if self.options.json:
            self.options.json.write_text(json.dumps(self.rows, indent=1))

    def fresh(self, name):
        return self.tools[name](self.folder / f"{name}-{next(self.number)}")

    def measure(self):
        options = self.options
        for kind, shown in GRAPHS.items():
            steps = graph(kind, options.count)
            label = f"{len(steps)} steps, {shown}"
            for name in self.tools:
                if options.only and name not in options.only:
                    continue
                self.tool(name, steps, label)

    def tool(self, name, steps, label):
        options = self.options

        def first():
            tool = self.fresh(name)
            took, done = tool.first(steps, options.limit)
            shutil.rmtree(tool.folder, ignore_errors=True)
            alone = shells(steps) / len(steps)
            return [1000 * (took / max(done, 1) - alone), done]

        self.cell(f"{label}: first run, ms a step", name, first)
        if name == "Metaflow":
            return
        rows = [f"{label}: nothing has changed, s", f"{label}: what would run, s"]
        if all(name in self.rows.get(row, {}) for row in rows):
            return
        tool = wrong = None
        try:
            tool = self.fresh(name)
            tool.made(steps)
        except (Failed, OSError) as failed:
            wrong = failed

        def median(ask):
            if wrong:
                raise wrong
            return statistics.median(getattr(tool, ask)() for _ in range(options.times))

        for row, ask in zip(rows, ["again", "plan"]):
            if hasattr(TOOLS.get(name, Aml), ask):
                self.cell(row, name, lambda: median(ask))
        if tool:
            shutil.rmtree(tool.folder, ignore_errors=True)


def table(tools, rows):
    def shown(value):
        if value is None or isinstance(value, str):
            return value or "–"
        value, done = value if isinstance(value, list) else (value, None)
        if done == 0:
            return "none done"
        text = f"{value:.0f}" if value >= 100 else f"{value:.3g}"
        return text if done is None or done >= 900 else f"{text} ({done} done)"

    lines = ["| | " + " | ".join(tools) + " |", "|---|" + "---:|" * len(tools)]
    for label, row in sorted(rows.items(), key=lambda row: row[0].split(": ")[1]):
        lines.append(f"| {label} | " + " | ".join(shown(row.get(tool)) for tool in tools) + " |")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--aml", type=pathlib.Path, default=pathlib.Path("target/release/aml"))
    parser.add_argument("--peers", type=pathlib.Path, help="folder of a virtual environment with the others")
    parser.add_argument("--install", action="store_true", help="make it first")
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--limit", type=float, default=60, help="seconds for a first run")
    parser.add_argument("--json", type=pathlib.Path, help="keep what was measured, and go on with it")
    parser.add_argument("--docs", type=pathlib.Path, help="write the table between its marks")
    options = parser.parse_args()
    if options.install:
        subprocess.run([sys.executable, "-m", "venv", options.peers], check=True)
        subprocess.run([options.peers / "bin/pip", "install", "-q", *PEERS.values()], check=True)
    with tempfile.TemporaryDirectory(prefix="pipelines-") as folder:
        bench = Bench(options, pathlib.Path(folder))
        bench.measure()
    text = table(list(bench.tools), bench.rows)
    print(text)
    if options.docs:
        page = options.docs.read_text()
        before, rest = page.split("<!-- pipelines -->\n", 1)
        after = rest.split("<!-- /pipelines -->", 1)[1]
        options.docs.write_text(f"{before}<!-- pipelines -->\n{text}\n<!-- /pipelines -->{after}")


if __name__ == "__main__":
    main()
