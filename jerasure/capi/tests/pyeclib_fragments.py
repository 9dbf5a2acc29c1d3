"""Writes PyECLib's fragments of known data to a file, or reads such a file and decodes each set with m fragments gone."""

import itertools
import pickle
import random
import sys

from pyeclib.ec_iface import ECDriver

CODES = [
    ("jerasure_rs_vand", 2, 1),
    ("jerasure_rs_vand", 4, 2),
    ("jerasure_rs_vand", 10, 4),
    ("jerasure_rs_cauchy", 4, 2),
    ("jerasure_rs_cauchy", 6, 3),
]
SIZES = (1, 100, 4096, 65536, 1000003)


def data(size):
    return random.Random(size).randbytes(size)


def write(path):
    sets = {}
    for kind, k, m in CODES:
        driver = ECDriver(k=k, m=m, ec_type=kind)
        for size in SIZES:
            sets[kind, k, m, size] = driver.encode(data(size))
    with open(path, "wb") as file:
        pickle.dump(sets, file)
    with open("/proc/self/maps") as maps:
        print({line.split()[-1] for line in maps if "libJerasure" in line})


def read(path):
    with open(path, "rb") as file:
        sets = pickle.load(file)
    for (kind, k, m, size), fragments in sets.items():
        driver = ECDriver(k=k, m=m, ec_type=kind)
        for lost in itertools.islice(itertools.combinations(range(k + m), m), 20):
            left = [f for i, f in enumerate(fragments) if i not in lost]
            assert driver.decode(left) == data(size), (kind, k, m, size, lost)
            made = driver.reconstruct(left, list(lost))
            assert made == [fragments[i] for i in lost], (kind, k, m, size, lost)


if sys.argv[1] == "--read":
    read(sys.argv[2])
else:
    write(sys.argv[1])
