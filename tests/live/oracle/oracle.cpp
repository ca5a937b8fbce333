// Our walk against libdwfl's over our own callbacks (never its core reader: it invents frames), for
// every thread of a core. Prints  "LWP frame pc rbx"  of our walk; on a difference says where and
// exits 1.
#include <elfutils/libdwfl.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <map>

#include "session.hpp"

namespace {

using coldcase::Addr;
using coldcase::Registers;
using coldcase::Session;

struct Oracle {
  const Session* session;
  std::size_t next = 0;
};

pid_t next_thread(Dwfl*, void* argument, void** thread_argument) {
  auto* oracle = static_cast<Oracle*>(argument);
  if (*thread_argument == nullptr) oracle->next = 0;  // libdwfl begins anew
  if (oracle->next >= oracle->session->core.threads.size()) return 0;
  const auto& thread = oracle->session->core.threads[oracle->next++];
  *thread_argument = const_cast<coldcase::CoreThread*>(&thread);
  return thread.tid;
}

bool read_memory(Dwfl*, Dwarf_Addr address, Dwarf_Word* result, void* argument) {
  const auto word =
      static_cast<Oracle*>(argument)->session->image.read<std::uint64_t>(Addr{address});
  if (word) *result = *word;
  return word.has_value();
}

bool set_registers(Dwfl_Thread* thread, void* argument) {
  const auto& registers = static_cast<const coldcase::CoreThread*>(argument)->registers;
  const coldcase::Context context = coldcase::context_of(registers);
  dwfl_thread_state_register_pc(thread, registers[Registers::rip]);
  return dwfl_thread_state_registers(thread, 0, 17, context.values.data());
}

int add_frame(Dwfl_Frame* frame, void* argument) {
  Dwarf_Addr pc = 0;
  if (!dwfl_frame_pc(frame, &pc, nullptr)) return DWARF_CB_ABORT;
  static_cast<std::vector<std::uint64_t>*>(argument)->push_back(pc);
  return DWARF_CB_OK;
}

// The vdso has no file: libdwfl gets it through one.
int open_module(const coldcase::Module& module) {
  if (module.found != coldcase::Found::core) return ::open(module.file->path().c_str(), O_RDONLY);
  const int fd = ::memfd_create("vdso", 0);
  const auto bytes = module.file->bytes();
  return ::write(fd, bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()) ? fd : -1;
}

Dwfl* report_modules(const Session& session) {
  static char* no_path = nullptr;
  static const Dwfl_Callbacks callbacks{dwfl_build_id_find_elf, dwfl_standard_find_debuginfo,
                                        nullptr, &no_path};
  Dwfl* dwfl = dwfl_begin(&callbacks);
  dwfl_report_begin(dwfl);
  for (const auto& module : session.modules.list) {
    if (!module.file) continue;
    const std::string name(module.path);
    if (dwfl_report_elf(dwfl, name.c_str(), name.c_str(), open_module(module), module.bias,
                        false) == nullptr) {
      std::fprintf(stderr, "oracle: %s: %s\n", name.c_str(), dwfl_errmsg(-1));
    }
  }
  dwfl_report_end(dwfl, nullptr, nullptr);
  return dwfl;
}

int compare(const Session& session, Dwfl* dwfl) {
  int different = 0;
  for (std::size_t i = 0; i < session.core.threads.size(); ++i) {
    std::vector<std::uint64_t> theirs;
    dwfl_getthread_frames(dwfl, session.core.threads[i].tid, add_frame, &theirs);
    const auto& walk = session.threads->walks[i];
    std::vector<std::uint64_t> ours;
    for (const auto& frame : walk.frames) ours.push_back(session.threads->pc_of(frame).value);
    if (ours == theirs) continue;
    ++different;
    std::fprintf(stderr, "LWP %d: %zu frames here, %zu by libdwfl\n", session.core.threads[i].tid,
                 ours.size(), theirs.size());
    for (std::size_t f = 0; f < std::max(ours.size(), theirs.size()); ++f) {
      const auto at = [f](const std::vector<std::uint64_t>& all) {
        return f < all.size() ? all[f] : 0;
      };
      if (at(ours) != at(theirs))
        std::fprintf(stderr, "  #%zu %#lx, %#lx\n", f, at(ours), at(theirs));
    }
  }
  return different;
}

void print_registers(Session& session) {
  coldcase::Unwinder unwinder(session.image, session.threads->rules);
  for (const auto& thread : session.core.threads) {
    int number = 0;
    unwinder.walk(thread.registers,
                  [&](const coldcase::WalkFrame&, const coldcase::Context& context) {
                    const auto rbx = context.get(coldcase::dw_rbx);
                    std::printf("%d %d %#lx ", thread.tid, number++, context.pc().value);
                    if (rbx)
                      std::printf("%#lx\n", *rbx);
                    else
                      std::printf("?\n");
                    return true;
                  });
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 64;
  const auto session = coldcase::open_session(coldcase::open_input(argv[1]), {});
  print_registers(*session);
  Dwfl* dwfl = report_modules(*session);
  Oracle oracle{session.get()};
  static const Dwfl_Thread_Callbacks callbacks{next_thread,   nullptr, read_memory,
                                               set_registers, nullptr, nullptr};
  if (!dwfl_attach_state(dwfl, nullptr, 1, &callbacks, &oracle)) {
    std::fprintf(stderr, "oracle: cannot attach: %s\n", dwfl_errmsg(-1));
    return 2;
  }
  const int different = compare(*session, dwfl);
  dwfl_end(dwfl);
  std::fprintf(stderr, "oracle: %zu threads, %d different\n", session->core.threads.size(),
               different);
  return different == 0 ? 0 : 1;
}
