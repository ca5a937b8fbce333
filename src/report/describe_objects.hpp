// The fields of resources, evidence, modules and notes; included by describe_facts.hpp.
#pragma once

#include "report/describe_facts.hpp"

namespace coldcase::report {

template <class Io>
void describe(Io& io, As<Io, Place>& place) {
  io.must("process", place.process);
  io.must("address", place.address);
}

template <class Io>
void describe(Io& io, As<Io, ConnectionFact>& connection) {
  io.must("protocol", connection.protocol);
  io.may("state", connection.state);
  io.may("scope", connection.scope);
  io.may("port", connection.port);
  io.may("peer", connection.peer);
  io.may("received_ms", connection.received_ms);
  io.may("sent_ms", connection.sent_ms);
  io.may("received_bytes", connection.received_bytes);
  io.may("sent_bytes", connection.sent_bytes);
  io.may("unread_bytes", connection.unread_bytes);
  io.may("untaken_bytes", connection.untaken_bytes);
}

template <class Io>
void describe(Io& io, As<Io, ResourceFact>& resource) {
  io.identity(RefKind::resource);
  io.must("kind", resource.kind);
  io.may("implementation", resource.implementation);
  io.must("label", resource.label);
  io.may("aliases", resource.aliases);
  io.may("part_of", resource.part_of);
  io.must("at", resource.at);
  const bool state = resource.state != LockState::unknown || known(resource.words) ||
                     known(resource.state_waiters);
  io.group("state", state, [&] {
    io.must("summary", resource.state);
    io.list("words", resource.words, false, [&io](auto& word) {
      io.must("name", word.name);
      io.must_hex("value", word.value);
      io.may("means", word.means);
    });
    io.may("waiters", resource.state_waiters);
  });
  io.may("connection", resource.connection);
  io.must("owners", resource.owners);
  io.may("feeders", resource.feeders);
  const bool unowned = known(resource.owner_unknown_code) || known(resource.owner_unknown_text);
  io.group("owner_unknown", unowned, [&] {
    io.must("code", resource.owner_unknown_code);
    io.must("text", resource.owner_unknown_text);
  });
  io.must("waiters", resource.waiters);
  io.may("details", resource.details);
}

template <class Io>
void describe(Io& io, As<Io, Evidence>& evidence) {
  io.identity(RefKind::evidence);
  io.must("claim", evidence.claim);
  io.must("basis", evidence.basis);
  io.may("thread", evidence.thread);
  io.may("task", evidence.task);
  io.may("process", evidence.process);
  io.may("frame", evidence.frame);
  io.may("resource", evidence.resource);
  io.may("address", evidence.address);
  io.list("words", evidence.words, false, [&io](auto& word) {
    io.must("address", word.address);
    io.must_hex("value", word.value);
  });
  io.may("source", evidence.source);
}

template <class Io>
void describe(Io& io, As<Io, PackageFact>& package) {
  io.must("name", package.name);
  io.may("version", package.version);
}

template <class Io>
void describe(Io& io, As<Io, ModuleFact>& module) {
  io.identity(RefKind::module);
  io.must("name", module.name);
  io.may("path", module.path);
  io.may("build_id", module.build_id);
  io.may("package", module.package);
  io.list("mapped", module.mapped, true, [&io](auto& place) {
    io.must("process", place.process);
    io.must("base", place.address);
  });
  io.must("found", module.found);
  io.may("file", module.file);
  io.may("refused", module.refused);
  io.may("identified_by", module.identity);
  io.may("debug_file", module.debug_file);
  io.may("supplement", module.supplement);
  io.must("symbols", module.symbols);
  io.may("fetch", module.fetch);
}

template <class Io>
void describe(Io& io, As<Io, Note>& note) {
  io.must("code", note.code);
  io.must("severity", note.severity);
  io.must("text", note.text);
  io.may("advice", note.advice);
  io.may("command", note.command);
  io.may("about", note.about);
}

}  // namespace coldcase::report
