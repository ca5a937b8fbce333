// A library whose constructor does not come back: dlopen holds the loader's lock meanwhile.
// Whoever opens it has set COLDCASE_WAITS_HOOK to the address of what the constructor shall call.

#include <stdlib.h>

__attribute__((constructor)) static void begins(void) {
  const char* text = getenv("COLDCASE_WAITS_HOOK");
  if (text == NULL) return;
  void (*hook)(void) = (void (*)(void))strtoul(text, NULL, 16);
  hook();
}
