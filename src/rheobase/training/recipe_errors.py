"""Turn pydantic's validation errors into one line: where, which key, what was given, what was expected."""

import dataclasses
import re
import types
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

from pydantic import BaseModel, ValidationError

from rheobase.errors import unknown

Where = tuple[int | str, ...]


def explain(
    error: ValidationError, model: type[BaseModel], origin: str, overrides: Mapping[tuple[str, ...], str]
) -> str:
    """One line for all mistakes of a validation.

    `origin` names the file, `overrides` maps key paths to the text of their override.
    """
    lines: list[str] = []
    problems = error.errors(include_url=False)
    for problem in problems:
        where, holder = _resolve(problem["loc"], model)
        if _is_other_branch(problem, problems):
            continue
        source = next(
            (f"override {text!r}" for keys, text in overrides.items() if where[: len(keys)] == keys), origin
        )
        line = f"{source}: {_describe(problem, where, holder)}"
        if line not in lines:
            lines.append(line)
    return "; ".join(lines)


def _describe(problem: Any, where: Where, holder: Any) -> str:
    key = ".".join(map(str, where))
    kind, given = problem["type"], problem["input"]
    if kind in ("extra_forbidden", "unexpected_keyword_argument"):
        parent = ".".join(map(str, where[:-1]))
        return unknown(f"key in {parent!r}" if parent else "key", str(where[-1]), _keys(holder))
    if kind in ("missing", "missing_argument"):
        return f"{key!r} is missing"
    if kind == "union_tag_not_found":
        return f"{key!r} must say its {problem['ctx']['discriminator']}, got {given!r}"
    if kind == "union_tag_invalid":
        tags = [tag.strip(" '") for tag in problem["ctx"]["expected_tags"].split(",")]
        return unknown(key, str(problem["ctx"]["tag"]), tags)
    message = problem["msg"].removeprefix("Value error, ")
    return f"{key!r}: {message[0].lower()}{message[1:]}, got {given!r}"


def _is_other_branch(problem: Any, problems: list[Any]) -> bool:
    """Whether a union complains that the value is not of a branch the user did not mean.

    A dictionary given for `str | NeuronConfig` is no wrong string, and a number is as wrong for one branch as
    for the other.
    """
    *parent, _ = problem["loc"]
    siblings = [p for p in problems if p is not problem and list(p["loc"][: len(parent)]) == parent]
    if problem["type"] == "string_type" and isinstance(problem["input"], dict):
        return bool(siblings)
    return problem["type"] in ("dataclass_type", "model_type") and any(
        p["input"] is problem["input"] for p in siblings
    )


def _resolve(location: Where, model: Any) -> tuple[Where, Any]:
    """Key path as the user writes it, without pydantic's branch names, and the type that holds its end."""
    path: list[int | str] = []
    holder, options = model, [model]
    for part in location:
        for option in options:
            fields = _fields(option)
            if part in fields:
                path.append(part)
                holder, options = option, _branches(fields[part])
                break
        else:
            branch = [option for option in options if _is_named(option, part)]
            if branch:
                options = branch
                continue
            structured = [option for option in options if _fields(option)]
            if not structured and isinstance(part, str):
                continue  # a branch that is no structure: 'str', 'int', ...
            holder = structured[0] if structured else holder
            path.append(part)
            options = []
    return tuple(path), holder


def _fields(kind: Any) -> dict[str, Any]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    if isinstance(kind, type) and dataclasses.is_dataclass(kind):
        hints = get_type_hints(kind)
        return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
    return {}


def _branches(annotation: Any) -> list[Any]:
    if get_origin(annotation) is Annotated:
        return _branches(get_args(annotation)[0])
    if get_origin(annotation) in (Union, types.UnionType):
        return [branch for part in get_args(annotation) for branch in _branches(part)]
    return [annotation]


def _is_named(kind: Any, part: int | str) -> bool:
    """Whether pydantic calls the branch `kind` of a union `part`: a class name, or a `Literal` tag."""
    if wrapped := re.fullmatch(
        r"function-\w+\[.*, (\w+)\]", str(part)
    ):  # a branch with a validator of its own
        part = wrapped[1]
    tags = [get_args(annotation) for annotation in _fields(kind).values()]
    return getattr(kind, "__name__", None) == part or any(part in values for values in tags)


def _keys(holder: Any) -> list[str]:
    return list(_fields(holder))
