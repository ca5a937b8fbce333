// An extension module as pybind11 writes them: a class behind functions, a std::mutex taken by
// std::lock_guard, the GIL given away and taken back by guards of its own.

#include <Python.h>

#include <mutex>

#include "turns.h"

namespace {

// pybind11::gil_scoped_release and gil_scoped_acquire.
class Release {
 public:
  Release() : state_(PyEval_SaveThread()) {}
  ~Release() { PyEval_RestoreThread(state_); }

 private:
  PyThreadState* state_;
};
class Acquire {
 public:
  Acquire() : state_(PyGILState_Ensure()) {}
  ~Acquire() { PyGILState_Release(state_); }

 private:
  PyGILState_STATE state_;
};

class Table {
 public:
  std::mutex mutex;
  struct turns turns = {};

  PyObject* visit(PyObject* callback) {
    const Release without_gil;
    const std::lock_guard<std::mutex> guard(mutex);
    raise_flag(&turns.taken);
    await_flag(&turns.asked);
    const Acquire with_gil;
    return PyObject_CallFunction(callback, "i", 3);
  }
  int size() {
    raise_flag(&turns.asked);
    const std::lock_guard<std::mutex> guard(mutex);
    return 3;
  }
  int polite_size() {
    const Release without_gil;
    return size();
  }
  void rebuild() {
    const Release without_gil;
    const std::lock_guard<std::mutex> guard(mutex);
    raise_flag(&turns.taken);
    volatile unsigned long rows = 0;
    for (;;) rows = rows + 1;
  }
};
Table table;

// What the first use makes, with the GIL given away in between: another thread comes for it.
struct turns first_use;
struct Settings {
  int size;
  explicit Settings(PyObject* reader) : size(0) {
    {
      const Release without_gil;
      raise_flag(&first_use.taken);
      await_flag(&first_use.asked);
    }
    PyObject* result = PyObject_CallFunction(reader, nullptr);
    Py_XDECREF(result);
  }
};

__attribute__((noinline)) const Settings& settings(PyObject* reader) {
  static const Settings made(reader);
  return made;
}

PyObject* visit(PyObject*, PyObject* callback) {
  return table.visit(callback);
}
PyObject* size(PyObject*, PyObject*) {
  return PyLong_FromLong(table.size());
}
PyObject* polite_size(PyObject*, PyObject*) {
  return PyLong_FromLong(table.polite_size());
}
PyObject* rebuild(PyObject*, PyObject*) {
  table.rebuild();
  Py_RETURN_NONE;
}
PyObject* mutex_address(PyObject*, PyObject*) {
  return PyLong_FromVoidPtr(&table.mutex);
}
PyObject* await_holder(PyObject*, PyObject*) {
  const Release without_gil;
  await_flag(&table.turns.taken);
  Py_RETURN_NONE;
}
PyObject* read_settings(PyObject*, PyObject* reader) {
  return PyLong_FromLong(settings(reader).size);
}
PyObject* ask_settings(PyObject*, PyObject* reader) {
  raise_flag(&first_use.asked);
  return PyLong_FromLong(settings(reader).size);
}
PyObject* await_reader(PyObject*, PyObject*) {
  const Release without_gil;
  await_flag(&first_use.taken);
  Py_RETURN_NONE;
}

PyMethodDef methods[] = {{"visit", visit, METH_O, nullptr},
                         {"size", size, METH_NOARGS, nullptr},
                         {"polite_size", polite_size, METH_NOARGS, nullptr},
                         {"rebuild", rebuild, METH_NOARGS, nullptr},
                         {"mutex_address", mutex_address, METH_NOARGS, nullptr},
                         {"await_holder", await_holder, METH_NOARGS, nullptr},
                         {"read_settings", read_settings, METH_O, nullptr},
                         {"ask_settings", ask_settings, METH_O, nullptr},
                         {"await_reader", await_reader, METH_NOARGS, nullptr},
                         {nullptr, nullptr, 0, nullptr}};
PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "guarded", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_guarded() {
  return PyModule_Create(&definition);
}
