"""Small spaces, whose every candidate can be listed, and random templates."""

import dataclasses

from hypothesis import strategies as st

from nas import Space, int_range, of, one_of, repeat
from nas.architecture import Architecture, Block, Embedding, Stage
from nas.mixers import Attention, ConvAttention, Pooling


@dataclasses.dataclass(frozen=True)
class Net:
    width: int
    mixer: object = "none"
    tags: tuple = ()


@dataclasses.dataclass
class Labelled:
    width: int
    tags: list = dataclasses.field(default_factory=list)


CONDITIONAL = {
    "mixer": one_of(
        attention={"heads": one_of(1, 2, 4), "kind": one_of("plain", conv={"kernel": one_of(1, 3, 5)})},
        pool={"size": one_of(3, 5)},
        none="none",
    ),
    "depth": int_range(1, 3),
    "flag": one_of(True, False),
}  # (3 * (1 + 3) + 2 + 1) * 3 * 2 = 90 candidates
REPEATED = {
    "blocks": repeat({"ratio": one_of(1, 2), "size": one_of(3, 5, 7)}, int_range(1, 4)),
    "scale": one_of(0.5, 1.0),
}  # 48
TUPLES = (one_of(1, 2), [one_of("a", "b"), 3], {"x": one_of(None, "y", 2.5)})  # 12
VALUES = of(Net, width=one_of(8, 16, 32), mixer=one_of(of(Net, width=one_of(1, 2)), "none"))  # 9
LEGAL = of(
    Architecture,
    resolution=8,
    stages=(
        of(
            Stage,
            embedding=of(Embedding, kernel=one_of(1, 3, 9), stride=one_of(1, 2)),
            width=one_of(8, 12, 16),
            blocks=repeat(
                of(
                    Block,
                    mixer=one_of(of(Attention, head_width=one_of(4, 8)), of(ConvAttention, head_width=8), of(Pooling)),
                ),
                int_range(1, 2),
            ),
        ),
    ),
)  # 3 * 2 * 3 * 4 * 2 = 144 combinations; kernel 9 does not fit, head 8 does not divide 12
SMALL = {
    "conditional": (CONDITIONAL, 90),
    "repeated": (REPEATED, 48),
    "tuples": (TUPLES, 12),
    "values": (VALUES, 9),
    "legal": (LEGAL, 80),
}


def small(name):
    return Space(SMALL[name][0])


@st.composite
def templates(draw, depth=2):
    """Random nested templates with at least one choice and few candidates."""
    scalars = st.one_of(
        st.integers(-3, 3), st.booleans(), st.sampled_from(["a", "b", "relu"]), st.none(), st.sampled_from([0.5, 2.5])
    )

    def node(level, name):
        kinds = ["scalar", "choice"] if level == 0 else ["scalar", "choice", "dict", "tuple", "list", "named", "repeat"]
        kind = draw(st.sampled_from(kinds))
        if kind == "scalar":
            return draw(scalars)
        if kind == "choice":
            options = draw(st.lists(scalars, min_size=2, max_size=3, unique_by=lambda value: (type(value), value)))
            return one_of(*options)
        if kind == "dict":
            return {
                key: node(level - 1, f"{name}{key}")
                for key in draw(st.sets(st.sampled_from("pqr"), min_size=1, max_size=2))
            }
        if kind in ("tuple", "list"):
            items = [node(level - 1, f"{name}{index}") for index in range(draw(st.integers(1, 2)))]
            return tuple(items) if kind == "tuple" else items
        if kind == "repeat":
            return {
                "row": repeat(
                    {"item": node(level - 1, name)}, draw(st.sampled_from([2, int_range(1, 3), one_of(1, 3)]))
                )
            }
        # "tag" keeps the options apart: a value then says which option it is of
        return one_of(**{key: {"tag": key, "body": node(level - 1, f"{name}{key}")} for key in ("left", "right")})

    return {"top": node(depth, ""), "switch": one_of("off", "on")}
