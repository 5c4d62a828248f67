"""Cuts data into mini-batches and runs a script over them, as Azure's batch deployments and parallel
steps do.

The settings are JSON in AML_BATCH. The script has init(), run(mini_batch) and perhaps shutdown(); it runs
in processes of its own, so that one that hangs or dies can be replaced and its mini-batch be tried again.
A mini-batch is a list of paths, or of a table a pandas DataFrame.
"""

import argparse
import csv
import importlib.util
import inspect
import json
import logging
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.request

# Seconds that init() and shutdown() of a script may take, or as many as a mini-batch if those are more.
INIT = 1800
SHUTDOWN = 60


# --- a process that scores ---------------------------------------------------------------------


def load(script):
    spec = importlib.util.spec_from_file_location("scoring_script", script)
    module = importlib.util.module_from_spec(spec)
    sys.modules["scoring_script"] = module
    sys.path.insert(0, os.path.dirname(os.path.abspath(script)))
    spec.loader.exec_module(module)
    return module


class Mlflow:
    """Scores tables of rows with a model in MLflow format: row, prediction and file of each."""

    def init(self):
        import mlflow.pyfunc

        root = os.environ["AZUREML_MODEL_DIR"]
        folders = [folder for folder, _, files in os.walk(root, followlinks=True) if "MLmodel" in files]
        if not folders:
            raise FileNotFoundError("The model has no file `MLmodel`")
        self.model = mlflow.pyfunc.load_model(min(folders, key=len))

    def run(self, files):
        import pandas

        parts = []
        for path in files:
            rows = self.read(pandas, path)
            answers = self.model.predict(self.typed(rows))
            name = os.path.basename(path)
            if isinstance(answers, pandas.DataFrame):
                part = answers.reset_index(drop=True)
            else:
                part = pandas.DataFrame({"prediction": list(answers)})
            part.insert(0, "row", range(len(part)))
            part["file"] = name
            parts.append(part)
        return pandas.concat(parts) if parts else []

    @staticmethod
    def read(pandas, path):
        end = os.path.splitext(path)[1].lower()
        if end == ".parquet" or end == ".pqt":
            return pandas.read_parquet(path)
        if end == ".json" or end == ".jsonl":
            return pandas.read_json(path, lines=end == ".jsonl")
        if end == ".tsv":
            return pandas.read_csv(path, sep="\t")
        return pandas.read_csv(path)

    def typed(self, rows):
        schema = self.model.metadata.get_input_schema() if self.model.metadata else None
        if schema is None or not schema.has_input_names():
            return rows
        # A file knows fewer kinds of numbers: bring the columns to the model's types.
        for name, kind in zip(schema.input_names(), schema.pandas_types()):
            if name in rows.columns and kind is not object and rows[name].dtype != kind:
                try:
                    rows[name] = rows[name].astype(kind)
                except (TypeError, ValueError):
                    pass
        return rows


def write_rows(result, path, separator):
    """Writes what run() answered as lines; how many elements it has."""
    with open(path, "w", newline="", encoding="utf-8") as out:
        if hasattr(result, "to_csv"):
            result.to_csv(out, header=False, index=False, sep=separator)
            return len(result)
        rows = csv.writer(out, lineterminator="\n", delimiter=separator)
        for element in result:
            if isinstance(element, str):
                out.write(element + "\n")
            elif isinstance(element, dict):
                out.write(json.dumps(element, default=str) + "\n")
            elif isinstance(element, (list, tuple)) or hasattr(element, "tolist") and getattr(element, "ndim", 0):
                rows.writerow(list(element))
            else:
                out.write(str(element) + "\n")
        return len(result)


