"""Copies data from or to what is behind a connection: rows of a database, files of a store.

AML_TRANSFER says in JSON what is done; AML_CONNECTION_USERNAME, …_PASSWORD and the like let one in.
"""

import csv
import datetime
import decimal
import gzip
import itertools
import json
import os
import pathlib
import pickle
import shutil
import sys
import tempfile
import urllib.parse

# Rows in memory at once.
CHUNK = 50_000
SCHEMES = {
    "azure_postgres_db": "postgresql+psycopg",
    "azure_my_sql_db": "mysql+pymysql",
    "azure_sql_db": "mssql+pymssql",
    "azure_synapse_analytics": "mssql+pymssql",
    "snowflake": "snowflake",
}
# As addresses name them → as SQLAlchemy does.
DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg", "mysql": "mysql+pymysql",
           "mssql": "mssql+pymssql", "sqlserver": "mssql+pymssql", "sqlite": "sqlite", "snowflake": "snowflake"}
MLTABLE = "type: mltable\npaths:\n  - pattern: ./*.parquet\ntransformations:\n  - read_parquet\n"


def secret(name):
    return os.environ.get(f"AML_CONNECTION_{name}")


def fail(message):
    print(f"Error: {message}", file=sys.stderr)
    sys.exit(1)


def address(kind, target):
    """The address of a database, from an address or from `Server=…;Database=…`."""
    from sqlalchemy import URL, make_url

    target = target.removeprefix("jdbc:")
    if "://" in target:
        scheme, rest = target.split("://", 1)
        url = make_url(f"{DRIVERS.get(scheme, scheme)}://{rest}")
    else:
        pairs = (part.split("=", 1) for part in target.split(";") if "=" in part)
        known = {key.strip().lower(): value.strip() for key, value in pairs}
        if kind not in SCHEMES or not known:
            fail(f"`{target}` is not the address of a database; write scheme://host:port/database")
        pick = lambda *keys: next((known[key] for key in keys if key in known), None)
        server = (pick("server", "host", "data source") or "").removeprefix("tcp:")
        host, _, port = server.replace(",", ":").partition(":")
        port = port or pick("port")
        url = URL.create(SCHEMES[kind], host=host, port=int(port) if port else None,
                         database=pick("database", "initial catalog", "dbname"), username=pick("user id", "uid", "user"))
    if url.get_backend_name() != "sqlite":
        url = url.set(username=secret("USERNAME") or url.username, password=secret("PASSWORD") or url.password)
    return url


def statement_of(order, engine):
    """What is asked of the database, and with which parameters."""
    if order.get("query"):
        return order["query"], None
    if order.get("table_name"):
        quote = engine.dialect.identifier_preparer.quote
        return "SELECT * FROM " + ".".join(map(quote, order["table_name"].split("."))), None
    procedure = order.get("stored_procedure")
    if not procedure:
        fail("The source names no query, table_name or stored_procedure")
    given = {str(p["name"]): p.get("value") for p in order.get("parameters", [])}
    if engine.dialect.name == "mssql":
        return f"EXEC {procedure} " + ", ".join(f"@{name} = :{name}" for name in given), given
    return f"CALL {procedure}({', '.join(f':{name}' for name in given)})", given


def read_rows(order, to, kind):
    from sqlalchemy import create_engine, text

    engine = create_engine(address(order["kind"], order["target"]))
    statement, given = statement_of(order, engine)
    # What a procedure does besides is to stay.
    with engine.connect() if given is None else engine.begin() as connection:
        if given is None:
            # As it is written: a colon or a percent sign means nothing.
            connection = connection.execution_options(no_parameters=True, stream_results=True, max_row_buffer=CHUNK)
            result = connection.exec_driver_sql(statement)
        else:
            # A call gives no cursor that could be kept at the server.
            result = connection.execute(text(statement), given)
        names = list(result.keys())
        parts = iter(lambda: result.fetchmany(CHUNK), [])
        if kind == "uri_file":
            rows = write_csv(names, parts, to)
        else:
            rows = write_parquet(names, parts, pathlib.Path(to) / "part-00000.parquet")
    if kind == "mltable":
        (pathlib.Path(to) / "MLTable").write_text(MLTABLE)
    print(f"{rows} rows were read")


