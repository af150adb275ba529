"""The training order of records as numbers: what tf.data's interleave and shuffle give, without going through them.

`Dataset.interleave` and `Dataset.shuffle` hand over one element after another, some microseconds each. A worker that
reads a 64th of the records would spend more on the order of all than on reading its own. Here an epoch's order is
computed at once, 0.1 microseconds a record, in arrays. It is the same order: runs that were begun by it go on with it.
"""

import numpy as np

_BLOCK = 2**16  # places that are shuffled at once; what is needed beside the order itself


def interleaved(counts: np.ndarray, order: np.ndarray, cycle: int, block: int) -> np.ndarray:
    """The elements of files in the order of `range(files).interleave(read_file, cycle, block)`.

    Args:
        counts: (files,) elements in each; their numbers run on from file to file.
        order: (files,) which file is opened when.
        cycle, block: so many files are open at once, so many elements are taken from each in turn.

    Returns:
        (sum of counts,) int32, numbers of elements.
    """
    counts, firsts = np.asarray(counts), np.cumsum(counts) - counts
    # In each round every place of the cycle gives a block. A file ends with one that is short or empty, in the same
    # round; the place takes the next file in the round after.
    rounds = counts[order] // block + 1
    free = np.zeros(cycle, np.int64)  # the round in which each place is free
    begins, places = np.zeros(len(order), np.int64), np.zeros(len(order), np.int64)
    for number, length in enumerate(rounds.tolist()):
        place = int(free.argmin())  # the first of equals, as the places come round
        begins[number], places[number] = free[place], place
        free[place] += length
    within = np.arange(rounds.sum()) - np.repeat(np.cumsum(rounds) - rounds, rounds)  # the block's number in its file
    turn = np.argsort((np.repeat(begins, rounds) + within) * cycle + np.repeat(places, rounds))
    starts = (np.repeat(firsts[order], rounds) + within * block)[turn]
    sizes = np.minimum(np.repeat(counts[order], rounds) - within * block, block)[turn]
    inside = np.arange(sizes.sum(), dtype=np.int32) - np.repeat((np.cumsum(sizes) - sizes).astype(np.int32), sizes)
    return np.repeat(starts.astype(np.int32), sizes) + inside


def shuffle(values: np.ndarray, buffer: int, random: np.ndarray) -> None:
    """Shuffles `values` in place, as a shuffle buffer of that size does with these random numbers.

    A buffer of b elements hands over one of the b that are next, and puts the first of them into its place: for each
    place t in turn, values[t] and values[t + random[t] % b] change places; near the end b is what is left. Which swaps
    touch one place is found for a block of t at once, by sorting.

    Args:
        values: (examples,) int32.
        buffer: 1 or more.
        random: (examples,) uint32.
    """
    for begin in range(0, len(values), _BLOCK):
        count = min(_BLOCK, len(values) - begin)
        times = np.arange(count)
        left = np.minimum(buffer, len(values) - begin - times)
        _swap(values[begin : begin + count + buffer], times + random[begin : begin + count] % left)


def _swap(values: np.ndarray, partners: np.ndarray) -> None:
    """For t = 0, 1 ...: values[t] and values[partners[t]] change places, in place; partners[t] >= t."""
    count = len(partners)
    by_place = np.sort(partners * count + np.arange(count))  # the times that touch each place, in their order
    times = by_place % count
    touched = by_place // count
    again = np.zeros(count, bool)
    again[1:] = touched[1:] == touched[:-1]
    before = np.full(count, -1)  # of each time, the one before it that touched the same place
    before[times[1:]] = np.where(again[1:], times[:-1], -1)
    last = np.ones(count, bool)
    last[:-1] = ~again[1:]
    ends, at = times[last], touched[last]
    # What lies at place t when its turn has come was put there by the last time before t that touched it: it is what
    # lay at that time's own place, and so on back to a place that none had touched.
    source, inside = np.arange(count), at < count
    writer = np.where(ends == at, before[ends], ends)[inside]
    source[at[inside]] = np.where(writer >= 0, writer, at[inside])
    while True:
        further = source[source]
        if np.array_equal(further, source):
            break
        source = further
    taken = np.where(before >= 0, values[source[before]], values[partners])
    values[at[~inside]] = values[source[ends[~inside]]]
    values[:count] = taken
