// The report's fields, listed once per struct and in the order of the contract. The writer, the
// reader, the cleaner and the schema generator are each an "Io" that such a list is told to:
//   must(key, value)   always written           may(key, value)    only when known
//   group(key, known, fields)   a nested object the values have flat
//   list(key, values, always, fields)   an array of objects with a shape of its own
// This header has what follows the facts: findings, verdict and the report itself.
#pragma once

#include "report/describe_facts.hpp"

namespace coldcase::report {

template <class Io>
void describe(Io& io, As<Io, StoryLine>& line) {
  io.must("text", line.text);
  io.must("evidence", line.evidence);
}

template <class Io>
void describe(Io& io, As<Io, Edge>& edge) {
  io.must("from", edge.from);
  io.must("relation", edge.relation);
  io.must("to", edge.to);
  io.must("confidence", edge.confidence);
  io.must("evidence", edge.evidence);
}

template <class Io>
void describe(Io& io, As<Io, Location>& at) {
  io.may("file", at.file);
  io.may("line", at.line);
  io.may("column", at.column);
  io.may("function", at.function);
  io.may("module", at.module);
  io.may("module_offset", at.module_offset);
  io.may("url", at.url);
}

template <class Io>
void describe(Io& io, As<Io, Advice>& advice) {
  io.must("text", advice.text);
  io.may("location", advice.location);
  io.may("url", advice.url);
}

template <class Io>
void describe(Io& io, As<Io, CrashFact>& crash) {
  io.must("thread", crash.thread);
  io.may("access", crash.access);
  io.may("address", crash.address);
  io.may("address_is", crash.address_is);
  io.may("registers", crash.registers);
  io.may("null_register", crash.null_register);
  const bool thrown =
      known(crash.exception_type) || known(crash.exception_what) || known(crash.exception_runtime);
  io.group("exception", thrown, [&] {
    io.may("type", crash.exception_type);
    io.may("what", crash.exception_what);
    io.may("runtime", crash.exception_runtime);
  });
  io.may("message", crash.message);
}

template <class Io>
void describe(Io& io, As<Io, Signature>& signature) {
  io.must("version", signature.version);
  io.must_long("text", signature.text);
  io.must("loose", signature.loose);
  io.may("strict", signature.strict);
  io.may("by_module", signature.by_module);
}

template <class Io>
void describe(Io& io, As<Io, Finding>& finding) {
  io.identity(RefKind::finding);
  io.must("pattern", finding.pattern);
  io.must("kind", finding.kind);
  io.must("confidence", finding.confidence);
  io.must("headline", finding.headline);
  io.must("summary", finding.summary);
  io.must("story", finding.story);
  io.must("threads", finding.threads);
  io.may("tasks", finding.tasks);
  io.must("resources", finding.resources);
  io.may("processes", finding.processes);
  io.must("path", finding.path);
  io.must("cyclic", finding.cyclic);
  io.may("location", finding.location);
  io.may("crash", finding.crash);
  io.may("rivals", finding.rivals);
  io.must("advice", finding.advice);
  io.may("signature", finding.signature);
}

template <class Io>
void describe(Io& io, As<Io, Generator>& generator) {
  io.must("name", generator.name);
  io.must("version", generator.version);
  io.may("commit", generator.commit);
  io.must("options", generator.options);
  io.must("patterns", generator.patterns);
}

template <class Io>
void describe(Io& io, As<Io, Verdict>& verdict) {
  io.must("kind", verdict.kind);
  io.must("headline", verdict.headline);
  io.may("confidence", verdict.confidence);
  io.must("findings", verdict.findings);
  io.may("unrelated", verdict.unrelated);
}

template <class Io>
void describe(Io& io, As<Io, Totals>& totals) {
  io.must("thread_count", totals.thread_count);
  io.must("process_count", totals.process_count);
  io.must("frame_count", totals.frame_count);
  io.must("listed_thread_count", totals.listed_thread_count);
  io.may("task_count", totals.task_count);
}

template <class Io>
void describe(Io& io, As<Io, Redaction>& redaction) {
  io.must("left_out", redaction.left_out);
  io.must("opted_in", redaction.opted_in);
}

template <class Io>
void describe(Io& io, As<Io, Analysis>& analysis) {
  io.constant("schema", "coldcase/report");
  io.constant("schema_version", report_schema_version);
  io.constant("language", "en");
  io.must("generator", analysis.generator);
  io.must("verdict", analysis.verdict);
  io.must("inputs", analysis.facts.inputs);
  io.must("processes", analysis.facts.processes);
  io.must("findings", analysis.findings);
  io.must("threads", analysis.facts.threads);
  io.may("tasks", analysis.facts.tasks);
  io.must("stacks", analysis.facts.stacks);
  io.must("resources", analysis.facts.resources);
  io.must("evidence", analysis.facts.evidence);
  io.must("modules", analysis.facts.modules);
  io.must("notes", analysis.facts.notes);
  io.must("totals", analysis.totals);
  io.must("redaction", analysis.redaction);
}

}  // namespace coldcase::report