def write_csv(names, parts, path):
    rows = 0
    with open(path, "w", newline="", encoding="utf-8") as out:
        lines = csv.writer(out, lineterminator="\n")
        lines.writerow(names)
        for part in parts:
            lines.writerows([shown(value) for value in row] for row in part)
            rows += len(part)
    return rows


def shown(value):
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value).hex()
    if isinstance(value, (dict, list)):
        return json.dumps(value, ensure_ascii=False, default=str)
    return value.isoformat() if hasattr(value, "isoformat") else value


def write_parquet(names, parts, path):
    """All rows have one schema, which is known when all were seen."""
    import pyarrow
    from pyarrow import parquet

    seen, rows = [Seen() for _ in names], 0
    with tempfile.TemporaryFile() as kept:
        for part in parts:
            columns = [[row[at] for row in part] for at in range(len(names))]
            for column, values in zip(seen, columns):
                column.look(values)
            pickle.dump(columns, kept)
            rows += len(part)
        schema = pyarrow.schema([(name, column.type()) for name, column in zip(names, seen)])
        end = kept.tell()
        kept.seek(0)
        with parquet.ParquetWriter(path, schema) as out:
            while kept.tell() < end:
                columns = pickle.load(kept)
                arrays = [pyarrow.array(seen.put(values), type=field.type)
                          for seen, values, field in zip(seen, columns, schema)]
                out.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))
    return rows


class Seen:
    """The values of a column: their types, and how large they are."""

    def __init__(self):
        self.kinds, self.most, self.scale, self.digits = set(), 0, 0, 0
        self.text = False

    def look(self, values):
        for value in values:
            if value is None:
                continue
            self.kinds.add(type(value))
            if type(value) is int:
                self.most = max(self.most, abs(value))
            elif isinstance(value, decimal.Decimal):
                _, digits, exponent = value.as_tuple()
                if not isinstance(exponent, int):
                    self.text = True
                    continue
                scale = max(-exponent, 0)
                self.scale = max(self.scale, scale)
                self.digits = max(self.digits, len(digits) + max(exponent, 0) - scale)

    def type(self):
        import pyarrow

        kinds = {
            bool: pyarrow.bool_(), int: pyarrow.int64(), float: pyarrow.float64(), str: pyarrow.string(),
            bytes: pyarrow.binary(), datetime.date: pyarrow.date32(), datetime.time: pyarrow.time64("us"),
        }
        if self.kinds == {decimal.Decimal} and not self.text and self.digits + self.scale <= 38:
            return pyarrow.decimal128(max(self.digits + self.scale, 1), self.scale)
        if self.kinds == {datetime.datetime}:
            return pyarrow.timestamp("us")
        if self.kinds == {int} and self.most >= 2**63:
            self.text = True
        # Of several types nothing is lost as text only.
        if len(self.kinds) == 1 and not self.text and (kind := kinds.get(next(iter(self.kinds)))):
            return kind
        self.text = True
        return pyarrow.string()

    def put(self, values):
        if self.text:
            return [None if value is None else str(shown(value)) for value in values]
        if self.kinds == {datetime.datetime}:
            utc = datetime.timezone.utc
            return [value.astimezone(utc).replace(tzinfo=None) if value and value.tzinfo else value for value in values]
        return values


def opened(file):
    if file.name.endswith(".gz"):
        return gzip.open(file, "rt", encoding="utf-8", newline="")
    return open(file, encoding="utf-8", newline="")


