# cython: language_level=3
"""A Cython module that guards its entries with a native mutex, and calls back while it holds it."""

cdef extern from "pthread.h" nogil:
    ctypedef struct pthread_mutex_t:
        pass
    int pthread_mutex_init(pthread_mutex_t *, void *)
    int pthread_mutex_lock(pthread_mutex_t *)
    int pthread_mutex_unlock(pthread_mutex_t *)

cdef extern from "turns.h" nogil:
    struct turns:
        int taken
        int asked
    void await_flag(const int *)
    void raise_flag(int *)

cdef pthread_mutex_t entries_lock
cdef turns order
pthread_mutex_init(&entries_lock, NULL)


def mutex_address():
    return <size_t> &entries_lock


def await_holder():
    with nogil:
        await_flag(&order.taken)


def visit(callback):
    with nogil:
        pthread_mutex_lock(&entries_lock)
        raise_flag(&order.taken)
        await_flag(&order.asked)
        with gil:
            result = callback(3)
        pthread_mutex_unlock(&entries_lock)
    return result


def size():
    raise_flag(&order.asked)
    pthread_mutex_lock(&entries_lock)
    pthread_mutex_unlock(&entries_lock)
    return 3
