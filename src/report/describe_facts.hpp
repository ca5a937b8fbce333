// The fields of what was read from the cores; see describe.hpp for how to read these lists.
#pragma once

#include <coldcase/analysis.hpp>
#include <map>
#include <type_traits>

namespace coldcase::report {

// A reader and the cleaner fill the values, the others only look.
template <class Io, class T>
using As = std::conditional_t<Io::changes, T, const T>;

template <class T>
bool known(const std::optional<T>& value) {
  return value.has_value();
}
template <RefKind K>
bool known(Id<K> id) {
  return id.known();
}
inline bool known(const std::string& text) {
  return !text.empty();
}
template <class T>
bool known(const std::vector<T>& values) {
  return !values.empty();
}
template <class T>
bool known(const std::map<std::string, T>& values) {
  return !values.empty();
}

template <class Io>
void describe(Io& io, As<Io, InputFact>& input) {
  io.identity(RefKind::input);
  io.must("kind", input.kind);
  io.may("path", input.path);
  io.may("process", input.process);
  io.may("writer", input.writer);
  io.may("compression", input.compression);
  io.may("identity", input.identity);
  io.may("file_bytes", input.file_bytes);
  io.may("declared_bytes", input.declared_bytes);
  io.may("present_bytes", input.present_bytes);
  io.may("truncated", input.truncated);
  io.group("taken", known(input.taken_at) || known(input.taken_source), [&] {
    io.may("at", input.taken_at);
    io.may("source", input.taken_source);
  });
  io.group("problem", known(input.problem_code) || known(input.problem_text), [&] {
    io.must("code", input.problem_code);
    io.must("text", input.problem_text);
  });
}

template <class Io>
void describe(Io& io, As<Io, GcFact>& gc) {
  io.must("running", gc.running);
  io.may("generation", gc.generation);
  io.may("thread", gc.thread);
}

template <class Io>
void describe(Io& io, As<Io, InterpreterFact>& interpreter) {
  io.identity(RefKind::interpreter);
  io.may("gil", interpreter.gil);
  io.may("finalizing", interpreter.finalizing);
  io.may("gc", interpreter.gc);
}

template <class Io>
void describe(Io& io, As<Io, RuntimeFact>& runtime) {
  io.identity(RefKind::runtime);
  io.must("kind", runtime.kind);
  io.may("version", runtime.version);
  io.may("free_threaded", runtime.free_threaded);
  io.may("module", runtime.module);
  io.may("details", runtime.details);
  io.may("interpreters", runtime.interpreters);
}

template <class Io>
void describe(Io& io, As<Io, SignalFact>& signal) {
  io.must("number", signal.number);
  io.must("name", signal.name);
  io.group("code", true, [&] {
    io.must("number", signal.code);
    io.may("name", signal.code_name);
  });
  io.may("address", signal.address);
  io.may("sender_pid", signal.sender_pid);
  io.may("from_outside", signal.from_outside);
}

template <class Io>
void describe(Io& io, As<Io, MpiFact>& mpi) {
  io.must("rank", mpi.rank);
  io.may("size", mpi.size);
  io.may("job", mpi.job);
}

template <class Io>
void describe(Io& io, As<Io, ProcessFact>& process) {
  io.identity(RefKind::process);
  io.must("captured", process.captured);
  io.must("fate", process.fate);
  io.may("pid", process.pid);
  io.may("parent", process.parent);
  io.may("label", process.label);
  io.may("executable", process.executable);
  io.may("arch", process.arch);
  io.must("dump_reason", process.dump_reason);
  io.may("signal", process.signal);
  io.may("runtimes", process.runtimes);
  io.may("mpi", process.mpi);
}

template <class Io>
void describe(Io& io, As<Io, Wait>& wait) {
  io.must("kind", wait.kind);
  io.may("mode", wait.mode);
  io.must("on", wait.on);
  io.may("all", wait.all);
  io.may("at", wait.at);
  io.may("then", wait.then);
  io.group("syscall", known(wait.syscall_number) || known(wait.syscall_name), [&] {
    io.may("number", wait.syscall_number);
    io.may("name", wait.syscall_name);
  });
  io.may("ends", wait.ends);
  io.may("timeout_ms", wait.timeout_ms);
  io.may("frame", wait.frame);
  io.must("confidence", wait.confidence);
  io.may("evidence", wait.evidence);
}

template <class Io>
void describe(Io& io, As<Io, Hold>& hold) {
  io.must("resource", hold.resource);
  io.may("mode", hold.mode);
  io.may("count", hold.count);
  io.may("frame", hold.frame);
  io.must("confidence", hold.confidence);
  io.must("basis", hold.basis);
  io.may("evidence", hold.evidence);
}

template <class Io>
void describe(Io& io, As<Io, PythonThread>& python) {
  io.must("interpreter", python.interpreter);
  io.may("ident", python.ident);
  io.may("name", python.name);
  io.may("daemon", python.daemon);
  io.may("gil_state", python.gil_state);
  io.may("attached", python.attached);
  io.may("in_gc", python.in_gc);
}

template <class Io>
void describe(Io& io, As<Io, Api>& api) {
  io.may("name", api.name);
  io.may("runtime", api.runtime);
  io.may("how", api.how);
  io.must("confidence", api.confidence);
}

template <class Io>
void describe(Io& io, As<Io, LocalFact>& local) {
  io.must("frame", local.frame);
  io.must("name", local.name);
  io.may("type", local.type);
  io.must("value", local.value);
}

template <class Io>
void describe(Io& io, As<Io, ThreadFact>& thread) {
  io.identity(RefKind::thread);
  io.must("process", thread.process);
  io.must("captured", thread.captured);
  io.may("tid", thread.tid);
  io.may("name", thread.name);
  io.may("name_from", thread.name_from);
  io.may("entry", thread.entry);
  io.must("state", thread.state);
  io.may("tag", thread.tag);
  io.may("findings", thread.findings);
  io.may("wait", thread.wait);
  io.may("holds", thread.holds);
  io.may("python", thread.python);
  io.may("stack", thread.stack);
  io.may("site", thread.site);
  io.may("api", thread.api);
  io.may("cpu_ms", thread.cpu_ms);
  io.may("cpu_system_ms", thread.cpu_system_ms);
  io.may("cpu_from", thread.cpu_from);
  io.may("age_ms", thread.age_ms);
  io.may("in_syscall", thread.in_syscall);
  io.may("stopped", thread.stopped);
  io.may("locals", thread.locals);
}

template <class Io>
void describe(Io& io, As<Io, TaskFact>& task) {
  io.identity(RefKind::task);
  io.must("process", task.process);
  io.may("thread", task.thread);
  io.may("loop", task.loop);
  io.may("name", task.name);
  io.must("state", task.state);
  io.may("tag", task.tag);
  io.may("findings", task.findings);
  io.may("wait", task.wait);
  io.may("holds", task.holds);
  io.may("stack", task.stack);
  io.may("site", task.site);
  io.may("alike", task.alike);
}

template <class Io>
void describe(Io& io, As<Io, Frame>& frame) {
  io.must("kind", frame.kind);
  io.may("function", frame.function);
  io.may("symbol", frame.symbol);
  io.may("module", frame.module);
  io.may("module_offset", frame.module_offset);
  io.may("pc", frame.pc);
  io.may("symbol_offset", frame.symbol_offset);
  io.may("file", frame.file);
  io.may("line", frame.line);
  io.may("column", frame.column);
  io.may("in_app", frame.in_app);
  io.must("trust", frame.trust);
  io.may("times", frame.times);
  io.may("of", frame.of);
}

template <class Io>
void describe(Io& io, As<Io, Stack>& stack) {
  io.identity(RefKind::stack);
  io.frames("frames", stack.frames);
  io.must("depth", stack.depth);
  io.must("merge", stack.merge);
  io.group("stopped_because", true, [&] {
    io.must("code", stack.stop_code);
    io.may("text", stack.stop_text);
    io.may("address", stack.stop_address);
  });
}

template <class Io>
void describe(Io& io, As<Io, Owner>& owner) {
  io.must("by", owner.by);
  io.may("mode", owner.mode);
  io.must("confidence", owner.confidence);
  io.must("basis", owner.basis);
  io.must("evidence", owner.evidence);
}
}  // namespace coldcase::report

#include "report/describe_objects.hpp"