def frame_of(path):
    """The rows of a mini-batch of a table."""
    import pandas

    with open(path, encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    times = {}
    for row in rows:
        for name, value in row.items():
            if isinstance(value, dict):
                row[name] = value["time"]
                times[name] = True
    frame = pandas.DataFrame(rows)
    for name in times:
        frame[name] = pandas.to_datetime(frame[name], utc=True).dt.tz_localize(None)
    return frame


class Context:
    """What a script is told of its mini-batch."""

    def __init__(self, order):
        self.minibatch_index = self.mini_batch_id = order["number"]
        self.partition_key_value = order.get("keys")
        self.global_row_index_lower_bound = order.get("from")


def takes_context(run):
    try:
        parameters = inspect.signature(run).parameters.values()
    except (TypeError, ValueError):
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(parameter.kind in kinds for parameter in parameters) > 1


def work(settings, arguments):
    """Runs the script over the mini-batches that come in by one pipe, and answers by another."""
    asked = os.fdopen(int(os.environ["AML_BATCH_IN"]), "r", encoding="utf-8")
    answers = os.fdopen(int(os.environ["AML_BATCH_OUT"]), "w", encoding="utf-8")

    def answer(**fields):
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    level = getattr(logging, str(settings["logging_level"]).upper(), logging.INFO)
    logging.basicConfig(level=level, stream=sys.stdout)
    sys.argv = [settings["script"] or sys.argv[0], *arguments]
    try:
        module = load(settings["script"]) if settings["script"] else Mlflow()
        if hasattr(module, "init"):
            module.init()
        with_context = takes_context(module.run)
    except BaseException:
        answer(init=False, error=traceback.format_exc())
        return
    answer(init=True)
    for line in asked:
        order = json.loads(line)
        try:
            batch = frame_of(order["table"]) if "table" in order else order["files"]
            result = module.run(batch, Context(order)) if with_context else module.run(batch)
            if result is None:
                raise TypeError("run() answered nothing; it answers a list or a pandas DataFrame")
            if settings["output_action"] == "append_row":
                count = write_rows(result, order["rows"], settings["separator"])
            else:
                count = len(result)
            answer(ok=True, count=count)
        except Exception:
            answer(ok=False, error=traceback.format_exc())
    if hasattr(module, "shutdown"):
        module.shutdown()


# --- who hands out the mini-batches --------------------------------------------------------------


class Worker:
    """A scoring process with its pipes."""

    def __init__(self, arguments):
        to_read, self.to_write = os.pipe()
        self.from_read, from_write = os.pipe()
        environment = dict(os.environ, AML_BATCH_IN=str(to_read), AML_BATCH_OUT=str(from_write))
        self.process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), "--worker", "--", *arguments],
            env=environment,
            pass_fds=(to_read, from_write),
        )
        os.close(to_read)
        os.close(from_write)
        self.out = os.fdopen(self.to_write, "w", encoding="utf-8")
        self.lines = queue.Queue()
        threading.Thread(target=self.listen, daemon=True).start()

    def listen(self):
        with os.fdopen(self.from_read, "r", encoding="utf-8") as lines:
            for line in lines:
                self.lines.put(json.loads(line))
        self.lines.put(None)

    def hear(self, seconds=None):
        """What it answers; None when it is dead, and a TimeoutError when it says nothing."""
        try:
            return self.lines.get(timeout=seconds)
        except queue.Empty:
            raise TimeoutError from None

    def ask(self, order):
        self.out.write(json.dumps(order) + "\n")
        self.out.flush()

    def end(self, seconds):
        """Lets it end, by force when it takes longer; its exit code."""
        try:
            self.out.close()
        except OSError:
            pass
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Batch:
    """The mini-batches of a job: {"files": […]} or {"table": path}, each with its `size`."""

    def __init__(self, settings, batches, folder, arguments):
        self.settings = settings
        self.folder = folder
        self.arguments = arguments
        self.waiting = queue.Queue()
        for number, batch in enumerate(batches):
            self.waiting.put((number, batch))
        self.total = len(batches)
        self.items = "files" if all("files" in batch for batch in batches) else "rows"
        self.failed = 0
        self.failed_batches = 0
        self.done = 0
        self.fatal = None
        self.lock = threading.Lock()

    def rows(self, number):
        return os.path.join(self.folder, f"{number}.rows")

    def discard(self, number):
        if os.path.exists(self.rows(number)):
            os.remove(self.rows(number))

    def too_many(self):
        """Why the failures are more than may be."""
        most = self.settings["error_threshold"]
        if 0 <= most < self.failed:
            return f"{self.failed} {self.items} failed, more than the error threshold of {most} allows"
        most = self.settings["mini_batch_error_threshold"]
        if 0 <= most < self.failed_batches:
            return (
                f"{self.failed_batches} mini-batches failed, more than the mini-batch error threshold "
                f"of {most} allows"
            )
        return None

    def over(self):
        return self.fatal is not None or self.too_many() is not None

    def serve(self):
        """Has one process score until nothing waits."""
        worker = None
        while not self.over():
            try:
                number, batch = self.waiting.get_nowait()
            except queue.Empty:
                break
            for attempt in range(self.settings["max_retries"] + 1):
                if worker is None:
                    worker = self.start()
                    if worker is None:
                        return
                error = self.score(worker, number, batch)
                if error is None:
                    break
                if worker.process.poll() is not None or error.startswith("It took"):
                    # While it lives it may still write rows.
                    worker.end(0)
                    worker = None
                self.discard(number)
                print(f"Mini-batch {number} failed (attempt {attempt + 1}): {error}", flush=True)
                if self.over():
                    break
            else:
                self.count(batch, None)
                continue
        if worker is not None:
            self.stop(worker)

    def stop(self, worker):
        seconds = max(SHUTDOWN, self.settings["timeout"])
        begun = time.monotonic()
        worker.end(seconds)
        if time.monotonic() - begun >= seconds:
            print(f"shutdown() of the script took longer than {seconds} s and was stopped", flush=True)

    def start(self):
        worker = Worker(self.arguments)
        seconds = max(INIT, self.settings["timeout"])
        try:
            told = worker.hear(seconds)
            why = told["error"] if told and not told["init"] else None
            if told is None:
                why = f"the process ended with exit code {worker.end(SHUTDOWN)}"
        except TimeoutError:
            why = f"it took longer than {seconds} s"
        if why is None:
            return worker
        worker.end(0)
        with self.lock:
            self.fatal = f"init() of the script failed: {why}"
        return None

    def score(self, worker, number, batch):
        """Why a mini-batch could not be scored; None when it was."""
        seconds = self.settings["timeout"]
        try:
            worker.ask(dict(batch, rows=self.rows(number), number=number))
            told = worker.hear(seconds)
        except TimeoutError:
            return f"It took longer than {seconds} s"
        except OSError:
            told = None
        if told is None:
            return f"the process ended with exit code {worker.end(SHUTDOWN)}"
        if not told["ok"]:
            return told["error"]
        self.count(batch, told["count"])
        return None

    def count(self, batch, scored):
        """Counts a mini-batch as done, of which so much was scored; None when it failed."""
        with self.lock:
            self.done += 1
            short = max(0, batch["size"] - (scored or 0))
            self.failed += short
            # Where any number may fail, a script need not answer for each.
            careful = self.settings["error_threshold"] >= 0
            self.failed_batches += scored is None or (careful and short > 0)
            print(self.progress(), flush=True)

    def progress(self):
        said = f"{self.done} of {self.total} mini-batches done, {self.failed} {self.items} failed"
        if self.settings["error_threshold"] < 0:
            said = f"{self.done} of {self.total} mini-batches done, {self.failed_batches} failed"
        return said

    def run(self):
        count = max(1, min(self.settings["concurrency"], self.total))
        threads = [threading.Thread(target=self.serve) for _ in range(count)]
        for thread in threads:
            thread.start()
        told = ""
        while any(thread.is_alive() for thread in threads):
            told = tell(self.progress(), told)
            for thread in threads:
                thread.join(1 / count)
        tell(self.progress(), told)