def tables_in(place):
    """The rows of the files of a place, a list of mappings at once."""
    place = pathlib.Path(place)
    files = [file for file in sorted(place.rglob("*")) if file.is_file()] if place.is_dir() else [place]
    # As Spark and MLTable mark what is no data.
    files = [file for file in files if file.name != "MLTable" and not file.name.startswith(("_", "."))]
    for file in files:
        end = pathlib.Path(file.name.lower().removesuffix(".gz")).suffix
        with open(file, "rb") as begin:
            is_parquet = begin.read(4) == b"PAR1"
        if is_parquet:
            from pyarrow import parquet

            for batch in parquet.ParquetFile(file).iter_batches(CHUNK):
                yield batch.to_pylist()
        elif end in (".csv", ".tsv") or end == "" and not place.is_dir():
            with opened(file) as text:
                rows = csv.DictReader(text, delimiter="\t" if end == ".tsv" else ",")
                rows = ({name: value or None for name, value in row.items()} for row in rows)
                yield from iter(lambda: list(itertools.islice(rows, CHUNK)), [])
        elif end in (".jsonl", ".ndjson"):
            with opened(file) as text:
                rows = (json.loads(line) for line in text if line.strip())
                yield from iter(lambda: list(itertools.islice(rows, CHUNK)), [])
        else:
            fail(f"`{file.name}` is neither CSV, JSON lines nor Parquet by its name; nothing was written")
    if not files:
        fail(f"There is no file of rows in `{place.name}`; nothing was written")


def put_as(column, value):
    """A text as the type that the table's column has."""
    if not isinstance(value, str):
        return value
    try:
        python = column.type.python_type
    except NotImplementedError:
        return value
    if python is bool:
        return value.strip().lower() in ("1", "true", "t", "yes")
    try:
        if python in (datetime.datetime, datetime.date, datetime.time):
            return python.fromisoformat(value.strip())
        if python is int and value.strip().lower() in ("true", "false"):
            # MySQL's own booleans are small numbers.
            return int(value.strip().lower() == "true")
        if python in (int, float, decimal.Decimal):
            return python(value.strip())
    except (ValueError, ArithmeticError):
        fail(f"`{value}` is no value for the column {column.name}, which is {column.type}; nothing was written")
    return value


def made_of(name, schema, rows, metadata):
    """A new table for rows: texts stay texts."""
    import sqlalchemy as sql

    kinds = {bool: sql.Boolean, int: sql.BigInteger, float: sql.Float, decimal.Decimal: sql.Numeric,
             datetime.datetime: sql.DateTime, datetime.date: sql.Date, bytes: sql.LargeBinary}
    columns = {}
    for row in rows:
        for key, value in row.items():
            columns.setdefault(key, set()).update({type(value)} if value is not None else set())
    types = {key: kinds.get(next(iter(found)), sql.Text) if len(found) == 1 else sql.Text for key, found in columns.items()}
    return sql.Table(name, metadata, *(sql.Column(key, kind) for key, kind in types.items()), schema=schema)


def write_rows(order, sources):
    import sqlalchemy as sql

    if not order.get("table_name"):
        fail("The sink names no table_name")
    schema, _, name = order["table_name"].rpartition(".")
    schema = schema or None
    engine = sql.create_engine(address(order["kind"], order["target"]))
    rows, metadata = 0, sql.MetaData()
    # All or nothing.
    with engine.begin() as connection:
        table = None
        if sql.inspect(connection).has_table(name, schema=schema):
            table = sql.Table(name, metadata, schema=schema, autoload_with=connection)
        for part in itertools.chain.from_iterable(map(tables_in, sources)):
            if table is None:
                table = made_of(name, schema, part, metadata)
                table.create(connection)
            unknown = {key for row in part for key in row} - set(table.columns.keys())
            if unknown:
                fail(f"The table {order['table_name']} has no column {', '.join(sorted(map(str, unknown)))}")
            put = [{key: put_as(table.columns[key], value) for key, value in row.items()} for row in part]
            connection.execute(table.insert(), put)
            rows += len(part)
    print(f"{rows} rows were written")


