"""One check, told twice from one definition: as a Great Expectations expectation and as a pandas mask.

The expectation gives the verdict (counted at SUMMARY format), the mask gives the failing rows for the
quarantine table: asking Great Expectations for every failing row of a large table is ten times slower.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from components.gates.params import Rate, Span, Threshold

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.expectations import Expectation

Kind = Literal["columns", "not_null", "between", "in_set", "matches", "unique", "value", "rows"]
TYPES: dict[str, str] = {
    "columns": "expect_table_columns_to_match_set",
    "not_null": "expect_column_values_to_not_be_null",
    "between": "expect_column_values_to_be_between",
    "in_set": "expect_column_values_to_be_in_set",
    "matches": "expect_column_values_to_match_regex",
    "unique": "expect_column_values_to_be_unique",
    "value": "expect_column_values_to_be_between",
    "rows": "expect_table_row_count_to_be_between",
}


@dataclass(frozen=True)
class Check:
    """What is expected of one column (or of the number of rows) of one table.

    kind: `value` is `between` for a single figure that must be there; null rows pass the other kinds.
    show: the column whose value is told for a failing row, where `column` is derived.
    warn, fail: rates in [0, 1] (ignored for `columns`, `rows` and `value`).
    """

    name: str
    kind: Kind
    column: str | None = None
    table: str = "all"
    warn: float = 0.0
    fail: float = 0.0
    minimum: float | None = None
    maximum: float | None = None
    warn_minimum: float | None = None
    warn_maximum: float | None = None
    values: tuple[Any, ...] = ()
    pattern: str = ""
    show: str | None = None
    told: str = ""

    @property
    def type(self) -> str:
        """The expectation's name in Great Expectations."""
        return TYPES[self.kind]

    @property
    def absolute(self) -> bool:
        """Whether it is judged by a bound and not by a rate of rows."""
        return self.kind in ("columns", "rows", "value")

    @property
    def allowed(self) -> str:
        """What a row (or the table) must be, in words."""
        if self.told:
            return self.told
        if self.kind in ("between", "value", "rows"):
            return _interval(self.minimum, self.maximum)
        return {
            "columns": "has " + ", ".join(map(str, self.values)),
            "not_null": "not null",
            "unique": "used once",
            "in_set": "one of " + ", ".join(map(str, self.values)),
            "matches": f"matches {self.pattern}",
        }[self.kind]


def of_rate(name: str, kind: Kind, column: str, rate: Rate, **more: Any) -> Check:
    """A check whose tolerance (and interval, if `rate` is a `Span`) comes from parameters."""
    if isinstance(rate, Span):
        more = {"minimum": rate.minimum, "maximum": rate.maximum} | more
    return Check(name, kind, column, warn=rate.warn, fail=rate.fail, **more)


def of_threshold(name: str, column: str, bound: Threshold, table: str = "metrics") -> Check:
    """A check of a single figure."""
    return Check(
        name,
        "value",
        column,
        table,
        minimum=bound.minimum,
        maximum=bound.maximum,
        warn_minimum=bound.warn_minimum,
        warn_maximum=bound.warn_maximum,
    )


def _interval(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        return f"= {low:g}" if low == high else f"between {low:g} and {high:g}"
    return f"≥ {low:g}" if low is not None else f"≤ {high:g}"


def expectations(check: Check) -> list[Expectation]:
    """The check as Great Expectations sees it; `meta["check"]` is the check's name."""
    import great_expectations.expectations as gxe

    common: dict[str, Any] = {"meta": {"check": check.name}}
    if check.kind == "rows":
        return [
            gxe.ExpectTableRowCountToBeBetween(min_value=check.minimum, max_value=check.maximum, **common)
        ]
    if check.kind == "columns":
        names = list(check.values)
        return [gxe.ExpectTableColumnsToMatchSet(column_set=names, exact_match=False, **common)]
    common["column"] = check.column
    if check.kind == "not_null":
        return [gxe.ExpectColumnValuesToNotBeNull(mostly=1 - check.fail, **common)]
    if check.kind == "unique":
        return [gxe.ExpectColumnValuesToBeUnique(mostly=1 - check.fail, **common)]
    if check.kind == "in_set":
        values = list(check.values)
        return [gxe.ExpectColumnValuesToBeInSet(value_set=values, mostly=1 - check.fail, **common)]
    if check.kind == "matches":
        return [gxe.ExpectColumnValuesToMatchRegex(regex=check.pattern, mostly=1 - check.fail, **common)]
    mostly = 1.0 if check.kind == "value" else 1 - check.fail
    between = gxe.ExpectColumnValuesToBeBetween(
        min_value=check.minimum, max_value=check.maximum, mostly=mostly, **common
    )
    if check.kind == "value":
        return [gxe.ExpectColumnValuesToNotBeNull(**common), between]
    return [between]


def failing(check: Check, table: pd.DataFrame) -> pd.Series:
    """A boolean mask over `table`: True where the row breaks the check.

    Values of a type that cannot be compared break it.
    """
    import pandas as pd

    none = pd.Series(False, index=table.index)
    if check.kind in ("columns", "rows") or check.column is None:
        return none
    if check.column not in table:
        return ~none
    column = table[check.column]
    null = column.isna()
    if check.kind == "not_null":
        return null
    if check.kind == "unique":
        return column.duplicated(keep=False) & ~null
    if check.kind == "in_set":
        return ~column.isin(list(check.values)) & ~null
    if check.kind == "matches":
        found = column.astype("string").str.contains(check.pattern, regex=True)
        return ~found.fillna(True).astype(bool)
    try:
        outside = none
        if check.minimum is not None:
            outside = outside | (column < check.minimum).fillna(False)
        if check.maximum is not None:
            outside = outside | (column > check.maximum).fillna(False)
    except TypeError:
        return ~none
    outside = outside.astype(bool) & ~null
    return outside | null if check.kind == "value" else outside