def tell(progress, told):
    """Keeps how far it is as a tag of the run; a server that is away is no trouble."""
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    if progress != told and server.startswith("http"):
        tag = {"run_id": os.environ.get("MLFLOW_RUN_ID"), "key": "aml.progress", "value": progress}
        request = urllib.request.Request(
            f"{server}/api/2.0/mlflow/runs/set-tag",
            data=json.dumps(tag).encode(),
            headers={
                "Content-Type": "application/json",
                "Authorization": f"Bearer {os.environ.get('MLFLOW_TRACKING_TOKEN', '')}",
            },
        )
        try:
            urllib.request.urlopen(request, timeout=5).close()
        except OSError:
            return told
    return progress


# --- the mini-batches ---------------------------------------------------------------------------


def files_of(paths):
    """The files of the inputs, in order; hidden ones are left out."""
    found = []
    for path in paths:
        if os.path.isfile(path):
            found.append(path)
        for folder, folders, files in os.walk(path, followlinks=True):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            found.extend(os.path.join(folder, name) for name in sorted(files) if not name.startswith("."))
    return found


def link(source, target):
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def lay_out(model, name, root):
    """Lays the model out in a folder under its own name, as in AZUREML_MODEL_DIR in Azure.

    Its files are links: MLflow refuses a folder that is one.
    """
    model = os.path.realpath(model)
    target = os.path.join(root, name or os.path.basename(model) or "model")
    if not os.path.isdir(model):
        link(model, target)
        return
    shutil.copytree(model, target, copy_function=link)
    # A mounted model's folders are read-only, and a copy like them could not be removed.
    for folder, _, _ in os.walk(target):
        os.chmod(folder, 0o700)


