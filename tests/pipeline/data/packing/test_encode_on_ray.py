from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.packing.encode_on_ray import in_order


@given(st.integers(0, 30).flatmap(lambda n: st.permutations(range(n))))
def test_values_come_in_the_order_of_their_numbers(arrivals):
    assert list(in_order((number, str(number)) for number in arrivals)) == [str(n) for n in range(len(arrivals))]


def test_a_value_waits_only_for_those_before_it():
    taken: list[int] = []

    def arrivals():
        for number in (1, 0, 3, 2):
            taken.append(number)
            yield number, number

    values = in_order(arrivals())
    assert (next(values), list(taken)) == (0, [1, 0])
