"""What a file holds, without seconds that work took, times of photos, and names that tf2onnx makes up."""

import hashlib
import io
import json
import re
from pathlib import Path

import h5py

HDF5 = b"\x89HDF\r\n\x1a\n"
TIMES = re.compile(rb" \d{19} \d{19}")  # of a photo's file, in what tells it from another one


def digest(path):
    """16 hexadecimal digits of a file's bytes; of a captioner, checkpoint or ONNX graph, of what it holds."""
    content = path.read_bytes()
    if content.startswith(HDF5):
        parts = _read_hdf5(content)
    elif ".onnx" in path.name and content:
        parts = _read_onnx(content)
    else:
        return hashlib.sha256(TIMES.sub(b"", content)).hexdigest()[:16]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _read_onnx(content):
    """What each output is computed from, down to inputs and constants; tf2onnx names all between anew each time."""
    import onnx

    try:
        graph = onnx.load_from_string(content).graph
    except Exception:  # half a file
        return content.hex()
    values = {each.name: f"input {each.name}" for each in graph.input}
    for each in graph.initializer:
        array = onnx.numpy_helper.to_array(each)
        values[each.name] = f"{array.dtype} {array.shape} {hashlib.sha256(array.tobytes()).hexdigest()}"
    for node in graph.node:  # each after those that it reads
        inputs = [values.get(name, "") for name in node.input]
        if node.op_type == "Identity":  # of two equal constants either may be the other's
            values[node.output[0]] = inputs[0]
            continue
        for place, name in enumerate(node.output):
            made = json.dumps([node.op_type, place, str(node.attribute), inputs])
            values[name] = hashlib.sha256(made.encode()).hexdigest()
    return [[each.name, values[each.name]] for each in graph.output]


def _read_hdf5(content):
    """Attributes, documents without their seconds, and arrays."""
    parts = []
    with h5py.File(io.BytesIO(content)) as file:  # by its name it would meet the lock of who writes it
        parts += sorted((name, str(value)) for name, value in file.attrs.items() if name != "digest")  # of seconds, too

        def visit(name, item):
            if isinstance(item, h5py.Dataset):
                if name.startswith("documents/"):  # its length is that of the seconds, too
                    parts.append((name, _timeless(json.loads(item[()].tobytes()))))
                else:
                    parts.append((name, str(item.dtype), item.shape, item[()].tobytes().hex()))

        file.visititems(visit)
    return parts


def _timeless(value):
    """A document without `seconds`, the one thing that may differ from run to run."""
    if isinstance(value, dict):
        return {key: _timeless(each) for key, each in value.items() if key != "seconds"}
    return [_timeless(each) for each in value] if isinstance(value, list) else value


def tree(folder):
    """All that is below a folder, hidden files too: dict of relative path to digest, "folder" for a folder.

    Of Parquet tables the rows, each with "row": how they are split into files depends on where a run was stopped.
    """
    found = {}
    for path in sorted(Path(folder).rglob("*")):
        name = str(path.relative_to(folder))
        rows = _read_rows(path) if path.suffix == ".parquet" else None
        if rows is None:
            found[name] = "folder" if path.is_dir() else digest(path)
        else:
            found |= {f"{Path(name).parent}: {json.dumps(row, default=str)}": "row" for row in rows}
    return found


def _read_rows(path):
    """The rows of a table, or None for half a file; without threads, which a fork would lose."""
    import pyarrow.parquet

    try:
        return pyarrow.parquet.ParquetFile(io.BytesIO(path.read_bytes())).read(use_threads=False).to_pylist()
    except pyarrow.ArrowInvalid:
        return None
