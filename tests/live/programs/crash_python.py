"""Reads address 0 through ctypes."""
import ctypes

from truth import Truth

truth = Truth(__file__, "crash-segv", "crash")


class Header:
    def name(self, address: int) -> bytes:
        return ctypes.string_at(address)  # mark: read


def load() -> None:
    print(Header().name(0))


def main() -> None:
    truth.thread()
    truth.site("MainThread", "Header.name", "read")
    truth.ready()
    load()


main()