def batches_of_files(settings, files):
    batches = []
    count = settings["mini_batch_size"] or len(files)
    # Where both are said, bytes are for tables.
    most = None if settings["mini_batch_size"] else settings["mini_batch_bytes"]
    for path in files:
        size = os.path.getsize(path) if most else 0
        last = batches[-1] if batches else None
        fits = last and (last["bytes"] + size <= most if most else last["size"] < count)
        if not fits:
            last = {"files": [], "size": 0, "bytes": 0}
            batches.append(last)
        last["files"].append(path)
        last["size"] += 1
        last["bytes"] += size
    return batches


class Tables:
    """Cuts the rows of tables into mini-batches, each a file of JSON lines."""

    # Rows that are kept in memory before they are written.
    KEPT = 20_000

    def __init__(self, settings, folder):
        self.keys = settings["partition_keys"]
        self.rows = settings["mini_batch_size"]
        self.bytes = settings["mini_batch_bytes"]
        self.folder = folder
        self.batches = []
        self.by_keys = {}
        self.kept = {}
        self.waiting = 0
        self.total = 0

    def read(self, path):
        command = ["aml", "table-rows", path]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as rows:
            errors = []
            listen = threading.Thread(target=lambda: errors.append(rows.stderr.read()))
            listen.start()
            for line in rows.stdout:
                self.take(line)
            listen.join()
        if rows.returncode:
            sys.exit(f"The table cannot be read: {errors[0].decode(errors='replace').strip()}")

    def take(self, line):
        row = json.loads(line) if self.keys or self.bytes else {}
        batch = self.batch(row)
        self.kept.setdefault(batch["table"], []).append(line)
        batch["size"] += 1
        self.total += 1
        self.waiting += 1
        if self.waiting >= self.KEPT:
            self.write()

    def batch(self, row):
        if self.keys:
            missing = [key for key in self.keys if key not in row]
            if missing:
                sys.exit(f"The table has no column {', '.join(missing)}; it has {', '.join(row)}")
            values = tuple(json.dumps(row[key]) for key in self.keys)
            if values not in self.by_keys:
                self.by_keys[values] = self.new(keys={key: row[key] for key in self.keys})
            return self.by_keys[values]
        # About as long as a line of text with these values.
        length = sum(len(str(value)) + 1 for value in row.values()) if self.bytes else 0
        last = self.batches[-1] if self.batches else None
        if last and self.bytes:
            fits = last["bytes"] + length <= self.bytes
        else:
            fits = last and (not self.rows or last["size"] < self.rows)
        batch = last if fits else self.new()
        batch["bytes"] += length
        return batch

    def new(self, **more):
        table = os.path.join(self.folder, f"{len(self.batches)}.jsonl")
        batch = {"table": table, "size": 0, "bytes": 0, "from": self.total, **more}
        self.batches.append(batch)
        return batch

    def write(self):
        for table, lines in self.kept.items():
            with open(table, "ab") as out:
                out.writelines(lines)
        self.kept = {}
        self.waiting = 0


