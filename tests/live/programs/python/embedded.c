/* CPython inside a program: its static library, no symbol exported. Stripped by whoever builds it,
   like the interpreters in debuggers, servers and plugins. */
#include <Python.h>

int main(int argc, char** argv) {
  return Py_BytesMain(argc, argv);
}
