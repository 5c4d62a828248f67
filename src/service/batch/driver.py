"""Scores folders of files in mini-batches, as Azure's batch deployments do.

The settings are JSON in AML_BATCH. The scoring script has init() and run(files); it runs in processes
of its own, so that one that hangs or dies can be replaced and its mini-batch be tried again.
"""

import argparse
import csv
import importlib.util
import json
import logging
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import traceback


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


def write_rows(result, path):
    """Writes what run() answered as lines; how many elements it has."""
    with open(path, "w", newline="", encoding="utf-8") as out:
        if hasattr(result, "to_csv"):
            result.to_csv(out, header=False, index=False)
            return len(result)
        rows = csv.writer(out, lineterminator="\n")
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


def work(settings):
    """Scores the mini-batches that come in by one pipe, and answers by another."""
    asked = os.fdopen(int(os.environ["AML_BATCH_IN"]), "r", encoding="utf-8")
    answers = os.fdopen(int(os.environ["AML_BATCH_OUT"]), "w", encoding="utf-8")

    def answer(**fields):
        answers.write(json.dumps(fields) + "\n")
        answers.flush()

    level = getattr(logging, str(settings["logging_level"]).upper(), logging.INFO)
    logging.basicConfig(level=level, stream=sys.stdout)
    try:
        module = load(settings["script"]) if settings.get("script") else Mlflow()
        module.init()
    except BaseException:
        answer(init=False, error=traceback.format_exc())
        return
    answer(init=True)
    for line in asked:
        order = json.loads(line)
        try:
            result = module.run(order["files"])
            if result is None:
                raise TypeError("run() answered nothing; it answers a list or a pandas DataFrame")
            if settings["output_action"] == "append_row":
                count = write_rows(result, order["rows"])
            else:
                count = len(result)
            answer(ok=True, count=count)
        except Exception:
            answer(ok=False, error=traceback.format_exc())


# --- who hands out the mini-batches --------------------------------------------------------------


class Worker:
    """A scoring process with its pipes."""

    def __init__(self):
        to_read, self.to_write = os.pipe()
        self.from_read, from_write = os.pipe()
        environment = dict(os.environ, AML_BATCH_IN=str(to_read), AML_BATCH_OUT=str(from_write))
        self.process = subprocess.Popen(
            [sys.executable, os.path.abspath(__file__), "--worker"],
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

    def ask(self, files, rows):
        self.out.write(json.dumps({"files": files, "rows": rows}) + "\n")
        self.out.flush()

    def end(self, now=False):
        try:
            self.out.close()
        except OSError:
            pass
        if now:
            self.process.kill()
        return self.process.wait()


class Batch:
    def __init__(self, settings, batches, folder):
        self.settings = settings
        self.folder = folder
        self.waiting = queue.Queue()
        for number, files in enumerate(batches):
            self.waiting.put((number, files))
        self.total = len(batches)
        self.failed = 0
        self.done = 0
        self.fatal = None
        self.lock = threading.Lock()

    def rows(self, number):
        return os.path.join(self.folder, f"{number}.rows")

    def discard(self, number):
        if os.path.exists(self.rows(number)):
            os.remove(self.rows(number))

    def over(self):
        most = self.settings["error_threshold"]
        return self.fatal is not None or 0 <= most < self.failed

    def serve(self):
        """Has one process score until nothing waits."""
        worker = None
        while not self.over():
            try:
                number, files = self.waiting.get_nowait()
            except queue.Empty:
                break
            for attempt in range(self.settings["max_retries"] + 1):
                if worker is None:
                    worker = self.start()
                    if worker is None:
                        return
                error = self.score(worker, number, files)
                if error is None:
                    break
                self.discard(number)
                print(f"Mini-batch {number} failed (attempt {attempt + 1}): {error}", flush=True)
                if worker.process.poll() is not None or error.startswith("It took"):
                    worker.end(now=True)
                    worker = None
                if self.over():
                    break
            else:
                self.count(files, 0)
                continue
        if worker is not None:
            worker.end()

    def start(self):
        worker = Worker()
        told = worker.hear()
        if told is None or not told["init"]:
            code = worker.end(now=True)
            why = told["error"] if told else f"the process ended with exit code {code}"
            with self.lock:
                self.fatal = f"init() of the scoring script failed: {why}"
            return None
        return worker

    def score(self, worker, number, files):
        """Why a mini-batch could not be scored; None when it was."""
        seconds = self.settings["timeout"]
        try:
            worker.ask(files, self.rows(number))
            told = worker.hear(seconds)
        except TimeoutError:
            return f"It took longer than {seconds} s"
        except OSError:
            told = None
        if told is None:
            return f"the process ended with exit code {worker.process.wait()}"
        if not told["ok"]:
            return told["error"]
        self.count(files, min(told["count"], len(files)))
        return None

    def count(self, files, scored):
        with self.lock:
            self.done += 1
            self.failed += len(files) - scored
            print(f"{self.done} of {self.total} mini-batches done, {self.failed} files failed", flush=True)

    def run(self):
        count = max(1, min(self.settings["concurrency"], self.total))
        threads = [threading.Thread(target=self.serve) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


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


def drive(settings, options):
    files = files_of(options.input)
    if not files:
        sys.exit("The inputs have no files to score")
    root = tempfile.mkdtemp(prefix="model-", dir=os.getcwd())
    try:
        if options.model:
            lay_out(options.model, settings.get("model_name"), root)
        os.environ["AZUREML_MODEL_DIR"] = root
        score(settings, options, files)
    finally:
        shutil.rmtree(root, ignore_errors=True)


def score(settings, options, files):
    os.environ["AZUREML_BI_OUTPUT_PATH"] = options.output
    os.makedirs(options.output, exist_ok=True)
    size = max(1, settings["mini_batch_size"])
    batches = [files[at : at + size] for at in range(0, len(files), size)]
    print(f"{len(files)} files make {len(batches)} mini-batches", flush=True)
    with tempfile.TemporaryDirectory(prefix="rows-") as folder:
        batch = Batch(settings, batches, folder)
        batch.run()
        if settings["output_action"] == "append_row":
            # In the order of the files, whoever was first.
            with open(os.path.join(options.output, settings["output_file_name"]), "wb") as out:
                for number in range(len(batches)):
                    if os.path.exists(batch.rows(number)):
                        with open(batch.rows(number), "rb") as rows:
                            out.write(rows.read())
    if batch.fatal:
        sys.exit(batch.fatal)
    most = settings["error_threshold"]
    if 0 <= most < batch.failed:
        sys.exit(f"{batch.failed} files failed, more than the error threshold of {most} allows")


def main():
    settings = json.loads(os.environ["AML_BATCH"])
    parser = argparse.ArgumentParser()
    parser.add_argument("--worker", action="store_true")
    parser.add_argument("--model")
    parser.add_argument("--output")
    parser.add_argument("--input", action="append", default=[])
    options = parser.parse_args()
    if options.worker:
        work(settings)
    else:
        drive(settings, options)


if __name__ == "__main__":
    main()