def is_table(settings, path):
    said = settings["tabular"]
    if said is None:
        return os.path.isfile(os.path.join(path, "MLTable"))
    return said


def batches_of(settings, inputs, folder):
    if any(is_table(settings, path) for path in inputs):
        tables = Tables(settings, folder)
        for path in inputs:
            tables.read(path)
        tables.write()
        if not tables.batches:
            sys.exit("The table has no rows")
        print(f"{tables.total} rows make {len(tables.batches)} mini-batches", flush=True)
        return tables.batches
    files = files_of(inputs)
    if not files:
        sys.exit("The inputs have no files to score")
    batches = batches_of_files(settings, files)
    print(f"{len(files)} files make {len(batches)} mini-batches", flush=True)
    return batches


def drive(settings, options, arguments):
    allowed, _ = framework_arguments().parse_known_args(arguments)
    root = tempfile.mkdtemp(prefix="model-", dir=os.getcwd())
    try:
        if options.model:
            lay_out(options.model, settings["model_name"], root)
            os.environ["AZUREML_MODEL_DIR"] = root
        elif not settings["step"]:
            os.environ["AZUREML_MODEL_DIR"] = root
        score(settings, options, arguments, allowed)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def framework_arguments():
    """What is said on the script's command line for the one who runs it."""
    parser = argparse.ArgumentParser(allow_abbrev=False, add_help=False)
    parser.add_argument("--allowed_failed_count", type=int)
    parser.add_argument("--allowed_failed_percent", type=float)
    return parser


def where_rows_go(settings, output):
    if settings["output_is_file"]:
        return output
    os.makedirs(output, exist_ok=True)
    return os.path.join(output, settings["output_file_name"])


def score(settings, options, arguments, allowed):
    if options.output and not settings["step"]:
        os.environ["AZUREML_BI_OUTPUT_PATH"] = options.output
        os.makedirs(options.output, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="rows-") as folder:
        batches = batches_of(settings, options.input, folder)
        batch = Batch(settings, batches, folder, arguments)
        batch.run()
        if settings["output_action"] == "append_row":
            # In the order of the data, whoever was first.
            with open(where_rows_go(settings, options.output), "wb") as out:
                for number in range(len(batches)):
                    if os.path.exists(batch.rows(number)):
                        with open(batch.rows(number), "rb") as rows:
                            out.write(rows.read())
    if batch.fatal:
        sys.exit(batch.fatal)
    why = batch.too_many()
    most = allowed.allowed_failed_count
    percent = allowed.allowed_failed_percent
    if why is None and most is not None and batch.failed_batches > most:
        why = f"{batch.failed_batches} mini-batches failed, more than the {most} that are allowed"
    if why is None and percent is not None and batch.failed_batches * 100 > percent * batch.total:
        why = f"{batch.failed_batches} of {batch.total} mini-batches failed, more than {percent:g} %"
    if why:
        sys.exit(why)


def main():
    settings = json.loads(os.environ["AML_BATCH"])
    own, arguments = sys.argv[1:], []
    if "--" in own:
        at = own.index("--")
        own, arguments = own[:at], own[at + 1 :]
    parser = argparse.ArgumentParser()
    parser.add_argument("--worker", action="store_true")
    parser.add_argument("--model")
    parser.add_argument("--output")
    parser.add_argument("--input", action="append", default=[])
    options = parser.parse_args(own)
    if options.worker:
        work(settings, arguments)
    else:
        drive(settings, options, arguments)


if __name__ == "__main__":
    main()