class Folder:
    """A folder of this machine."""

    def __init__(self, order):
        self.root = pathlib.Path(urllib.parse.unquote(urllib.parse.urlsplit(order["target"]).path)).resolve()

    def place(self, path):
        place = (self.root / path.lstrip("/")).resolve()
        if place != self.root and self.root not in place.parents:
            fail(f"`{path}` leads out of the connection's folder")
        return place

    def read(self, path, to):
        place = self.place(path)
        if place.is_dir():
            shutil.copytree(place, to, dirs_exist_ok=True)
        elif place.is_file():
            shutil.copy(place, to / place.name if to.is_dir() else to)
        else:
            fail(f"Nothing is at `{path}`")

    def write(self, source, path):
        place = self.place(path)
        if source.is_dir():
            shutil.copytree(source, place, dirs_exist_ok=True)
        else:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, place)


class Bucket:
    """A bucket of S3, or of what speaks like it."""

    def __init__(self, order):
        import boto3

        url = urllib.parse.urlsplit(order["target"])
        path = url.path.strip("/")
        if url.scheme == "s3":
            self.bucket, self.below, server = url.netloc, path, None
        elif url.scheme in ("http", "https") and not url.netloc.endswith("amazonaws.com"):
            self.bucket, _, self.below = path.partition("/")
            server = f"{url.scheme}://{url.netloc}"
        elif url.netloc.startswith(("s3.", "s3-")):
            (self.bucket, _, self.below), server = path.partition("/"), None
        elif ".s3" in url.netloc:
            self.bucket, self.below, server = url.netloc.split(".s3")[0], path, None
        else:
            self.bucket, self.below, server = (url.netloc or order["target"]), path, None
        self.client = boto3.client("s3", endpoint_url=server, aws_access_key_id=secret("ACCESS_KEY_ID"),
                                   aws_secret_access_key=secret("SECRET_ACCESS_KEY"))

    def key(self, path):
        return "/".join(part for part in (self.below, path.strip("/")) if part)

    def read(self, path, to):
        key, found = self.key(path), 0
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=key)
        for item in (item for page in pages for item in page.get("Contents", [])):
            name = item["Key"]
            if name.endswith("/"):
                # How some consoles mark a folder.
                continue
            if name != key and key and not name.startswith(key.rstrip("/") + "/"):
                continue
            inside = name.rsplit("/", 1)[-1] if name == key else name[len(key):].lstrip("/")
            if not inside or ".." in inside.split("/"):
                continue
            if found and not to.is_dir():
                fail(f"Several files are at `{path}`; an output of type uri_file takes one")
            target = to / inside if to.is_dir() else to
            target.parent.mkdir(parents=True, exist_ok=True)
            self.client.download_file(self.bucket, name, str(target))
            found += 1
        if not found:
            fail(f"Nothing is at `{path}`")
        print(f"{found} files were read")

    def write(self, source, path):
        files = [file for file in source.rglob("*") if file.is_file()] if source.is_dir() else [source]
        for file in files:
            inside = file.relative_to(source if source.is_dir() else source.parent)
            self.client.upload_file(str(file), self.bucket, self.key(f"{path}/{inside.as_posix()}"))
        print(f"{len(files)} files were written")


def store_of(order):
    return Bucket(order) if order["kind"] == "s3" or order["target"].startswith("s3:") else Folder(order)


def main():
    order = json.loads(os.environ["AML_TRANSFER"])
    places = sys.argv[1:]
    if order["task"] == "import_data":
        to = pathlib.Path(places[0])
        if order["output"] != "uri_file":
            to.mkdir(parents=True, exist_ok=True)
        if order["type"] == "database":
            read_rows(order, to, order["output"])
        else:
            store_of(order).read(order.get("path") or "", to)
    elif order["type"] == "database":
        write_rows(order, places)
    else:
        store = store_of(order)
        for source in places:
            store.write(pathlib.Path(source), order.get("path") or "")


if __name__ == "__main__":
    try:
        main()
    except Exception as error:
        # What the other side says tells more than where we are in this script.
        if not type(error).__module__.startswith(("sqlalchemy.", "botocore.", "boto3.")):
            raise
        fail(str(error).strip())
